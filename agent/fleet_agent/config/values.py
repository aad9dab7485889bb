"""Converters: the text of one value to what it means, or the reason why it means nothing.

Each takes the text after expansion and raises BadRequest in supervisord's words. Used by the table in
`config.options`; `to_signal` also by whoever reads a signal's name from an operator.
"""

import os
import pwd
import signal

from fleet_api.errors import BadRequest

from fleet_agent.config.problems import shown
from fleet_agent.core.model import Autorestart

MAX_INTEGER = 2**31 - 1

NO_LOG = ""
AUTO_LOG = "AUTO"
SYSLOG = "SYSLOG"

LOG_LEVELS = ("critical", "error", "warn", "info", "debug", "trace", "blather")

_TRUE = frozenset({"yes", "true", "on", "1"})
_FALSE = frozenset({"no", "false", "off", "0"})
_SIZES = {"kb": 1024, "mb": 1024**2, "gb": 1024**3}
_LOG_WORDS = {"": NO_LOG, "none": NO_LOG, "off": NO_LOG, "auto": AUTO_LOG, "syslog": SYSLOG}

LOG_WORDS = frozenset(_LOG_WORDS)
"""What stands for a log file without being a path; in lower case."""


def _bad(message: str, hint: str = "") -> BadRequest:
    return BadRequest("BAD_VALUE", message, hint)


def to_text(text: str) -> str:
    """Any text, as it is."""
    return text


def to_boolean(text: str) -> bool:
    """`yes true on 1` or `no false off 0`, in any case."""
    word = text.lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise _bad(f"not a valid boolean value: {shown(text)}", "write true or false")


def to_autorestart(text: str) -> Autorestart:
    """A boolean, or `unexpected`."""
    word = text.lower()
    if word == "unexpected":
        return Autorestart.UNEXPECTED
    if word in _TRUE:
        return Autorestart.ALWAYS
    if word in _FALSE:
        return Autorestart.NEVER
    raise _bad(f"invalid 'autorestart' value {shown(text)}", "write true, false or unexpected")


def to_integer(text: str) -> int:
    """What Python's int takes, of at most 31 bits."""
    return _bounded(_int(text), text, MAX_INTEGER)


def _int(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise _bad(
            f"invalid literal for int() with base 10: {shown(text)}", "write a whole number"
        ) from error


def _bounded(number: int, text: str, bound: int) -> int:
    if abs(number) > bound:
        raise _bad(f"{shown(text)} is out of range", f"at most {bound}")
    return number


def to_byte_size(text: str) -> int:
    """An integer with or without `KB`, `MB` or `GB`; unit: bytes."""
    factor = _SIZES.get(text[-2:].lower(), 0)
    number = _int(text[:-2]) * factor if factor else _int(text)
    return _bounded(number, text, 2**62)


def to_octal(text: str) -> int:
    """An octal file mode."""
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o7777:
        raise _bad(f"{shown(text)} can not be converted to an octal type", "write digits 0 to 7, such as 022")
    return mode


def to_signal(text: str) -> int:
    """The number of a signal given by name, with or without SIG, in any case, or by number."""
    name = text.strip().upper()
    # The module, not the enumeration: that has no aliases such as SIGCLD.
    known = {key: int(found) for key, found in vars(signal).items() if isinstance(found, signal.Signals)}
    number = known.get(name, known.get(f"SIG{name}"))
    if number is not None:
        return number
    try:
        number = int(text)
    except ValueError as error:
        raise _bad(f"value {shown(text)} is not a valid signal name", "such as TERM, HUP or INT") from error
    if number not in known.values():
        raise _bad(f"value {shown(text)} is not a valid signal number", "such as 15 or TERM")
    return number


def to_exit_codes(text: str) -> frozenset[int]:
    """Codes from 0 to 255, separated by commas."""
    try:
        codes = frozenset(int(code) for code in to_list(text))
    except ValueError:
        codes = frozenset({-1})
    if not all(0 <= code <= 255 for code in codes):
        raise _bad(f"not a valid list of exit codes: {shown(text)}", "write codes from 0 to 255, such as 0,2")
    return codes


def to_list(text: str) -> tuple[str, ...]:
    """Words separated by commas; nothing for an empty text."""
    return tuple(word.strip() for word in text.split(",")) if text else ()


def to_path(text: str) -> str:
    """A path of which the directory exists."""
    directory = os.path.dirname(text)
    if directory and not os.path.isdir(directory):
        message = f"The directory named as part of the path {text} does not exist"
        raise _bad(message, f"create {directory}, or name another")
    return text


def to_directory(text: str) -> str:
    """A directory that exists."""
    if not os.path.isdir(text):
        raise _bad(f"{text} is not an existing directory", "create it, or name another")
    return text


def to_log(text: str) -> str:
    """`NO_LOG`, `AUTO_LOG`, `SYSLOG`, or a path as `to_path` takes it."""
    word = _LOG_WORDS.get(text.lower())
    return to_path(text) if word is None else word


def to_log_level(text: str) -> str:
    """A level's name in lower case."""
    level = text.lower()
    if level not in LOG_LEVELS:
        raise _bad(f"bad logging level name {shown(text)}", f"one of {', '.join(LOG_LEVELS)}")
    return level


def to_user(text: str) -> str:
    """The name or number of a user that exists."""
    name = text.strip()
    try:
        number = int(name)
    except ValueError:
        number = None
    try:
        if number is None:
            pwd.getpwnam(name)
        else:
            pwd.getpwuid(number)
    except (KeyError, OverflowError, ValueError) as error:
        kind = "name" if number is None else "id"
        raise _bad(f"Invalid user {kind} {name}", "create the user, or name one that exists") from error
    return name


def to_name(text: str) -> str:
    """The name of a program, group or process: without blank, colon, slash or control character."""
    name = text.strip()
    for letter in name:
        if letter in " :/" or not letter.isprintable():
            raise _bad(f"Invalid name: {shown(text)} because of character: {letter!r}")
    if not name:
        raise _bad(f"Invalid name: {shown(text)} is empty")
    return name


def to_address(text: str) -> str:
    """`host:port` to listen at; port 0 lets the kernel choose."""
    host, colon, port = text.strip().rpartition(":")
    if not colon or not host or (":" in host and not (host.startswith("[") and host.endswith("]"))):
        raise _bad(f"not an address: {shown(text)}", "write host:port, such as 0.0.0.0:7601 or [::1]:7601")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
        raise _bad(f"not a valid port number: {shown(port)}", "write a number from 0 to 65535")
    return f"{host}:{int(port)}"


def to_host_id(text: str) -> str:
    """The stable name of a host: letters, digits, `.`, `_` and `-`; it stands in its certificate."""
    if not (
        text.isascii()
        and len(text) <= 253
        and text.replace(".", "").replace("_", "").replace("-", "").isalnum()
    ):
        raise _bad(f"not a host id: {shown(text)}", "use letters, digits, dots, underscores and hyphens")
    return text
