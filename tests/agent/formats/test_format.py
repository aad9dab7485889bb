"""A format with a history: what was written long ago is read, what an older version reads is written."""

import pytest
from fleet_agent.formats.format import Format, Older, State, UnknownVersion, refusal
from fleet_api.version import VERSION

pytestmark = pytest.mark.pure


def renamed(old: str, new: str) -> Older:
    """A version in which one field had another name."""

    def change(state: State, before: str, after: str) -> State:
        return {after if name == before else name: value for name, value in state.items()}

    return Older(lambda state: change(state, old, new), lambda state: change(state, new, old))


PLAIN = Format("plain", "the plain file")
THIRD = Format("third", "the third file", version=3, older={1: renamed("a", "b"), 2: renamed("b", "c")})


def test_what_is_read_and_written() -> None:
    assert (PLAIN.reads, PLAIN.writes) == ((1,), (1,))
    assert (THIRD.reads, THIRD.writes) == ((1, 2, 3), (3, 2, 1))


def test_what_is_no_longer_written_hides_what_was_before() -> None:
    gone = THIRD._replace(older={1: THIRD.older[1], 2: THIRD.older[2]._replace(down=None)})
    assert (gone.reads, gone.writes) == ((1, 2, 3), (3,))


@pytest.mark.parametrize(("version", "name"), [(1, "a"), (2, "b"), (3, "c")])
def test_every_version_there_and_back(version: int, name: str) -> None:
    assert THIRD.dump({"c": 7, "x": 0}, version) == {"version": version, name: 7, "x": 0}
    assert THIRD.load({"version": version, name: 7, "x": 0}) == {"c": 7, "x": 0}


@pytest.mark.parametrize("version", [0, 4, "3", None, True, 3.0])
def test_a_version_that_nobody_knows_is_refused_by_name(version: object) -> None:
    with pytest.raises(UnknownVersion) as caught:
        THIRD.load({"version": version})
    assert (
        str(caught.value) == f"the third file is in format {version}; fleet-agent {VERSION} reads only 1 to 3"
    )
    with pytest.raises(UnknownVersion, match="does not write the plain file in format 2"):
        PLAIN.dump({}, 2)


@pytest.mark.parametrize("state", [[], 3, "x", None])
def test_what_is_no_object_is_no_state(state: object) -> None:
    with pytest.raises(TypeError, match="is no object"):
        PLAIN.load(state)


def test_a_state_without_a_version_is_none() -> None:
    with pytest.raises(KeyError):
        PLAIN.load({})


@pytest.mark.parametrize(
    ("found", "goes_on"), [(1, 1), (3, 3), (0, 3), (4, 3), (None, 3), (True, 3), ("1", 3)]
)
def test_whoever_finds_an_older_version_goes_on_in_it(found: object, goes_on: int) -> None:
    assert THIRD.going_on(found) == goes_on


def test_what_cannot_be_written_is_not_gone_on_with() -> None:
    assert THIRD._replace(older={1: THIRD.older[1], 2: Older(dict)}).going_on(1) == 3


def test_words() -> None:
    assert refusal("the x", 3, "0.1.0", (1,)) == "the x is in format 3; fleet-agent 0.1.0 reads only 1"
    assert (
        refusal("the x", 3, "0.1.0", (1, 2)) == "the x is in format 3; fleet-agent 0.1.0 reads only 1 and 2"
    )
