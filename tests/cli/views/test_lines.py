"""What became of a change on one host, as supervisorctl says it."""

import pytest
from fakes.process_rows import outcome_row
from fleet_api.rows import OutcomeRow
from fleet_cli.answers import Bucket, HostAnswer
from fleet_cli.views import lines

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("verb", "row", "line"),
    [
        ("start", outcome_row("n"), "n: started"),
        ("stop", outcome_row("n"), "n: stopped"),
        ("signal", outcome_row("n"), "n: signalled"),
        ("start", outcome_row("n", group="g"), "g:n: started"),
        ("start", outcome_row("n", "unchanged", "already started"), "n: ERROR (already started)"),
        ("stop", outcome_row("n", "unchanged", "not running"), "n: ERROR (not running)"),
        ("signal", outcome_row("n", "failed", "not running", "NOT_RUNNING"), "n: ERROR (not running)"),
        ("start", outcome_row("n", "failed", "can't find x", "SPAWN_ERROR"), "n: ERROR (spawn error)"),
        (
            "start",
            outcome_row("n", "failed", "died", "ABNORMAL_TERMINATION"),
            "n: ERROR (abnormal termination)",
        ),
        ("start", outcome_row("n", "failed", "no x", "NO_FILE"), "n: ERROR (no such file)"),
        ("start", outcome_row("n", "failed", "x", "NOT_EXECUTABLE"), "n: ERROR (file is not executable)"),
        (
            "stop",
            outcome_row("n", "failed", "is in an unknown state", "FAILED"),
            "n: ERROR (is in an unknown state)",
        ),
        ("stop", outcome_row("n", "refused", "", ""), "n: ERROR (refused)"),
        ("start", outcome_row("n", "refused", "disabled by alice", "DISABLED"), "n: ERROR (disabled)"),
        ("disable", outcome_row("n", reason="disabled and stopped"), "n: disabled and stopped"),
        ("enable", outcome_row("n", "unchanged", "not disabled"), "n: ERROR (not disabled)"),
        ("restart", outcome_row("n", "failed", "x", "SPAWN_ERROR"), "n: ERROR (spawn error)"),
    ],
)
def test_line(verb: str, row: OutcomeRow, line: str) -> None:
    assert lines.change(verb, HostAnswer("", Bucket.OK, outcomes=[row]), ["n", "g:n"], False) == line


def test_restart_prints_the_lines_of_stop_and_start() -> None:
    ran, did_not = outcome_row("a", reason="restarted"), outcome_row("b", reason="started")
    answer = HostAnswer("web1", Bucket.OK, outcomes=[ran, did_not])
    assert lines.change("restart", answer, ["all"], False) == "a: stopped\na: started\nb: started"
    assert [lines.outcome("restart", row) for row in (ran, did_not)] == ["restarted", "started"]


def test_accepted_is_not_done() -> None:
    answer = HostAnswer("", Bucket.OK, outcomes=[outcome_row("a")])
    assert lines.change("restart", answer, ["a"], False, wait=False) == "a: restarting"
    assert lines.change("stop", answer, ["a"], False, wait=False) == "a: stopping"


def test_of_a_group_only_what_changed_is_listed() -> None:
    answer = HostAnswer(
        "",
        Bucket.OK,
        outcomes=[
            outcome_row("a", group="g"),
            outcome_row("b", "unchanged", group="g"),
            outcome_row("c", "unchanged", group="g"),
        ],
    )
    assert lines.change("start", answer, ["g:*"], False) == "g:a: started"
    assert lines.change("start", answer, ["all"], False) == "g:a: started"
    assert (
        lines.change("start", answer, ["g:*", "g:c"], False) == "g:a: started\ng:c: ERROR (already started)"
    )


def test_unknown_names_come_first() -> None:
    error = {"code": "NO_SUCH_GROUP", "message": "x: no such group", "hint": ""}
    answer = HostAnswer("", Bucket.FAILED, outcomes=[outcome_row("a")], errors=[error])  # type: ignore[list-item]
    assert lines.change("stop", answer, ["x:*", "a"], False) == "x: ERROR (no such group)\na: stopped"


def test_what_a_line_leaves_out_is_explained() -> None:
    answer = HostAnswer(
        "",
        Bucket.FAILED,
        outcomes=[
            outcome_row("a", "failed", "can't find command 'x'", "SPAWN_ERROR"),
            outcome_row("b", "failed", "not running", "NOT_RUNNING"),
            outcome_row("c", "unchanged", "already started", "ALREADY_STARTED"),
            outcome_row("d"),
        ],
    )
    assert lines.explanations(answer) == ["a: can't find command 'x'"]


def test_colour_marks_errors_only() -> None:
    answer = HostAnswer("", Bucket.FAILED, outcomes=[outcome_row("a"), outcome_row("b", "failed", "x")])
    assert lines.change("stop", answer, ["all"], True) == "a: stopped\nb: \x1b[31mERROR (x)\x1b[0m"


def test_who_disabled_it_and_how_to_end_that_is_told() -> None:
    row = outcome_row("n", "refused", "disabled by alice: 'why'", "DISABLED")
    assert row["error"] is not None
    row["error"]["hint"] = "fleetctl enable n"
    assert lines.explanation(row) == "disabled by alice: 'why'; fleetctl enable n"


def test_what_is_to_be_known_of_something_done_is_told() -> None:
    row = outcome_row("n", "ok", "stopped")
    row["error"] = {"code": "DESIRE_NOT_KEPT", "message": "the next start will not know", "hint": ""}
    assert lines.outcome("stop", row) == "stopped"
    assert lines.explanation(row) == "the next start will not know"
