"""Each reason why a host is unreachable, against real sockets."""

import asyncio
import os
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from fakes.certificates import Files, Pki, make
from fleet_api import channel, probe, unreachable
from fleet_api.errors import BadRequest, FleetError, Unavailable
from fleet_api.identity import Role

DEADLINE = 10.0
SETTINGS = b"\0\0\0\4\0\0\0\0\0"
DAY = 86400

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make(tmp_path_factory.mktemp("pki"), hosts=("web1", "db1"))


@asynccontextmanager
async def _listening(handler: Handler, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@asynccontextmanager
async def _agent(files: Files, stranger: Pki | None = None) -> AsyncIterator[str]:
    credentials = files.load()
    if stranger is not None:
        credentials = credentials._replace(ca=stranger.controller.load().ca)
    server = grpc.aio.server(options=channel.server_options())
    port = server.add_secure_port("127.0.0.1:0", channel.server_credentials(credentials))
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


def _server_context(files: Files, ca: str | None = None, alpn: str = "h2") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    context.set_alpn_protocols([alpn])
    if ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(ca)
    return context


async def _settings(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(SETTINGS)
    await writer.drain()
    await reader.read(1000)


async def _silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(1000):
        pass


def _probe(
    pki: Pki, address: str, host: str = "web1", seconds: float = DEADLINE
) -> Awaitable[FleetError | None]:
    return probe.probe(address, pki.controller.load(), f"{host}.agent.{pki.fleet}", seconds)


async def _verdict(pki: Pki, address: str, host: str = "web1", seconds: float = DEADLINE) -> Unavailable:
    verdict = await _probe(pki, address, host, seconds)
    assert isinstance(verdict, Unavailable), verdict
    assert verdict.hint
    assert verdict.message
    return verdict


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def _test_healthy(pki: Pki) -> None:
    async with _agent(pki.agents["web1"]) as address:
        assert await _probe(pki, address) is None


def test_a_healthy_agent_passes(pki: Pki) -> None:
    asyncio.run(_test_healthy(pki))


def test_comments_in_the_files_do_no_harm(pki: Pki) -> None:
    own = pki.controller.load()
    comment = "# Zürich\n".encode()
    spoken = own._replace(ca=comment + own.ca, certificate=comment + own.certificate)

    async def run() -> None:
        async with _agent(pki.agents["web1"]) as address:
            assert await probe.probe(address, spoken, "web1.agent.test", DEADLINE) is None

    asyncio.run(run())


def test_credentials_that_tls_does_not_take_are_told(pki: Pki) -> None:
    async def run() -> None:
        async with _agent(pki.agents["web1"]) as address:
            for broken in (pki.controller.load()._replace(key=b""), pki.controller.load()._replace(ca=b"")):
                verdict = await probe.probe(address, broken, "web1.agent.test", DEADLINE)
                assert isinstance(verdict, Unavailable)
                assert verdict.code == "OWN_CREDENTIALS_UNUSABLE"

    asyncio.run(run())


def test_a_server_that_waits_for_us_to_speak_first_passes(pki: Pki) -> None:
    async def polite(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert (await reader.readexactly(24)).startswith(b"PRI * HTTP/2.0")
        await _settings(reader, writer)

    async def run() -> None:
        async with _listening(polite, _server_context(pki.agents["web1"])) as address:
            assert await _probe(pki, address) is None

    asyncio.run(run())


def test_a_closed_port_refuses(pki: Pki) -> None:
    port = _free_port()
    verdict = asyncio.run(_verdict(pki, f"127.0.0.1:{port}"))
    assert verdict.code == unreachable.CONNECTION_REFUSED
    assert f"127.0.0.1:{port}" in verdict.message
    assert "systemctl" in verdict.hint


def test_a_name_without_address_is_not_found(pki: Pki) -> None:
    verdict = asyncio.run(_verdict(pki, "no-such-host.invalid:7601"))
    assert verdict.code == unreachable.NAME_NOT_FOUND
    assert "no-such-host.invalid" in verdict.message


def test_a_label_too_long_for_dns_is_not_found(pki: Pki) -> None:
    assert asyncio.run(_verdict(pki, "a" * 70 + ".example:1")).code == unreachable.NAME_NOT_FOUND


def test_a_silent_name_service_does_not_hold_up_the_caller(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()
    ask = socket.getaddrinfo

    def slow(*arguments: Any, **more: Any) -> Any:
        if not more.get("flags"):
            answer.wait(60)
        return ask(*arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    try:
        verdict = asyncio.run(_verdict(pki, "localhost:7601", seconds=0.1))
        assert not answer.is_set()
    finally:
        answer.set()
    assert verdict.code == unreachable.NAME_NOT_FOUND
    assert "did not answer in time" in verdict.message


def test_a_name_is_looked_up(pki: Pki) -> None:
    async def run() -> None:
        async with _agent(pki.agents["web1"]) as address:
            assert await _probe(pki, address.replace("127.0.0.1", "localhost")) is None

    asyncio.run(run())


def test_a_full_backlog_times_out(pki: Pki) -> None:
    # A listener whose queue is full drops our SYN, as a filter does.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = []
        try:
            for _ in range(4):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
                fillers.append(filler)
            address = f"127.0.0.1:{listener.getsockname()[1]}"
            verdict = asyncio.run(_verdict(pki, address, seconds=0.5))
        finally:
            for filler in fillers:
                filler.close()
    assert verdict.code == unreachable.CONNECT_TIMED_OUT


def test_an_address_without_route_is_told(pki: Pki) -> None:
    verdict = asyncio.run(_verdict(pki, "255.255.255.255:7601", seconds=2))
    assert verdict.code == unreachable.NO_ROUTE


def test_a_listener_that_says_nothing_is_not_answering(pki: Pki) -> None:
    async def run() -> None:
        async with _listening(_silence) as address:
            verdict = await _verdict(pki, address, seconds=0.3)
            assert verdict.code == unreachable.NOT_ANSWERING
            assert "0.3 s" in verdict.message

    asyncio.run(run())


def test_a_server_that_says_nothing_after_the_handshake_is_not_answering(pki: Pki) -> None:
    async def run() -> None:
        async with _listening(_silence, _server_context(pki.agents["web1"])) as address:
            assert (await _verdict(pki, address, seconds=1)).code == unreachable.NOT_ANSWERING

    asyncio.run(run())


@pytest.mark.parametrize(
    ("greeting", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "plain HTTP"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "SSH"),
        (SETTINGS, "without TLS"),
        (b"\x1b[2J hello, whoever you are", "\\x1b[2J"),
        (b"", "closed the connection"),
    ],
)
def test_another_protocol_is_not_a_fleet_port(pki: Pki, greeting: bytes, words: str) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10_000)
        writer.write(greeting)
        await writer.drain()

    async def run() -> None:
        async with _listening(greet) as address:
            verdict = await _verdict(pki, address)
            assert verdict.code == unreachable.NOT_A_FLEET_PORT
            assert words in verdict.message

    asyncio.run(run())


def test_tls_without_http2_is_not_a_fleet_port(pki: Pki) -> None:
    async def run() -> None:
        context = _server_context(pki.agents["web1"], alpn="http/1.1")
        async with _listening(_silence, context) as address:
            verdict = await _verdict(pki, address)
            assert verdict.code == unreachable.NOT_A_FLEET_PORT
            assert "TLS, but not HTTP/2" in verdict.message

    asyncio.run(run())


def test_an_expired_server_is_told_with_its_name_and_age(pki: Pki) -> None:
    old = pki.issue(Role.AGENT, "old", days=1, now=time.time() - 3 * DAY)

    async def run() -> None:
        async with _listening(_settings, _server_context(old)) as address:
            verdict = await _verdict(pki, address, host="old")
            assert verdict.code == unreachable.CERTIFICATE_EXPIRED
            assert "certificate of old.agent.test expired 2 d ago" in verdict.message

    asyncio.run(run())


def test_a_server_from_the_future_is_told(tmp_path: Path) -> None:
    from fleet_api import pki as authority
    from fleet_api.identity import make as make_identity

    own = make(tmp_path)
    ca, key = Path(own.ca).read_bytes(), Path(own.ca_key).read_bytes()
    issued = authority.issue(
        ca, key, make_identity("test", Role.AGENT, "soon"), days=1, now=time.time() + DAY / 2
    )
    (tmp_path / "soon.crt").write_bytes(issued.certificate)
    (tmp_path / "soon.key").write_bytes(issued.key)
    soon = Files(str(tmp_path / "soon.crt"), str(tmp_path / "soon.key"), own.ca, own.agents["web1"].identity)

    async def run() -> None:
        async with _listening(_settings, _server_context(soon)) as address:
            verdict = await _verdict(own, address, host="soon")
            assert verdict.code == unreachable.CERTIFICATE_NOT_YET_VALID
            assert "clock" in verdict.hint

    asyncio.run(run())


def test_another_host_at_the_address_is_a_wrong_name(pki: Pki) -> None:
    async def run() -> None:
        async with _agent(pki.agents["db1"]) as address:
            verdict = await _verdict(pki, address, host="web1")
            assert verdict.code == unreachable.WRONG_NAME
            assert "db1.agent.test" in verdict.message
            assert "web1.agent.test" in verdict.message

    asyncio.run(run())


def test_a_user_certificate_cannot_serve(pki: Pki) -> None:
    async def run() -> None:
        async with _listening(_settings, _server_context(pki.operator)) as address:
            assert (await _verdict(pki, address)).code == unreachable.WRONG_NAME

    asyncio.run(run())


def test_a_server_of_another_fleet_has_an_unknown_ca(pki: Pki, tmp_path: Path) -> None:
    stranger = make(tmp_path)

    async def run() -> None:
        async with _agent(stranger.agents["web1"]) as address:
            verdict = await _verdict(pki, address)
            assert verdict.code == unreachable.UNKNOWN_CA
            assert "another fleet" in verdict.hint

    asyncio.run(run())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_server_that_does_not_know_our_ca_refuses(
    pki: Pki, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    context = _server_context(pki.agents["web1"], ca=make(tmp_path).ca)
    context.maximum_version = version

    # Blocking: asyncio's server closes without sending its alert.
    def serve_once(listener: socket.socket) -> None:
        accepted, _ = listener.accept()
        with accepted, pytest.raises(ssl.SSLError):
            context.wrap_socket(accepted, server_side=True)

    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(DEADLINE)
            serving = asyncio.create_task(asyncio.to_thread(serve_once, listener))
            verdict = await _verdict(pki, f"127.0.0.1:{listener.getsockname()[1]}")
            await serving
        assert verdict.code == unreachable.CERTIFICATE_REFUSED
        assert "does not know the CA" in verdict.message

    asyncio.run(run())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_server_that_hangs_up_on_our_certificate_refuses(
    pki: Pki, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    context = _server_context(pki.agents["web1"], ca=make(tmp_path).ca)
    context.maximum_version = version

    async def run() -> None:
        async with _listening(_settings, context) as address:
            assert (await _verdict(pki, address)).code == unreachable.CERTIFICATE_REFUSED

    asyncio.run(run())


def test_an_agent_that_does_not_know_our_ca_refuses(pki: Pki, tmp_path: Path) -> None:
    stranger = make(tmp_path)

    async def run() -> None:
        async with _agent(pki.agents["web1"], stranger) as address:
            assert (await _verdict(pki, address)).code == unreachable.CERTIFICATE_REFUSED

    asyncio.run(run())


def test_an_agent_does_not_take_another_agent_for_a_client(pki: Pki) -> None:
    async def run() -> None:
        async with _agent(pki.agents["web1"]) as address:
            verdict = await probe.probe(address, pki.agents["db1"].load(), "web1.agent.test", DEADLINE)
            assert isinstance(verdict, Unavailable)
            assert verdict.code == unreachable.CERTIFICATE_REFUSED

    asyncio.run(run())


def test_our_own_expired_certificate_is_told_before_anyone_is_asked(pki: Pki) -> None:
    late = pki.issue(Role.CONTROLLER, "late", days=1, now=time.time() - 2 * DAY)
    from fleet_api import tls

    credentials = tls.from_pem(
        Path(late.certificate).read_bytes(), Path(late.key).read_bytes(), Path(late.ca).read_bytes()
    )
    verdict = asyncio.run(probe.probe(f"127.0.0.1:{_free_port()}", credentials, "web1.agent.test", DEADLINE))
    assert isinstance(verdict, Unavailable)
    assert verdict.code == unreachable.OWN_CERTIFICATE_EXPIRED
    assert "controller/late" in verdict.message


@pytest.mark.parametrize(("address", "name"), [("web1", "web1.agent.test"), ("web1:7601", ""), ("a:1", ".x")])
def test_a_malformed_address_or_name_is_a_bad_request(pki: Pki, address: str, name: str) -> None:
    verdict = asyncio.run(probe.probe(address, pki.controller.load(), name, DEADLINE))
    assert isinstance(verdict, BadRequest)


def test_without_credentials_it_expects_http2_without_tls(pki: Pki) -> None:
    async def run() -> None:
        async with _listening(_settings) as address:
            assert await probe.probe(address, None, "", DEADLINE) is None
        async with _agent(pki.agents["web1"]) as address:
            verdict = await probe.probe(address, None, "", DEADLINE)
            assert isinstance(verdict, Unavailable)
            assert verdict.code == unreachable.NOT_A_FLEET_PORT

    asyncio.run(run())


def test_nothing_stays_open_and_no_key_stays_on_disk(
    pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delattr(os, "memfd_create")

    async def run() -> None:
        async with _agent(pki.agents["web1"]) as address:
            assert await _probe(pki, address) is None
            before = len(os.listdir("/proc/self/fd"))
            for _ in range(20):
                assert await _probe(pki, address, host="db1") is not None
            # The server's ends are in this process too, and close when it likes.
            for _ in range(1000):
                if len(os.listdir("/proc/self/fd")) <= before + 2:
                    break
                await asyncio.sleep(0.01)
            assert len(os.listdir("/proc/self/fd")) <= before + 2
        assert os.listdir(tmp_path) == []

    asyncio.run(run())
