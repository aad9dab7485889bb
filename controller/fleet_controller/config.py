"""The configuration file: from TOML to frozen values, every problem in one report.

Called by `main`. The defaults below are the only ones, with their units.
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from fleet_api import address, identity
from fleet_api.errors import BadRequest
from fleet_api.identity import Role

DEFAULT_LISTEN = "127.0.0.1:7600"
DEFAULT_FANOUT = 64  # hosts touched at once
DEFAULT_HOST_TIMEOUT = 30.0  # seconds for one host's answer
DEFAULT_CONNECT_TIMEOUT = 3.0  # seconds until a host that says nothing is given up
DEFAULT_HEARTBEAT = 2.0  # seconds between the beats of an agent
DEFAULT_MAX_CONNECTING = 50  # hosts dialled at once


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files of this controller; paths are absolute."""

    certificate: Path
    key: Path
    ca: Path


@dataclass(frozen=True, slots=True)
class Config:
    """A whole configuration. Durations in seconds, paths absolute; `tls` None: plaintext, asked for."""

    path: Path
    fleet: str
    name: str
    inventory: Path
    state_dir: Path
    tls: TlsFiles | None
    listen: str = DEFAULT_LISTEN
    fanout: int = DEFAULT_FANOUT
    host_timeout: float = DEFAULT_HOST_TIMEOUT
    connect_timeout: float = DEFAULT_CONNECT_TIMEOUT
    heartbeat: float = DEFAULT_HEARTBEAT
    max_connecting: int = DEFAULT_MAX_CONNECTING


CONTROLLER_KEYS = (
    "listen",
    "fleet",
    "name",
    "inventory",
    "state_dir",
    "fanout",
    "host_timeout",
    "connect_timeout",
    "heartbeat",
    "max_connecting",
)
TLS_KEYS = ("certificate", "key", "ca", "insecure_plaintext")
SECTIONS = ("controller", "tls")


def load(path: Path) -> Config:
    """The configuration in a file.

    Raises: BadRequest BAD_CONFIG whose message holds one line for each problem, with its place.
    """
    problems = Problems(path)
    document = read_toml(path, problems)
    for name in document:
        if name not in SECTIONS:
            problems.unknown(name, SECTIONS)
    section = problems.table(document, "controller")
    tls = problems.table(document, "tls")
    take = _Taker(section, "controller", CONTROLLER_KEYS, problems)
    folder = path.absolute().parent
    config = Config(
        path=path.absolute(),
        listen=take.text("listen", DEFAULT_LISTEN, _check_listen, "HOST:PORT"),
        fleet=take.text("fleet", None, identity.check_fleet, "the name of the fleet, as in its certificates"),
        name=take.text("name", None, _check_controller, "the name in this controller's certificate"),
        inventory=folder / take.text("inventory", None, _check_path, "the path of a TOML file"),
        state_dir=folder / take.text("state_dir", None, _check_path, "the path of a folder"),
        fanout=int(take.number("fanout", DEFAULT_FANOUT, 1, 10_000, whole=True)),
        host_timeout=take.number("host_timeout", DEFAULT_HOST_TIMEOUT, 0.1, 86_400),
        connect_timeout=take.number("connect_timeout", DEFAULT_CONNECT_TIMEOUT, 0.1, 600),
        heartbeat=take.number("heartbeat", DEFAULT_HEARTBEAT, 0.05, 600),
        max_connecting=int(take.number("max_connecting", DEFAULT_MAX_CONNECTING, 1, 10_000, whole=True)),
        tls=_tls(tls, folder, problems, is_given="tls" in document),
    )
    problems.raise_if_any("BAD_CONFIG")
    return config


def _tls(
    section: Mapping[str, Any], folder: Path, problems: "Problems", *, is_given: bool
) -> TlsFiles | None:
    take = _Taker(section, "tls", TLS_KEYS, problems)
    if take.flag("insecure_plaintext"):
        for key in ("certificate", "key", "ca"):
            if key in section:
                problems.add(
                    f"tls.{key}", "is given although insecure_plaintext = true; remove one of the two"
                )
        return None
    if not is_given:
        problems.add("tls", "is missing: give certificate, key and ca (`fleetctl pki issue` makes them)")
        return None
    words = "the path of a PEM file"
    return TlsFiles(
        *(folder / take.text(key, None, _check_path, words) for key in ("certificate", "key", "ca"))
    )


