"""What keeps the wire honest: generates code from the .proto files, and refuses what breaks a release.

Called by `make proto` (generate) and `make proto-release` (release), and by the tests, which ask that the
committed code is fresh and that nothing released was taken away or changed. Not part of any package.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)

ROOT = Path(__file__).resolve().parent
PROTOC_SECONDS = 120.0
RELEASED = ROOT / "fleet_api" / "v1" / "released.binpb"

Facts = dict[str, str]
"""Each promise of a wire, by its name: what a peer of an older version relies on."""


def sources() -> list[str]:
    """The .proto files, relative to the root, in a fixed order."""
    return sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("fleet_api/v1/*.proto"))


def generate(out: Path) -> None:
    """Write messages, services and their type stubs below `out`.

    Raises: SystemExit when protoc refuses; it has printed why.
    """
    scripts = Path(sys.executable).parent
    _run_protoc(
        f"--plugin=protoc-gen-mypy={scripts / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={scripts / 'protoc-gen-mypy_grpc'}",
        f"--python_out={out}",
        f"--grpc_python_out={out}",
        f"--mypy_out=quiet:{out}",
        f"--mypy_grpc_out=quiet:{out}",
    )


def describe() -> FileDescriptorSet:
    """The descriptors of the .proto files as they are now, without those of google."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "now.binpb"
        _run_protoc(f"--descriptor_set_out={path}")
        return FileDescriptorSet.FromString(path.read_bytes())


def released() -> FileDescriptorSet:
    """The descriptors that peers in the field may speak."""
    return FileDescriptorSet.FromString(RELEASED.read_bytes())


def breaks(old: FileDescriptorSet, new: FileDescriptorSet) -> list[str]:
    """What `new` takes away from or changes in `old`, one sentence each; empty when it only adds."""
    before, after = facts(old), facts(new)
    found = []
    for name, promise in before.items():
        if name not in after:
            found.append(f"{name} is gone; it was {promise}")
        elif after[name] != promise:
            found.append(f"{name} was {promise} and is {after[name]}")
    return found


def facts(descriptors: FileDescriptorSet) -> Facts:
    """Every message, field, enum value, service and method with what must not change about it."""
    found: Facts = {}
    for file in descriptors.file:
        scope = f".{file.package}"
        for message in file.message_type:
            found.update(_message_facts(message, scope))
        for enum in file.enum_type:
            found.update(_enum_facts(enum, scope))
        for service in file.service:
            found.update(_service_facts(service, scope))
    return found


def _message_facts(message: DescriptorProto, scope: str) -> Iterator[tuple[str, str]]:
    name = f"{scope}.{message.name}"
    yield f"message {name}", "a message"
    for field in message.field:
        yield f"field {name} = {field.number}", _field_promise(field, message)
    for reserved in message.reserved_range:
        for number in range(reserved.start, min(reserved.end, reserved.start + 1000)):
            yield f"reserved number {name} = {number}", "reserved"
    for text in message.reserved_name:
        yield f"reserved name {name}.{text}", "reserved"
    for enum in message.enum_type:
        yield from _enum_facts(enum, name)
    for nested in message.nested_type:
        yield from _message_facts(nested, name)


def _field_promise(field: FieldDescriptorProto, message: DescriptorProto) -> str:
    words = [
        FieldDescriptorProto.Label.Name(field.label).removeprefix("LABEL_").lower(),
        field.type_name or FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower(),
        field.name,
    ]
    if field.HasField("oneof_index"):
        words.append(f"in oneof {message.oneof_decl[field.oneof_index].name}")
    if field.options.HasField("packed"):
        words.append(f"packed={field.options.packed}")
    if field.json_name:
        words.append(f"json {field.json_name}")
    return " ".join(words)


def _enum_facts(enum: EnumDescriptorProto, scope: str) -> Iterator[tuple[str, str]]:
    name = f"{scope}.{enum.name}"
    yield f"enum {name}", "an enum"
    for value in enum.value:
        yield f"value {name}.{value.name}", str(value.number)


def _service_facts(service: ServiceDescriptorProto, scope: str) -> Iterator[tuple[str, str]]:
    name = f"{scope}.{service.name}"
    yield f"service {name}", "a service"
    for method in service.method:
        asks = f"{'stream ' if method.client_streaming else ''}{method.input_type}"
        answers = f"{'stream ' if method.server_streaming else ''}{method.output_type}"
        yield f"method {name}.{method.name}", f"{asks} -> {answers}"


def _run_protoc(*options: str) -> None:
    # In a process of its own: it cannot cope with descriptors beyond 1024, which a long test run may have.
    argv = [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT}", *options, *sources()]
    status = subprocess.run(argv, cwd=ROOT, timeout=PROTOC_SECONDS, check=False).returncode
    if status:
        sys.exit(f"protoc ended with status {status}")


def main(arguments: list[str]) -> None:
    """`generate [FOLDER]` or `release`."""
    match arguments:
        case ["generate", *folder]:
            generate(Path(folder[0]) if folder else ROOT)
        case ["release"]:
            now = describe()
            found = breaks(released(), now) if RELEASED.exists() else []
            if found:
                sys.exit("not additive, not released:\n" + "\n".join(f"  {line}" for line in found))
            RELEASED.write_bytes(now.SerializeToString(deterministic=True))
        case _:
            sys.exit("usage: wire_contract.py generate [FOLDER] | release")


if __name__ == "__main__":
    main(sys.argv[1:])
