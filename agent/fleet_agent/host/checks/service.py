"""Who starts and ends the agent, as whom, and who may talk to it."""

from fleet_agent.host.check import Check, Verdict
from fleet_agent.host.facts import Facts
from fleet_agent.host.installation import stop_seconds

_UNIT_CURE = "fleet-agent unit -c FILE > {path}; systemctl daemon-reload"
_UNIT_PATH = "/etc/systemd/system/fleet-agent.service"


def judge(facts: Facts) -> list[Check]:
    """All checks of the surroundings."""
    checks = [_configuration(facts), _agent(facts), _start(facts), _user(facts), _logout(facts)]
    checks += [_memory_of_users(facts), _gateway(facts), _port(facts), _clock(facts), _encoding(facts)]
    return [check for check in checks if check is not None]


def _configuration(facts: Facts) -> Check:
    if facts.config is None:
        return Check(
            "configuration",
            Verdict.MISSING,
            facts.problems[0] if facts.problems else "none is named and none stands in the usual places",
            "the agent does not begin, or goes on with the configuration in force",
            f"fleet-agent check {facts.configuration or 'FILE'}",
        )
    count = sum(len(group.processes) for group in facts.config.groups)
    words = f"{facts.configuration}: {count} programs"
    if facts.problems:
        return Check(
            "configuration",
            Verdict.LIMITED,
            f"{words}, {len(facts.problems)} warnings",
            "something in it is probably not meant",
            f"fleet-agent check {facts.configuration}",
        )
    return Check("configuration", Verdict.OK, words)


def _agent(facts: Facts) -> Check:
    if not facts.keeper:
        return Check("agent", Verdict.OK, "does not run")
    if facts.answers:
        return Check("agent", Verdict.OK, f"runs (pid {facts.keeper}) and answers")
    return Check(
        "agent",
        Verdict.LIMITED,
        f"runs (pid {facts.keeper}) and does not answer",
        "programs run on, unsupervised until it does",
        "see its log; fleet-agent detach, then start it again",
    )


def _start(facts: Facts) -> Check:
    service = facts.service
    if not service.has_systemd:
        if service.init_script:
            return Check("service", Verdict.OK, f"no systemd; {service.init_script}")
        return Check(
            "service",
            Verdict.LIMITED,
            "no systemd, and no init script",
            "nobody starts the agent with the host, nor again when it was killed",
            "fleet-agent init-script; or let runit, s6, supervise-daemon or inittab run it",
        )
    unit = service.unit
    if unit is None:
        return Check(
            "service",
            Verdict.LIMITED,
            "systemd knows no fleet-agent.service",
            "nobody starts the agent with the host, nor again when it was killed",
            _UNIT_CURE.format(
                path=_UNIT_PATH if facts.uid == 0 else "~/.config/systemd/user/fleet-agent.service"
            ),
        )
    faults = []
    if unit.kill_mode != "process":
        faults.append((f"KillMode={unit.kill_mode}", "a stop or restart of the agent ends every program"))
    if unit.kind != "notify":
        faults.append((f"Type={unit.kind}", "systemd does not know whether the agent answers"))
    if not unit.delegates:
        faults.append(("Delegate=no", "programs have no control groups of their own"))
    needed = stop_seconds(facts.config.groups) if facts.config else 0
    if unit.stop_seconds is not None and unit.stop_seconds < needed:
        faults.append(
            (
                f"TimeoutStopSec={unit.stop_seconds:g}, and a stop may take {needed} s",
                "at a shutdown programs may be killed before their time",
            )
        )
    if facts.configuration and facts.configuration not in unit.start:
        faults.append(
            (f"it does not run {facts.configuration}", "what is said here is of another configuration")
        )
    if facts.environment and unit.environment and facts.environment != unit.environment:
        faults.append(
            (
                f"it starts {unit.environment}, and the agent runs from {facts.environment}",
                "the next start, and the next boot, take another version",
            )
        )
    if not unit.is_enabled:
        faults.append(("it is not enabled", "the agent does not start with the host"))
    if faults:
        cure = (
            "systemctl enable fleet-agent"
            if faults[0][0].startswith("it is")
            else _UNIT_CURE.format(path=unit.path)
        )
        return Check(
            "service",
            Verdict.LIMITED,
            f"{unit.path}: {'; '.join(what for what, _ in faults)}",
            "; ".join(meaning for _, meaning in faults),
            cure,
        )
    return Check("service", Verdict.OK, f"systemd, {unit.path}")


