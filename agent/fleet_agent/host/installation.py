"""How this installation is started: the command, its options, and how long an ordered stop may take.

Called by `fleet-agent unit` and `init-script`, which write it into files, and by `doctor`, which compares.
"""

import os
from collections.abc import Iterable
from typing import NamedTuple

from fleet_agent.core.model import GroupSpec
from fleet_agent.core.ordering import stop_waves

SLACK_SECONDS = 30
"""For logs, gateway and a busy host, above what the programs may take."""


class Installation(NamedTuple):
    """What a file that starts the agent says. Paths absolute; `state_dir` empty for the usual place."""

    command: tuple[str, ...]
    configuration: str
    state_dir: str
    stop_seconds: int
    is_root: bool

    @property
    def run(self) -> list[str]:
        """The command that starts the agent and stays in the foreground."""
        return [*self.command, "run", "-c", self.configuration, *self.place]

    @property
    def place(self) -> list[str]:
        """The option that says which agent is meant."""
        return ["--state-dir", self.state_dir] if self.state_dir else []


def agent_command(program: str, python: str) -> tuple[str, ...]:
    """The command that is this program, given how it was called.

    Symbolic links stay: one that is turned to a new environment is what an upgrade changes.
    """
    if os.path.basename(program) == "fleet-agent":
        return (os.path.abspath(program),)
    return (python, "-P", "-m", "fleet_agent.main")


def stop_seconds(groups: Iterable[GroupSpec]) -> int:
    """The longest that an ordered stop takes: its waves, one after the other, each by its most patient."""
    waves = stop_waves(groups)
    return SLACK_SECONDS + sum(max((spec.stopwaitsecs for spec in wave), default=0) for wave in waves)
