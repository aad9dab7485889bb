"""Many hosts in few lines: golden output, and the laws that hold for any fleet."""

import re

import pytest
from fakes.process_rows import outcome_row, process_row
from fleet_api.hostset import expand
from fleet_api.rows import ErrorRow
from fleet_cli.answers import Bucket, Change, HostAnswer, Reachability
from fleet_cli.views import folded
from fleet_cli.views.text import columns
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.pure

CONNECTED = Reachability("connected", age_seconds=0.1)
CHANGE = Change("restart", ("web",), "op", "key", "alice")


def error(message: str, hint: str = "", code: str = "X") -> ErrorRow:
    return ErrorRow(code=code, message=message, hint=hint)


def silent(
    host: str,
    message: str = "refuses connections",
    hint: str = "",
    age: float | None = 250.0,
    code: str = "X",
) -> HostAnswer:
    return HostAnswer(
        host,
        Bucket.UNREACHABLE,
        error(f"{host}:7601 {message}", hint, code),
        reachability=Reachability("unreachable", age_seconds=age),
    )


def fleet() -> list[HostAnswer]:
    answers = []
    for number in range(1, 121):
        host = f"web{number}"
        worker = process_row("worker_00", "BACKOFF" if number == 7 else "RUNNING", group="worker")
        if number == 61:
            rows = [process_row("web", "FATAL", description="can't find command 'nginx'"), worker]
        else:
            rows = [process_row("web"), worker]
        if number == 62:
            answers.append(silent(host)._replace(rows=rows[:1]))
        else:
            answers.append(HostAnswer(host, Bucket.OK, rows=rows, reachability=CONNECTED))
    cities = [
        "kiel",
        "oslo",
        "bern",
        "rome",
        "wien",
        "graz",
        "linz",
        "genf",
        "riga",
        "prag",
        "nizza",
        "basel",
    ]
    answers += [HostAnswer(city, Bucket.OK, rows=[process_row("größe日本")]) for city in cities]
    return answers


AT_80 = """\
größe日本         RUNNING        12/12  basel,bern,genf,graz,kiel,linz,nizza,
                                        oslo,prag,riga,rome,wien
web               RUNNING      118/120  web[1-60,63-120]
                  FATAL          1/120  web61
                    can't find command 'nginx'
                  UNREACHABLE    1/120  web62
worker:worker_00  RUNNING      118/119  web[1-6,8-61,63-120]
                  BACKOFF        1/119  web7

UNREACHABLE  web62  web62:7601 refuses connections (last seen 4m ago)"""


def test_status_at_80_columns() -> None:
    assert folded.status(fleet(), 80, False, 0.0) == AT_80


def test_status_at_140_columns_and_for_no_one_is_not_wrapped() -> None:
    wide = AT_80.replace("nizza,\n" + " " * 40, "nizza,")
    assert folded.status(fleet(), 140, False, 0.0) == wide
    assert folded.status(fleet(), None, False, 0.0) == wide


def test_a_long_name_has_a_line_of_its_own_on_a_terminal_alone() -> None:
    answers = [HostAnswer("web1", Bucket.OK, rows=[process_row("n" * 40)])]
    assert folded.status(answers, None, False, 0.0) == "n" * 40 + "  RUNNING  1/1  web1"
    assert folded.status(answers, 140, False, 0.0) == "n" * 40 + "  RUNNING  1/1  web1"
    assert folded.status(answers, 80, False, 0.0) == "n" * 40 + "\n" + " " * 32 + "  RUNNING  1/1  web1"


def test_colour_changes_nothing_but_colour() -> None:
    coloured = folded.status(fleet(), 80, True, 0.0)
    assert "\x1b[32mRUNNING    \x1b[0m" in coloured
    assert "\x1b[31mFATAL      \x1b[0m" in coloured
    assert "\x1b[35mUNREACHABLE\x1b[0m" in coloured
    assert re.sub(r"\x1b\[\d*m", "", coloured) == AT_80


def test_a_silent_hosts_old_state_is_not_shown_as_its_state() -> None:
    text = folded.status([silent("web1")._replace(rows=[process_row("web")])], 80, False, 0.0)
    assert "RUNNING" not in text


def test_every_silent_host_is_named_with_its_own_reason() -> None:
    answers = [
        silent("web1"),
        silent("web2", "has no route", age=None),
        HostAnswer("web3", Bucket.TIMED_OUT, reachability=Reachability("late", age_seconds=7.0)),
        HostAnswer("web4", Bucket.REFUSED, error("not allowed to read"), reachability=CONNECTED),
        HostAnswer("web5", Bucket.OK, reachability=Reachability("late", age_seconds=12.0)),
        HostAnswer("web6", Bucket.OK, reachability=CONNECTED, is_behind=True),
        HostAnswer("web7", Bucket.FAILED, errors=[error("x: no such process")]),
        HostAnswer("web8", Bucket.FAILED, errors=[error("x: no such process")]),
    ]
    assert folded.status(answers, 80, False, 0.0).splitlines() == [
        "FAILED       web[7-8]  x: no such process",
        "LATE         web5      shown as of 12s ago",
        "LATE         web6      may be shown as before your last change",
        "REFUSED      web4      not allowed to read",
        "TIMED OUT    web3      no reason given (last seen 7s ago)",
        "UNREACHABLE  web1      web1:7601 refuses connections (last seen 4m ago)",
        "UNREACHABLE  web2      web2:7601 has no route (never seen)",
    ]


