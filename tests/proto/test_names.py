"""Names of hosts, groups and processes: the round trip and each rule."""

import pytest
from fleet_api import names
from fleet_api.errors import BadRequest
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.pure

HOSTS = st.from_regex(r"[a-z0-9_]([a-z0-9_-]{0,20}[a-z0-9_])?(\.[a-z0-9]{1,9}){0,3}", fullmatch=True)
PROCESSES = st.text(min_size=1, max_size=40).filter(
    lambda text: not any(c.isspace() or not c.isprintable() or c in ":/" for c in text)
)


@given(HOSTS, PROCESSES, PROCESSES)
def test_round_trip(host: str, group: str, process: str) -> None:
    assert names.parse(names.build(host, group, process)) == (host, group, process)


def test_shape() -> None:
    assert names.build("web1", "app", "app_00") == "hosts/web1/groups/app/processes/app_00"
    assert str(names.ProcessName("web1", "app", "app_00")) == "hosts/web1/groups/app/processes/app_00"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "web1",
        "hosts/web1",
        "hosts/web1/groups/app",
        "hosts/web1/groups/app/processes",
        "hosts/web1/groups/app/processes/x/",
        "/hosts/web1/groups/app/processes/x",
        "hosts/web1/group/app/processes/x",
        "Hosts/web1/groups/app/processes/x",
        "x" * 100_000,
    ],
)
def test_another_shape_is_refused_with_the_right_one(name: str) -> None:
    with pytest.raises(BadRequest) as refused:
        names.parse(name)
    assert refused.value.code == "BAD_RESOURCE_NAME"
    assert "hosts/{host}/groups/{group}/processes/{process}" in refused.value.hint
    assert len(refused.value.message) < 200


@pytest.mark.parametrize(
    "host",
    ["", "-a", "a-", "a..b", ".a", "a.", "A", "a b", "a\n", "é", "a" * 64, "a." * 127 + "a", "web[1]", "a:1"],
)
def test_host_that_is_no_dns_name(host: str) -> None:
    with pytest.raises(BadRequest) as refused:
        names.check_host(host)
    assert refused.value.code == "BAD_HOST_NAME"
    assert repr(host)[:50] in refused.value.message
    with pytest.raises(BadRequest):
        names.build(host, "app", "x")


@pytest.mark.parametrize("host", ["web1", "web-01.dc1.example.org", "10.0.0.1", "a" * 63, "_x"])
def test_host_that_is_one(host: str) -> None:
    names.check_host(host)


@pytest.mark.parametrize(
    ("process", "says"),
    [
        ("", "empty"),
        ("a b", "' ' at character 2"),
        ("a:b", "':' at character 2"),
        ("a/b", "'/' at character 2"),
        ("ab\n", "'\\n' at character 3"),
        ("\x1b[2J", "'\\x1b' at character 1"),
        ("a\ud800", "at character 2"),
        ("x" * 256, "256 characters"),
    ],
)
def test_process_and_group_that_cannot_be_typed(process: str, says: str) -> None:
    for what in ("group", "process"):
        with pytest.raises(BadRequest) as refused:
            names.check_process(process, what)
        assert refused.value.code == "BAD_PROCESS_NAME"
        assert says in refused.value.message
        assert what in refused.value.message
    for group, name in ((process, "x"), ("x", process)):
        with pytest.raises(BadRequest):
            names.build("web1", group, name)


@pytest.mark.parametrize("process", ["web_00", "Grün", "a*b", "x" * 255, "-", "日本"])
def test_process_that_can(process: str) -> None:
    names.check_process(process)


@given(st.text(max_size=60))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        parsed = names.parse(text)
    except BadRequest:
        return
    assert str(parsed) == text
