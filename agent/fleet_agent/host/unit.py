"""The systemd unit of an agent, as text. What each line is for stands in docs/running.md."""

from collections.abc import Iterable

from fleet_agent.host.installation import Installation

NAME = "fleet-agent.service"
WATCHDOG_SECONDS = 60
OPEN_FILES = 524288
LEAF = "fleet-agent.leaf"
"""The subgroup that the supervisor looks for: `supervisor.trees.cgroups`."""
_KNOWS_SUBGROUPS = 254


def unit_text(installation: Installation, systemd: int) -> str:
    """The unit file for this version of systemd; for a user's own manager unless it is root's."""
    mounts = [installation.configuration, installation.command[0], *installation.place[1:]]
    ordering = f"""\
After=network.target local-fs.target remote-fs.target nss-user-lookup.target time-sync.target
RequiresMountsFor={quoted(mounts)}
"""
    subgroup = f"DelegateSubgroup={LEAF}\n" if systemd >= _KNOWS_SUBGROUPS else ""
    return f"""\
# Written by `fleet-agent unit`. Write it anew when the installation moves or stops may take longer.
[Unit]
Description=fleet-agent: the programs of {installation.configuration.replace("%", "%%")}
{ordering if installation.is_root else ""}StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={quoted(installation.run)}
# The agent alone ends: its programs run on, unless the host is going down.
ExecStop={quoted([*installation.command, "leave", *installation.place])}
TimeoutStopSec={installation.stop_seconds}
# Programs are the agent's to stop, never systemd's. SIGUSR1, should ExecStop fail, detaches.
KillMode=process
KillSignal=SIGUSR1
# What was asked to end stays ended; all else is started again and finds its programs.
Restart=on-failure
RestartSec=1
WatchdogSec={WATCHDOG_SECONDS}
WatchdogSignal=SIGKILL
Delegate=yes
{subgroup}OOMPolicy=continue
ManagedOOMPreference=omit
LimitNOFILE={OPEN_FILES}
TasksMax=infinity
# No sandbox here: it would hold the programs, too. The gateway makes its own.

[Install]
WantedBy={"multi-user.target" if installation.is_root else "default.target"}
"""


def systemd_version(text: str) -> int:
    """The version in what `systemctl --version` prints; 0 when it tells none."""
    number = [*text.split(), "", ""][1]
    return int(number) if number.isdecimal() else 0


def quoted(words: Iterable[str]) -> str:
    """Words as a unit file writes them, so that systemd reads each as it is."""
    return " ".join(_quoted(word) for word in words)


def _quoted(word: str) -> str:
    text = word.replace("%", "%%").replace("$", "$$")
    if text and not any(letter in text for letter in " \t\n\"'\\;"):
        return text
    for letter, escape in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\t", "\\t")):
        text = text.replace(letter, escape)
    return f'"{text}"'
