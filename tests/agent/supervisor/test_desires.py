"""What operators want for good is on the disk before it counts, and no state of its file ends an agent."""

import errno
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from fakes.asked_disk import AskedDisk
from fleet_agent.core.desires import Desire, DesireKind
from fleet_agent.supervisor import desires as room
from fleet_agent.supervisor.desires import PATIENCE_SECONDS, Desires, to_text

WEB = Desire(DesireKind.DISABLED, "alice", "power work", 5.0, "op-1")
DB = Desire(DesireKind.STOPPED, "bob", "", 6.5, "op-2")
BOTH = {"web:web": WEB, "db:db": DB}


class Disk(AskedDisk):
    """The disk of the wishes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "desires.json")
        self.troubles: list[str] = []
        self.answers: list[str] = []
        self.configured = {"web:web", "db:db"}

    def desires(self) -> Desires:
        return Desires(
            str(self.path),
            self.loop,
            self.aside,
            self.configured.__contains__,
            self.said.append,
            self.troubles.append,
        )

    def ask(self, desires: Desires, *, is_forced: bool = True, **changes: Desire | None) -> None:
        named = {f"{name}:{name}": wish for name, wish in changes.items()}
        desires.change(lambda _: named, is_forced, self.answers.append)


def full() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_it_counts_once_it_is_on_the_disk(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    desires = disk.desires()
    disk.ask(desires, web=WEB)
    assert (desires.get("web:web"), disk.answers) == (None, [])
    disk.act()
    assert (desires.get("web:web"), disk.answers) == (WEB, [""])
    assert disk.desires().get("web:web") == WEB
    assert disk.said == []


def test_changes_are_decided_one_after_the_other(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    desires = disk.desires()
    seen: list[dict[str, Desire]] = []
    disk.ask(desires, web=WEB)

    def decide(wishes: Mapping[str, Desire]) -> dict[str, Desire | None]:
        seen.append(dict(wishes))
        return {"db:db": DB}

    desires.change(decide, True, disk.answers.append)
    assert seen == []
    disk.act()
    assert seen == [{"web:web": WEB}]
    disk.act()
    assert disk.answers == ["", ""]
    assert disk.desires().get("web:web") == WEB
    assert disk.desires().get("db:db") == DB


def test_what_changes_nothing_is_not_written(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    desires = disk.desires()
    disk.ask(desires, web=None)
    assert (disk.answers, disk.acts) == ([""], [])


def test_on_a_full_disk_a_stop_holds_and_a_disable_does_not(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    desires = disk.desires()
    disk.ask(desires, is_forced=False, web=WEB)
    disk.act(full())
    assert desires.get("web:web") is None
    disk.ask(desires, db=DB)
    disk.act(full())
    assert desires.get("db:db") == DB
    assert disk.answers == [f"{disk.path}: No space left on device"] * 2
    assert [words.split(";")[0] for words in disk.troubles][:1] == [f"are not kept: {disk.answers[0]}"]
    # There is room again: the next change brings all of it to the disk.
    disk.ask(desires, web=None)
    disk.act()
    assert disk.desires().get("db:db") == DB


def test_a_stalled_disk_holds_no_stop_up(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    desires = disk.desires()
    disk.ask(desires, db=DB)
    disk.ask(desires, is_forced=False, web=WEB)
    disk.pass_time(PATIENCE_SECONDS - 0.1)
    assert disk.answers == []
    disk.pass_time(0.2)
    assert (desires.get("db:db"), desires.get("web:web")) == (DB, None)
    assert disk.answers[0].endswith("the disk has not answered for 2 s")
    assert disk.answers[1].endswith("the disk does not answer")
    disk.ask(desires, db=None)
    assert desires.get("db:db") is None
    assert len(disk.acts) == 1, "only one write at a time"
    disk.act()
    disk.act()
    assert disk.acts == []
    assert json.loads(disk.path.read_text()) == {"version": 1, "desires": {}}
    assert len(disk.answers) == 3


def test_who_has_left_the_configuration_keeps_a_wish_while_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MAX_DESIRES", 3)
    disk = Disk(tmp_path)
    desires = disk.desires()
    disk.ask(desires, gone=DB, web=WEB, away=DB)
    disk.act()
    assert desires.get("gone:gone") == DB
    disk.ask(desires, db=DB)
    disk.act()
    assert desires.get("gone:gone") is None
    assert [desires.get(id_) is not None for id_ in ("web:web", "away:away", "db:db")] == [True] * 3


def test_cut_at_any_byte_what_is_whole_counts(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    whole = to_text(BOTH)
    first = whole.index("\n", whole.index("web:web"))
    for length in range(len(whole)):
        disk.path.write_text(whole[:length])
        disk.said.clear()
        desires = disk.desires()
        is_known = length >= first - 1
        assert desires.get("web:web") == (WEB if is_known else None), length
        assert len(disk.said) == (length < len(whole) - 1)
        if disk.said:
            assert "cannot" in disk.said[0]
            assert (tmp_path / "desires.json.bad").read_text() == whole[:length]
            disk.act()
            # Said once: the next start finds a file in order, with what could be read.
            disk.said.clear()
            assert disk.desires().get("web:web") == (WEB if is_known else None)
            assert disk.said == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 4096,
        b"\xff\xfe garbage\n{}",
        b"[]",
        b"3",
        b'{"version":2,"desires":{}}',
        b'{"version":1}',
        b'{"version":1,"desires":[1]}',
        b'{"version":1,"desires":{"a:a":{"kind":"asleep"}}}',
        b'{"version":1,"desires":' + b"[" * 100_000,
    ],
)
def test_what_is_no_file_of_ours_is_set_aside(tmp_path: Path, data: bytes) -> None:
    disk = Disk(tmp_path)
    disk.path.write_bytes(data)
    desires = disk.desires()
    assert desires.get("a:a") is None
    (words,) = disk.said
    assert f"it is now {disk.path}.bad" in words
    assert "0 wishes are known" in words
    assert (tmp_path / "desires.json.bad").read_bytes() == data


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    with disk.path.open("wb") as file:
        file.truncate(room.MAX_BYTES + 1)
    disk.desires()
    assert "at most" in disk.said[0]


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/etc/passwd")])
def test_what_is_no_file_is_set_aside(tmp_path: Path, make: Callable[[Path], None]) -> None:
    disk = Disk(tmp_path)
    make(disk.path)
    desires = disk.desires()
    assert len(disk.said) == 1
    disk.act()
    disk.ask(desires, web=WEB)
    disk.act()
    assert disk.desires().get("web:web") == WEB


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_is_not_believed(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    disk.path.write_text(to_text(BOTH))
    os.chown(disk.path, 12345, -1)
    assert disk.desires().get("web:web") is None
    assert "belongs to uid 12345" in disk.said[0]
