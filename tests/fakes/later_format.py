"""A version of the program in which one format has become another: a field has a new name."""

from types import ModuleType

import pytest
from fleet_agent.formats.format import Format, Older, State


def later(format_: Format, old: str, new: str) -> Format:
    """The format one version on: the field `old` of the present one is called `new` in files."""

    def rename(state: State, before: str, after: str) -> State:
        return {after if name == before else name: value for name, value in state.items()}

    # The code still speaks of `old`; only the files differ, so that what is version 1 here is the new shape.
    return format_._replace(
        version=2,
        older={1: Older(lambda state: rename(state, new, old), lambda state: rename(state, old, new))},
    )


def install(monkeypatch: pytest.MonkeyPatch, room: ModuleType, name: str, old: str, new: str) -> None:
    """Give a module the later format in place of its own."""
    monkeypatch.setattr(room, name, later(getattr(room, name), old, new))
