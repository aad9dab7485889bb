"""What is known of one host: histories as data, and laws against a model."""

import pytest
from fleet_api.errors import Unavailable
from fleet_controller.core import fleet
from fleet_controller.core.fleet import Beat, Changed, Link, Lost, Missed, SnapshotPart, View
from fleet_controller.model import Moment, Position, Reach
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.pure

HEARTBEAT = 2.0
REFUSED = Unavailable("CONNECTION_REFUSED", "10.0.0.1:7601 refuses connections")
SILENT = Unavailable("NOT_ANSWERING", "10.0.0.1:7601 says nothing")


def at(seconds: float) -> Moment:
    return Moment(seconds, 1_000_000.0 + seconds)


def position(sequence: int, incarnation: str = "one") -> Position:
    return Position("web1", incarnation, sequence)


def snapshot(sequence: int, *names: str, is_last: bool = True, incarnation: str = "one") -> SnapshotPart[str]:
    rows = {("web", name): f"{name}@{sequence}" for name in names}
    return SnapshotPart(position(sequence, incarnation), rows, is_last)


def change(sequence: int, name: str, *, removed: bool = False) -> Changed[str]:
    return Changed(sequence, ("web", name), None if removed else f"{name}@{sequence}")


def play(*facts: fleet.Fact[str], view: View[str] | None = None) -> tuple[View[str], str]:
    """The view after these facts, one each second, and why it must be read anew, if one of them said so."""
    view = view or View()
    for second, fact in enumerate(facts):
        step = fleet.fold(view, fact, at(second))
        view = step.view
        if step.resync:
            return view, step.resync
    return view, ""


def held(view: View[str]) -> list[str]:
    return sorted(one.row for one in view.processes.values())


History = tuple[list[fleet.Fact[str]], Link, int | None, list[str], str]
"""Facts; then the link, the number, the rows, and why it must be read anew."""

HISTORIES: dict[str, History] = {
    "a snapshot in one part": ([snapshot(5, "a", "b")], Link.UP, 5, ["a@5", "b@5"], ""),
    "a snapshot in parts": (
        [snapshot(5, "a", is_last=False), snapshot(5, "b")], Link.UP, 5, ["a@5", "b@5"], ""
    ),
    "half a snapshot": ([snapshot(5, "a", is_last=False)], Link.CONNECTING, None, [], ""),
    "an empty host": ([snapshot(0)], Link.UP, 0, [], ""),
    "changes": (
        [snapshot(5, "a", "b"), change(6, "a"), change(7, "b", removed=True), change(8, "c")],
        Link.UP, 8, ["a@6", "c@8"], "",
    ),
    "a change told twice": ([snapshot(5, "a"), change(6, "a"), change(6, "a")], Link.UP, 6, ["a@6"], ""),
    "a change that the snapshot had": ([snapshot(5, "a"), change(4, "a")], Link.UP, 5, ["a@5"], ""),
    "a missing change": (
        [snapshot(5, "a"), change(7, "a")], Link.UP, 5, ["a@5"], "changes 6 to 6 are missing"
    ),
    "a change before any snapshot": (
        [change(6, "a")], Link.CONNECTING, None, [], "change 6 came before the end of a snapshot"
    ),
    "a beat before any snapshot": ([Beat(position(5))], Link.CONNECTING, None, [], ""),
    "a beat ahead once": ([snapshot(5, "a"), Beat(position(6))], Link.UP, 5, ["a@5"], ""),
    "a beat ahead, then the change": (
        [snapshot(5, "a"), Beat(position(6)), change(6, "a"), Beat(position(6))], Link.UP, 6, ["a@6"], ""
    ),
    "a change that never came": (
        [snapshot(5, "a"), Beat(position(7)), Beat(position(7))],
        Link.UP, 5, ["a@5"], "changes 6 to 7 never came",
    ),
    "numbers begin anew": (
        [snapshot(5, "a"), Beat(position(1, "two"))],
        Link.UP, 5, ["a@5"], "the agent began to number its changes anew",
    ),
    "lost before it answered": ([Lost(REFUSED)], Link.DOWN, None, [], ""),
    "lost": ([snapshot(5, "a"), Lost(REFUSED)], Link.DOWN, 5, ["a@5"], ""),
    "resumed by a beat": ([snapshot(5, "a"), Lost(REFUSED), Beat(position(5))], Link.UP, 5, ["a@5"], ""),
    "resumed by a change": ([snapshot(5, "a"), Lost(REFUSED), change(6, "a")], Link.UP, 6, ["a@6"], ""),
    "not resumable": (
        [snapshot(5, "a"), Lost(REFUSED), Missed("gone"), snapshot(3, "b", incarnation="two")],
        Link.UP, 3, ["b@3"], "",
    ),
    "not resumable and not yet read": (
        [snapshot(5, "a"), Lost(REFUSED), Missed("gone"), snapshot(3, "b", is_last=False), Beat(position(3))],
        Link.DOWN, 5, ["a@5"], "",
    ),
    "cut within a snapshot": (
        [snapshot(5, "a", is_last=False), Lost(REFUSED), snapshot(6, "b")], Link.UP, 6, ["b@6"], ""
    ),
}  # fmt: skip


