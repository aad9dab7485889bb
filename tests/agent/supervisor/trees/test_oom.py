"""A count of kills that grew names the cause; one that did not names nothing."""

from pathlib import Path

import pytest
from fleet_agent.supervisor.trees.oom import CAUSE, OomCount

pytestmark = pytest.mark.pure


def test_a_count_that_grew_is_a_cause_once(tmp_path: Path) -> None:
    file = tmp_path / "memory.events"
    file.write_text("oom 9\noom_kill 2\n")
    count = OomCount(((str(tmp_path / "missing"), "oom_kill"), (str(file), "oom_kill")))
    assert count.cause() == ""
    file.write_text("oom 9\noom_kill 3\n")
    assert count.cause() == CAUSE
    assert count.cause() == ""


def test_what_was_counted_before_is_no_cause(tmp_path: Path) -> None:
    file = tmp_path / "memory.events"
    file.write_text("oom_kill 0\n")
    count = OomCount(((str(file), "oom_kill"),))
    file.write_text("oom_kill 1\n")
    count.look()
    assert count.cause() == ""


@pytest.mark.parametrize("text", ["", "oom_kill many\n", "oom 1\n"])
def test_without_a_count_nothing_is_claimed(tmp_path: Path, text: str) -> None:
    (tmp_path / "memory.events").write_text(text)
    assert OomCount(((str(tmp_path / "memory.events"), "oom_kill"),)).cause() == ""


def test_the_kernel_is_asked() -> None:
    assert OomCount().cause() == ""
