"""The last line of a command over many hosts."""

from collections.abc import Mapping

from fleet_cli.answers import Bucket


def line(counts: Mapping[Bucket, int], *, is_interrupted: bool = False, operation_id: str = "") -> str:
    """`120 hosts: 118 ok, 1 failed, 1 unreachable`."""
    total = sum(counts.values())
    parts = ", ".join(f"{number} {bucket.words}" for bucket, number in counts.items() if number)
    text = f"{total} host{'' if total == 1 else 's'}" + (f": {parts}" if parts else "")
    if is_interrupted:
        text = f"interrupted; so far {text}"
    return f"{text} (operation {operation_id})" if operation_id else text
