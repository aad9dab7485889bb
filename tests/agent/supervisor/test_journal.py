"""The journal keeps every whole change, whatever the last write was cut to."""

import errno
import json
import os
from pathlib import Path

import pytest
from fleet_agent.core.model import Exit, Now, Process, State, Timer, TimerKind
from fleet_agent.supervisor.journal import Change, Journal
from fleet_agent.supervisor.journal_file import Restored


def a_change(
    sequence: int, id_: str = "web:web", state: State = State.RUNNING, removed: bool = False
) -> Change:
    process = Process(
        state=state,
        wanted=True,
        run=sequence,
        pid=100 + sequence,
        started=Now(1.5, 2.5),
        exit=Exit(code=3),
        timer=Timer(TimerKind.RETRY, 9.25),
        reason="because",
    )
    return Change(sequence, 1000.0 + sequence, id_, "STARTING", "because", process, removed)


def a_journal(folder: Path, changes: int, max_bytes: int = 1 << 20) -> Journal:
    journal = Journal(str(folder), "boot-1", print, max_bytes)
    journal.begin("inc", 0, {"web:web": Process()})
    for number in range(1, changes + 1):
        states = {"web:web": a_change(number).process}
        journal.append([a_change(number)], states.copy)
    return journal


def test_a_new_supervisor_finds_what_the_old_one_wrote(tmp_path: Path) -> None:
    a_journal(tmp_path, 3)
    restored = Journal(str(tmp_path), "boot-1", print).restore()
    assert restored is not None
    assert (restored.incarnation, restored.sequence, restored.has_left) == ("inc", 3, False)
    assert restored.processes == {"web:web": a_change(3).process}


def restore(folder: Path, boot: str = "boot-1") -> Restored:
    restored = Journal(str(folder), boot, print).restore()
    assert restored is not None
    return restored


def test_a_journal_of_another_boot_tells_of_the_dead_and_is_not_numbered_on(tmp_path: Path) -> None:
    journal = a_journal(tmp_path, 3)
    restored = restore(tmp_path, "boot-2")
    assert (restored.lives_on, restored.is_this_boot) == (False, False)
    assert restored.loss == "the host went down while the agent ran"
    assert restored.processes["web:web"].run == 3
    journal.leave()
    restored = restore(tmp_path, "boot-2")
    assert (restored.lives_on, restored.loss, restored.sequence) == (False, "", 3)


def test_cut_at_any_byte_it_gives_the_whole_changes_before_the_cut(tmp_path: Path) -> None:
    a_journal(tmp_path, 3)
    path = tmp_path / "journal.1"
    whole = path.read_bytes()
    ends = [index + 1 for index, byte in enumerate(whole) if byte == ord("\n")]
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        restored = Journal(str(tmp_path), "boot-1", print).restore()
        lines = sum(end <= length for end in ends)
        if lines == 0:
            assert restored is None
        else:
            assert restored is not None
            assert restored.sequence == max(0, lines - 2)
            # Nobody can say whether what was cut off had been told.
            assert bool(restored.loss) == (length not in ends)


def test_garbage_instead_of_a_journal_is_passed_over_for_the_older_file(tmp_path: Path) -> None:
    a_journal(tmp_path, 2)
    (tmp_path / "journal.2").write_bytes(b"\x00\xff garbage\n{}")
    restored = Journal(str(tmp_path), "boot-1", print).restore()
    assert restored is not None
    assert restored.sequence == 2
    assert restored.loss == "journal.2 of the journal was damaged"


def test_after_an_ordered_end_it_says_so(tmp_path: Path) -> None:
    a_journal(tmp_path, 1).leave()
    restored = Journal(str(tmp_path), "boot-1", print).restore()
    assert restored is not None
    assert restored.has_left


def test_changes_are_handed_out_again_over_a_change_of_file(tmp_path: Path) -> None:
    journal = a_journal(tmp_path, 40, max_bytes=4000)
    assert len(list(tmp_path.glob("journal.*"))) == 2
    oldest = min(n for n in range(40) if journal.since(n) is not None)
    assert 0 < oldest < 39
    for after in range(oldest, 41):
        changes = journal.since(after)
        assert changes is not None
        assert [change.sequence for change in changes] == list(range(after + 1, 41))
    assert journal.since(oldest - 1) is None
    assert journal.since(41) is None


