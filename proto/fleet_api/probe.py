"""Finds out why a fleet port does not answer: one plain TCP connection and TLS handshake, told in words.

gRPC calls every such failure UNAVAILABLE. Called by controller and fleetctl after a channel failed.
"""

import asyncio
import os
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import Any

from cryptography import x509

from fleet_api import address as addresses
from fleet_api import tls, unreachable
from fleet_api.address import Address
from fleet_api.credentials import Credentials
from fleet_api.errors import BadRequest, FleetError, Unavailable

# What a client of HTTP/2 says first, and an empty SETTINGS frame.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
# A server that refuses our certificate says so before it reads; so listen for a moment before speaking.
_LISTEN_FIRST_SECONDS = 0.3
_FIRST_BYTES = 64
_LOOK_SECONDS = 2.0
_VERDICT_SECONDS = 0.05

_AddressInfo = tuple[int, int, int, str, Any]


async def probe(
    address: str,
    credentials: Credentials | None,
    server_name: str,
    timeout: float,  # noqa: ASYNC109  (it stands in the answer)
) -> FleetError | None:
    """Why HOST:PORT cannot be used as the server `server_name`, or None when it speaks HTTP/2 over TLS.

    Ends after `timeout` seconds at the latest. Without credentials it expects HTTP/2 without TLS.
    Returns Unavailable with a code of `unreachable`, or BadRequest for a malformed address or name.
    """
    try:
        where = addresses.parse(address)
        if credentials is not None and not addresses.is_host_name(server_name):
            raise BadRequest("SERVER_NAME_MALFORMED", f"{server_name[:80]!r} cannot be the name of a server")
    except BadRequest as error:
        return error
    if credentials is not None and (problem := _own_problem(credentials, time.time())):
        return problem
    end = asyncio.get_running_loop().time() + timeout
    try:
        with await _connect(where, end) as sock:
            try:
                async with asyncio.timeout_at(end):
                    if credentials is None:
                        return await _probe_plain(sock, str(where))
                    return await _probe_tls(sock, str(where), credentials, server_name, end)
            except TimeoutError:
                return unreachable.not_answering(str(where), timeout)
    except Unavailable as failure:
        return failure


def _own_problem(credentials: Credentials, now: float) -> Unavailable | None:
    certificate = x509.load_pem_x509_certificate(credentials.certificate)
    problem = tls.validity_problem(certificate, str(credentials.identity), now)
    if problem is None:
        return None
    return Unavailable(f"OWN_{problem.code}", f"our own {problem.message}", problem.hint)


async def _connect(where: Address, end: float) -> socket.socket:
    loop = asyncio.get_running_loop()
    found = await _resolve(where, end)
    failures: list[Unavailable] = []
    for index, (family, kind, protocol, _, peer) in enumerate(found):
        # Each address gets its share, so that one that swallows packets does not hide the next.
        share = (end - loop.time()) / (len(found) - index)
        with ExitStack() as unless_connected:
            try:
                sock = unless_connected.enter_context(socket.socket(family, kind, protocol))
                sock.setblocking(False)
                async with asyncio.timeout(share):
                    await loop.sock_connect(sock, peer)
            except OSError as error:
                failures.append(unreachable.connect_failed(str(where), error))
            else:
                unless_connected.pop_all()
                return sock
    if not failures:
        raise unreachable.name_not_found(where.host, "the answer was empty")
    raise unreachable.most_telling(failures)


async def _resolve(where: Address, end: float) -> Sequence[_AddressInfo]:
    # Numbers need no thread: a thousand probes at once must not queue behind a slow name service.
    with suppress(socket.gaierror, UnicodeError):
        return socket.getaddrinfo(
            where.host, where.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
        )
    try:
        async with asyncio.timeout_at(end):
            return await _look_up(where)
    except TimeoutError:
        raise unreachable.name_not_found(where.host, "the name service did not answer in time") from None
    except socket.gaierror as error:
        raise unreachable.name_not_found(where.host, error.strerror or str(error)) from error
    except UnicodeError as error:
        raise unreachable.name_not_found(where.host, "no valid name") from error


async def _look_up(where: Address) -> Sequence[_AddressInfo]:
    # In a thread of its own: asyncio.run waits for those of its pool, however long the name service takes.
    loop = asyncio.get_running_loop()
    found: asyncio.Future[Sequence[_AddressInfo]] = loop.create_future()

    def settle(addresses: Sequence[_AddressInfo], error: Exception | None) -> None:
        if found.done():
            return
        if error is None:
            found.set_result(addresses)
        else:
            found.set_exception(error)

    def look() -> None:
        addresses: Sequence[_AddressInfo] = ()
        problem: Exception | None = None
        try:
            addresses = socket.getaddrinfo(where.host, where.port, type=socket.SOCK_STREAM)
        except Exception as error:  # it is the caller's
            problem = error
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, addresses, problem)

    threading.Thread(target=look, name=f"look up {where.host}", daemon=True).start()
    return await found


async def _probe_plain(sock: socket.socket, where: str) -> Unavailable | None:
    loop = asyncio.get_running_loop()
    heard = b""
    try:
        await loop.sock_sendall(sock, _PREFACE)
        while len(heard) < 9 and (data := await loop.sock_recv(sock, _FIRST_BYTES)):
            heard += data
    except OSError:
        heard = heard or b""
    return None if unreachable.is_http2(heard) else unreachable.not_a_fleet_port(where, heard)


