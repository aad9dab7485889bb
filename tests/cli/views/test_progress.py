"""Progress, where somebody looks."""

import pytest
from fakes.fleetctl import read, screen
from fleet_cli.answers import Bucket, HostAnswer
from fleet_cli.terminal import Terminal
from fleet_cli.views.progress import Progress

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("terminal", "targets", "is_shown"),
    [(Terminal(), 9, True), (Terminal(has_progress=True), 1, True), (Terminal(has_progress=True), 9, False)],
)
def test_nothing_is_shown_to_nobody(terminal: Terminal, targets: int, is_shown: bool) -> None:
    made = screen(terminal=terminal)
    with Progress(
        made.err, terminal, "stop", [f"web{number}" for number in range(targets)], is_shown=is_shown
    ) as progress:
        progress.count(HostAnswer("web1", Bucket.OK))
    assert (read(made.out), read(made.err)) == ("", "")


def test_counts_go_to_stderr() -> None:
    terminal = Terminal(has_progress=True)
    made = screen(terminal=terminal)
    with Progress(made.err, terminal, "stop", ["web1", "web2", "web3", "web4"], is_shown=True) as progress:
        progress.count(HostAnswer("web1", Bucket.OK))
        progress.count(HostAnswer("web2", Bucket.UNREACHABLE))
        progress.count(HostAnswer("web3", Bucket.OK))
    assert read(made.out) == ""
    assert "stop: 2 ok, 1 unreachable, waiting for " in read(made.err)
