"""Where an agent keeps its files: for root, for a user, and where it is told to."""

import os

import pytest
from fleet_api.paths import AgentPaths, agent_paths

pytestmark = pytest.mark.pure


def test_root_uses_the_system_folders_whatever_the_environment_says() -> None:
    environ = {"XDG_RUNTIME_DIR": "/run/user/0", "XDG_STATE_HOME": "/x", "HOME": "/root"}
    assert agent_paths(None, 0, environ) == ("/run/fleet-agent", "/var/lib/fleet-agent")


@pytest.mark.parametrize(
    ("environ", "runtime", "state"),
    [
        (
            {"XDG_RUNTIME_DIR": "/run/user/7", "XDG_STATE_HOME": "/s", "HOME": "/home/u"},
            "/run/user/7/fleet-agent",
            "/s/fleet-agent",
        ),
        ({"HOME": "/home/u"}, "/tmp/fleet-agent-7", "/home/u/.local/state/fleet-agent"),
        (
            {"XDG_RUNTIME_DIR": "", "XDG_STATE_HOME": "", "HOME": "/home/u"},
            "/tmp/fleet-agent-7",
            "/home/u/.local/state/fleet-agent",
        ),
        ({}, "/tmp/fleet-agent-7", "/.local/state/fleet-agent"),
        (
            {"XDG_RUNTIME_DIR": "run", "XDG_STATE_HOME": "state", "HOME": "/home/u"},
            "/tmp/fleet-agent-7",
            "/home/u/.local/state/fleet-agent",
        ),
    ],
)
def test_user_follows_xdg(environ: dict[str, str], runtime: str, state: str) -> None:
    assert agent_paths(None, 7, environ) == (runtime, state)


@pytest.mark.parametrize("uid", [0, 1000])
def test_state_dir_moves_both(uid: int) -> None:
    assert agent_paths("/srv/agent", uid, {"XDG_RUNTIME_DIR": "/x"}) == ("/srv/agent/run", "/srv/agent")
    assert agent_paths("somewhere", uid, {}).state == os.path.abspath("somewhere")


def test_files_in_them() -> None:
    paths = AgentPaths("/run/a", "/var/a")
    assert paths.door == "/run/a/door.sock"
    assert paths.endpoint == "/var/a/endpoint.json"
