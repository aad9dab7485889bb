"""Trees as fleetctl prints them."""

import pytest
from fakes.process_rows import process_row
from fleet_api.rows import TreeRow
from fleet_cli.answers import Bucket, HostAnswer
from fleet_cli.views import tree

pytestmark = pytest.mark.pure


def member(pid: int, depth: int, command: str, cpu: float = 0.0, memory: int = 0) -> TreeRow:
    return TreeRow(
        pid=pid,
        parent=1,
        depth=depth,
        command=command,
        state="S",
        cpu_seconds=cpu,
        memory_bytes=memory,
    )


WEB = process_row(
    "web",
    pid=10,
    tree=[
        member(10, 0, "gunicorn app", 75.25, 50 * 1024 * 1024),
        member(11, 1, "worker \x1b[31m", 0.5, 1536 * 1024),
    ],
    tree_size=2,
)


def test_each_process_has_its_tree_below_it() -> None:
    answer = HostAnswer("", Bucket.OK, rows=[WEB, process_row("cron", "STOPPED")])
    assert tree.status([answer], False, is_local=True).splitlines() == [
        "       PID        CPU   MEMORY  COMMAND",
        "cron                             STOPPED",
        "web                              RUNNING   pid 10, uptime 0:01:31",
        "        10     75.25s    50.0M  gunicorn app",
        "        11      0.50s     1.5M    worker \\x1b[31m",
    ]


def test_what_is_too_much_is_counted_and_what_is_unknown_is_told() -> None:
    many = process_row("web", pid=10, tree=[member(10, 0, "x")], tree_size=501)
    old = process_row("old", pid=20)
    lines = tree.status([HostAnswer("", Bucket.OK, rows=[many, old])], False, is_local=True).splitlines()
    assert lines[2].strip().startswith("nothing is told of it")
    assert lines[-1] == "           ... 500 more"


def test_hosts_are_named_with_what_is_wrong() -> None:
    lost = HostAnswer(
        "web2", Bucket.UNREACHABLE, error={"code": "X", "message": "connection refused", "hint": ""}
    )
    text = tree.status([HostAnswer("web1", Bucket.OK, rows=[WEB]), lost], False, is_local=False)
    assert text.splitlines()[1] == "web1:"
    assert text.splitlines()[-1] == "web2: unreachable: connection refused"


def test_deep_ones_stay_on_the_page() -> None:
    deep = process_row("web", pid=10, tree=[member(10, 500, "x")], tree_size=1)
    text = tree.status([HostAnswer("", Bucket.OK, rows=[deep])], False, is_local=True)
    assert max(map(len, text.splitlines())) < 120


def test_nothing_is_nothing() -> None:
    assert tree.status([HostAnswer("", Bucket.OK)], False, is_local=True) == ""
