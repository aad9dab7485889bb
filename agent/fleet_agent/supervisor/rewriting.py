"""Brings the state of a running agent into other formats: older ones for a version to come, or the newest.

A supervisor goes on in the formats that it finds, as long as it can write them: should it die young, the
version before it comes back. Once it has stood for a while it settles on its own formats.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from fleet_agent.formats.format import Format
from fleet_agent.formats.table import FORMATS

SETTLE_SECONDS = 20.0
"""Longer than the keeper takes a version back that dies."""
REWRITTEN_SECONDS = 90.0
"""The same after state was brought into other formats: longer than a version to come takes to begin."""


class Writer(NamedTuple):
    """The owner of a format: in which version it writes now, and how it is made to go on in another.

    All that is kept is brought into that version, too. Version 0: only the owner knows yet.
    """

    version: Callable[[], int]
    write_as: Callable[[int], None]


def elsewhere(tell: Callable[[int], None]) -> Writer:
    """The writer of a format whose owner is another process, which is told and does not answer."""
    told = 0

    def write_as(version: int) -> None:
        nonlocal told
        told = version
        tell(version)

    return Writer(lambda: told, write_as)


Writers = Mapping[str, Writer]
"""By the name of the format."""


def rewrite(versions: Mapping[str, int], writers: Writers) -> str:
    """Bring each format into its version; why that was not possible, or "".

    What was rewritten before a failure stays so: this version reads it, too.
    """
    for name, version in versions.items():
        if name not in writers:
            return f"{name} cannot be brought into format {version} while the agent runs"
        try:
            writers[name].write_as(version)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            return f"{name} could not be brought into format {version}: {error}"
    return ""


def settle(writers: Writers, formats: Mapping[str, Format] = FORMATS) -> str:
    """Bring everything into the newest formats; why that was not possible, or ""."""
    newest = {name: formats[name].version for name in writers}
    return rewrite(
        {name: version for name, version in newest.items() if writers[name].version() != version}, writers
    )