def test_of_a_host_that_tells_too_much_nothing_is_kept() -> None:
    view: View[str] = fleet.fold(View(), snapshot(3, "a"), at(1)).view
    kept = fleet.fold(view, Lost(REFUSED), at(2)).view
    assert (kept.processes, kept.position) == (view.processes, view.position)
    dropped = fleet.fold(view, Lost(REFUSED, drops=True), at(2)).view
    assert (dropped.processes, dropped.position, dropped.link) == ({}, None, Link.DOWN)


@pytest.mark.parametrize("name", HISTORIES)
def test_history(name: str) -> None:
    facts, link, sequence, rows, resync = HISTORIES[name]
    view, why = play(*facts)
    assert why == resync
    assert view.link is link
    assert (view.position.sequence if view.position else None) == sequence
    assert held(view) == rows


@given(st.data())
def test_a_view_is_what_its_agent_was_at_the_same_number(data: st.DataObject) -> None:
    """Whatever is lost, doubled or cut off on the way, rows and number of a view belong together."""
    truth: dict[str, int] = {}
    history: list[list[str]] = [[]]  # the agent's rows at each number
    view: View[str] = View()
    for second in range(data.draw(st.integers(1, 30))):
        kind = data.draw(st.sampled_from(["change", "remove", "drop", "double", "snapshot", "lost", "beat"]))
        sequence = len(history) - 1
        facts: list[fleet.Fact[str]] = []
        if kind in ("change", "drop", "double"):
            name = data.draw(st.sampled_from("abc"))
            truth[name] = sequence + 1
            facts = [change(sequence + 1, name)] * {"change": 1, "drop": 0, "double": 2}[kind]
        elif kind == "remove" and truth:
            name = data.draw(st.sampled_from(sorted(truth)))
            del truth[name]
            facts = [change(sequence + 1, name, removed=True)]
        elif kind == "snapshot":
            rows = {("web", name): f"{name}@{number}" for name, number in truth.items()}
            facts = [SnapshotPart(position(sequence), rows, True)]
        elif kind == "lost":
            facts = [Lost(REFUSED)]
        elif kind == "beat":
            facts = [Beat(position(sequence))]
        if (facts and isinstance(facts[0], Changed)) or kind == "drop":
            history.append(sorted(f"{name}@{number}" for name, number in truth.items()))
        for fact in facts:
            step = fleet.fold(view, fact, at(second))
            view = fleet.forget(step.view) if step.resync else step.view
        if view.position is not None:
            assert held(view) == history[view.position.sequence]


def reach(view: View[str], now: float) -> fleet.Reachability:
    return fleet.reachability("web1", view, now, HEARTBEAT)


def test_a_connected_host_tells_the_age_of_its_truth() -> None:
    view, _ = play(snapshot(5, "a"), Beat(position(5)))
    judged = reach(view, 2.0)
    assert (judged.reach, judged.error, judged.age_seconds) == (Reach.CONNECTED, None, 1.0)
    assert judged.last_seen == at(1)


