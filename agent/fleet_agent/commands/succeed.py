"""`fleet-agent succeed`: takes the place of another version's keeper, in the same process. Called by `main`.

Never typed by hand: the other keeper becomes this program by `execve`, and leaves its state in a file in
memory. If that cannot be used, the other one comes back.
"""

import os
import signal
from collections.abc import Mapping, Sequence

from fleet_api.paths import AgentPaths, agent_paths

from fleet_agent.commands.run import raise_open_files
from fleet_agent.keeper import folders, succession
from fleet_agent.keeper.keeper import Keeper
from fleet_agent.keeper.notes import say
from fleet_agent.keeper.notify import ServiceManager
from fleet_agent.keeper.succession import Succession

BAD_STATE = 1
_CHECK = "--check"


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Go on as the keeper; with `--check`, only try whether that would be possible.

    The exit code: that of the agent, or 1 for a state that cannot be used.
    """
    words = [word for word in arguments if word != _CHECK]
    options = dict(zip(words[::2], words[1::2], strict=True))
    state_fd = int(options["--state-fd"])
    paths = agent_paths(options.get("--state-dir"), os.geteuid(), environ)
    raise_open_files()
    manager = ServiceManager(os.environ, os.getpid())
    try:
        left = succession.read(state_fd, os.path.join(paths.runtime, folders.FOLDERS[0]))
        if _CHECK in arguments:
            return 0
        keeper, left = _take_over(left, paths, manager, options.get("--reverted", ""))
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        say(f"cannot go on with the state of the present keeper: {error!r}")
        if _CHECK not in arguments:
            _come_back(
                state_fd, {**os.environ, **manager.variables}, f"its keeper could not go on: {error!r}"
            )
        return BAD_STATE
    os.close(state_fd)
    keeper.go_on(left)
    return keeper.hold()


def _take_over(
    left: Succession, paths: AgentPaths, manager: ServiceManager, reverted: str
) -> tuple[Keeper, Succession]:
    if reverted:
        if left.supervisor.pid:
            os.kill(left.supervisor.pid, signal.SIGKILL)
            os.close(left.supervisor.link)
        left = left.taken_back(reverted)
    locks = folders.inherited(paths, *left.locks)
    keeper = Keeper(paths.runtime, left.version, locks, dict(os.environb), manager)
    keeper.take_over(left)
    return keeper, left


def _come_back(state_fd: int, environ: Mapping[str, str], reason: str) -> None:
    """Become the keeper that was here before, which reads its own state; returns when that fails too."""
    before = succession.before_of(state_fd)
    if before is None:
        return
    # Nothing that it left may be closed on the way back.
    for name in os.listdir("/proc/self/fd"):
        try:
            os.set_inheritable(int(name), True)
        except OSError:
            continue
    argv = [*before.keeper, "--state-fd", str(state_fd), "--reverted", reason]
    os.execve(argv[0], argv, environ)  # noqa: S606 - no shell is wanted
