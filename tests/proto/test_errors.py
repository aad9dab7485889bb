"""The error tree: each error survives the wire, whatever the wire brings is an error."""

import json

import pytest
from fleet_api.errors import CLASSES, BadRequest, Broken, FleetError, from_wire
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.pure

JSON = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.lists(st.integers(), max_size=2)


@given(st.sampled_from(sorted(CLASSES)), st.text(), st.text(), st.text())
def test_round_trip(name: str, code: str, message: str, hint: str) -> None:
    error = CLASSES[name](code, message, hint)
    back = from_wire(json.loads(json.dumps(error.to_wire())))
    assert type(back) is type(error)
    assert (back.code, back.message, back.hint) == (code, message, hint)


def test_every_class_is_on_the_wire() -> None:
    assert set(CLASSES.values()) == set(FleetError.__subclasses__())
    assert set(CLASSES) == {"BadRequest", "NotFound", "Conflict", "Denied", "Unavailable", "Broken"}


def test_text_is_the_message() -> None:
    error = BadRequest("BAD", "the value 7 is odd", "use 8")
    assert str(error) == "the value 7 is odd"
    assert error.hint == "use 8"
    assert BadRequest("BAD", "x").hint == ""


@pytest.mark.parametrize("name", ["", "Exotic", "FleetError", "Exception", "__class__"])
def test_unknown_class_is_read_as_broken(name: str) -> None:
    error = from_wire({"class": name, "code": "X", "message": "m", "hint": "h"})
    assert type(error) is Broken
    assert (error.code, error.message, error.hint) == ("X", "m", "h")


def test_nothing_given() -> None:
    error = from_wire({})
    assert type(error) is Broken
    assert (error.code, error.message, error.hint) == ("UNKNOWN", "", "")


@given(st.dictionaries(st.sampled_from(["class", "code", "message", "hint", "more"]), JSON))
def test_any_object_is_read_as_some_error(wire: dict[str, object]) -> None:
    error = from_wire(wire)
    assert isinstance(error, FleetError)
    assert all(isinstance(text, str) for text in (error.code, error.message, error.hint))