def test_a_silent_host_becomes_late_and_then_unreachable_with_words() -> None:
    view, _ = play(snapshot(5, "a"))
    assert reach(view, 4.0).reach is Reach.LATE
    judged = reach(view, 7.0)
    assert judged.reach is Reach.UNREACHABLE
    assert judged.error is not None
    assert (judged.error.code, judged.error.message) == ("NOT_ANSWERING", "web1 is connected, but silent")


def test_a_gateway_that_beats_for_a_dead_supervisor_is_no_proof() -> None:
    view, _ = play(snapshot(5, "a"))
    for second in range(1, 9):
        view = fleet.fold(view, Beat(position(5), float(second)), at(second)).view
    judged = reach(view, 8.5)
    assert judged.reach is Reach.UNREACHABLE
    assert judged.error is not None and judged.error.code == "SUPERVISOR_NOT_ANSWERING"
    assert judged.error.message.endswith("its supervisor does not")
    assert judged.last_seen == at(0)


def test_a_keeper_that_does_not_answer_makes_a_host_unreachable() -> None:
    view, _ = play(snapshot(5, "a"))
    for second in range(1, 9):
        beat = Beat(position(5), 0.5, float(second), ("trouble",))
        view = fleet.fold(view, beat, at(second)).view
    judged = reach(view, 8.5)
    assert judged.reach is Reach.UNREACHABLE
    assert judged.error is not None and judged.error.code == "KEEPER_NOT_ANSWERING"
    assert judged.last_seen == at(0)
    assert view.troubles == ("trouble",)
    view = fleet.fold(view, Beat(position(5), 0.5, 0.6), at(9)).view
    assert reach(view, 9.5).reach is Reach.CONNECTED
    assert view.troubles == ()


@given(st.floats(0, HEARTBEAT), st.floats(0, HEARTBEAT))
def test_a_supervisor_asked_within_a_heartbeat_is_never_late(age: float, since: float) -> None:
    view, _ = play(snapshot(5, "a"))
    view = fleet.fold(view, Beat(position(5), age), at(100)).view
    assert reach(view, 100 + since).reach is Reach.CONNECTED


def test_an_old_answer_in_a_beat_does_not_take_newer_proof_away() -> None:
    view, _ = play(snapshot(5, "a"), Beat(position(5), 30.0))
    assert reach(view, 1.0).last_seen == at(0)


def test_a_lost_host_keeps_its_true_reason_and_when_it_was_seen() -> None:
    view, _ = play(snapshot(5, "a"), Lost(REFUSED))
    judged = reach(view, 60.0)
    assert judged.error is REFUSED
    assert (judged.last_seen, judged.age_seconds) == (at(0), 60.0)


def test_a_host_is_connecting_until_the_first_attempt_has_ended() -> None:
    assert reach(View(), 9.0).reach is Reach.CONNECTING
    assert reach(play(Lost(REFUSED))[0], 9.0).reach is Reach.UNREACHABLE


def test_the_moment_of_a_loss_is_that_of_the_first_failure() -> None:
    view, _ = play(snapshot(5, "a"), Lost(REFUSED), Lost(REFUSED), Lost(SILENT))
    assert view.lost_at == at(1)
    assert play(Lost(REFUSED))[0].lost_at is None


@pytest.mark.parametrize(
    ("wanted", "is_reached"),
    [(position(4), True), (position(5), True), (position(6), False), (position(5, "two"), False)],
)
def test_has_reached(wanted: Position, is_reached: bool) -> None:
    view, _ = play(snapshot(5, "a"))
    assert fleet.has_reached(view, wanted) == is_reached
    assert not fleet.has_reached(fleet.fold(view, Lost(REFUSED), at(9)).view, wanted)


def test_what_was_missed_is_counted_with_its_reason() -> None:
    view: View[str] = View()
    history: list[tuple[fleet.Fact[str], int, str | None]] = [
        (snapshot(5, "a"), 0, None),
        (change(6, "a"), 0, None),
        (change(9, "a"), 1, "changes 7 to 8 are missing"),
        (Missed("the host went down"), 2, "the host went down"),
        (snapshot(2, "a", incarnation="two"), 2, "the host went down"),
    ]
    for number, (fact, gaps, reason) in enumerate(history):
        view = fleet.fold(view, fact, Moment(float(number), float(number))).view
        assert view.gaps == gaps
        assert (view.last_gap.reason if view.last_gap else None) == reason
