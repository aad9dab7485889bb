"""What tells one keeper's code from another's: the same fingerprint means that nothing is to be replaced.

The code of a running keeper is that of its start, whatever has been installed in its place since. So a
keeper takes its own fingerprint as soon as it has time, and a version to come takes its own in its trial.
"""

import os
import sys
from binascii import crc32

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_ROOMS = ("keeper", "link")
_MODULES = ("main.py", "commands/run.py", "commands/succeed.py", "formats/format.py", "formats/held.py")
_SPOKEN = ("errors", "frames", "paths")
"""Modules of `fleet_api`; not `version`, which alone changes nothing."""


def sources() -> list[str]:
    """The files that a keeper's code comes from, in a fixed order."""
    import fleet_api  # noqa: PLC0415 - a path is all that is wanted of it

    spoken = os.path.dirname(os.path.abspath(fleet_api.__file__ or ""))
    rooms = [
        os.path.join(_PACKAGE, room, name)
        for room in _ROOMS
        for name in sorted(os.listdir(os.path.join(_PACKAGE, room)))
        if name.endswith(".py")
    ]
    modules = [os.path.join(_PACKAGE, *name.split("/")) for name in _MODULES]
    return [*rooms, *modules, *(os.path.join(spoken, f"{name}.py") for name in _SPOKEN)]


def fingerprint() -> str:
    """Of the files as they are now and of this interpreter; takes about a millisecond.

    Raises: OSError when a file cannot be read.
    """
    # Not hashlib: it would cost the keeper a megabyte for good.
    text = f"{sys.version}\n{os.path.realpath(sys.executable)}".encode()
    one, other, size = crc32(text), crc32(text[::-1]), len(text)
    for path in sources():
        with open(path, "rb") as file:
            data = file.read()
        one, other, size = crc32(data, one), crc32(data[::-1], other), size + len(data)
    return f"{one:08x}{other:08x}{size:x}"
