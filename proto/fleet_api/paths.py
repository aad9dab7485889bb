"""Where an agent keeps its runtime and state files, so that programs on the same host find its door."""

import os
from collections.abc import Mapping
from typing import NamedTuple

MAX_SOCKET_PATH_BYTES = 107


class AgentPaths(NamedTuple):
    """The two folders of an agent: `runtime` is gone after a boot, `state` is not."""

    runtime: str
    state: str

    @property
    def door(self) -> str:
        """The unix socket of the supervisor."""
        return os.path.join(self.runtime, "door.sock")

    @property
    def endpoint(self) -> str:
        """The file that tells the addresses in use."""
        return os.path.join(self.state, "endpoint.json")


def agent_paths(state_dir: str | None, uid: int, environ: Mapping[str, str]) -> AgentPaths:
    """The folders of the agent of this user; `state_dir` moves both. XDG folders count when absolute."""
    if state_dir:
        state = os.path.abspath(state_dir)
        return AgentPaths(os.path.join(state, "run"), state)
    if uid == 0:
        return AgentPaths("/run/fleet-agent", "/var/lib/fleet-agent")
    runtime, state_home = environ.get("XDG_RUNTIME_DIR", ""), environ.get("XDG_STATE_HOME", "")
    runtime = os.path.join(runtime, "fleet-agent") if os.path.isabs(runtime) else f"/tmp/fleet-agent-{uid}"  # noqa: S108
    if not os.path.isabs(state_home):
        state_home = os.path.join(environ.get("HOME", "/"), ".local", "state")
    return AgentPaths(runtime, os.path.join(state_home, "fleet-agent"))
