"""What systemd, or another init, says about the agent on this host. Called by `gathering`."""

import os
from collections.abc import Mapping

from fleet_agent.host.facts import Service, Unit
from fleet_agent.host.going_down import Ask, ask_host

_PROPERTIES = (
    "LoadState",
    "FragmentPath",
    "UnitFileState",
    "ExecStart",
    "Type",
    "KillMode",
    "TimeoutStopUSec",
    "Delegate",
    "LimitNOFILE",
)
_LOGIND = ("org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_INIT_SCRIPT = "/etc/init.d/fleet-agent"
_ENABLED = frozenset({"enabled", "enabled-runtime", "linked", "linked-runtime", "static", "alias"})


def gather(uid: int, environ: Mapping[str, str], ask: Ask = ask_host) -> Service:
    """Who starts the agent here."""
    has_systemd = os.path.isdir("/run/systemd/system")
    has_script = os.access(_INIT_SCRIPT, os.X_OK)
    unit = unit_of(_show(uid, ask)) if has_systemd else None
    lingers = removes_ipc = None
    if has_systemd:
        user = environ.get("USER") or str(uid)
        lingers = _yes_or_no(ask(["loginctl", "show-user", user, "--property=Linger", "--value"]))
        removes_ipc = _yes_or_no(ask(["busctl", "get-property", *_LOGIND, "RemoveIPC"]).replace("b ", "", 1))
    return Service(has_systemd, unit, _INIT_SCRIPT if has_script else "", lingers, removes_ipc)


def unit_of(properties: Mapping[str, str]) -> Unit | None:
    """The unit, as `systemctl show` tells its properties; None when none is loaded."""
    if properties.get("LoadState") != "loaded":
        return None
    limit = properties.get("LimitNOFILE", "")
    return Unit(
        path=properties.get("FragmentPath", ""),
        is_enabled=properties.get("UnitFileState", "") in _ENABLED,
        start=properties.get("ExecStart", ""),
        environment=environment_of(_between(properties.get("ExecStart", ""), "path=", " ;")),
        kind=properties.get("Type", ""),
        kill_mode=properties.get("KillMode", ""),
        stop_seconds=_seconds(properties.get("TimeoutStopUSec", "")),
        delegates=properties.get("Delegate") == "yes",
        open_files=int(limit) if limit.isdecimal() else None,
    )


def environment_of(program: str) -> str:
    """The folder of the virtual environment that a program in its bin is of, links followed; else empty."""
    folder = os.path.realpath(os.path.dirname(os.path.dirname(program)))
    return folder if os.path.exists(os.path.join(folder, "pyvenv.cfg")) else ""


def _between(text: str, before: str, after: str) -> str:
    return text.partition(before)[2].partition(after)[0]


def is_clock_synchronized(ask: Ask = ask_host) -> bool | None:
    """Whether something keeps the clock right; None when nobody says."""
    if os.path.exists("/run/systemd/timesync/synchronized"):
        return True
    answer = _yes_or_no(ask(["timedatectl", "show", "--property=NTPSynchronized", "--value"]))
    if answer is None:
        tracking = ask(["chronyc", "-n", "tracking"])
        return None if not tracking else "Leap status     : Normal" in tracking
    return answer


def _show(uid: int, ask: Ask) -> dict[str, str]:
    who = [] if uid == 0 else ["--user"]
    argv = ["systemctl", *who, "show", "fleet-agent.service", f"--property={','.join(_PROPERTIES)}"]
    return dict(line.split("=", 1) for line in ask(argv).splitlines() if "=" in line)


def _yes_or_no(text: str) -> bool | None:
    return {"yes": True, "true": True, "no": False, "false": False}.get(text.strip())


def _seconds(text: str) -> float | None:
    """A time span as systemd prints it ("4min 30s"); None for infinity, or what is none."""
    total = 0.0
    for word in text.split():
        number = word.rstrip("abcdefghijklmnopqrstuvwxyz")
        unit = _SECONDS.get(word[len(number) :])
        if unit is None or not number.replace(".", "", 1).isdecimal():
            return None
        total += float(number) * unit
    return total if text else None
