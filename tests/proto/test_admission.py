"""Who may come in, whatever is called, and what becomes of errors on the way out."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from fakes import certificates
from fakes.certificates import Files
from fleet_api import channel, status_codes
from fleet_api.admission import Admission, Context, Door
from fleet_api.errors import Broken, Denied, FleetError, NotFound
from fleet_api.identity import Identity, Role
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

PEOPLE = frozenset({Role.OPERATOR})


def test_by_certificate(tmp_path: Path) -> None:
    ours = certificates.make(tmp_path / "ours")
    door = Door("test", PEOPLE)

    def admit(path: str, *uris: str) -> Identity | None:
        pem = Path(path).read_bytes()
        return door.admit({"x509_pem_cert": [pem], "peer_uri": [uri.encode() for uri in uris]})

    def admit_holder(files: Files) -> Identity | None:
        return admit(files.certificate, files.identity.uri)

    assert admit_holder(ours.operator) == ours.operator.identity
    for files, code in [
        (ours.agents["web1"], "ROLE_NOT_ALLOWED"),
        (ours.controller, "ROLE_NOT_ALLOWED"),
        (certificates.make(tmp_path / "theirs", fleet="theirs").operator, "WRONG_FLEET"),
    ]:
        with pytest.raises(Denied) as raised:
            admit_holder(files)
        assert raised.value.code == code
    with pytest.raises(Denied) as raised:
        admit(ours.ca)
    assert raised.value.code == "CERTIFICATE_WITHOUT_IDENTITY"
    with pytest.raises(Denied):
        door.admit({})


@pytest.mark.pure
def test_plain_text_knows_nobody() -> None:
    assert Door(None, PEOPLE).admit({}) is None


async def one(body: bytes, _: Context) -> bytes:
    if body == b"missing":
        raise NotFound("NO_SUCH_PROCESS", "there is no such thing")
    if body == b"bug":
        raise ZeroDivisionError("a secret of the inside")
    return b"served"


async def many(body: bytes, context: Context) -> AsyncIterator[bytes]:
    yield await one(body, context)


async def many_in(bodies: AsyncIterator[bytes], context: Context) -> bytes:
    return await one(b"".join([body async for body in bodies]), context)


async def many_both(bodies: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
    async for body in bodies:
        yield await one(body, context)


HANDLERS = {
    "one": grpc.unary_unary_rpc_method_handler(one),
    "many": grpc.unary_stream_rpc_method_handler(many),
    "many_in": grpc.stream_unary_rpc_method_handler(many_in),
    "many_both": grpc.stream_stream_rpc_method_handler(many_both),
}


async def call(opened: grpc.aio.Channel, method: str, body: bytes) -> Any:
    """The last thing that a method answers, or its error."""
    try:
        if method == "one":
            return await opened.unary_unary("/t/one", None, None)(body, timeout=10)
        if method == "many":
            return [answer async for answer in opened.unary_stream("/t/many", None, None)(body, timeout=10)][
                -1
            ]
        if method == "many_in":
            return await opened.stream_unary("/t/many_in", None, None)(iter([body]), timeout=10)
        streamed = opened.stream_stream("/t/many_both", None, None)(iter([body]), timeout=10)
        return [answer async for answer in streamed][-1]
    except grpc.RpcError as error:
        return status_codes.from_rpc_error(error)


def test_every_kind_of_method_is_guarded_and_its_errors_are_told(tmp_path: Path) -> None:
    pki = certificates.make(tmp_path)
    reported: list[str] = []

    async def scenario() -> None:
        door = Door("test", PEOPLE)
        admission = Admission(door, lambda method, error: reported.append(f"{method} {error!r}"))
        server = grpc.aio.server(interceptors=[admission], options=channel.server_options())
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t", HANDLERS),))
        health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), server)  # type: ignore[attr-defined]
        agent = pki.agents["web1"]
        port = server.add_secure_port("127.0.0.1:0", channel.server_credentials(agent.load()))
        await server.start()
        address, name = f"127.0.0.1:{port}", agent.identity.dns_name
        try:
            async with channel.open_channel(address, pki.operator.load(), name) as opened:
                for method in HANDLERS:
                    assert await call(opened, method, b"") == b"served"
                    missing = await call(opened, method, b"missing")
                    assert isinstance(missing, NotFound)
                    assert missing.code == "NO_SUCH_PROCESS"
                    bug = await call(opened, method, b"bug")
                    assert isinstance(bug, Broken)
                    assert (bug.code, bug.message) == ("INTERNAL", f"/t/{method} failed: ZeroDivisionError")
                stub = health_pb2_grpc.HealthStub(opened)
                assert (await stub.Check(health_pb2.HealthCheckRequest(), timeout=10)).status
                assert (await anext(aiter(stub.Watch(health_pb2.HealthCheckRequest(), timeout=10)))).status
            async with channel.open_channel(address, pki.controller.load(), name) as opened:
                for method in HANDLERS:
                    assert code_of(await call(opened, method, b"")) == "ROLE_NOT_ALLOWED"
                stub = health_pb2_grpc.HealthStub(opened)
                with pytest.raises(grpc.aio.AioRpcError) as raised:
                    await anext(aiter(stub.Watch(health_pb2.HealthCheckRequest(), timeout=10)))
                assert code_of(status_codes.from_rpc_error(raised.value)) == "ROLE_NOT_ALLOWED"
        finally:
            await server.stop(0)

    asyncio.run(scenario())
    assert reported == [f"/t/{method} ZeroDivisionError('a secret of the inside')" for method in HANDLERS]


def code_of(error: FleetError) -> str:
    assert isinstance(error, Denied)
    return error.code
