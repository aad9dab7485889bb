"""Names of hosts, groups and processes, and the resource names made of them.

`hosts/{host}/groups/{group}/processes/{process}` is how requests, events and audit lines name a process
of the fleet. Doors that take such a name call `parse`; whoever reads a configuration or an inventory
calls the `check_` functions.
"""

import re
from typing import NamedTuple

from fleet_api.errors import BadRequest

MAX_HOST_CHARACTERS = 253
MAX_PROCESS_CHARACTERS = 255

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_NOT_IN_PROCESS = re.compile(r"[\s\x00-\x1f\x7f-\x9f:/\ud800-\udfff]")
_SHAPE = "hosts/{host}/groups/{group}/processes/{process}"


class ProcessName(NamedTuple):
    """Where one process is found in a fleet."""

    host: str
    group: str
    process: str

    def __str__(self) -> str:
        return f"hosts/{self.host}/groups/{self.group}/processes/{self.process}"


def build(host: str, group: str, process: str) -> str:
    """The resource name of a process.

    Raises: BadRequest on a part that breaks its rule.
    """
    check_host(host)
    check_process(group, "group")
    check_process(process, "process")
    return str(ProcessName(host, group, process))


def parse(name: str) -> ProcessName:
    """The parts of a resource name: the inverse of `build`.

    Raises: BadRequest on another shape or a part that breaks its rule.
    """
    parts = name.split("/")
    if len(parts) != 6 or parts[0::2] != ["hosts", "groups", "processes"]:
        raise BadRequest(
            "BAD_RESOURCE_NAME", f"{_shown(name)} is not the name of a process", f"write {_SHAPE}"
        )
    _, host, _, group, _, process = parts
    check_host(host)
    check_process(group, "group")
    check_process(process, "process")
    return ProcessName(host, group, process)


def check_host(name: str) -> None:
    """A host is named as DNS names it, in small letters: its certificate carries the same name.

    Raises: BadRequest.
    """
    if len(name) > MAX_HOST_CHARACTERS or not _HOST.fullmatch(name):
        raise BadRequest(
            "BAD_HOST_NAME",
            f"{_shown(name)} cannot be the name of a host",
            "small letters, digits, - and _, in labels of up to 63 characters joined by dots; at most"
            f" {MAX_HOST_CHARACTERS} characters",
        )


def check_process(name: str, what: str = "process") -> None:
    """A process or group (`what` tells which, for the message) may be called anything that can be typed.

    Raises: BadRequest when it is empty or too long, or has a blank, a control character, `:` or `/`.
    """
    if not name:
        raise BadRequest("BAD_PROCESS_NAME", f"the name of the {what} is empty", f"give the {what} a name")
    if len(name) > MAX_PROCESS_CHARACTERS:
        raise BadRequest(
            "BAD_PROCESS_NAME",
            f"the name of the {what} {_shown(name)} has {len(name)} characters",
            f"at most {MAX_PROCESS_CHARACTERS}",
        )
    bad = _NOT_IN_PROCESS.search(name)
    if bad:
        raise BadRequest(
            "BAD_PROCESS_NAME",
            f"the name of the {what} {_shown(name)} has {bad.group()!r} at character {bad.start() + 1}",
            "no blanks, control characters, ':' or '/'",
        )


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
