"""Whether this host is going down: then everything stops in order instead of running on alone.

Asked by `fleet-agent leave`, which the unit and the init script call to end the agent.
"""

import subprocess
from collections.abc import Callable, Mapping, Sequence

# An init that changes to these runlevels ends every process: halt, single user, reboot.
_LAST_RUNLEVELS = frozenset({"0", "1", "6", "S"})
_LAST_TARGETS = ("shutdown.target", "rescue.target", "emergency.target", "exit.target")
_ANSWER_SECONDS = 10.0

Ask = Callable[[Sequence[str]], str]
"""Runs a command and gives what it prints; nothing when it cannot be run."""


def is_going_down(environ: Mapping[str, str], has_systemd: bool, ask: Ask) -> str:
    """Why this host is taken to be going down; empty when it is not, or nobody knows.

    `has_systemd`: it is the init of this host. A service of a user's own manager asks that one.
    """
    if has_systemd:
        systemctl = ["systemctl", "--user"] if environ.get("MANAGERPID") else ["systemctl"]
        state = ask([*systemctl, "is-system-running"]).strip()
        if state == "stopping":
            return "systemd is stopping this host"
        # Leaving for rescue is no shutdown, yet it ends all that is not ended in order.
        for line in ask([*systemctl, "list-jobs", "--no-legend", "--plain"]).splitlines():
            words = line.split()
            if len(words) > 2 and words[1] in _LAST_TARGETS and words[2] == "start":
                return f"systemd is on its way to {words[1]}"
        return ""
    if environ.get("RC_RUNLEVEL") == "shutdown":
        return "the runlevel is shutdown"
    level = environ.get("RUNLEVEL") or _second_word(ask(["runlevel"]))
    return f"the runlevel is {level}" if level in _LAST_RUNLEVELS else ""


def ask_host(argv: Sequence[str]) -> str:
    """What a command of this host prints; nothing when it cannot be run or does not answer."""
    try:
        done = subprocess.run(
            argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=_ANSWER_SECONDS, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("utf-8", "replace")


def _second_word(text: str) -> str:
    words = text.split()
    return words[1] if len(words) > 1 else ""
