"""How many programs the limits of this host allow."""

from collections.abc import Iterable
from typing import NamedTuple

from fleet_agent.core.model import ProcessSpec
from fleet_agent.host.check import Check, Verdict
from fleet_agent.host.facts import Facts

KEEPER_OWN = 90
"""Open files of a keeper without children, and those that it keeps free."""
SUPERVISOR_OWN = 60
"""Open files of a supervisor without children; some for those who ask."""
AGENT_PROCESSES = 8
"""Keeper, supervisor, gateway and their threads."""


class Need(NamedTuple):
    """Open files in keeper and supervisor."""

    keeper: int
    supervisor: int


def open_files_of(spec: ProcessSpec) -> Need:
    """What one process takes: an end of each FIFO in both, and in the supervisor the log it goes to.

    The keeper has one more for a process that it adopted.
    """
    streams = [spec.stdout] if spec.redirect_stderr else [spec.stdout, spec.stderr]
    return Need(2 + len(streams), len(streams) + sum(bool(log.path or log.is_auto) for log in streams))


def judge(facts: Facts) -> list[Check]:
    """All checks of limits."""
    specs = [] if facts.config is None else [s for group in facts.config.groups for s in group.processes]
    checks = [_open_files(facts, specs), _processes(facts, len(specs))]
    minfds = facts.config.daemon.minfds if facts.config else 0
    if facts.limits.open_files is not None and minfds > facts.limits.open_files and facts.uid:
        checks.append(
            Check(
                "minfds",
                Verdict.MISSING,
                f"minfds={minfds} in the configuration, {facts.limits.open_files} open files allowed",
                "no program can be started",
                "lower minfds in [supervisord], or raise the limit",
            )
        )
    return checks


def most_processes(open_files: int, specs: Iterable[ProcessSpec] = ()) -> int:
    """How many processes such a limit allows: as hungry as the average of these, or as one with two logs."""
    needs = [open_files_of(spec) for spec in specs] or [Need(keeper=4, supervisor=4)]
    keeper = (open_files - KEEPER_OWN) * len(needs) // sum(need.keeper for need in needs)
    supervisor = (open_files - SUPERVISOR_OWN) * len(needs) // sum(need.supervisor or 1 for need in needs)
    return max(0, min(keeper, supervisor))


def _open_files(facts: Facts, specs: list[ProcessSpec]) -> Check:
    limit = facts.limits.open_files
    if limit is None:
        return Check("open files", Verdict.OK, "unlimited")
    most = most_processes(limit, specs)
    finding = f"{limit} ({facts.limits.of}): up to {most} programs"
    if most < len(specs):
        return Check(
            "open files",
            Verdict.MISSING,
            f"{finding}, and the configuration has {len(specs)}",
            "the last ones cannot be started",
            "raise LimitNOFILE= of the unit, or nofile in limits.conf; one log for both streams takes less",
        )
    return Check("open files", Verdict.OK, finding)


def _processes(facts: Facts, count: int) -> Check:
    limits = facts.limits
    # The limit of a user does not hold for root.
    per_user = limits.processes if facts.uid else None
    bounds = {
        "pid_max": limits.pid_max,
        "pids.max of the control group": limits.pids,
        "processes of this user": per_user,
    }
    name, lowest = min(
        ((name, bound) for name, bound in bounds.items() if bound is not None), key=lambda item: item[1]
    )
    finding = f"up to {lowest} ({name})"
    if lowest < count + AGENT_PROCESSES:
        return Check(
            "processes",
            Verdict.MISSING,
            f"{finding}, and the configuration has {count}",
            "the last ones cannot be started",
            "raise it: TasksMax= of the unit, nproc in limits.conf, or sysctl kernel.pid_max",
        )
    return Check("processes", Verdict.OK, finding)