def test_hosts_with_one_reason_in_common_are_told_together() -> None:
    answers = [
        silent(f"web{number}", age=60.0 * number, code="CONNECTION_REFUSED") for number in range(1, 61)
    ]
    answers += [silent(f"db{number}", age=None, code="NOT_ANSWERING") for number in (1, 2)]
    answers.append(silent("lone", "has no route", code="NO_ROUTE"))
    assert folded.status(answers, 80, False, 0.0).splitlines() == [
        "UNREACHABLE  db[1-2]    no answer (never seen)",
        "UNREACHABLE  lone       lone:7601 has no route (last seen 4m ago)",
        "UNREACHABLE  web[1-60]  connection refused (last seen 1m ago to 1h ago)",
    ]


def test_a_long_list_of_silent_hosts_has_lines_of_its_own() -> None:
    names = [f"{letter * 12}.example.org" for letter in "abcd"]
    answers = [silent(name, code="CONNECTION_REFUSED") for name in names]
    assert folded.status(answers, 60, False, 0.0).splitlines() == [
        "UNREACHABLE  aaaaaaaaaaaa.example.org,",
        "             bbbbbbbbbbbb.example.org,",
        "             cccccccccccc.example.org,",
        "             dddddddddddd.example.org",
        "               connection refused (last seen 4m ago)",
    ]


def test_a_long_reason_wraps_under_itself() -> None:
    text = folded.status([silent("web1", "refuses " + "again and " * 12 + "again")], 60, False, 0.0)
    lines = text.splitlines()
    assert len(lines) > 2
    assert all(line.startswith(" " * 19) for line in lines[1:])
    assert all(len(line) <= 60 for line in lines)


def test_hints_are_told_once_with_the_hosts_they_are_for() -> None:
    answers = [
        silent("web1", hint="start it"),
        silent("web2", hint="start it"),
        silent("web3", hint="fix DNS"),
    ]
    assert folded.hints(answers) == ["hint (web[1-2]): start it", "hint (web3): fix DNS"]
    many = [silent(f"{chr(97 + number) * 9}.example.org", hint="start it") for number in range(26)]
    assert folded.hints(many) == ["hint (aaaaaaaaa.example.org,bbbbbbbbb.example.org, ... 24 more): start it"]


def test_change() -> None:
    answers = [
        HostAnswer(f"web{number}", Bucket.OK, outcomes=[outcome_row("web", reason="restarted")])
        for number in range(1, 119)
    ]
    answers += [
        HostAnswer(
            "web119",
            Bucket.FAILED,
            outcomes=[outcome_row("web", "failed", "can't find command 'nginx'", "SPAWN_ERROR")],
        ),
        HostAnswer("web120", Bucket.UNKNOWN, error("the answer never came")),
    ]
    assert folded.change(CHANGE, answers, 80, False, 0.0).splitlines() == [
        "web  restarted            118/119  web[1-118]",
        "     ERROR (spawn error)    1/119  web119",
        "       can't find command 'nginx'",
        "",
        "UNKNOWN  web120  the answer never came",
    ]


def test_of_a_group_what_already_was_so_is_not_listed() -> None:
    answers = [HostAnswer("web1", Bucket.OK, outcomes=[outcome_row("web", "unchanged")])]
    assert folded.change(CHANGE._replace(terms=("all",)), answers, 80, False, 0.0) == ""
    assert "already started" in folded.change(CHANGE, answers, 80, False, 0.0)


def test_short_hosts() -> None:
    assert folded.short_hosts(["web2", "web1", "web3"]) == "web[1-3]"
    many = folded.short_hosts([f"host-{chr(97 + number)}" for number in range(26)])
    assert len(many) < 90
    assert many.endswith("more")


HOSTS = st.lists(
    st.one_of(
        st.integers(0, 30).map(lambda number: f"web{number}x"), st.sampled_from(["ö-x", "日本", "db.example"])
    ),
    min_size=1,
    max_size=25,
    unique=True,
)
STATES = st.sampled_from(["RUNNING", "FATAL", "STOPPED", "BACKOFF"])


@st.composite
def fleets(draw: st.DrawFn) -> list[HostAnswer]:
    answers = []
    for host in draw(HOSTS):
        if draw(st.integers(0, 4)) == 0:
            answers.append(silent(host))
        else:
            names = draw(st.lists(st.sampled_from(["web", "db", "größe"]), unique=True))
            rows = [process_row(name, draw(STATES)) for name in names]
            answers.append(HostAnswer(host, Bucket.OK, rows=rows, reachability=CONNECTED))
    return answers


@given(fleets())
def test_folding_loses_and_invents_nothing(answers: list[HostAnswer]) -> None:
    told: set[tuple[str, str, str]] = set()
    name = ""
    for line in folded.status(answers, None, False, 0.0).splitlines():
        found = re.fullmatch(r"(\S*) +(\S+) +(\d+)/(\d+)  (\S+)", line)
        if found is None:
            continue
        name = found[1] or name
        hosts = expand(found[5]) if found[5].isascii() else found[5].split(",")
        assert len(hosts) == int(found[3])
        told |= {(name, found[2], host) for host in hosts}
    asked = {(row["name"], row["state"], answer.host) for answer in answers for row in answer.rows}
    assert told == asked


@given(fleets())
def test_every_host_without_an_answer_is_named(answers: list[HostAnswer]) -> None:
    text = folded.status(answers, None, False, 0.0)
    for answer in answers:
        if answer.error is not None:
            assert answer.error["message"] in text


@given(fleets(), st.integers(60, 200))
def test_lines_fit_the_terminal(answers: list[HostAnswer], width: int) -> None:
    for line in folded.status(answers, width, False, 0.0).splitlines():
        assert columns(line) <= width