# ---------------------------------------------------------------- reading TOML with all its problems


class Problems:
    """What is wrong with a file: one line each, with the place in the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.lines: list[str] = []

    def add(self, place: str, words: str) -> None:
        """Note that the value at `place` is wrong."""
        self.lines.append(f"{self._path}: {place}: {words}" if place else f"{self._path}: {words}")

    def unknown(self, place: str, known: tuple[str, ...]) -> None:
        """Note a key that nobody knows, with the nearest known one."""
        prefix, _, key = place.rpartition(".")
        near = get_close_matches(key, known, n=1, cutoff=0.5)
        guess = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
        self.add(place, f"nobody knows this {'key' if prefix else 'section'}; {guess}")

    def table(self, document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
        """The table of this name, empty when absent or no table."""
        value = document.get(name, {})
        if not isinstance(value, dict):
            self.add(name, f"is {value!r} instead of a table [{name}]")
            return {}
        return value

    def raise_if_any(self, code: str) -> None:
        """Raise BadRequest with all of them."""
        if self.lines:
            raise BadRequest(
                code, "\n".join(self.lines), "correct the file; `fleet-controller check` reads it"
            )


def read_toml(path: Path, problems: Problems) -> dict[str, Any]:
    """The document of a TOML file; empty, with a problem noted, when it cannot be read."""
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        problems.add("", f"cannot be read: {error.strerror}")
    except UnicodeDecodeError as error:
        problems.add("", f"is no UTF-8 text: byte {error.start} is {error.object[error.start]:#04x}")
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        problems.add("", f"is no TOML: {error or 'nested too deeply'}")
    problems.raise_if_any("BAD_CONFIG")
    return {}


class _Taker:
    """Takes typed values out of one table and notes what is wrong with them."""

    def __init__(
        self, section: Mapping[str, Any], name: str, known: tuple[str, ...], problems: Problems
    ) -> None:
        self._section = section
        self._name = name
        self._problems = problems
        for key in section:
            if key not in known:
                problems.unknown(f"{name}.{key}", known)

    def text(self, key: str, default: str | None, check: Callable[[str], object], words: str) -> str:
        """A text that `check` does not refuse; `default` None: required."""
        value = self._section.get(key, default)
        place = f"{self._name}.{key}"
        if value is None:
            self._problems.add(place, f"is missing: {words}")
        elif not isinstance(value, str):
            self._problems.add(place, f"is {value!r}; it must be a text: {words}")
        else:
            try:
                check(value)
            except BadRequest as error:
                self._problems.add(place, "; ".join(filter(None, (error.message, error.hint))))
            else:
                return value
        return ""

    def number(self, key: str, default: float, least: float, most: float, *, whole: bool = False) -> float:
        """A number from `least` to `most`."""
        value = self._section.get(key, default)
        types = (int,) if whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, types) or not least <= value <= most:
            kind = "a whole number" if whole else "a number of seconds"
            self._problems.add(
                f"{self._name}.{key}", f"is {value!r}; it must be {kind} from {least:g} to {most:g}"
            )
            return default
        return value

    def flag(self, key: str) -> bool:
        """True or false; absent is false."""
        value = self._section.get(key, False)
        if not isinstance(value, bool):
            self._problems.add(f"{self._name}.{key}", f"is {value!r}; it must be true or false")
            return False
        return value


def _check_listen(text: str) -> None:
    # Port 0, the kernel's choice, is nothing to dial and so no address elsewhere.
    address.parse(text[:-1] + "1" if text.endswith(":0") else text)


def _check_controller(text: str) -> None:
    identity.make("fleet", Role.CONTROLLER, text)


def _check_path(text: str) -> None:
    if not text or "\0" in text:
        raise BadRequest("BAD_PATH", "an empty path" if not text else "a path with a zero byte")