def test_many_supervisors_in_a_row_keep_what_the_bound_allows(tmp_path: Path) -> None:
    a_journal(tmp_path, 3)
    for _ in range(20):
        journal = Journal(str(tmp_path), "boot-1", print, 10_000)
        journal.begin("inc", 3, {"web:web": a_change(3).process})
    missed = journal.since(0)
    assert missed is not None
    assert [change.sequence for change in missed] == [1, 2, 3]
    for _ in range(100):
        journal = Journal(str(tmp_path), "boot-1", print, 10_000)
        journal.begin("inc", 3, {"web:web": a_change(3).process})
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 11_000
    assert journal.since(0) is None


def test_a_removed_process_is_not_restored(tmp_path: Path) -> None:
    journal = a_journal(tmp_path, 1)
    journal.append([a_change(2, removed=True)], dict)
    restored = Journal(str(tmp_path), "boot-1", print).restore()
    assert restored is not None
    assert restored.processes == {}
    assert restored.sequence == 2


def test_a_full_disk_is_reported_and_leaves_no_silent_hole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    journal = Journal(str(tmp_path), "boot-1", said.append)
    journal.begin("inc", 0, {"web:web": Process()})
    journal.append([a_change(1)], dict)

    def full(_fd: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("fleet_agent.supervisor.journal.os.write", full)
        journal.append([a_change(2)], dict)
        journal.append([a_change(3)], dict)
        journal.catch_up({})
    assert len(said) == 3
    assert all("No space left" in words for words in said)
    journal.append([a_change(4)], dict)
    journal.catch_up({"web:web": a_change(4).process})
    journal.append([a_change(5)], dict)
    assert said[4:] == [""]
    assert journal.since(1) is None
    assert journal.since(3) is None
    changes = journal.since(4)
    assert changes is not None
    assert [change.sequence for change in changes] == [5]
    restored = Journal(str(tmp_path), "boot-1", print).restore()
    assert restored is not None
    assert restored.sequence == 5


@pytest.mark.parametrize(
    "line",
    [
        '{"id":"web:web"}',
        '{"id":"web:web","p":{}}',
        '{"id":"web:web","p":{"state":"DREAMING"}}',
        '{"id":"web:web","p":3}',
        "[3]",
        '[{"n":9}]',
    ],
)
def test_a_file_that_no_supervisor_of_this_version_wrote_is_passed_over(tmp_path: Path, line: str) -> None:
    a_journal(tmp_path, 2)
    whole = (tmp_path / "journal.1").read_text()
    (tmp_path / "journal.2").write_text(f"{whole}{line}\n")
    restored = Journal(str(tmp_path), "boot-1", print).restore()
    assert restored is not None
    assert restored.sequence == 2
    (tmp_path / "journal.1").unlink()
    assert Journal(str(tmp_path), "boot-1", print).restore() is None


@pytest.mark.parametrize(
    "header", ['{"v":1,"boot":"boot-1"}', '{"v":1,"boot":"boot-1","incarnation":"i","sequence":"x"}']
)
def test_a_header_that_says_too_little_is_passed_over(tmp_path: Path, header: str) -> None:
    (tmp_path / "journal.1").write_text(f"{header}\n")
    assert Journal(str(tmp_path), "boot-1", print).restore() is None


def test_a_journal_that_cannot_be_begun_is_told_and_begun_later(tmp_path: Path) -> None:
    said: list[str] = []
    folder = tmp_path / "journal"
    folder.mkdir()
    (folder / "draft.journal").mkdir()
    journal = Journal(str(folder), "boot-1", said.append)
    journal.begin("inc", 5, {"web:web": Process()})
    journal.append([a_change(6)], dict)
    assert len(said) == 2
    assert all(words.startswith("cannot be written: Is a directory; ") for words in said)
    (folder / "draft.journal").rmdir()
    journal.append([a_change(7)], dict)
    journal.catch_up({"web:web": a_change(7).process})
    journal.catch_up({})
    assert said[3:] == [""]
    restored = Journal(str(folder), "boot-1", print).restore()
    assert restored is not None
    assert (restored.incarnation, restored.sequence) == ("inc", 7)


def test_who_was_behind_when_it_died_gives_no_number_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = a_journal(tmp_path, 3)

    def full(_fd: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("fleet_agent.supervisor.journal.os.write", full)
        journal.append([a_change(4)], dict)
    # Killed here: what was told as 4 is in no file.
    restored = restore(tmp_path)
    assert restored.lives_on
    assert restored.sequence == 3
    assert restored.loss == "the journal could not be written"


def test_that_the_first_file_of_a_supervisor_cannot_be_made_counts_as_well(tmp_path: Path) -> None:
    a_journal(tmp_path, 3)
    (tmp_path / "draft.journal").mkdir()
    second = Journal(str(tmp_path), "boot-1", lambda _: None)
    second.begin("inc", 3, {})
    second.append([a_change(4)], dict)
    assert restore(tmp_path).loss == "the journal could not be written"


def test_why_an_incarnation_began_is_known_to_every_supervisor(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path), "boot-1", print)
    journal.begin("inc", 0, {}, "the host went down")
    restored = restore(tmp_path)
    assert restored.began == "the host went down"


@pytest.mark.parametrize("reason", ["because", 'a "},{"n":7, in words', '[{"n":3,'])
def test_what_a_watcher_has_is_passed_over_by_its_looks(tmp_path: Path, reason: str) -> None:
    journal = Journal(str(tmp_path), "boot-1", print)
    journal.begin("inc", 0, {})
    changes = [a_change(number)._replace(reason=reason) for number in range(1, 31)]
    for start in range(0, 30, 3):
        journal.append(changes[start : start + 3], dict)
    for after in range(31):
        found = journal.since(after)
        assert found is not None
        assert [change.sequence for change in found] == list(range(after + 1, 31))


@pytest.mark.parametrize("damage", [b"\0" * 50, b"garbage\n", b"[1]\n", b'[{"n":"x"}]\n', b"[[[[[[["])
def test_reading_on_ends_where_a_file_is_damaged(tmp_path: Path, damage: bytes) -> None:
    journal = a_journal(tmp_path, 6)
    path = tmp_path / "journal.1"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:5], damage, *lines[6:]]))
    found = journal.since(0)
    assert found is not None
    assert [change.sequence for change in found] == [1, 2, 3]


