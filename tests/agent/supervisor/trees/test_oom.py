"""A count of kills that grew names the cause; one that did not names nothing."""

from pathlib import Path

import pytest
from fleet_agent.supervisor.trees import oom
from fleet_agent.supervisor.trees.oom import CAUSE, OomCount

pytestmark = pytest.mark.pure


class Memory:
    """A file with a count, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "memory.events"
        self.now = 100.0
        self.kills(2)

    def kills(self, count: int) -> None:
        self.file.write_text(f"oom 9\noom_kill {count}\n")

    def count(self) -> OomCount:
        sources = ((str(self.file) + ".missing", "oom_kill"), (str(self.file), "oom_kill"))
        return OomCount(sources, lambda: self.now)


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    return Memory(tmp_path)


def test_each_kill_explains_one_death(memory: Memory) -> None:
    count = memory.count()
    assert count.cause() == ""
    memory.kills(4)
    assert [count.cause() for _ in range(3)] == [CAUSE, CAUSE, ""]


def test_a_kill_that_was_seen_before_its_death_was_told_explains_it(memory: Memory) -> None:
    count = memory.count()
    memory.kills(3)
    count.look()
    memory.now += 1
    assert count.cause() == CAUSE


def test_what_was_counted_long_before_is_no_cause(memory: Memory) -> None:
    count = memory.count()
    memory.kills(3)
    count.look()
    memory.now += 60
    assert count.cause() == ""


def test_what_may_have_been_counted_long_before_is_only_a_guess(memory: Memory) -> None:
    count = memory.count()
    memory.now += 3600
    memory.kills(3)
    assert count.cause() == f"probably {CAUSE}"


def test_the_count_of_the_whole_host_is_only_a_guess(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = iter([5, 6])
    monkeypatch.setattr(oom, "_count", lambda path, word: next(counts))
    assert OomCount((("/proc/vmstat", "oom_kill"),)).cause() == f"probably {CAUSE}"


@pytest.mark.parametrize("text", ["", "oom_kill many\n", "oom 1\n"])
def test_without_a_count_nothing_is_claimed(tmp_path: Path, text: str) -> None:
    (tmp_path / "memory.events").write_text(text)
    assert OomCount(((str(tmp_path / "memory.events"), "oom_kill"),)).cause() == ""


def test_the_kernel_is_asked() -> None:
    assert OomCount().cause() == ""
