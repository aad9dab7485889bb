"""Tables, column for column."""

import pytest
from fakes.process_rows import outcome_row, process_row
from fleet_api.rows import ErrorRow
from fleet_cli.answers import Bucket, Change, HostAnswer, HostRecord, Reachability
from fleet_cli.views import table

pytestmark = pytest.mark.pure

CHANGE = Change("stop", ("web",), "op", "key", "alice")


def test_the_tutorials_line() -> None:
    assert table.status([process_row("hello_world")], False) == (
        "hello_world                      RUNNING   pid 180772, uptime 0:01:31"
    )


def test_sorted_by_group_then_process_and_as_wide_as_the_longest_name() -> None:
    rows = [
        process_row("zeta", "FATAL", description="Exited too quickly"),
        process_row("web_01", "STOPPED", group="web", description="Not started"),
        process_row("web_00", group="web", pid=7),
        process_row("a-name-that-is-quite-a-bit-longer", "BACKOFF", group="alpha", description="spawn error"),
    ]
    assert table.status(rows, False).splitlines() == [
        "alpha:a-name-that-is-quite-a-bit-longer   BACKOFF   spawn error",
        "web:web_00                                RUNNING   pid 7, uptime 0:01:31",
        "web:web_01                                STOPPED   Not started",
        "zeta                                      FATAL     Exited too quickly",
    ]


def test_a_line_without_description_has_no_blanks_at_its_end() -> None:
    assert table.status([process_row("x", "STARTING")], False).endswith("STARTING")


def test_colour_does_not_move_a_column() -> None:
    assert table.status([process_row("web", pid=7)], True) == (
        "web                              \x1b[32mRUNNING   \x1b[0mpid 7, uptime 0:01:31"
    )


def test_wide_letters_are_two_columns() -> None:
    lines = table.status([process_row("日本語"), process_row("größe")], False).splitlines()
    assert lines[0] == "größe                            RUNNING   pid 180772, uptime 0:01:31"
    assert lines[1] == "日本語                           RUNNING   pid 180772, uptime 0:01:31"


def test_a_host_cannot_steer_the_terminal() -> None:
    row = process_row("x\x1b[2J", "FATAL", group="g", description="\x1b]0;owned\x07")
    assert "\x1b" not in table.status([row], False)


def test_wide_has_a_line_for_each_process_and_each_silent_host() -> None:
    answers = [
        HostAnswer(
            "web2",
            Bucket.UNREACHABLE,
            error={"code": "CONNECTION_REFUSED", "message": "web2:7601 refuses connections", "hint": ""},
            rows=[process_row("web")],
            reachability=Reachability("unreachable", age_seconds=240.0),
        ),
        HostAnswer(
            "web1",
            Bucket.OK,
            rows=[process_row("web", pid=7), process_row("db", "STOPPED", description="Not started")],
            reachability=Reachability("connected", age_seconds=0.2),
        ),
        HostAnswer("web3", Bucket.UNREACHABLE, reachability=Reachability("unreachable")),
    ]
    assert table.wide_status(answers, False, 0.0).splitlines() == [
        "HOST  PROCESS  STATE        RUN  AS OF   DESCRIPTION",
        "web1  db       STOPPED      1    now     Not started",
        "web1  web      RUNNING      1    now     pid 7, uptime 0:01:31",
        "web2  web      UNREACHABLE  1    4m ago  was RUNNING",
        "web2  -        UNREACHABLE  -    4m ago  web2:7601 refuses connections",
        "web3  -        UNREACHABLE  -    never",
    ]


def test_wide_change() -> None:
    answers = [
        HostAnswer(
            "web1",
            Bucket.FAILED,
            outcomes=[
                outcome_row("web"),
                outcome_row("db", "failed", "did not end within 10 s", "FAILED"),
                outcome_row("a", "unchanged", "not running", "NOT_RUNNING"),
            ],
        ),
        HostAnswer(
            "web2", Bucket.UNKNOWN, error={"code": "ANSWER_LOST", "message": "no answer came", "hint": "look"}
        ),
    ]
    assert table.wide_change(CHANGE, answers, False).splitlines() == [
        "HOST  PROCESS  RESULT     OUTCOME",
        "web1  web      OK         stopped",
        "web1  db       FAILED     ERROR (did not end within 10 s)",
        "web1  a        UNCHANGED  ERROR (not running)",
        "web2  -        UNKNOWN    no answer came",
    ]


def test_hosts() -> None:
    records = [
        HostRecord(
            "db1",
            "10.0.0.7:7601",
            ["db"],
            {"os": "deb", "env": "prod"},
            "0.1.0",
            Reachability("connected", age_seconds=0.1),
            None,
        ),
        HostRecord(
            "web1",
            "web1:7601",
            [],
            {},
            "",
            Reachability("unreachable"),
            {"code": "NO_ROUTE", "message": "no route to web1:7601", "hint": ""},
        ),
    ]
    assert table.hosts(records, False, 0.0).splitlines() == [
        "HOST  ADDRESS        STATE        SEEN   VERSION  GROUPS  WHY",
        "db1   10.0.0.7:7601  connected    now    0.1.0    db",
        "web1  web1:7601      unreachable  never  -        -       no route to web1:7601",
    ]
    wide = table.hosts(records, False, 0.0, has_labels=True).splitlines()
    assert [line.split()[6] for line in wide] == ["LABELS", "env=prod,os=deb", "-"]
    assert "\x1b[35munreachable\x1b[0m" in table.hosts(records, True, 0.0)


def test_an_agent_that_does_not_answer_has_no_name_and_no_age() -> None:
    error: ErrorRow = {"code": "DOOR_NOT_FOUND", "message": "no agent runs here", "hint": ""}
    answer = HostAnswer("", Bucket.UNREACHABLE, error=error)
    assert table.wide_status([answer], False, 0.0).splitlines()[1] == (
        "-     -        UNREACHABLE  -    -      no agent runs here"
    )
