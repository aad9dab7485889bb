"""Messages survive the wire between versions."""

import json
from typing import Any, get_args

import pytest
from fleet_agent.link import messages

pytestmark = pytest.mark.pure

_SAMPLES: dict[str, Any] = {"str": "ä", "int": 7, "float": 1.5, "bool": True, "list[str]": ["a", "b"]}
_SAMPLES |= {"int | None": None, "list[int] | None": [1, 2], "dict[str, str]": {"A": "1"}}


def sample(cls: type[Any]) -> Any:
    hints = {name: getattr(kind, "__name__", str(kind)) for name, kind in cls.__annotations__.items()}
    texts = {name: str(cls.__annotations__[name]) for name in hints}
    return cls(**{name: _SAMPLES.get(texts[name], _SAMPLES.get(hints[name])) for name in cls._fields})


@pytest.mark.parametrize("cls", get_args(messages.Message))
def test_each_message_survives_the_wire(cls: type[Any]) -> None:
    message = sample(cls)
    frame = json.loads(json.dumps(messages.to_frame(message)))
    assert messages.from_frame({**frame, "fds": 3, "of a later version": 1}) == message


@pytest.mark.parametrize("cls", get_args(messages.Message))
def test_a_missing_field_is_an_error_unless_it_has_a_default(cls: type[Any]) -> None:
    frame = messages.to_frame(sample(cls))
    for name in cls._fields:
        short = {key: value for key, value in frame.items() if key != name}
        if name in cls._field_defaults:
            assert messages.from_frame(short) is not None
        else:
            with pytest.raises(TypeError, match=name):
                messages.from_frame(short)


def test_a_name_of_a_later_version_is_none() -> None:
    assert messages.from_frame({"m": "yet to come"}) is None
    assert messages.from_frame({}) is None
