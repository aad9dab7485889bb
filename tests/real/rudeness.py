"""Clients that no server wants: what they send over a TCP port, with and without a certificate."""

import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from fakes.certificates import Files

Attack = Callable[[str, Files], socket.socket]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\0\0\0\4\0\0\0\0\0"
# The head of a frame that claims 16 MB of DATA for a stream that nobody opened.
HUGE_FRAME = b"\xff\xff\xff\0\0\0\0\0\1"
# A handshake record that announces 512 bytes of ClientHello and brings a few.
HALF_HELLO = bytes.fromhex("160301020001000200fc0303") + b"\x11" * 20


def _connect(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=10)


def _plain(data: bytes) -> Attack:
    def attack(address: str, _: Files) -> socket.socket:
        connection = _connect(address)
        # Who is answered with a reset while he still speaks has been refused.
        with suppress(OSError):
            connection.sendall(data)
        return connection

    return attack


def _with_certificate(data: bytes) -> Attack:
    def attack(address: str, files: Files) -> socket.socket:
        context = ssl.create_default_context(cafile=files.ca)
        context.check_hostname = False
        context.load_cert_chain(files.certificate, files.key)
        context.set_alpn_protocols(["h2"])
        connection = context.wrap_socket(_connect(address), server_hostname="whoever")
        with suppress(OSError):
            connection.sendall(data)
        return connection

    return attack


ATTACKS: Mapping[str, Attack] = {
    "silence": _plain(b""),
    "garbage": _plain(bytes(range(256)) * 64),
    "half a hello": _plain(HALF_HELLO),
    "plain http": _plain(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    "http/2 without tls": _plain(PREFACE + SETTINGS),
    "certificate, then silence": _with_certificate(b""),
    "certificate, then garbage": _with_certificate(bytes(range(256)) * 64),
    "certificate, then half a preface": _with_certificate(PREFACE[:10]),
    "certificate, then a huge frame": _with_certificate(PREFACE + SETTINGS + HUGE_FRAME),
}


@contextmanager
def crowd(attack: Attack, count: int, address: str, files: Files) -> Iterator[None]:
    """So many of them at once, for as long as the block lasts; then all hang up."""
    connections: list[socket.socket] = []
    try:
        for _ in range(count):
            connections.append(attack(address, files))  # noqa: PERF401 - those made are closed if one fails
        yield
    finally:
        for connection in connections:
            connection.close()
