"""What a keeper leaves to another version of itself, which takes its place in the same process.

`execve` keeps the pid, the children and every descriptor that is not closed on it; all else that a keeper
knows goes through a file in memory. Written by the keeper's loop, read by the command `succeed`.
"""

import fcntl
import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

from fleet_agent.formats.held import HANDOVER
from fleet_agent.keeper.handover import Version
from fleet_agent.keeper.run_records import Run

_FIRST_FREE = 16


class SupervisorLeft(NamedTuple):
    """The supervisor that waits for its Hello; pid 0 when none does."""

    pid: int
    link: int
    number: int
    was_ever_ready: bool


class Succession(NamedTuple):
    """All that the next keeper goes on with; descriptors are told by number.

    `before` is the version to come back to, `reverted` why another was taken back, `formats` the versions
    in which this keeper writes what is the keeper's. `kept` holds name,
    descriptor and note; `leaving` maps the pids of gateways on their way out to the monotonic time of
    their SIGKILL.
    """

    version: Version
    before: Version | None
    upgrade: str
    reverted: str
    locks: tuple[int, int]
    formats: dict[str, int]
    runs: list[Run]
    kept: list[tuple[str, int, str]]
    supervisor: SupervisorLeft
    gateway: int
    leaving: dict[int, float]
    stop_asked: bool

    def to_state(self) -> dict[str, Any]:
        """As written, in the newest format."""
        return {
            "program": self.version._asdict(),
            "before": self.before._asdict() if self.before else None,
            "upgrade": self.upgrade,
            "reverted": self.reverted,
            "locks": self.locks,
            "formats": self.formats,
            "runs": [_run_to_state(run) for run in self.runs],
            "kept": self.kept,
            "supervisor": self.supervisor._asdict(),
            "gateway": self.gateway,
            "leaving": [[pid, due] for pid, due in self.leaving.items()],
            "stop_asked": self.stop_asked,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any], fifo_folder: str) -> "Succession":
        """The inverse of `to_state`.

        Raises: ValueError, TypeError or LookupError when this is no state of a keeper.
        """
        before = state["before"]
        return cls(
            version=Version(**state["program"]),
            before=Version(**before) if before else None,
            upgrade=str(state["upgrade"]),
            reverted=str(state["reverted"]),
            locks=(int(state["locks"][0]), int(state["locks"][1])),
            formats={str(name): int(version) for name, version in state["formats"].items()},
            runs=[_run_from_state(each, fifo_folder) for each in state["runs"]],
            kept=[(str(name), int(fd), str(note)) for name, fd, note in state["kept"]],
            supervisor=SupervisorLeft(**state["supervisor"]),
            gateway=int(state["gateway"]),
            leaving={int(pid): float(due) for pid, due in state["leaving"]},
            stop_asked=bool(state["stop_asked"]),
        )

    def taken_back(self, reason: str) -> "Succession":
        """With the version before it in force, and no supervisor waiting."""
        return self._replace(
            version=self.before or self.version,
            before=None,
            reverted=reason,
            supervisor=self.supervisor._replace(pid=0, link=-1),
        )

    def descriptors(self) -> list[int]:
        """Every descriptor that is told of."""
        fds = [*self.locks, *(fd for _, fd, _ in self.kept)]
        for run in self.runs:
            fds += run.ends
            if run.pidfd >= 0:
                fds.append(run.pidfd)
        return [*fds, self.supervisor.link] if self.supervisor.pid else fds


def before_of(fd: int) -> Version | None:
    """The version to come back to, of a state that may be unreadable otherwise."""
    try:
        with open(os.dup(fd), "rb") as file:
            file.seek(0)
            return Version(**json.loads(file.read())["before"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write(succession: Succession, version: int) -> int:
    """The state in a file in memory, to be read from its start; the descriptor outlives an exec.

    Raises: OSError; UnknownVersion when the state cannot be written in this version.
    """
    state = HANDOVER.dump(succession.to_state(), version)
    low = os.memfd_create("fleet-agent keeper", os.MFD_CLOEXEC)
    try:
        with open(low, "wb", closefd=False) as file:
            file.write(json.dumps(state).encode("ascii"))
        # Out of the way of the numbers that an exec leaves free, and open to the next program.
        return fcntl.fcntl(low, fcntl.F_DUPFD, _FIRST_FREE)
    finally:
        os.close(low)


def replace_process(
    argv: list[str], environ: Mapping[str, str], succession: Succession, version: int
) -> NoReturn:
    """Become the keeper of this command line.

    Raises: OSError, with all as it was before.
    """
    state = write(succession, version)
    fds = succession.descriptors()
    try:
        for fd in fds:
            os.set_inheritable(fd, True)
        os.execve(argv[0], [*argv, "--state-fd", str(state)], environ)  # noqa: S606 - no shell is wanted
    except OSError:
        os.close(state)
        for fd in fds:
            os.set_inheritable(fd, False)
        raise


def read(fd: int, fifo_folder: str) -> Succession:
    """The state that was left.

    Raises: OSError, ValueError, TypeError or LookupError when it cannot be used.
    """
    with open(os.dup(fd), "rb") as file:
        file.seek(0)
        return Succession.from_state(HANDOVER.load(json.loads(file.read())), fifo_folder)


def _run_to_state(run: Run) -> dict[str, Any]:
    return {
        "record": run.to_state(),
        "stem": run.stem,
        "ends": list(run.ends),
        "pidfd": run.pidfd,
        "adopted": run.adopted,
    }


def _run_from_state(state: dict[str, Any], fifo_folder: str) -> Run:
    run = Run.from_state(state["record"], state["stem"], fifo_folder)
    run.ends = [int(fd) for fd in state["ends"]]
    run.pidfd = int(state["pidfd"])
    run.adopted = bool(state["adopted"])
    return run