async def _probe_tls(
    sock: socket.socket, where: str, credentials: Credentials, server_name: str, end: float
) -> Unavailable | None:
    try:
        context = _context(credentials)
    except (OSError, ValueError) as error:
        raise Unavailable(
            "OWN_CREDENTIALS_UNUSABLE", f"our own credentials cannot be used: {error}"
        ) from error
    session = _TlsSession(sock, context, server_name)
    try:
        await session.handshake()
    except ssl.SSLCertVerificationError as error:
        said, names = await _look_at_peer(sock, server_name, end)
        return unreachable.peer_not_trusted(where, server_name, error, said, names)
    except ssl.SSLError as error:
        return unreachable.handshake_failed(where, error, session.first_bytes)
    except OSError:
        return unreachable.closed_in_handshake(where, session.first_bytes)
    if session.alpn != "h2":
        return unreachable.not_a_fleet_port(where, session.first_bytes)
    # Subtle: with TLS 1.3 our handshake ends before the server has looked at our certificate.
    heard = b""
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(_LISTEN_FIRST_SECONDS):
                heard = await session.read()
        if not heard:
            await session.write(_PREFACE)
        while len(heard) < 9:
            heard += await session.read()
    except ssl.SSLError as error:
        return unreachable.handshake_failed(where, error, session.first_bytes)
    except OSError:
        return unreachable.closed_in_handshake(where, session.first_bytes)
    return None if unreachable.is_http2(heard) else unreachable.not_a_fleet_port(where, session.first_bytes)


class _TlsSession:
    """TLS over a connected socket, by hand: asyncio's own transport hides the first bytes and lingers."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, server_name: str) -> None:
        self._sock = sock
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=server_name)
        self.first_bytes = b""

    @property
    def alpn(self) -> str | None:
        return self._tls.selected_alpn_protocol()

    @property
    def peer_certificate(self) -> bytes | None:
        return self._tls.getpeercert(binary_form=True)

    async def handshake(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            except ssl.SSLError:
                with suppress(OSError):
                    await self._flush()
                raise
            else:
                await self._flush()
                return

    async def write(self, data: bytes) -> None:
        self._tls.write(data)
        await self._flush()

    async def read(self) -> bytes:
        while True:
            try:
                data = self._tls.read(_FIRST_BYTES)
            except ssl.SSLWantReadError:
                await self._fill()
            except ssl.SSLZeroReturnError as error:
                raise ConnectionResetError("end of stream") from error
            else:
                if not data:
                    raise ConnectionResetError("end of stream")
                return data

    async def _fill(self) -> None:
        data = await asyncio.get_running_loop().sock_recv(self._sock, 16384)
        if not data:
            raise ConnectionResetError("end of stream")
        self.first_bytes = (self.first_bytes + data)[:_FIRST_BYTES]
        self._in.write(data)

    async def _flush(self) -> None:
        if self._out.pending:
            await asyncio.get_running_loop().sock_sendall(self._sock, self._out.read())


async def _look_at_peer(sock: socket.socket, server_name: str, end: float) -> tuple[str, str]:
    """What an untrusted certificate says: of its dates, and whom it names. Nothing of ours is sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    try:
        host, port = sock.getpeername()[:2]
        # Bounded apart: the verdict stands already, and must not turn into a time-out.
        end = min(end - _VERDICT_SECONDS, asyncio.get_running_loop().time() + _LOOK_SECONDS)
        with await _connect(Address(host, port), end) as second:
            session = _TlsSession(second, context, server_name)
            async with asyncio.timeout_at(end):
                await session.handshake()
            certificate = x509.load_der_x509_certificate(session.peer_certificate or b"")
            names = _names(certificate)
    except (OSError, ValueError, FleetError):
        return "", ""
    problem = tls.validity_problem(certificate, names or "the server", time.time())
    return (problem.message if problem else ""), names


def _names(certificate: x509.Certificate) -> str:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        text = certificate.subject.rfc4514_string()
    else:
        text = ", ".join(names.get_values_for_type(x509.DNSName))
    # A stranger chose these letters; they must not command a terminal.
    return "".join(letter if letter.isprintable() else "?" for letter in text[:100])


def _context(credentials: Credentials) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.hostname_checks_common_name = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # as gRPC verifies
    context.set_alpn_protocols(["h2"])
    context.load_verify_locations(cadata=credentials.ca.decode("ascii", "ignore"))
    _load_pair(context, credentials.certificate + b"\n" + credentials.key)
    return context


def _load_pair(context: ssl.SSLContext, pem: bytes) -> None:
    # Python's ssl reads certificates from files only; the key must not lie on a disk for it.
    try:
        fd = os.memfd_create("credentials", os.MFD_CLOEXEC)
    except (AttributeError, OSError):
        _load_pair_from_disk(context, pem)
        return
    try:
        with os.fdopen(os.dup(fd), "wb") as file:
            file.write(pem)
        context.load_cert_chain(f"/proc/self/fd/{fd}", password=b"")
    except FileNotFoundError:  # no /proc
        _load_pair_from_disk(context, pem)
    finally:
        os.close(fd)


def _load_pair_from_disk(context: ssl.SSLContext, pem: bytes) -> None:
    fd, path = tempfile.mkstemp()
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(pem)
        context.load_cert_chain(path, password=b"")
    finally:
        os.unlink(path)
