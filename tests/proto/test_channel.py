"""Channels and servers over real TLS: who gets in, and who is taken for whom."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio
import pytest
from fakes.certificates import Files, Pki, make
from fleet_api import channel, identity, status_codes
from fleet_api.credentials import Credentials
from fleet_api.errors import BadRequest, FleetError, Unavailable
from fleet_api.identity import Identity, Role
from fleet_api.tls import from_pem

DEADLINE = 10.0


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make(tmp_path_factory.mktemp("pki"), hosts=("web1", "db_1"))


@asynccontextmanager
async def _server(
    credentials: grpc.ServerCredentials | None, options: channel.Options | None = None
) -> AsyncIterator[str]:
    """Answers each call with the identity of its caller, or whatever number of bytes it asks for."""

    async def who(_: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        try:
            return identity.from_auth_context(context.auth_context()).uri.encode()
        except FleetError as error:
            await status_codes.abort(context, error)

    async def blob(size: bytes, _: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        return b"x" * int(size)

    handlers = {
        "who": grpc.unary_unary_rpc_method_handler(who),
        "blob": grpc.unary_unary_rpc_method_handler(blob),
    }
    server = grpc.aio.server(options=options if options is not None else channel.server_options())
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t", handlers),))
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


async def _call(
    target: str, credentials: Credentials | None, name: str, method: str = "who", body: bytes = b""
) -> bytes | FleetError:
    try:
        async with channel.open_channel(target, credentials, name) as opened:
            answer: bytes = await opened.unary_unary(f"/t/{method}", None, None)(body, timeout=DEADLINE)
            return answer
    except grpc.RpcError as failure:
        return status_codes.from_rpc_error(failure)


def _call_agent(files: Files, client: Credentials | None, expected: Identity) -> bytes | FleetError:
    async def run() -> bytes | FleetError:
        async with _server(channel.server_credentials(files.load())) as target:
            return await _call(target, client, expected.dns_name)

    return asyncio.run(run())


@pytest.mark.parametrize("party", ["controller", "operator"])
@pytest.mark.parametrize("host", ["web1", "db_1"])
def test_controller_and_operator_get_in_and_are_known(pki: Pki, party: str, host: str) -> None:
    caller: Files = getattr(pki, party)
    agent = pki.agents[host]
    assert _call_agent(agent, caller.load(), agent.identity) == caller.identity.uri.encode()


def test_an_operator_reaches_a_controller(pki: Pki) -> None:
    answer = _call_agent(pki.controller, pki.operator.load(), pki.controller.identity)
    assert answer == pki.operator.identity.uri.encode()


def test_the_blocking_channel_does_the_same(pki: Pki) -> None:
    agent = pki.agents["web1"]

    def call(target: str) -> bytes:
        with channel.open_blocking_channel(target, pki.operator.load(), agent.identity.dns_name) as opened:
            answer: bytes = opened.unary_unary("/t/who", None, None)(b"", timeout=DEADLINE)
            return answer

    async def run() -> bytes:
        async with _server(channel.server_credentials(agent.load())) as target:
            return await asyncio.to_thread(call, target)

    assert asyncio.run(run()) == pki.operator.identity.uri.encode()


def test_an_agent_cannot_call_its_neighbour(pki: Pki) -> None:
    agent = pki.agents["web1"]
    assert isinstance(_call_agent(agent, pki.agents["db_1"].load(), agent.identity), Unavailable)


@pytest.mark.parametrize("who", ["operator", "controller"])
def test_nobody_but_the_agent_is_taken_for_it(pki: Pki, who: str) -> None:
    poser: Files = getattr(pki, who)
    answer = _call_agent(poser, pki.operator.load(), pki.agents["web1"].identity)
    assert isinstance(answer, Unavailable)


@pytest.mark.parametrize("days_ago", [5, -5])
def test_a_certificate_out_of_its_time_does_not_get_in_on_either_side(
    pki: Pki, tmp_path: Path, days_ago: float
) -> None:
    own = make(tmp_path)
    now = time.time() - days_ago * 86400

    def unchecked(files: Files) -> Credentials:
        certificate, key, ca = (Path(path).read_bytes() for path in (files.certificate, files.key, files.ca))
        return from_pem(certificate, key, ca)

    agent = own.agents["web1"]
    late = unchecked(own.issue(Role.OPERATOR, "bob", now=now))
    assert isinstance(_call_agent(agent, late, agent.identity), Unavailable)
    server = unchecked(own.issue(Role.AGENT, "web2", now=now))

    async def run() -> bytes | FleetError:
        async with _server(channel.server_credentials(server)) as target:
            return await _call(target, own.operator.load(), server.identity.dns_name)

    assert isinstance(asyncio.run(run()), Unavailable)


def test_a_caller_without_certificate_does_not_get_in(pki: Pki) -> None:
    agent = pki.agents["web1"]

    async def run() -> None:
        naked = grpc.ssl_channel_credentials(root_certificates=agent.load().ca)
        options = [("grpc.ssl_target_name_override", agent.identity.dns_name)]
        async with _server(channel.server_credentials(agent.load())) as target:
            async with grpc.aio.secure_channel(target, naked, options=options) as opened:
                with pytest.raises(grpc.RpcError) as caught:
                    await opened.unary_unary("/t/who", None, None)(b"", timeout=DEADLINE)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE

    asyncio.run(run())


def test_a_caller_of_another_fleet_does_not_get_in(pki: Pki, tmp_path: Path) -> None:
    agent = pki.agents["web1"]
    stranger = make(tmp_path, fleet="other")
    caller = stranger.controller.load()._replace(ca=agent.load().ca)
    assert isinstance(_call_agent(agent, caller, agent.identity), Unavailable)


def test_a_ca_cannot_speak_for_another_fleet(pki: Pki, tmp_path: Path) -> None:
    # Both CAs are trusted here; the name constraint still keeps one from making members of the other.
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from fleet_api import pki as authority

    stranger = make(tmp_path, fleet="other")
    ca, ca_key = authority.load_ca(Path(stranger.ca).read_bytes(), Path(stranger.ca_key).read_bytes())
    key_pem = Path(stranger.controller.key).read_bytes()
    key = serialization.load_pem_private_key(key_pem, None)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(ca.subject)
        .public_key(key.public_key())  # type: ignore[arg-type]
        .serial_number(5)
        .not_valid_before(datetime.now(UTC) - timedelta(hours=1))
        .not_valid_after(datetime.now(UTC) + timedelta(hours=1))
    )

    def certificate(uri: str) -> bytes:
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)])
        signed = builder.add_extension(names, critical=True).sign(ca_key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM)

    agent = pki.agents["web1"]
    own = agent.load()
    both = own._replace(ca=own.ca + Path(stranger.ca).read_bytes())

    async def run(uri: str) -> bytes | FleetError:
        caller = Credentials(certificate(uri), key_pem, own.ca, stranger.controller.identity)
        async with _server(channel.server_credentials(both)) as target:
            return await _call(target, caller, agent.identity.dns_name)

    assert asyncio.run(run("spiffe://other/controller/main")) == b"spiffe://other/controller/main"
    assert isinstance(asyncio.run(run("spiffe://test/controller/main")), Unavailable)


def test_another_host_is_not_taken_for_the_expected_one(pki: Pki) -> None:
    wrong = _call_agent(pki.agents["db_1"], pki.controller.load(), pki.agents["web1"].identity)
    assert isinstance(wrong, Unavailable)


def test_a_renewed_certificate_serves_new_connections(pki: Pki) -> None:
    held = [pki.agents["web1"].load()]

    async def run() -> None:
        credentials = channel.renewable_server_credentials(held[0], lambda: held[-1])
        async with _server(credentials) as target:
            caller = pki.controller.load()
            first, second = (pki.agents[host].identity.dns_name for host in ("web1", "db_1"))
            assert isinstance(await _call(target, caller, first), bytes)
            assert isinstance(await _call(target, caller, second), Unavailable)
            held.append(pki.agents["db_1"].load())
            assert isinstance(await _call(target, caller, second), bytes)
            assert isinstance(await _call(target, caller, first), Unavailable)

    asyncio.run(run())


def test_renewable_credentials_go_on_without_news(pki: Pki) -> None:
    async def run() -> None:
        credentials = channel.renewable_server_credentials(pki.agents["web1"].load(), lambda: None)
        async with _server(credentials) as target:
            name = pki.agents["web1"].identity.dns_name
            assert isinstance(await _call(target, pki.controller.load(), name), bytes)
            assert isinstance(await _call(target, pki.agents["db_1"].load(), name), Unavailable)

    asyncio.run(run())


def test_plain_text_works_only_where_both_mean_it(pki: Pki) -> None:
    async def run() -> None:
        async with _server(None) as target:
            assert await _call(target, None, "", "blob", b"3") == b"xxx"
            answer = await _call(target, None, "")
            assert isinstance(answer, FleetError)
            assert answer.code == "CERTIFICATE_MISSING"
            assert isinstance(await _call(target, pki.controller.load(), "web1.agent.test"), Unavailable)

    asyncio.run(run())


def test_messages_beyond_the_limit_are_refused_and_told(pki: Pki) -> None:
    async def run() -> None:
        async with _server(None) as target:
            allowed = await _call(target, None, "", "blob", b"%d" % (channel.MAX_MESSAGE_BYTES - 100))
            assert isinstance(allowed, bytes)
            refused = await _call(target, None, "", "blob", b"%d" % (channel.MAX_MESSAGE_BYTES + 1))
            assert isinstance(refused, FleetError)
            assert refused.code == "RESOURCE_EXHAUSTED"

    asyncio.run(run())


@pytest.mark.parametrize("so_reuseport", [False, True])
def test_two_servers_share_a_port_only_when_asked(so_reuseport: bool) -> None:
    async def run() -> None:
        options = channel.server_options(so_reuseport=so_reuseport)
        async with _server(None, options) as target:
            second = grpc.aio.server(options=options)
            if so_reuseport:
                assert f"127.0.0.1:{second.add_insecure_port(target)}" == target
            else:
                with pytest.raises(RuntimeError):
                    second.add_insecure_port(target)
            await second.stop(0)

    asyncio.run(run())


@pytest.mark.parametrize("target", ["", "web1", "unix:/run/x.sock", "dns://10.0.0.1/web1:7601", "web1:0"])
def test_a_malformed_address_is_refused(pki: Pki, target: str) -> None:
    for opening in (channel.open_channel, channel.open_blocking_channel):
        with pytest.raises(BadRequest):
            opening(target, pki.controller.load(), "web1.agent.test")


def test_a_tls_channel_needs_a_name(pki: Pki) -> None:
    for opening in (channel.open_channel, channel.open_blocking_channel):
        with pytest.raises(BadRequest, match="name"):
            opening("127.0.0.1:7601", pki.controller.load(), "")


def test_those_who_connect_and_say_nothing_are_closed_and_bounded(pki: Pki) -> None:
    options = channel.server_options(max_connections=20)
    timeout = ("grpc.server_handshake_timeout_ms", 1000)
    assert dict(options)[timeout[0]] == channel.HANDSHAKE_TIMEOUT_MS <= 15_000
    options[[name for name, _ in options].index(timeout[0])] = timeout

    async def run() -> None:
        files = pki.agents["web1"]
        async with _server(channel.server_credentials(files.load()), options) as target:
            host, port = target.split(":")
            silent = [await asyncio.open_connection(host, int(port)) for _ in range(60)]
            for number, (_, writer) in enumerate(silent):
                if number % 2:
                    writer.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
            async with asyncio.timeout(DEADLINE):
                closed = [asyncio.ensure_future(_read_to_end(reader)) for reader, _ in silent]
                # Forty at once, for there are too many; the others when their time is over.
                await asyncio.wait(closed)
            answer = await _call(target, pki.operator.load(), files.identity.dns_name)
            assert answer == pki.operator.identity.uri.encode()
            for _, writer in silent:
                writer.close()

    asyncio.run(run())


async def _read_to_end(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionError):
        await reader.read()


@pytest.mark.pure
def test_half_of_the_open_files_are_left_for_all_else() -> None:
    assert channel.connections_within(1024, 4000) == 512
    assert channel.connections_within(1_000_000, 4000) == 4000
    assert channel.connections_within(1, 4000) == 1


@pytest.mark.pure
def test_clients_never_ping_faster_than_servers_allow() -> None:
    client, server = dict(channel.channel_options()), dict(channel.server_options())
    assert int(client["grpc.keepalive_time_ms"]) >= 30_000
    assert int(client["grpc.keepalive_time_ms"]) > int(server["grpc.http2.min_ping_interval_without_data_ms"])
    assert client["grpc.enable_http_proxy"] == 0
