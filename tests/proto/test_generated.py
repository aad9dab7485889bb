"""The committed code is what the .proto files give, and the wire takes nothing back that was released."""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import wire_contract
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorSet

ROOT = Path(__file__).resolve().parents[2]
V1 = ROOT / "proto" / "fleet_api" / "v1"


def test_committed_code_is_fresh(tmp_path: Path) -> None:
    wire_contract.generate(tmp_path)
    fresh = {path.name: path.read_bytes() for path in (tmp_path / "fleet_api" / "v1").iterdir()}
    committed = {path.name: path.read_bytes() for path in V1.glob("*_pb2*.py*")}
    assert sorted(fresh) == sorted(committed)
    assert len(fresh) == 4 * len(list(V1.glob("*.proto")))
    stale = [name for name in fresh if fresh[name] != committed[name]]
    assert not stale, "run `make proto`"


def test_wire_only_grows() -> None:
    assert wire_contract.breaks(wire_contract.released(), wire_contract.describe()) == []


def test_required_libraries_can_load_the_generated_code() -> None:
    """Generated code refuses an older runtime than its generator's."""
    required = " ".join(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"])
    for pattern, files, library in (
        (r"# Protobuf Python Version: ([0-9.]+)", "*_pb2.py", "protobuf"),
        (r"GRPC_GENERATED_VERSION = '([0-9.]+)'", "*_pb2_grpc.py", "grpcio"),
    ):
        least = re.search(rf"(?:^|\s){library}>=([0-9.]+)", required)
        assert least
        for path in V1.glob(files):
            generated = re.search(pattern, path.read_text())
            assert generated, path
            assert version(least[1]) >= version(generated[1]), f"{library} in pyproject.toml, for {path.name}"


def version(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


def message(descriptors: FileDescriptorSet, name: str) -> DescriptorProto:
    return next(m for file in descriptors.file for m in file.message_type if m.name == name)


def field(descriptors: FileDescriptorSet, name: str, field_name: str) -> FieldDescriptorProto:
    return next(f for f in message(descriptors, name).field if f.name == field_name)


def remove_field(wire: FileDescriptorSet) -> None:
    del message(wire, "Process").field[3]


def renumber_field(wire: FileDescriptorSet) -> None:
    field(wire, "Process", "pid").number = 99


def rename_field(wire: FileDescriptorSet) -> None:
    field(wire, "Process", "pid").name = "process_id"


def retype_field(wire: FileDescriptorSet) -> None:
    field(wire, "Process", "pid").type = FieldDescriptorProto.TYPE_INT64


def repeat_field(wire: FileDescriptorSet) -> None:
    field(wire, "Process", "pid").label = FieldDescriptorProto.LABEL_REPEATED


def other_message(wire: FileDescriptorSet) -> None:
    field(wire, "ProcessOutcome", "process").type_name = ".fleet_api.v1.Position"


def leave_oneof(wire: FileDescriptorSet) -> None:
    field(wire, "WatchResponse", "gap").ClearField("oneof_index")


def remove_value(wire: FileDescriptorSet) -> None:
    del message(wire, "Process").enum_type[0].value[-1]


def renumber_value(wire: FileDescriptorSet) -> None:
    message(wire, "Process").enum_type[0].value[-1].number = 50


def rename_value(wire: FileDescriptorSet) -> None:
    message(wire, "Process").enum_type[0].value[-1].name = "LOST"


def remove_enum(wire: FileDescriptorSet) -> None:
    del message(wire, "Process").enum_type[:]


def remove_message(wire: FileDescriptorSet) -> None:
    for file in wire.file:
        kept = [m for m in file.message_type if m.name != "LogCursor"]
        del file.message_type[:]
        file.message_type.extend(kept)


def remove_method(wire: FileDescriptorSet) -> None:
    del next(file for file in wire.file if file.service).service[0].method[0]


def remove_service(wire: FileDescriptorSet) -> None:
    del next(file for file in wire.file if file.service).service[:]


def stop_streaming(wire: FileDescriptorSet) -> None:
    for file in wire.file:
        for service in file.service:
            for method in service.method:
                method.server_streaming = False


def answer_otherwise(wire: FileDescriptorSet) -> None:
    file = next(file for file in wire.file if file.service)
    file.service[0].method[0].output_type = ".fleet_api.v1.Position"


def move_package(wire: FileDescriptorSet) -> None:
    for file in wire.file:
        file.package = "fleet_api.v2"


DOCTORED: list[tuple[Callable[[FileDescriptorSet], None], str]] = [
    (remove_field, "field .fleet_api.v1.Process = 4 is gone"),
    (renumber_field, "field .fleet_api.v1.Process = 4 is gone"),
    (rename_field, "is optional int32 process_id"),
    (retype_field, "is optional int64 pid"),
    (repeat_field, "is repeated int32 pid"),
    (other_message, "is optional .fleet_api.v1.Position process"),
    (leave_oneof, "in oneof body"),
    (remove_value, "value .fleet_api.v1.Process.State.UNKNOWN is gone"),
    (renumber_value, "value .fleet_api.v1.Process.State.UNKNOWN was 8 and is 50"),
    (rename_value, "value .fleet_api.v1.Process.State.UNKNOWN is gone"),
    (remove_enum, "enum .fleet_api.v1.Process.State is gone"),
    (remove_message, "message .fleet_api.v1.LogCursor is gone"),
    (remove_method, "method .fleet_api.v1.AgentService.GetAgent is gone"),
    (remove_service, "service .fleet_api.v1.AgentService is gone"),
    (stop_streaming, "-> stream .fleet_api.v1.WatchResponse and is"),
    (answer_otherwise, "and is .fleet_api.v1.GetAgentRequest -> .fleet_api.v1.Position"),
    (move_package, "message .fleet_api.v1.Process is gone"),
]


@pytest.mark.parametrize(("doctor", "says"), DOCTORED, ids=lambda value: getattr(value, "__name__", ""))
def test_what_breaks_a_peer_is_refused(doctor: Callable[[FileDescriptorSet], None], says: str) -> None:
    wire = wire_contract.released()
    doctor(wire)
    assert any(says in line for line in wire_contract.breaks(wire_contract.released(), wire))


def test_no_field_at_all_can_be_removed() -> None:
    for file_index, file in enumerate(wire_contract.released().file):
        for message_index, old in enumerate(file.message_type):
            for field_index, gone in enumerate(old.field):
                wire = wire_contract.released()
                del wire.file[file_index].message_type[message_index].field[field_index]
                assert wire_contract.breaks(wire_contract.released(), wire), f"{old.name}.{gone.name}"


def test_additions_pass() -> None:
    wire = wire_contract.released()
    wire.file[0].message_type.add(name="New").field.add(name="x", number=1)
    message(wire, "Process").field.add(name="brand_new", number=999, type=FieldDescriptorProto.TYPE_BOOL)
    message(wire, "Process").enum_type[0].value.add(name="NEW", number=77)
    service = next(file for file in wire.file if file.service).service[0]
    service.method.add(name="New", input_type=".fleet_api.v1.New", output_type=".fleet_api.v1.New")
    assert wire_contract.breaks(wire_contract.released(), wire) == []


def test_reserved_numbers_and_names_stay_reserved() -> None:
    old, new = wire_contract.released(), wire_contract.released()
    message(old, "Process").reserved_range.add(start=100, end=102)
    message(old, "Process").reserved_name.append("gone")
    assert len(wire_contract.breaks(old, new)) == 3


def test_a_breaking_wire_is_not_released(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wire = wire_contract.released()
    remove_field(wire)
    target = tmp_path / "released.binpb"
    target.write_bytes(wire_contract.RELEASED.read_bytes())
    monkeypatch.setattr(wire_contract, "RELEASED", target)
    monkeypatch.setattr(wire_contract, "describe", lambda: wire)
    with pytest.raises(SystemExit, match=r"Process = 4 is gone"):
        wire_contract.main(["release"])
    assert target.read_bytes() == (V1 / "released.binpb").read_bytes()
