"""What operators want of a process for good: stopped until it is started, disabled until it is enabled.

Kept by the supervisor's `desires` over restarts of agent and host. A wish is an operator's alone: neither
the end of a program nor that of the agent makes one.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple


class DesireKind(StrEnum):
    """Which wish: a stopped process waits for its next start, a disabled one for its `enable`."""

    STOPPED = "stopped"
    DISABLED = "disabled"


class Desire(NamedTuple):
    """One operator's wish for one process; `wall` is when, in seconds since the epoch."""

    kind: DesireKind
    actor: str
    reason: str
    wall: float
    operation_id: str = ""

    def words(self) -> str:
        """`disabled by alice: 'power work'`."""
        by = f" by {self.actor}" if self.actor else ""
        return f"{self.kind}{by}: {self.reason!r}" if self.reason else f"{self.kind}{by}"

    def to_state(self) -> dict[str, Any]:
        """As kept and journalled; version 1."""
        return {
            "kind": self.kind.value,
            "actor": self.actor,
            "reason": self.reason,
            "at": self.wall,
            "operation": self.operation_id,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "Desire":
        """The inverse of `to_state`.

        Raises: KeyError, TypeError, ValueError for what is no wish.
        """
        return cls(
            DesireKind(state["kind"]),
            str(state["actor"]),
            str(state["reason"]),
            float(state["at"]),
            str(state["operation"]),
        )
