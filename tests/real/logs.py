"""What a program wrote, read from its log and the rotated files of it."""

from pathlib import Path


def whole_log(path: Path) -> bytes:
    """All bytes of a log, the oldest rotated file first."""
    rotated = sorted(path.parent.glob(f"{path.name}.*"), key=lambda file: -int(file.suffix[1:]))
    return b"".join(file.read_bytes() for file in [*rotated, path] if file.exists())


def whole_lines(path: Path) -> list[str]:
    """All finished lines of a log."""
    return whole_log(path).decode().split("\n")[:-1]