def test_a_disk_that_stays_full_costs_no_descriptor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(str(tmp_path), "boot-1", lambda _: None)
    journal.begin("inc", 0, {"web:web": Process()})

    def full(_fd: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = os.listdir("/proc/self/fd")
    with monkeypatch.context() as patch:
        patch.setattr("fleet_agent.supervisor.journal.os.write", full)
        journal.append([a_change(1)], dict)
        for _ in range(20):
            journal.catch_up({})
    assert len(os.listdir("/proc/self/fd")) == len(before)


@pytest.mark.parametrize("field", [name for name in Process().to_state() if name not in ("killed", "exit")])
@pytest.mark.parametrize("value", ["x", [[]], {"a": 1}, 10**400, True])
def test_a_process_of_odd_fields_is_no_process(tmp_path: Path, field: str, value: object) -> None:
    a_journal(tmp_path, 1)
    state = {**a_change(1).process.to_state(), field: value}
    with (tmp_path / "journal.1").open("a") as file:
        file.write(json.dumps([{**a_change(2).to_entry(), "p": state}]) + "\n")
    restored = Journal(str(tmp_path), "boot-1", print).restore()
    if restored is not None:
        # It is of the right kind, however odd.
        assert type(restored.processes["web:web"].to_state()[field]) is type(value)


def test_what_ended_with_an_agent_has_ended_as_soon_as_the_next_one_has_a_file(tmp_path: Path) -> None:
    a_journal(tmp_path, 3).leave()
    second = Journal(str(tmp_path), "boot-1", print)
    news = a_change(4)._replace(process=Process(run=3))
    second.begin("inc", 3, {"web:web": a_change(3).process}, "", [news])
    assert second.sequence == 4
    # Killed here: the third one must not take it for stopped by somebody.
    restored = restore(tmp_path)
    assert (restored.sequence, restored.processes) == (4, {"web:web": Process(run=3)})
    found = second.since(3)
    assert found is not None
    assert list(found) == [news]
