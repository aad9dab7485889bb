"""State is brought into older formats; what cannot be is told by name."""

import errno
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import fleet_agent.supervisor.active as active_room
import fleet_agent.supervisor.desires as desires_room
import fleet_agent.supervisor.epochs as epochs_room
import fleet_agent.supervisor.journal as journal_room
import fleet_agent.supervisor.journal_file as journal_file_room
import fleet_agent.supervisor.logs.sidecar as sidecar_room
import fleet_agent.supervisor.results as results_room
import pytest
from fakes.later_format import install
from fakes.small_roster import some_epochs
from fleet_agent.core.model import Now, Process
from fleet_agent.formats.table import FORMATS
from fleet_agent.supervisor.active import ActiveConfig
from fleet_agent.supervisor.epochs import Epochs
from fleet_agent.supervisor.journal import Change, Journal
from fleet_agent.supervisor.logs.sidecar import Record, Sidecars
from fleet_agent.supervisor.results import Results
from fleet_agent.supervisor.rewriting import Writer, elsewhere, rewrite, settle


def writer(asked: list[tuple[str, int]], name: str, version: int) -> Writer:
    return Writer(lambda: version, lambda version: asked.append((name, version)))


def test_each_owner_is_asked_for_its_version() -> None:
    asked: list[tuple[str, int]] = []
    writers = {name: writer(asked, name, 1) for name in FORMATS}
    assert rewrite({"journal": 1, "results": 2}, writers) == ""
    assert asked == [("journal", 1), ("results", 2)]


