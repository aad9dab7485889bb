"""A change of version, from the supervisor's request until it has left: a table of stages.

Used by `supervisors`. Nothing is let go of before its successor is there: first the next keeper proves
that it can read what this one knows, then the next supervisor starts and waits, and only then the present
one is asked to leave.
"""

import socket
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from fleet_agent.link.messages import Replace

CHECK_SECONDS = 20.0
PREPARE_SECONDS = 20.0
YIELD_SECONDS = 5.0
READY_SECONDS = 20.0
"""From its Hello until a supervisor of another version must serve."""


class Version(NamedTuple):
    """How supervisor and keeper of one version are started."""

    supervisor: list[str]
    keeper: list[str]


class Stage(StrEnum):
    """What a change of version waits for."""

    CHECKING = "checking"  # the next keeper reads what this one knows
    PREPARING = "preparing"  # the next supervisor starts beside the present one
    YIELDING = "yielding"  # the present supervisor leaves


class Event(StrEnum):
    """What happens meanwhile."""

    CHECKED = "checked"
    CHECK_FAILED = "check failed"
    PREPARED = "prepared"
    NEXT_ENDED = "next ended"
    PRESENT_ENDED = "present ended"
    LATE = "late"


class Action(StrEnum):
    """What follows."""

    NONE = "none"
    START_NEXT = "start next"
    ASK_TO_YIELD = "ask to yield"
    KILL_PRESENT = "kill present"
    SWITCH = "switch"
    GIVE_UP = "give up"


_S, _E, _A = Stage, Event, Action

TABLE: Mapping[tuple[Stage, Event], Action] = {
    (_S.CHECKING, _E.CHECKED): _A.START_NEXT,
    (_S.CHECKING, _E.CHECK_FAILED): _A.GIVE_UP,
    (_S.CHECKING, _E.PREPARED): _A.NONE,
    (_S.CHECKING, _E.NEXT_ENDED): _A.NONE,
    (_S.CHECKING, _E.PRESENT_ENDED): _A.GIVE_UP,
    (_S.CHECKING, _E.LATE): _A.GIVE_UP,
    (_S.PREPARING, _E.CHECKED): _A.NONE,
    (_S.PREPARING, _E.CHECK_FAILED): _A.NONE,
    (_S.PREPARING, _E.PREPARED): _A.ASK_TO_YIELD,
    (_S.PREPARING, _E.NEXT_ENDED): _A.GIVE_UP,
    (_S.PREPARING, _E.PRESENT_ENDED): _A.GIVE_UP,
    (_S.PREPARING, _E.LATE): _A.GIVE_UP,
    (_S.YIELDING, _E.CHECKED): _A.NONE,
    (_S.YIELDING, _E.CHECK_FAILED): _A.NONE,
    (_S.YIELDING, _E.PREPARED): _A.NONE,
    (_S.YIELDING, _E.NEXT_ENDED): _A.GIVE_UP,
    (_S.YIELDING, _E.PRESENT_ENDED): _A.SWITCH,
    (_S.YIELDING, _E.LATE): _A.KILL_PRESENT,
}


class Handover:
    """One change of version under way; `pid` is that of the check or of the next supervisor."""

    def __init__(self, request: Replace) -> None:
        self.request = request
        self.stage = Stage.CHECKING if request.keeper_argv else Stage.PREPARING
        self.pid = 0
        self.link: socket.socket | None = None

    @property
    def seconds(self) -> float:
        """How long this stage may take."""
        return {
            Stage.CHECKING: CHECK_SECONDS,
            Stage.PREPARING: PREPARE_SECONDS,
            Stage.YIELDING: YIELD_SECONDS,
        }[self.stage]

    def happens(self, event: Event) -> Action:
        """What follows from an event; the stage moves on."""
        action = TABLE[self.stage, event]
        if action is Action.START_NEXT:
            self.stage = Stage.PREPARING
        elif action is Action.ASK_TO_YIELD:
            self.stage = Stage.YIELDING
        return action

    def is_prepared(self) -> bool:
        """Whether the next supervisor has said something; asked when its link can be read."""
        if self.link is None:
            return False
        try:
            return bool(self.link.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except OSError:
            return False
