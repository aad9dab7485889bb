"""Host expressions: what they mean, the laws of their algebra, and what is refused where."""

import time

import pytest
from fleet_api.errors import BadRequest, NotFound
from fleet_api.hostset import MAX_NAMES, expand, fold, parse
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.pure

KNOWN = ["web1", "web2", "web10", "db1", "db2"]
GROUPS = {"front": ["web1", "web2"], "rack1": ["web1", "db1"], "rack2": ["db2"], "none": []}


def resolve(name: str) -> list[str]:
    return GROUPS[name]


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("web1", "web1"),
        ("web[1-3]", "web1 web2 web3"),
        ("web[01-03]", "web01 web02 web03"),
        ("web[08-11]", "web08 web09 web10 web11"),
        ("web[007]", "web007"),
        ("web[1,01]", "web1 web01"),
        ("n[2-6/2]", "n2 n4 n6"),
        ("n[1-6/4]", "n1 n5"),
        ("n[04-12/4]", "n04 n08 n12"),
        ("dc[1-2]n[1-3]", "dc1n1 dc1n2 dc1n3 dc2n1 dc2n2 dc2n3"),
        ("[1-2]a[01,03-04]b", "1a01b 1a03b 1a04b 2a01b 2a03b 2a04b"),
        ("[1-2][3-4]", "13 14 23 24"),
        ("n[1, 3-5]", "n1 n3 n4 n5"),
        ("n[0-2]", "n0 n1 n2"),
        ("n[3,1-3]", "n3 n1 n2"),
        ("a,b", "a b"),
        ("  a  b\tc\n", "a b c"),
        ("a,a b,a", "a b"),
        ("n[1-5]!n[2-3]", "n1 n4 n5"),
        ("n[1-5] ! n[2-3]", "n1 n4 n5"),
        ("n[1-5]&n[4-9]", "n4 n5"),
        ("n[1-4]^n[3-6]", "n1 n2 n5 n6"),
        ("a,b!b,b", "a b"),
        ("a!a,b", "b"),
        ("a&b,c", "c"),
        ("a,b&b,c", "b c"),
        ("@front", "web1 web2"),
        ("@rack[1-2]", "web1 db1 db2"),
        ("@rack1&@front", "web1"),
        ("*!@front", "web10 db1 db2"),
        ("@*", "web1 web2 web10 db1 db2"),
        ("web*", "web1 web2 web10"),
        ("web?", "web1 web2"),
        ("*[1-2]", "web1 db1 web2 db2"),
        ("web9", "web9"),
        ("web1!zz*", "web1"),
        ("web1!@none", "web1"),
        ("www.example.org,10.0.0.[1-2],a_b-c", "www.example.org 10.0.0.1 10.0.0.2 a_b-c"),
    ],
)
def test_meaning(expression: str, names: str) -> None:
    assert parse(expression, groups=resolve, known=KNOWN) == names.split()


@pytest.mark.parametrize(
    ("expression", "code", "column", "value"),
    [
        ("web[1-3", "BAD_HOST_EXPRESSION", 4, "'[1-3'"),
        ("a,web]", "BAD_HOST_EXPRESSION", 6, "']'"),
        ("web[]", "BAD_HOST_EXPRESSION", 5, "empty"),
        ("web[1,,2]", "BAD_HOST_EXPRESSION", 7, "empty"),
        ("web[1, 5-3]", "BAD_HOST_EXPRESSION", 8, "'5-3'"),
        ("web[1-]", "BAD_HOST_EXPRESSION", 5, "'1-'"),
        ("web[-1]", "BAD_HOST_EXPRESSION", 5, "'-1'"),
        ("web[a-b]", "BAD_HOST_EXPRESSION", 5, "'a-b'"),
        ("web[1-4/0]", "BAD_HOST_EXPRESSION", 5, "'1-4/0'"),
        ("web[4/2]", "BAD_HOST_EXPRESSION", 5, "'4/2'"),
        ("web[01-100]", "BAD_HOST_EXPRESSION", 5, "'01-100'"),
        ("web[1-010]", "BAD_HOST_EXPRESSION", 5, "'1-010'"),
        ("web[1-[2]]", "BAD_HOST_EXPRESSION", 7, "nest"),
        ("web[²]", "BAD_HOST_EXPRESSION", 5, "'²'"),
        ("web[1-9999999999999999999]", "BAD_HOST_EXPRESSION", 5, "18 digits"),
        ("a,,b", "BAD_HOST_EXPRESSION", 3, "','"),
        (",a", "BAD_HOST_EXPRESSION", 1, "','"),
        ("!a", "BAD_HOST_EXPRESSION", 1, "'!'"),
        ("a & ", "BAD_HOST_EXPRESSION", 3, "'&'"),
        ("a ! & b", "BAD_HOST_EXPRESSION", 5, "'&'"),
        ("a,@", "BAD_HOST_EXPRESSION", 3, "'@'"),
        ("a,b@c", "BAD_HOST_EXPRESSION", 4, "'@'"),
        ("héllo", "BAD_HOST_EXPRESSION", 2, "'é'"),
        ("a\0b", "BAD_HOST_EXPRESSION", 2, "'\\x00'"),
        ("a,@nope", "UNKNOWN_HOST_GROUP", 3, "'nope'"),
        ("a,@rack[2-3]", "UNKNOWN_HOST_GROUP", 3, "'rack3'"),
        ("a,@none", "NO_HOST_MATCHES", 3, "'@none'"),
        ("a,wbe*", "NO_HOST_MATCHES", 3, "'wbe*'"),
        ("x" * 254, "BAD_HOST_EXPRESSION", 1, "254"),
        ("x" * 252 + "[9-10]", "BAD_HOST_EXPRESSION", 1, "254"),
        (f"a,n[0-{MAX_NAMES}]", "HOST_EXPRESSION_TOO_LARGE", 3, f"'n[0-{MAX_NAMES}]'"),
        ("a," + "[0-9]" * 200, "HOST_EXPRESSION_TOO_LARGE", 3, "1,000,000"),
        ("n[1-600000] m[1-600000]", "HOST_EXPRESSION_TOO_LARGE", 13, "'m[1-600000]'"),
    ],
)
def test_refused_with_place_and_value(expression: str, code: str, column: int, value: str) -> None:
    with pytest.raises(BadRequest) as refused:
        parse(expression, groups=resolve, known=KNOWN)
    assert refused.value.code == code
    assert f"column {column}:" in refused.value.message
    assert value in refused.value.message


