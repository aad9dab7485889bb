"""The activity log: supervisord's lines, levels, and a stdout that nobody reads."""

import time
from pathlib import Path

import pytest
from fleet_agent.supervisor.logs.activity import DEBUG, ERROR, INFO, LEVELS, WARN, ActivityLog, format_line
from fleet_agent.supervisor.logs.answers import Result
from fleet_agent.supervisor.logs.library import Library


@pytest.mark.pure
def test_a_line_looks_like_supervisords() -> None:
    local = time.struct_time((2026, 11, 21, 7, 8, 9, 5, 325, 0))
    assert format_line(local, 12, INFO, "spawned: 'x' with pid 3") == (
        "2026-11-21 07:08:09,012 INFO spawned: 'x' with pid 3\n"
    )


@pytest.mark.pure
def test_each_level_has_its_tag() -> None:
    local = time.localtime(0)
    tags = [format_line(local, 0, level, "m").split()[2] for level in LEVELS.values()]
    assert tags == ["CRIT", "ERRO", "WARN", "INFO", "DEBG", "TRAC", "BLAT"]
    assert list(LEVELS.values()) == [50, 40, 30, 20, 10, 5, 3]


class Stdout:
    def __init__(self, is_broken: bool = False) -> None:
        self.data = b""
        self.is_broken = is_broken
        self.calls = 0

    def __call__(self, fd: int, data: bytes) -> int:
        assert fd == 1
        self.calls += 1
        if self.is_broken:
            raise BrokenPipeError
        self.data += data
        return len(data)


def log(tmp_path: Path, stdout: Stdout) -> ActivityLog:
    answers: list[Result] = []
    library = Library(
        str(tmp_path / "state"),
        lambda: "id",
        time.monotonic,
        answers.append,
        lambda _: None,
        lambda *_: None,
        lambda _: None,
    )
    return ActivityLog(library, stdout)


def test_early_lines_wait_for_the_level_and_the_file(tmp_path: Path) -> None:
    stdout = Stdout()
    activity = log(tmp_path, stdout)
    activity.write(0.5, INFO, "early")
    activity.write(0.5, DEBUG, "too detailed")
    activity.configure(str(tmp_path / "agent.log"), 0, 0, INFO, True)
    activity.write(1.25, WARN, "late \udcff")
    lines = (tmp_path / "agent.log").read_text().splitlines()
    assert [line.split(",", 1)[1] for line in lines] == ["500 INFO early", "250 WARN late \\udcff"]
    assert stdout.data == (tmp_path / "agent.log").read_bytes()


def test_rotates(tmp_path: Path) -> None:
    activity = log(tmp_path, Stdout())
    activity.configure(str(tmp_path / "agent.log"), 100, 2, INFO, False)
    for number in range(20):
        activity.write(0.0, ERROR, f"line {number}")
    kept = sorted(path.name for path in tmp_path.glob("agent.log*"))
    assert kept == ["agent.log", "agent.log.1", "agent.log.2"]
    assert all((tmp_path / name).read_bytes().endswith(b"\n") for name in kept[1:])


def test_goes_on_in_another_file(tmp_path: Path) -> None:
    activity = log(tmp_path, Stdout())
    for name in ("one", "two", ""):
        activity.configure(str(tmp_path / name) if name else "", 0, 0, INFO, False)
        activity.write(0.0, INFO, f"to {name}")
    assert (tmp_path / "one").read_text().endswith(" to one\n")
    assert (tmp_path / "two").read_text().endswith(" to two\n")


def test_a_stdout_that_nobody_reads_is_left_alone(tmp_path: Path) -> None:
    stdout = Stdout(is_broken=True)
    activity = log(tmp_path, stdout)
    activity.configure(str(tmp_path / "agent.log"), 0, 0, INFO, True)
    activity.write(0.0, INFO, "one")
    activity.write(0.0, INFO, "two")
    assert stdout.calls == 1
    assert len((tmp_path / "agent.log").read_text().splitlines()) == 2
