"""What a program wrote, read from its log and the rotated files of it."""

from pathlib import Path


def whole_log(path: Path) -> bytes:
    """All bytes of a log, the oldest rotated file first; read anew when a rotation comes between."""
    while True:
        before = _files(path)
        try:
            data = b"".join(file.read_bytes() for file, _ in before)
        except FileNotFoundError:
            continue
        if _files(path) == before:
            return data


def whole_lines(path: Path) -> list[str]:
    """All finished lines of a log."""
    return whole_log(path).decode().split("\n")[:-1]


def _files(path: Path) -> list[tuple[Path, int]]:
    """The files of a log and their inodes, the oldest first."""
    numbers = {int(file.suffix[1:]): file for file in path.parent.glob(f"{path.name}.*")}
    found = []
    for file in [*(numbers[number] for number in sorted(numbers, reverse=True)), path]:
        try:
            found.append((file, file.stat().st_ino))
        except FileNotFoundError:
            continue
    return found