@pytest.mark.parametrize("expression", ["", "  \t\n", "a!a", "a&b", "a^a"])
def test_no_host_left_is_an_error(expression: str) -> None:
    with pytest.raises(BadRequest) as refused:
        parse(expression)
    assert refused.value.code == "EMPTY_HOST_SET"


def test_too_long_a_text_is_not_read() -> None:
    with pytest.raises(BadRequest) as refused:
        parse("a," * 40_000)
    assert refused.value.code == "HOST_EXPRESSION_TOO_LARGE"
    assert "80000" in refused.value.message


def test_group_without_resolver_and_resolver_that_says_not_found() -> None:
    def missing(name: str) -> list[str]:
        raise NotFound("GROUP_NOT_FOUND", f"no group {name}", "look at the inventory")

    with pytest.raises(BadRequest, match="column 1: there is no group 'x'"):
        parse("@x")
    with pytest.raises(BadRequest, match="no group 'x'") as refused:
        parse("@x", groups=missing)
    assert refused.value.hint == "look at the inventory"


def test_many_globs_over_many_names_end_early() -> None:
    known = [f"web{number}" for number in range(100_000)]
    with pytest.raises(BadRequest) as refused:
        parse("web1" + "!a*a*a*a*b" * 5000, known=known)
    assert refused.value.code == "HOST_EXPRESSION_TOO_LARGE"


def test_long_chain_of_operators_is_linear() -> None:
    started = time.monotonic()
    assert len(parse("n[1-900000]" + "!x" * 30_000)) == 900_000
    assert time.monotonic() - started < 30


PLAIN = st.sampled_from([f"n{number}" for number in range(6)])
SETS = st.lists(PLAIN, min_size=1, max_size=6).map(",".join)


def evaluate(expression: str) -> set[str]:
    try:
        return set(parse(expression))
    except BadRequest as error:
        assert error.code == "EMPTY_HOST_SET"
        return set()


@given(st.lists(PLAIN, min_size=1, max_size=8), st.lists(st.sampled_from(",!&^ "), min_size=8, max_size=8))
def test_operators_work_from_left_to_right_as_sets_do(names: list[str], operators: list[str]) -> None:
    expression, expected = names[0], {names[0]}
    for operator, name in zip(operators, names[1:], strict=False):
        expression += f"{operator}{name}"
        match operator:
            case "!":
                expected = expected - {name}
            case "&":
                expected = expected & {name}
            case "^":
                expected = expected ^ {name}
            case _:
                expected = expected | {name}
    assert evaluate(expression) == expected


@given(SETS, SETS)
def test_laws_of_the_algebra(left: str, right: str) -> None:
    a, b = fold(left.split(",")), fold(right.split(","))
    groups = {"a": left.split(","), "b": right.split(",")}.__getitem__
    assert set(parse("@a,@b", groups=groups)) == evaluate(f"{a},{b}") == evaluate(f"{b},{a}")
    assert evaluate(f"{left}") - evaluate(right) == {
        name for name in evaluate(left) if name not in evaluate(right)
    }
    for text in (left, a):
        assert evaluate(f"{text},{text}") == evaluate(text)


@given(st.lists(PLAIN, min_size=1), st.lists(PLAIN, min_size=1))
def test_exclusive_is_union_without_intersection(left: list[str], right: list[str]) -> None:
    groups = {"a": left, "b": right}.__getitem__

    def value(expression: str) -> set[str]:
        try:
            return set(parse(expression, groups=groups))
        except BadRequest as error:
            assert error.code == "EMPTY_HOST_SET"
            return set()

    assert value("@a^@b") == value("@a,@b") - value("@a&@b") == value("@b^@a")
    assert value("@a!@b") == value("@a") - value("@b")
    assert value("@a&@b") == value("@b&@a")


@given(st.text(alphabet="ab01-,[]!&^@*? /\n", max_size=24))
def test_any_text_is_names_or_a_clear_refusal(expression: str) -> None:
    try:
        names = parse(expression, groups=resolve, known=KNOWN)
    except BadRequest as error:
        assert error.code in {
            "BAD_HOST_EXPRESSION",
            "UNKNOWN_HOST_GROUP",
            "NO_HOST_MATCHES",
            "EMPTY_HOST_SET",
            "HOST_EXPRESSION_TOO_LARGE",
        }
    else:
        assert names
        assert len(set(names)) == len(names)
        assert all(name and not set(name) & set(",[]!&^@ \n") for name in names)


def test_expand_is_ranges_and_algebra_alone() -> None:
    assert expand("web[1-3]!web2") == ["web1", "web3"]
    with pytest.raises(BadRequest):
        expand("web*")
    with pytest.raises(BadRequest):
        expand("@front")
