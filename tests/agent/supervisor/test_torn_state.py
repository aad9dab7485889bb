"""What an agent reads back may be torn at any byte, or be something else: it goes on, and says so once."""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from fakes.small_roster import at_once, some_epochs
from fakes.state_samples import RECORD
from fleet_agent.core.model import Now
from fleet_agent.keeper.run_records import RunRecords
from fleet_agent.supervisor.active import ActiveConfig
from fleet_agent.supervisor.desires import Desires
from fleet_agent.supervisor.journal import Journal
from fleet_agent.supervisor.logs import inflight
from fleet_agent.supervisor.logs.sidecar import Sidecars
from fleet_agent.supervisor.loop import Loop
from fleet_agent.supervisor.results import Results

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "state"
NOW = Now(1000.0, 1_790_000_100.0)


def read_run_records(folder: Path) -> list[str]:
    return RunRecords(str(folder), str(folder)).load()[1]


def close(owner: Journal | Results) -> None:
    """What ends with its process has no end of its own."""
    if owner._fd >= 0:
        os.close(owner._fd)


def read_journal(folder: Path) -> list[str]:
    words: list[str] = []
    journal = Journal(str(folder), "boot-1", words.append)
    restored = journal.restore()
    journal.begin("new", 0, {})
    close(journal)
    return [text for text in [*words, journal.unreadable, restored.loss if restored else ""] if text]


def read_results(folder: Path) -> list[str]:
    words: list[str] = []
    results = Results(str(folder / "results"), NOW, words.append)
    close(results)
    return [text for text in [results.unreadable, *words] if text]


def read_active(folder: Path) -> list[str]:
    config = folder / "agent.conf"
    config.write_text("[program:a]\ncommand=true\n")
    active = ActiveConfig(str(config), str(folder), {}, "host", lambda: "0" * 16)
    active.load(goes_on=False, has_children=False)
    return []


def read_epochs(folder: Path) -> list[str]:
    epochs = some_epochs(folder)
    epochs.keep("north", 1000, lambda _: None)
    return [epochs.unreadable] if epochs.unreadable else []


def read_desires(folder: Path) -> list[str]:
    words: list[str] = []
    Desires(str(folder / "desires.json"), Loop(lambda: 0.0), at_once, lambda _: True, words.append, print)
    return words


def read_sidecar(folder: Path) -> list[str]:
    words: list[str] = []
    sidecars = Sidecars(str(folder), words.append)
    sidecars.load(RECORD.path)
    sidecars.save(RECORD)
    return words


def read_in_flight(folder: Path) -> list[str]:
    journal = inflight.Journal(str(folder / "inflight"), "boot-1", bytes(32))
    unreadable = journal.unreadable
    journal.clear()
    journal.close()
    return [unreadable] if unreadable else []


class Kind(NamedTuple):
    """How one kind of file is read, as an agent that starts reads it, and goes on with; what it says."""

    read: Callable[[Path], list[str]]
    tells: bool = True
    higher: str = ""
    """A file of a version to come."""


KINDS = {
    "run_record": Kind(read_run_records, higher='{"version":99}'),
    "journal": Kind(read_journal, higher='{"v":99}\n'),
    "results": Kind(read_results, higher='{"v":99}\n'),
    "active": Kind(read_active, higher='{"v":99}'),
    "epochs": Kind(read_epochs, higher='{"version":99}'),
    "desires": Kind(read_desires, higher='{"version":99,"desires":{}}'),
    "sidecar": Kind(read_sidecar, higher='{"version":99}'),
    # A chunk that is not whole is no chunk; nobody can tell it from one that was cut by a kill.
    "in_flight": Kind(read_in_flight, tells=False),
}
GARBAGE = [
    b"\0" * 5000,
    random.Random(7).randbytes(5000),
    b"\xff\xfe garbage\n{}\n",
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b"[]\n",
    b"3\n",
    b"null\n",
    b'{"v":1,"version":1}\n{"v":Infinity}\n',
]


def place(name: str, folder: Path) -> tuple[Path, bytes]:
    """The one file of a sample in a folder of its own, and what is in it."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(FIXTURES / name / "v1", folder)
    (path,) = folder.iterdir()
    return path, path.read_bytes()


@pytest.mark.parametrize("name", KINDS)
def test_cut_at_any_byte(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    path, whole = place(name, tmp_path / "state")
    step = max(1, len(whole) // 300)
    for length in {*range(0, len(whole), step), len(whole) - 1}:
        place(name, tmp_path / "state")
        path.write_bytes(whole[:length])
        kind.read(tmp_path / "state")
        assert kind.read(tmp_path / "state") == [], f"cut at {length}, said again"


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("data", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_in_its_place(
    name: str, data: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kind = KINDS[name]
    path, _ = place(name, tmp_path / "state")
    path.write_bytes(data)
    words = kind.read(tmp_path / "state") or capsys.readouterr().err.splitlines()
    assert len(words) == (1 if kind.tells else 0), words
    assert kind.read(tmp_path / "state") == []
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.higher])
def test_a_version_to_come_is_named(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kind = KINDS[name]
    path, _ = place(name, tmp_path / "state")
    path.write_text(kind.higher)
    words = "".join(kind.read(tmp_path / "state")) + capsys.readouterr().err
    assert "format 99" in words


@pytest.mark.parametrize("name", KINDS)
def test_gigabytes_are_not_read(name: str, tmp_path: Path) -> None:
    path, _ = place(name, tmp_path / "state")
    os.truncate(path, 3 << 30)
    KINDS[name].read(tmp_path / "state")
    assert KINDS[name].read(tmp_path / "state") == []


@pytest.mark.parametrize("name", [name for name in KINDS if name != "in_flight"])
@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir], ids=["fifo", "folder"])
def test_what_is_no_file_holds_nobody_up(name: str, make: Callable[[Path], None], tmp_path: Path) -> None:
    path, _ = place(name, tmp_path / "state")
    path.unlink()
    make(path)
    if name == "sidecar" and path.is_dir():
        with pytest.raises(OSError):
            KINDS[name].read(tmp_path / "state")
    else:
        KINDS[name].read(tmp_path / "state")