def test_what_cannot_be_rewritten_is_told_by_name() -> None:
    def fail(_version: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    words = rewrite({"journal": 1}, {"journal": Writer(lambda: 2, fail)})
    assert words == "journal could not be brought into format 1: [Errno 28] No space left on device"
    assert rewrite({"x": 1}, {}) == "x cannot be brought into format 1 while the agent runs"


def test_to_settle_is_to_go_on_in_the_newest_formats() -> None:
    asked: list[tuple[str, int]] = []
    formats = {name: FORMATS["journal"]._replace(version=3) for name in ("old", "new", "unknown")}
    writers = {name: writer(asked, name, now) for name, now in (("old", 1), ("new", 3), ("unknown", 0))}
    assert settle(writers, formats) == ""
    assert asked == [("old", 3), ("unknown", 3)]


def test_what_was_told_elsewhere_counts_as_done() -> None:
    told: list[int] = []
    one = elsewhere(told.append)
    assert one.version() == 0
    assert rewrite({"run_record": 1}, {"run_record": one}) == ""
    assert (one.version(), told) == (1, [1])


class Folder:
    """A folder of state in which the present shape of one format is version 2 of it."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self._monkeypatch = monkeypatch

    def install(self, room: ModuleType, name: str, old: str, new: str) -> None:
        """In version 1 the field `old` of the present shape was called `new`."""
        install(self._monkeypatch, room, name, old, new)

    def lines(self, name: str) -> list[Any]:
        return [json.loads(line) for line in (self.path / name).read_text().splitlines()]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    return Folder(tmp_path, monkeypatch)


def change(number: int) -> Change:
    return Change(number, 1.0, "web:a", "STOPPED", f"because {number}", Process(run=number))


def test_a_journal_goes_on_in_an_older_format_and_its_history_with_it(folder: Folder) -> None:
    folder.install(journal_room, "JOURNAL", "why", "reason")
    folder.install(journal_file_room, "JOURNAL", "why", "reason")
    journal = Journal(str(folder.path), "boot", print)
    journal.begin("inc", 0, {"web:a": Process()})
    journal.append([change(1)], dict)
    # Another supervisor.
    journal.begin("inc", 1, {"web:a": Process(run=1)})
    journal.append([change(2)], dict)
    assert [folder.lines(f"journal.{number}")[0]["v"] for number in (1, 2)] == [2, 2]
    journal.write_as(1)
    journal.append([change(3)], dict)
    for number in (1, 2):
        header, *lines = folder.lines(f"journal.{number}")
        assert header["v"] == 1
        assert all("why" not in entry for line in lines if isinstance(line, list) for entry in line)
    assert folder.lines("journal.2")[-1][0]["reason"] == "because 3"
    assert list(journal.since(0) or ()) == [change(1), change(2), change(3)]
    restored = Journal(str(folder.path), "boot", print).restore()
    assert restored is not None
    assert (restored.sequence, restored.processes) == (3, {"web:a": Process(run=3)})


def test_a_journal_that_cannot_be_read_is_told_and_not_gone_on_with(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        install(patch, journal_room, "JOURNAL", "why", "reason")
        install(patch, journal_file_room, "JOURNAL", "why", "reason")
        Journal(str(folder.path), "boot", print).begin("inc", 5, {})
    journal = Journal(str(folder.path), "boot", print)
    assert journal.restore() is None
    assert "the event journal is in format 2" in journal.unreadable
    assert journal.since(0) is None


def test_results_go_on_in_an_older_format(folder: Folder) -> None:
    folder.install(results_room, "RESULTS", "begun", "started")
    begun = {"id": "op", "verb": "stop", "runs": {}}
    results = Results(str(folder.path / "results"), Now(0.0, 0.0), print)
    results.note_begun("k1", begun, Now(0.0, 0.0))
    assert folder.lines("results")[0] == {"v": 2}
    results.write_as(1)
    results.note_begun("k2", begun, Now(0.0, 0.0))
    header, *facts = folder.lines("results")
    assert header == {"v": 1}
    assert facts == [{"t": 0.0, "key": key, "m": 0.0, "started": begun} for key in ("k1", "k2")]
    assert Results(str(folder.path / "results"), Now(0.0, 0.0), print).begun("k2") == begun


def test_results_that_cannot_be_read_are_told(folder: Folder) -> None:
    (folder.path / "results").write_text('{"v": 2}\n')
    assert (
        "the file of earlier operations is in format 2"
        in Results(str(folder.path / "results"), Now(0.0, 0.0), print).unreadable
    )


def test_the_configuration_in_force_goes_on_in_an_older_format(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    config = folder.path / "agent.conf"
    config.write_text("[program:a]\ncommand=true\n")

    def active() -> ActiveConfig:
        return ActiveConfig(str(config), str(folder.path), {}, "host", lambda: "0" * 16)

    folder.install(active_room, "ACTIVE", "daemon", "general")
    kept = active()
    loaded = kept.load(goes_on=False, has_children=False)
    assert folder.lines("active.json")[0]["v"] == 2
    kept.write_as(1)
    (state,) = folder.lines("active.json")
    assert (state["v"], "daemon" in state, "general" in state) == (1, False, True)
    assert active().load(goes_on=True, has_children=False) == loaded
    (folder.path / "active.json").write_text(json.dumps({**state, "v": 3}))
    assert active().load(goes_on=True, has_children=False).path == loaded.path
    assert "the configuration in force is in format 3" in capsys.readouterr().err


def test_epochs_go_on_in_an_older_format(folder: Folder) -> None:
    folder.install(epochs_room, "EPOCHS", "epochs", "numbers")
    path = folder.path / "epochs.json"
    epochs = some_epochs(folder.path)
    epochs.write_as(1)
    assert not path.exists()
    epochs.keep("north", 3, lambda _: None)
    assert folder.lines("epochs.json") == [{"version": 1, "numbers": {"north": 3}}]
    some_epochs(folder.path).write_as(2)
    assert folder.lines("epochs.json") == [{"version": 2, "epochs": {"north": 3}}]
    path.write_text('{"version": 3}')
    assert "the file of controllers' epochs is in format 3" in some_epochs(folder.path).unreadable


def test_records_of_logs_go_on_in_an_older_format(folder: Folder) -> None:
    folder.install(sidecar_room, "SIDECAR", "log_id", "name")
    records = [Record(f"/var/log/{name}", name, 0, 7, None, 30, ()) for name in ("a", "b", "c")]
    told: list[str] = []
    sidecars = Sidecars(str(folder.path / "logs"), told.append)
    sidecars.write_as(2)
    for record in records[:2]:
        sidecars.save(record)
    sidecars.write_as(1)
    sidecars.save(records[2])
    for path in (folder.path / "logs").iterdir():
        (state,) = folder.lines(f"logs/{path.name}")
        assert (state["version"], "log_id" in state) == (1, False)
    assert [sidecars.load(record.path) for record in records] == records
    path = Path(sidecars.path_of("/var/log/a"))
    path.write_text(path.read_text().replace('"version":1', '"version":3'))
    assert sidecars.load("/var/log/a") is None
    assert "the record of a log is in format 3" in told[0]


def test_a_new_version_goes_on_in_the_formats_that_it_finds(folder: Folder) -> None:
    """Should it die young, the version before it comes back."""
    folder.install(journal_room, "JOURNAL", "why", "reason")
    folder.install(journal_file_room, "JOURNAL", "why", "reason")
    folder.install(results_room, "RESULTS", "begun", "started")
    folder.install(epochs_room, "EPOCHS", "epochs", "numbers")
    folder.install(sidecar_room, "SIDECAR", "log_id", "name")
    folder.install(desires_room, "DESIRES", "extra", "more")

    def begin() -> dict[str, int]:
        journal = Journal(str(folder.path), "boot", print)
        journal.restore()
        journal.begin("inc", 0, {})
        epochs = some_epochs(folder.path)
        epochs.keep("north", 3, lambda _: None)
        results = Results(str(folder.path / "results"), Now(0.0, 0.0), print)
        sidecars = Sidecars(str(folder.path / "logs"), print)
        sidecars.save(Record("/var/log/a", "a", 0, 7, None, 30, ()))
        _, _, desires = desires_room.read(str(folder.path / "desires.json"), print)
        (folder.path / "desires.json").write_text(desires_room.to_text({}, desires))
        writers: dict[str, Journal | Epochs | Results | Sidecars] = {
            "journal": journal,
            "epochs": epochs,
            "results": results,
            "sidecar": sidecars,
        }
        found = {name: owner.version for name, owner in writers.items()}
        for owner in writers.values():
            owner.write_as(3 - owner.version)
        (folder.path / "desires.json").write_text(desires_room.to_text({}, 3 - desires))
        return {**found, "desires": desires}

    names = ("journal", "epochs", "results", "sidecar", "desires")
    for version in (2, 1, 2, 1):
        assert begin() == dict.fromkeys(names, version)
