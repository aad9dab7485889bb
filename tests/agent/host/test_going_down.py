"""Whether a host is going down, as its init tells."""

from collections.abc import Sequence

import pytest
from fleet_agent.host.going_down import Ask, ask_host, is_going_down


def answers(**by_word: str) -> Ask:
    """A host whose commands print this, by a word of theirs."""

    def ask(argv: Sequence[str]) -> str:
        return next((text for word, text in by_word.items() if word.replace("_", "-") in argv), "")

    return ask


@pytest.mark.pure
@pytest.mark.parametrize(
    ("state", "jobs", "expected"),
    [
        ("running\n", "", ""),
        ("degraded\n", "12 fleet-agent.service stop running\n", ""),
        ("stopping\n", "", "systemd is stopping this host"),
        ("running\n", "3 rescue.target start waiting\n", "systemd is on its way to rescue.target"),
        ("running\n", "3 reboot.target stop waiting\n4 shutdown.target stop waiting\n", ""),
        ("", "", ""),
    ],
)
def test_systemd(state: str, jobs: str, expected: str) -> None:
    assert is_going_down({}, True, answers(is_system_running=state, list_jobs=jobs)) == expected


@pytest.mark.pure
def test_a_service_of_a_user_asks_that_users_manager() -> None:
    asked = []

    def ask(argv: Sequence[str]) -> str:
        asked.append(list(argv))
        return "stopping"

    assert is_going_down({"MANAGERPID": "700"}, True, ask)
    assert asked == [["systemctl", "--user", "is-system-running"]]


@pytest.mark.pure
@pytest.mark.parametrize(
    ("environ", "runlevel", "expected"),
    [
        ({}, "N 2\n", ""),
        ({}, "2 6\n", "the runlevel is 6"),
        ({"RUNLEVEL": "0"}, "unknown\n", "the runlevel is 0"),
        ({"RUNLEVEL": "2"}, "N 6\n", ""),
        ({"RC_RUNLEVEL": "shutdown"}, "", "the runlevel is shutdown"),
        ({"RC_RUNLEVEL": "default"}, "", ""),
        ({}, "", ""),
    ],
)
def test_other_inits(environ: dict[str, str], runlevel: str, expected: str) -> None:
    assert is_going_down(environ, False, answers(runlevel=runlevel)) == expected


def test_a_command_that_is_not_there_says_nothing() -> None:
    assert ask_host(["/nowhere/systemctl", "is-system-running"]) == ""
    assert ask_host(["/bin/echo", "N", "2"]) == "N 2\n"
