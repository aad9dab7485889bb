"""One sample of every format of an agent's state: written and read by the code that keeps it."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from fakes.small_roster import some_epochs
from fleet_agent.config import stored
from fleet_agent.config.settings import AgentConfig, DaemonSettings, FleetSettings
from fleet_agent.core.desires import Desire, DesireKind
from fleet_agent.core.model import (
    Autorestart,
    Exit,
    GroupSpec,
    LogSpec,
    Now,
    Process,
    ProcessSpec,
    State,
    Timer,
    TimerKind,
)
from fleet_agent.formats.table import ACTIVE, DESIRES, ENDPOINT, EPOCHS, PORT, UPGRADE
from fleet_agent.keeper import succession
from fleet_agent.keeper.handover import Version
from fleet_agent.keeper.run_records import Run, RunRecords, stem_of
from fleet_agent.keeper.succession import Succession, SupervisorLeft
from fleet_agent.supervisor import desires, epochs, results
from fleet_agent.supervisor.announcement import Announcement
from fleet_agent.supervisor.journal import Change, Journal
from fleet_agent.supervisor.journal_file import replay
from fleet_agent.supervisor.logs import inflight
from fleet_agent.supervisor.logs.sidecar import Record, Segment, Sidecars
from fleet_agent.supervisor.results import Results
from fleet_agent.supervisor.upgrading import Upgrade


class Sample(NamedTuple):
    """How the state of `value` gets into a folder in some version, and out of it again."""

    value: Any
    write: Callable[[Path, int], None]
    read: Callable[[Path], Any]


# ---------------------------------------------------------------------------- run record


def _run() -> Run:
    run = Run("web:wörker 1", 7, stem_of("web:wörker 1", 7), ("stdin", "stdout"), "/run/fleet-agent/fifos")
    run.pid = 4711
    run.ticks = 123456
    run.boot_id = "boot-1"
    run.started_monotonic = 5.25
    run.started_wall = 1790000000.5
    run.signals = 2
    run.status = 256
    run.ended_wall = 1790000009.5
    return run


def _write_run_record(folder: Path, version: int) -> None:
    records = RunRecords(str(folder), str(folder))
    records.version = version
    records.write(_run())


def _read_run_record(folder: Path) -> Any:
    (run,), problems = RunRecords(str(folder), str(folder)).load()
    assert problems == []
    return run.to_state()


def _succession() -> Succession:
    return Succession(
        version=Version(["python", "supervisor"], ["python", "keeper"]),
        before=Version(["old", "supervisor"], ["old", "keeper"]),
        upgrade="u1",
        reverted="because",
        locks=(10, 11),
        formats={"run_record": 1, "handover": 1},
        runs=[_run()],
        kept=[("door", 12, "note")],
        supervisor=SupervisorLeft(79, 13, 2, True),
        gateway=80,
        leaving={81: 5.5},
        stop_asked=True,
    )


def _write_handover(folder: Path, version: int) -> None:
    fd = succession.write(_succession(), version)
    (folder / "handover").write_bytes(Path(f"/proc/self/fd/{fd}").read_bytes())
    os.close(fd)


def _read_handover(folder: Path) -> Any:
    with (folder / "handover").open("rb") as file:
        return succession.read(file.fileno(), "/run/fleet-agent/fifos").to_state()


# ---------------------------------------------------------------------------- journal

STOPPING = Process(
    state=State.STOPPING,
    wanted=False,
    run=3,
    pid=4711,
    started=Now(5.25, 1790000000.5),
    stopped_wall=1780000000.0,
    changed_wall=1790000001.0,
    exit=Exit(None, 9, True),
    failures=2,
    spawn_error="can't exec",
    reason="stop by root",
    signals=2,
    timer=Timer(TimerKind.KILL, 15.5),
    expected_exit=False,
    is_killed=True,
    desire=Desire(DesireKind.STOPPED, "root", "power work", 1790000000.5, "op-7"),
)
CHANGES = [
    Change(42, 1790000001.0, "web:a", "RUNNING", "stop by root", STOPPING),
    Change(43, 1790000001.5, "web:b", "EXITED", "left the configuration", Process(), removed=True),
]


def _write_journal(folder: Path, version: int) -> None:
    journal = Journal(str(folder), "boot-1", print)
    journal.begin("incarnation-1", 41, {"web:a": Process(), "web:b": Process()}, "it was booted")
    journal.append(CHANGES, dict)
    journal.leave()
    if version != journal.version:
        journal.write_as(version)


def _read_journal(folder: Path) -> Any:
    restored = replay(str(folder / "journal.1"), "boot-1")
    assert restored is not None
    journal = Journal(str(folder), "boot-1", print)
    journal.begin(restored.incarnation, restored.sequence, restored.processes)
    return restored, list(journal.since(41) or ())


# ---------------------------------------------------------------------------- the others

BEGUN = {"id": "op-7", "verb": "restart", "runs": {"web:a": 3}}
RESULT = {"operation_id": "op-7", "outcomes": [{"name": "a"}], "errors": [], "replayed": False}


def _write_results(folder: Path, version: int) -> None:
    kept = Results(str(folder / "results"), Now(500.0, 1790000000.0), print)
    kept.write_as(version)
    kept.note_begun("k1", BEGUN, Now(500.0, 1790000000.0))
    kept.note_result("k1", RESULT, Now(501.0, 1790000001.0))


def _read_results(folder: Path) -> Any:
    kept = [results.from_state(entry) for entry in results.entries(str(folder / "results"))]
    # The first files of this format do not have it.
    return [(key, known._replace(monotonic=None)) for key, known in kept]


CONFIG = AgentConfig(
    path="/etc/supervisord.conf",
    daemon=DaemonSettings(environment=(("A", "1"),), umask=0o27),
    fleet=FleetSettings(listen="127.0.0.1:7601", host_id="web1"),
    groups=(
        GroupSpec(
            "web",
            10,
            (
                ProcessSpec(
                    name="a",
                    group="web",
                    command="/bin/cat -u",
                    environment=(("B", "2"),),
                    umask=0o22,
                    autorestart=Autorestart.ALWAYS,
                    exitcodes=frozenset({0, 2}),
                    stdout=LogSpec("/var/log/a.log", True, 1000, 2),
                ),
            ),
        ),
    ),
)


def _write_active(folder: Path, version: int) -> None:
    (folder / "active.json").write_text(json.dumps(ACTIVE.dump(stored.to_state(CONFIG), version)))


def _read_active(folder: Path) -> Any:
    return stored.from_state(ACTIVE.load(json.loads((folder / "active.json").read_text())))


def _write_epochs(folder: Path, version: int) -> None:
    kept = some_epochs(folder)
    kept.write_as(version)
    kept.keep("north", 7, lambda _: None)
    kept.keep("south", 2, lambda _: None)


def _read_epochs(folder: Path) -> Any:
    return epochs.from_state(EPOCHS.load(json.loads((folder / "epochs.json").read_text())))


WISHES = {
    "web:a": Desire(DesireKind.DISABLED, "alice", "power work", 1790000000.5, "op-7"),
    "web:ä": Desire(DesireKind.STOPPED, "", "", 1790000001.0),
}


def _write_desires(folder: Path, version: int) -> None:
    (folder / "desires.json").write_text(desires.to_text(WISHES, version))


def _read_desires(folder: Path) -> Any:
    return desires.from_state(DESIRES.load(json.loads((folder / "desires.json").read_text())))


RECORD = Record("/var/log/a.log", "log-1", 100, 7, 30, 130, (Segment(0, 60, 5), Segment(60, 40, 6)))


def _write_sidecar(folder: Path, version: int) -> None:
    sidecars = Sidecars(str(folder), print)
    sidecars.write_as(version)
    sidecars.save(RECORD)


def _read_sidecar(folder: Path) -> Any:
    return Sidecars(str(folder), print).load(RECORD.path)


ORIGIN = inflight.Origin("web:a", 3, "stdout", "/var/log/a.log", "log-1", True, 1000, 2)


def _write_in_flight(folder: Path, _version: int) -> None:
    path = folder / "inflight"
    journal = inflight.Journal(str(path), "boot-1", bytes(range(32)))
    journal.announce(inflight.encode_origin(ORIGIN, "boot-1"), 5, 1, 77, 66, 55, 44)
    journal.data[:5] = b"lines"
    journal.close()
    # What follows is scratch.
    os.truncate(path, inflight.HEADER_BYTES + 5)


def _read_in_flight(folder: Path) -> Any:
    image = (folder / "inflight").read_bytes()
    return inflight.decode(image.ljust(inflight.HEADER_BYTES + inflight.CHUNK_BYTES, b"\0"), "boot-1")


SHORT = bytes(byte for byte in inflight.sentinels(bytes(range(32)))[1])


def _write_port(folder: Path, version: int) -> None:
    (folder / "port").write_text(json.dumps(PORT.dump({"port": 7601}, version)))


def _read_port(folder: Path) -> Any:
    return PORT.load(json.loads((folder / "port").read_text()))


def _write_endpoint(folder: Path, _version: int) -> None:
    place = str(folder / "endpoint.json")
    announcement = Announcement(
        place, "", "web1", 4711, "/run/fleet-agent/door.sock", lambda *_: lambda words: None
    )
    announcement.tell_address("127.0.0.1:7601")


def _read_endpoint(folder: Path) -> Any:
    return ENDPOINT.load(json.loads((folder / "endpoint.json").read_text()))


def _write_upgrade(folder: Path, version: int) -> None:
    (folder / "upgrade.json").write_text(json.dumps(UPGRADE.dump(LAST_UPGRADE.to_state(), version)))


def _read_upgrade(folder: Path) -> Any:
    return Upgrade.from_state(UPGRADE.load(json.loads((folder / "upgrade.json").read_text())))


LAST_UPGRADE = Upgrade(
    "u1", "1.0", "1.1", "/opt/new/bin/python", "ann", True, 1790000000.0, "failed", "it died", 1790000001.5
)


SAMPLES = {
    "upgrade": Sample(LAST_UPGRADE, _write_upgrade, _read_upgrade),
    "run_record": Sample(_run().to_state(), _write_run_record, _read_run_record),
    "handover": Sample(_succession().to_state(), _write_handover, _read_handover),
    "journal": Sample(
        (("incarnation-1", 43, {"web:a": STOPPING}, True, True, "", "it was booted"), CHANGES),
        _write_journal,
        _read_journal,
    ),
    "results": Sample(
        [
            ("k1", results.Known(1790000000.0, json.dumps(BEGUN), "")),
            ("k1", results.Known(1790000001.0, "", json.dumps(RESULT))),
        ],
        _write_results,
        _read_results,
    ),
    "active": Sample(CONFIG, _write_active, _read_active),
    "epochs": Sample({"north": 7, "south": 2}, _write_epochs, _read_epochs),
    "desires": Sample(WISHES, _write_desires, _read_desires),
    "sidecar": Sample(RECORD, _write_sidecar, _read_sidecar),
    "in_flight": Sample(
        inflight.InFlight(ORIGIN, 5, 1, 77, 66, 55, 44, SHORT[:5], b"lines"),
        _write_in_flight,
        _read_in_flight,
    ),
    "port": Sample({"port": 7601}, _write_port, _read_port),
    "endpoint": Sample(
        {"host_id": "web1", "pid": 4711, "door": "/run/fleet-agent/door.sock", "grpc": "127.0.0.1:7601"},
        _write_endpoint,
        _read_endpoint,
    ),
}
