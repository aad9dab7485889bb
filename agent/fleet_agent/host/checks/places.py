"""Whether the agent's folders and logs can be used, and what they survive."""

from fleet_agent.host.check import Check, Verdict
from fleet_agent.host.facts import Facts, Folder

IN_MEMORY = frozenset({"tmpfs", "ramfs"})
MIN_FREE_BYTES = 64 * 1024 * 1024
FILES_PER_PROCESS = 6
"""FIFOs, run record and logs."""


def judge(facts: Facts) -> list[Check]:
    """All checks of folders."""
    count = sum(len(group.processes) for group in facts.config.groups) if facts.config else 0
    state = _folder(facts, "state folder", facts.state, count)
    if state.verdict is Verdict.OK and facts.state.kind in IN_MEMORY:
        state = Check(
            "state folder",
            Verdict.LIMITED,
            f"{facts.state.wanted} is in memory ({facts.state.kind})",
            "what operators stopped or disabled, and where logs are, is forgotten at a reboot",
            "name a folder on a disk with --state-dir",
        )
    checks = [state, _folder(facts, "runtime folder", facts.runtime, count)]
    checks += [_log_folder(folder) for folder in facts.logs if _log_folder(folder).verdict is not Verdict.OK]
    if facts.logs and len(checks) == 2:
        checks.append(Check("log folders", Verdict.OK, f"{len(facts.logs)}, all writable"))
    return checks


def _folder(facts: Facts, name: str, folder: Folder, count: int) -> Check:
    if folder.is_there and folder.owner != facts.uid:
        return Check(
            name,
            Verdict.MISSING,
            f"{folder.path} belongs to uid {folder.owner}, and uid {facts.uid} asks",
            "the agent refuses to begin" if facts.uid else "an agent of root refuses to begin",
            "remove it, give it away, or name another with --state-dir",
        )
    if folder.is_there and folder.mode & 0o022:
        return Check(
            name,
            Verdict.MISSING,
            f"{folder.path} has mode {folder.mode:04o}: others may write there",
            "the agent refuses to begin",
            f"chmod 700 {folder.path}",
        )
    if not folder.is_writable:
        return Check(
            name,
            Verdict.MISSING,
            f"{folder.path} cannot be written",
            "the agent cannot begin" if not facts.keeper else "what changes is not kept",
            "make it writable, or name another with --state-dir",
        )
    if folder.free_bytes < MIN_FREE_BYTES:
        return _scarce(name, folder, f"{folder.free_bytes // 1024} KiB free")
    if folder.free_files is not None and folder.free_files < FILES_PER_PROCESS * count + 100:
        return _scarce(name, folder, f"{folder.free_files} files may be made")
    kind = f", {folder.kind}" if folder.kind else ""
    finding = f"{folder.wanted}{kind}" if folder.is_there else f"{folder.wanted} (will be made){kind}"
    return Check(name, Verdict.OK, finding)


def _scarce(name: str, folder: Folder, what: str) -> Check:
    return Check(
        name,
        Verdict.LIMITED,
        f"{folder.path}: {what}",
        "programs run on when it is full; records, events and logs are then not written",
        "make room",
    )


def _log_folder(folder: Folder) -> Check:
    if not folder.is_there:
        finding = f"{folder.wanted} does not exist"
    elif not folder.is_writable:
        finding = f"{folder.wanted} cannot be written"
    elif folder.free_bytes < MIN_FREE_BYTES:
        return _scarce("log folder", folder, f"{folder.free_bytes // 1024} KiB free")
    else:
        return Check("log folder", Verdict.OK, folder.wanted)
    return Check(
        "log folder",
        Verdict.LIMITED,
        finding,
        "programs run, and what they print there is lost",
        "make it, or name another in the configuration",
    )
