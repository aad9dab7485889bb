"""Network addresses as operators write them: "web1:7601", "10.0.0.1", "[::1]:7601".

Called by `channel` and `probe`, and by whoever reads an address from a person or a file.
"""

import ipaddress
import re
from typing import NamedTuple

from fleet_api.errors import BadRequest

_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252}[A-Za-z0-9_.])?")


class Address(NamedTuple):
    """Host name or IP address (without brackets), and port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse(text: str, default_port: int | None = None) -> Address:
    """The address that `text` writes.

    Raises: BadRequest when it is none, or has no port where there is no default.
    """
    host, port_text = _split(text)
    if ":" in host:
        try:
            ipaddress.IPv6Address(host)
        except ValueError as error:
            raise _malformed(text, f"{host[:60]!r} is no IPv6 address") from error
    elif not is_host_name(host):
        raise _malformed(text, f"{host[:60]!r} is no host name")
    if port_text is None:
        if default_port is None:
            raise _malformed(text, "the port is missing")
        return Address(host, default_port)
    if not (
        port_text.isascii() and port_text.isdigit() and len(port_text) <= 5 and 0 < int(port_text) < 65536
    ):
        raise _malformed(text, f"{port_text[:20]!r} is no port")
    return Address(host, int(port_text))


def is_host_name(text: str) -> bool:
    """Whether `text` can name a host; whether it does, only a resolver knows."""
    return bool(_HOST.fullmatch(text))


def _split(text: str) -> tuple[str, str | None]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")) or ":" not in host:
            raise _malformed(text, "brackets hold an IPv6 address, as in [::1]:7601")
        return host, rest[1:] if rest else None
    if text.count(":") > 1:
        return text, None
    host, colon, port = text.partition(":")
    return host, port if colon else None


def _malformed(text: str, why: str) -> BadRequest:
    return BadRequest("ADDRESS_MALFORMED", f"address {text[:80]!r}: {why}", "write HOST:PORT")
