"""Problems as lines, collected in order."""

import pytest
from fleet_agent.config.problems import Place, Problem, Report, nearest, shown

pytestmark = pytest.mark.pure


def test_line() -> None:
    problem = Problem("warning", "/x.conf", 7, "program:a", "usr", "unknown key", 'did you mean "user"?')
    assert str(problem) == '/x.conf:7: warning: [program:a] usr: unknown key (did you mean "user"?)'
    assert str(Problem("error", "/x.conf", 0, "", "", "gone")) == "/x.conf: error: gone"
    assert str(Problem("error", "/x.conf", 3, "a", "", "bad")) == "/x.conf:3: error: [a]: bad"


def test_a_line_stays_one_line() -> None:
    assert str(Problem("error", "/x", 1, "a\nb", "k", "\x1b[2J\r")) == "/x:1: error: [a\\nb] k: \\x1b[2J\\r"


def test_each_problem_once_main_file_first_then_by_line() -> None:
    report = Report()
    report.warn(Place("/inc.conf", 1), "c")
    report.error(Place("/main.conf", 9), "b")
    report.error(Place("/main.conf", 9), "b")
    report.warn(Place("/main.conf", 2), "a")
    assert [problem.message for problem in report.result("/main.conf")] == ["a", "b", "c"]
    assert report.has_errors


def test_strict_makes_warnings_errors() -> None:
    report = Report(strict=True)
    report.warn(Place("/x"), "a")
    assert report.has_errors
    assert report.result("/x")[0].severity == "error"


def test_nearest() -> None:
    assert nearest("strerr_logfile", ["stdout_logfile", "stderr_logfile"]) == 'did you mean "stderr_logfile"?'
    assert nearest("Autostart", ["autostart"]) == 'did you mean "autostart"?'
    assert nearest("qqq", ["autostart"]) == ""


def test_long_values_are_cut() -> None:
    assert len(shown("x" * 10**6)) < 300
