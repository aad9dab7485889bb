"""Converters: what they take, and supervisord's words for what they do not."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fleet_agent.config import values
from fleet_agent.core.model import Autorestart
from fleet_api.errors import BadRequest
from hypothesis import given
from hypothesis import strategies as st
from supervisor import datatypes


@pytest.mark.pure
@pytest.mark.parametrize(
    ("convert", "text", "value"),
    [
        (values.to_boolean, "Yes", True),
        (values.to_boolean, "OFF", False),
        (values.to_autorestart, "unexpected", Autorestart.UNEXPECTED),
        (values.to_autorestart, "True", Autorestart.ALWAYS),
        (values.to_autorestart, "0", Autorestart.NEVER),
        (values.to_integer, " -5 ", -5),
        (values.to_byte_size, "50MB", 50 * 1024 * 1024),
        (values.to_byte_size, "1 kb", 1024),
        (values.to_byte_size, "-1", -1),
        (values.to_octal, "022", 0o22),
        (values.to_signal, "sigusr1", signal.SIGUSR1),
        (values.to_signal, "TERM", signal.SIGTERM),
        (values.to_signal, "9", signal.SIGKILL),
        (values.to_signal, "CLD", signal.SIGCHLD),
        (values.to_signal, "RTMIN", signal.SIGRTMIN),
        (values.to_exit_codes, "0, 2", frozenset({0, 2})),
        (values.to_exit_codes, "", frozenset()),
        (values.to_list, "a, b,c", ("a", "b", "c")),
        (values.to_log, "None", ""),
        (values.to_log, "off", ""),
        (values.to_log, "", ""),
        (values.to_log, "auto", "AUTO"),
        (values.to_log, "/dev/null", "/dev/null"),
        (values.to_log_level, "WARN", "warn"),
        (values.to_user, "root", "root"),
        (values.to_user, "0", "0"),
        (values.to_name, " web ", "web"),
        (values.to_address, "0.0.0.0:7601", "0.0.0.0:7601"),
        (values.to_address, "localhost:0", "localhost:0"),
        (values.to_address, "[::1]:7601", "[::1]:7601"),
        (values.to_host_id, "web-1.example_x", "web-1.example_x"),
    ],
)
def test_takes(convert: Callable[[str], Any], text: str, value: object) -> None:
    assert convert(text) == value


@pytest.mark.pure
@pytest.mark.parametrize(
    ("convert", "text", "message"),
    [
        (values.to_boolean, "x", "not a valid boolean value: 'x'"),
        (values.to_autorestart, "x", "invalid 'autorestart' value 'x'"),
        (values.to_integer, "x", "invalid literal for int() with base 10: 'x'"),
        (values.to_integer, "9" * 5000, "invalid literal for int() with base 10: "),
        (values.to_integer, "9999999999", "'9999999999' is out of range"),
        (values.to_byte_size, "5K", "invalid literal for int() with base 10: '5K'"),
        (values.to_byte_size, "1.5MB", "invalid literal for int() with base 10: '1.5'"),
        (values.to_octal, "9", "'9' can not be converted to an octal type"),
        (values.to_octal, "-1", "'-1' can not be converted to an octal type"),
        (values.to_signal, "FOO", "value 'FOO' is not a valid signal name"),
        (values.to_signal, "999", "value '999' is not a valid signal number"),
        (values.to_signal, "0", "value '0' is not a valid signal number"),
        (values.to_exit_codes, "256", "not a valid list of exit codes: '256'"),
        (values.to_exit_codes, "a", "not a valid list of exit codes: 'a'"),
        (values.to_path, "/nosuch/x", "The directory named as part of the path /nosuch/x does not exist"),
        (values.to_log, "/nosuch/x", "The directory named as part of the path /nosuch/x does not exist"),
        (values.to_directory, "/nosuch", "/nosuch is not an existing directory"),
        (values.to_log_level, "x", "bad logging level name 'x'"),
        (values.to_user, "nosuch_user", "Invalid user name nosuch_user"),
        (values.to_user, "987654321", "Invalid user id 987654321"),
        (values.to_user, "9" * 40, "Invalid user id " + "9" * 40),
        (values.to_name, "a b", "Invalid name: 'a b' because of character: ' '"),
        (values.to_name, "a:b", "Invalid name: 'a:b' because of character: ':'"),
        (values.to_name, "a/b", "Invalid name: 'a/b' because of character: '/'"),
        (values.to_name, "a\nb", "Invalid name: 'a\\nb' because of character: '\\n'"),
        (values.to_name, "  ", "Invalid name: '  ' is empty"),
        (values.to_address, "7601", "not an address: '7601'"),
        (values.to_address, "::1:7601", "not an address: '::1:7601'"),
        (values.to_address, "h:x", "not a valid port number: 'x'"),
        (values.to_address, "h:65536", "not a valid port number: '65536'"),
        (values.to_host_id, "a b", "not a host id: 'a b'"),
        (values.to_host_id, "", "not a host id: ''"),
    ],
)
def test_refuses(convert: Callable[[str], Any], text: str, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        convert(text)
    assert caught.value.message.startswith(message)


def test_paths_need_their_directory(tmp_path: Path) -> None:
    assert values.to_path(f"{tmp_path}/new.log") == f"{tmp_path}/new.log"
    assert values.to_directory(str(tmp_path)) == str(tmp_path)
    assert values.to_path("plain.log") == "plain.log"


PAIRS: list[tuple[Callable[[str], Any], Callable[[str], Any]]] = [
    (values.to_boolean, datatypes.boolean),
    (values.to_exit_codes, lambda text: frozenset(datatypes.list_of_exitcodes(text))),
    (values.to_byte_size, datatypes.byte_size),
    (values.to_integer, datatypes.integer),
    (values.to_signal, datatypes.signal_number),
    (values.to_log_level, datatypes.logging_level),
]
WORDS = st.one_of(
    st.sampled_from([*(name for name in dir(signal) if name.isupper()), "yes", "Off", "1", "warn", "Info"]),
    st.text(alphabet="0123456789 ,-+KMGBkmgb_tfu", max_size=6),
)


@pytest.mark.pure
@given(WORDS)
def test_agrees_with_supervisord(text: str) -> None:
    for ours, theirs in PAIRS:
        try:
            value = ours(text)
        except BadRequest:
            value = None
        try:
            expected = theirs(text)
        except (ValueError, TypeError):
            expected = None
        if ours is values.to_signal and (expected == 0 or text.upper().startswith(("SIG_", "_"))):
            continue  # SIG_DFL, SIG_IGN and SIG_BLOCK are no signals
        if ours is values.to_log_level and expected is not None:
            assert value == text.lower()
        elif expected is None or abs(expected if isinstance(expected, int) else 0) < 2**31:
            assert value == expected, (ours, text)


def test_home_less_user_is_refused_whoever_asks() -> None:
    assert values.to_user(str(os.geteuid())) == str(os.geteuid())
