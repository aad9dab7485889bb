"""What this kernel can do for the agent."""

from fleet_agent.host.check import Check, Verdict
from fleet_agent.host.facts import Facts
from fleet_agent.host.unit import LEAF

OLDEST_WHOLE = (5, 4)
TELLS_EXITS = (6, 15)
KILLS_GROUPS = (5, 14)
_GROUP_CURE = "use the unit that `fleet-agent unit` prints (Delegate=yes), on a host with control groups v2"


def judge(facts: Facts) -> list[Check]:
    """All checks of the kernel."""
    return [
        _release(facts),
        _works(facts, "fifo", "FIFOs", "no program can be started", Verdict.MISSING),
        _works(facts, "pidfd", "pidfd", "after a kill -9 of the keeper its programs are not watched"),
        _exits(facts),
        _works(facts, "memfd", "memfd", "an upgrade cannot replace the keeper in place"),
        _works(facts, "reuseport", "SO_REUSEPORT", "the TCP door is shut while the gateway is replaced"),
        _group(facts),
        _memory(facts),
    ]


def _release(facts: Facts) -> Check:
    kernel = facts.kernel
    finding = f"{kernel.system} {kernel.release}"
    if kernel.system != "Linux":
        return Check(
            "kernel",
            Verdict.LIMITED,
            finding,
            "programs are supervised; a keeper that was killed does not find them again",
            "run it on Linux 5.4 or newer",
        )
    if kernel.version < OLDEST_WHOLE:
        return Check("kernel", Verdict.LIMITED, finding, "older than what is tested", "Linux 5.4 or newer")
    return Check("kernel", Verdict.OK, finding)


def _works(facts: Facts, feature: str, words: str, meaning: str, without: Verdict = Verdict.LIMITED) -> Check:
    if feature in facts.kernel.works:
        return Check(feature, Verdict.OK, f"{words} work")
    return Check(
        feature, without, f"{words} do not work here", meaning, "a newer kernel; a container may forbid it"
    )


def _exits(facts: Facts) -> Check:
    if facts.kernel.system == "Linux" and facts.kernel.version >= TELLS_EXITS:
        return Check("exit status", Verdict.OK, "the kernel keeps that of a program whose keeper was killed")
    return Check(
        "exit status",
        Verdict.LIMITED,
        "the kernel forgets that of a program whose keeper was killed",
        "the exit status of a program adopted after a kill -9 of the keeper may be unknown, and is shown so",
        "Linux 6.15 or newer",
    )


def _group(facts: Facts) -> Check:
    group = facts.group
    whose = "" if facts.keeper else " (of whoever asks; the agent does not run)"
    if not group.path:
        return _groups_limited("no control groups v2 here")
    if not group.is_ours:
        return _groups_limited(f"{group.path} is not ours to divide{whose}")
    if facts.kernel.version < KILLS_GROUPS:
        return Check(
            "control groups",
            Verdict.LIMITED,
            f"v2, {group.path}{whose}, and no cgroup.kill",
            "a program that forks without end may outrun its stop",
            "Linux 5.14 or newer",
        )
    return Check("control groups", Verdict.OK, f"v2, {group.path}{whose}")


def _groups_limited(finding: str) -> Check:
    return Check(
        "control groups",
        Verdict.LIMITED,
        finding,
        "a stop finds a program's descendants by group, session and parent; one that left all three escapes",
        _GROUP_CURE,
    )


def _memory(facts: Facts) -> Check:
    # Only where the agent itself is in a subgroup may it count what is beside it.
    if "memory" in facts.group.controllers and facts.group.path.endswith(f"/{LEAF}"):
        return Check("memory", Verdict.OK, "the kernel counts that of each program")
    return Check(
        "memory",
        Verdict.LIMITED,
        "the kernel does not count that of each program",
        "when the kernel kills a program for want of memory, that is told as probable only",
        "systemd 254 or newer, control groups v2 alone, and the unit that `fleet-agent unit` prints",
    )