def _user(facts: Facts) -> Check:
    others = (
        {spec.user for group in facts.config.groups for spec in group.processes} if facts.config else set()
    )
    others |= {facts.config.daemon.user} if facts.config else set()
    others.discard("")
    if facts.uid == 0:
        return Check("users", Verdict.OK, "root: programs may run as any user")
    if others:
        return Check(
            "users",
            Verdict.MISSING,
            f"uid {facts.uid} is not root, and programs are to run as {', '.join(sorted(others))}",
            "these programs cannot be started, unless that is this user",
            "run the agent as root, or leave user= out",
        )
    return Check(
        "users",
        Verdict.OK,
        f"uid {facts.uid}: all programs run as this user",
    )


def _logout(facts: Facts) -> Check | None:
    if facts.uid == 0 or not facts.service.has_systemd or facts.service.lingers is not False:
        return None
    return Check(
        "logout",
        Verdict.LIMITED,
        "this user does not linger",
        "systemd may end the agent and its programs when the user logs out, and removes the runtime folder",
        "loginctl enable-linger",
    )


def _memory_of_users(facts: Facts) -> Check | None:
    if not (facts.login_users and facts.service.removes_ipc):
        return None
    return Check(
        "shared memory",
        Verdict.LIMITED,
        f"RemoveIPC=yes, and programs run as {', '.join(facts.login_users)}",
        "when such a user logs out, systemd removes the shared memory and semaphores of these programs",
        "RemoveIPC=no in /etc/systemd/logind.conf, or a system user for them",
    )


def _gateway(facts: Facts) -> Check | None:
    if facts.config is None or not facts.config.fleet.listen:
        return None
    if facts.uid:
        return Check(
            "gateway",
            Verdict.LIMITED,
            f"runs as uid {facts.uid}, as the agent does",
            "what reads the network may signal the agent and its programs",
            "run the agent as root: the gateway then takes a user of its own",
        )
    if not facts.gateway_user:
        return Check(
            "gateway",
            Verdict.MISSING,
            f"this host has no user {facts.config.fleet.gateway_user or 'fleet-agent, nor nobody'}",
            "the TCP door does not open",
            "useradd --system --no-create-home --shell /usr/sbin/nologin fleet-agent",
        )
    if facts.gateway_user == "nobody":
        return Check(
            "gateway",
            Verdict.LIMITED,
            "runs as nobody",
            "other programs of nobody may signal it, or listen beside it",
            "useradd --system --no-create-home --shell /usr/sbin/nologin fleet-agent",
        )
    return Check("gateway", Verdict.OK, f"runs as {facts.gateway_user}")


def _port(facts: Facts) -> Check | None:
    if facts.config is None or not facts.config.fleet.listen or facts.keeper:
        return None
    listen = facts.config.fleet.listen
    if facts.port_problem:
        return Check(
            "port",
            Verdict.MISSING,
            f"{listen}: {facts.port_problem}",
            "the agent does not begin",
            "end what listens there, or name another `listen` in [fleet]",
        )
    return Check("port", Verdict.OK, f"{listen} is free")


def _clock(facts: Facts) -> Check:
    if facts.is_clock_synchronized:
        return Check("clock", Verdict.OK, "synchronised")
    return Check(
        "clock",
        Verdict.LIMITED,
        "not synchronised" if facts.is_clock_synchronized is False else "nobody knows whether it is right",
        "supervision does not depend on it; times in logs and events do, and so do certificates",
        "run chrony or systemd-timesyncd",
    )


def _encoding(facts: Facts) -> Check:
    if facts.encoding.lower().replace("-", "") == "utf8":
        return Check("encoding", Verdict.OK, facts.encoding)
    return Check(
        "encoding",
        Verdict.LIMITED,
        facts.encoding,
        "names and arguments with other letters than ASCII may not reach programs",
        "set LANG=C.UTF-8",
    )
