"""Addresses as operators write them."""

import pytest
from fleet_api import address
from fleet_api.address import Address
from fleet_api.errors import BadRequest
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("text", "parsed", "written"),
    [
        ("web1:7601", Address("web1", 7601), "web1:7601"),
        ("web_1.example.org.:1", Address("web_1.example.org.", 1), "web_1.example.org.:1"),
        ("10.0.0.1:65535", Address("10.0.0.1", 65535), "10.0.0.1:65535"),
        ("[::1]:7601", Address("::1", 7601), "[::1]:7601"),
        ("web1", Address("web1", 99), "web1:99"),
        ("[fe80::1]", Address("fe80::1", 99), "[fe80::1]:99"),
        ("fe80::1", Address("fe80::1", 99), "[fe80::1]:99"),
    ],
)
def test_addresses(text: str, parsed: Address, written: str) -> None:
    assert address.parse(text, default_port=99) == parsed
    assert str(parsed) == written


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":1",
        "web1:",
        "web1:0",
        "web1:65536",
        "web1:-1",
        "web1:٣",
        "web1:123456789012345",
        "web1:1 ",
        "web 1:1",
        "-x:1",
        "unix:/run/x",
        "unix:///run/x:1",
        "dns://10.0.0.1/web1:1",
        "ipv4:10.0.0.1:1",
        "http://web1:1",
        "[::1:1",
        "[::1]x",
        "[web1]:1",
        "[::1%eth0/..]:1",
        "1:2:3",
        "web1\0:1",
        "web1\n:1",
        "a" * 300 + ":1",
    ],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        address.parse(text, default_port=1)
    assert caught.value.code == "ADDRESS_MALFORMED"
    assert caught.value.message.isprintable()


def test_a_port_must_stand_where_there_is_no_default() -> None:
    with pytest.raises(BadRequest, match="port is missing"):
        address.parse("web1")


@given(st.text(max_size=30))
def test_what_is_parsed_reads_the_same_again(text: str) -> None:
    try:
        parsed = address.parse(text, default_port=7601)
    except BadRequest:
        return
    assert address.parse(str(parsed)) == parsed
