"""environment=."""

import pytest
from fleet_agent.config import environment
from fleet_agent.config.environment import doubts, to_environment
from fleet_api.errors import BadRequest
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("", {}),
        ("A=1", {"A": "1"}),
        ("A=\"1\",B='x y'", {"A": "1", "B": "x y"}),
        ('A="say \\"hi\\""', {"A": 'say "hi"'}),
        ("A=/x/y.z+1-2(3):4", {"A": "/x/y.z+1-2(3):4"}),
        ("A=1;B=2,", {"A": "1", "B": "2"}),
        ("A = 1 ,\n B = 2", {"A": "1", "B": "2"}),
        ('A=""', {"A": ""}),
        ("A=1,A=2", {"A": "2"}),
        ('A="a,b;c#d"', {"A": "a,b;c#d"}),
        ("A=http://h:80/p?x=1", {"A": "http://h:80/p", "x": "1"}),
        ("A=a#b,C=d", {"A": "a"}),
    ],
)
def test_reads(text: str, pairs: dict[str, str]) -> None:
    assert dict(to_environment(text)) == pairs


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A=1 B=2 C=3", "Unexpected end of key/value pairs in value 'A=1 B=2 C=3'"),
        ("A=a@b", "Unexpected end of key/value pairs"),
        ("A", "Unexpected end of key/value pairs"),
        ("A=", "Unexpected end of key/value pairs"),
        ('""=1', "Unexpected end of key/value pairs"),
        ('"A=B"=1', "Unexpected end of key/value pairs"),
        ('A="1', "No closing quotation"),
    ],
)
def test_refuses(text: str, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        to_environment(text)
    assert message in caught.value.message
    assert caught.value.hint


def test_what_is_lost_is_told() -> None:
    assert "#" in doubts("A=a#b,C=d")[0]
    assert doubts("A=http://h:80/p?x=1") == ["? ends the value of A; quote the value to keep it"]
    assert doubts('A="a#b",B=1;C=2') == []
    assert doubts('A="') == []


@given(
    st.dictionaries(
        st.from_regex(r"\A[A-Z_]{1,6}\Z"), st.text(alphabet="ab,;#=\"\\ '%x", max_size=6), max_size=4
    )
)
def test_quoted_values_come_back(pairs: dict[str, str]) -> None:
    def quote(value: str) -> str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    text = ",".join(f"{key}={quote(value)}" for key, value in pairs.items())
    assert dict(to_environment(text)) == pairs
    assert doubts(text) == []


@given(st.text(alphabet="aB1,;= \n\t\"'\\#/.-é", max_size=14))
def test_the_quick_way_reads_what_shlex_reads(text: str) -> None:
    if environment._PLAIN.fullmatch(text) is None:
        return
    tokens = environment._tokens(text)
    starts = range(0, len(tokens), 4)
    assert all(tokens[start + 1] == "=" for start in starts)
    assert to_environment(text) == tuple({tokens[start]: tokens[start + 2] for start in starts}.items())
    assert all(tokens[start] == "," for start in range(3, len(tokens), 4))


def test_a_hostile_value_does_not_take_for_ever() -> None:
    for text in ("a" * 100_000, 'a="' + " " * 100_000, "a=1" + " " * 100_000 + "\\", "a=1,," * 20_000):
        with pytest.raises(BadRequest):
            to_environment(text)
