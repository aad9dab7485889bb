"""The error tree over gRPC, both ways, and whatever a stranger may send."""

import asyncio
import json
from typing import Any, cast

import grpc
import grpc.aio
import pytest
from fleet_api import errors, status_codes
from fleet_api.errors import Broken, Conflict, Denied, FleetError, NotFound, Unavailable
from hypothesis import given
from hypothesis import strategies as st

DEADLINE = 10.0


class _Failed(grpc.RpcError):
    """A failed call with what the peer sent."""

    def __init__(self, code: grpc.StatusCode | None, details: str | None = "", metadata: Any = ()) -> None:
        super().__init__()
        self._answer = (code, details, metadata)

    def code(self) -> grpc.StatusCode:
        return cast(grpc.StatusCode, self._answer[0])

    def details(self) -> str | None:
        return self._answer[1]

    def trailing_metadata(self) -> Any:
        return self._answer[2]


def _over_the_wire(error: FleetError) -> FleetError:
    status = status_codes.to_status(error)
    return status_codes.from_rpc_error(_Failed(status.code, status.details, status.trailing_metadata))


@pytest.mark.pure
def test_every_class_has_a_code_of_its_own() -> None:
    assert set(status_codes.CODE_BY_CLASS) == set(errors.CLASSES.values())
    assert len(set(status_codes.CODE_BY_CLASS.values())) == len(errors.CLASSES)


@pytest.mark.pure
@pytest.mark.parametrize("cls", list(errors.CLASSES.values()))
def test_each_class_comes_back_whole_and_also_without_its_metadata(cls: type[FleetError]) -> None:
    error = cls("SOME_CODE", "what is wrong: Müller", "do this")
    back = _over_the_wire(error)
    assert type(back) is cls
    assert back.to_wire() == error.to_wire()
    status = status_codes.to_status(error)
    plain = status_codes.from_rpc_error(_Failed(status.code, status.details))
    assert type(plain) is cls
    assert error.message in plain.message


@pytest.mark.pure
def test_every_status_of_grpc_has_a_meaning() -> None:
    assert set(status_codes.PLAIN_BY_CODE) == set(grpc.StatusCode) - {grpc.StatusCode.OK}
    for code, plain in status_codes.PLAIN_BY_CODE.items():
        found = status_codes.from_rpc_error(_Failed(code, "said so"))
        assert (type(found), found.code, found.hint) == (plain.cls, plain.code, plain.hint)
        assert "said so" in found.message


@pytest.mark.pure
@pytest.mark.parametrize(
    ("code", "cls", "word"),
    [
        (grpc.StatusCode.UNAVAILABLE, Unavailable, "AGENT_UNAVAILABLE"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, Unavailable, "DEADLINE_EXCEEDED"),
        (grpc.StatusCode.CANCELLED, Unavailable, "CANCELLED"),
        (grpc.StatusCode.UNAUTHENTICATED, Denied, "UNAUTHENTICATED"),
        (grpc.StatusCode.UNKNOWN, Broken, "UNEXPECTED_ERROR"),
    ],
)
def test_statuses_of_grpc_itself(code: grpc.StatusCode, cls: type[FleetError], word: str) -> None:
    found = status_codes.from_rpc_error(_Failed(code, None, None))
    assert (type(found), found.code) == (cls, word)
    assert found.message


@pytest.mark.pure
def test_a_subclass_travels_as_its_class_of_the_tree_and_a_stray_one_as_broken() -> None:
    class Special(Conflict):
        """One more kind."""

    assert type(_over_the_wire(Special("A", "b"))) is Conflict
    assert type(_over_the_wire(FleetError("A", "b"))) is Broken


@pytest.mark.pure
@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[1]",
        b'"x"',
        b"{}",
        b'{"class":"Denied"}',
        b'{"class":"Denied","code":1,"message":"x"}',
        b'{"class":"Denied","code":"A","message":["x"]}',
        b'{"class":"Denied","code":"A","message":"x","hint":{}}',
        b'{"class":"Exception","code":"A","message":"x"}',
        b'{"class":["Denied"],"code":"A","message":"x"}',
        b'{"class":"Denied","code":"a b\\n","message":"x"}',
        b"[" * 10_000,
        b"9" * 10_000,
        json.dumps({"class": "Denied", "code": "A", "message": "x" * 100_000}).encode(),
        b"\x00" * 1_000_000,
    ],
)
def test_hostile_metadata_is_passed_over(value: bytes) -> None:
    found = status_codes.from_rpc_error(
        _Failed(grpc.StatusCode.NOT_FOUND, "plain", [("fleet-error-bin", value), ("x", "y")])
    )
    assert isinstance(found, NotFound)
    assert found.message == "there is no such thing: plain"


@pytest.mark.pure
@given(st.text(), st.text(), st.text())
def test_any_text_fits_and_carries_no_control_characters(code: str, message: str, hint: str) -> None:
    status = status_codes.to_status(Denied(code, message * 50, hint * 50))
    assert sum(len(value) for _, value in status.trailing_metadata) < 4096 + 2048
    back = status_codes.from_rpc_error(_Failed(status.code, status.details, status.trailing_metadata))
    assert isinstance(back, Denied)
    assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in back.message + back.hint)
    assert len(back.message) <= status_codes.MAX_MESSAGE + 40


@pytest.mark.pure
def test_a_bare_rpc_error_is_survived() -> None:
    assert isinstance(status_codes.from_rpc_error(grpc.RpcError("odd")), Broken)
    assert isinstance(status_codes.from_rpc_error(_Failed(None)), Broken)


async def _serve_and_call(error: FleetError, *, is_blocking: bool) -> FleetError:
    async def handle(_: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        await status_codes.abort(context, error)

    server = grpc.aio.server()
    method = grpc.unary_unary_rpc_method_handler(handle)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t", {"m": method}),))
    target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()

    def call_blocking() -> None:
        with grpc.insecure_channel(target) as channel:
            channel.unary_unary("/t/m", None, None)(b"", timeout=DEADLINE)

    try:
        if is_blocking:
            await asyncio.to_thread(call_blocking)
        else:
            async with grpc.aio.insecure_channel(target) as channel:
                await channel.unary_unary("/t/m", None, None)(b"", timeout=DEADLINE)
    except grpc.RpcError as failure:
        return status_codes.from_rpc_error(failure)
    finally:
        await server.stop(0)
    raise AssertionError("the call did not fail")


@pytest.mark.parametrize("is_blocking", [False, True])
def test_a_real_call_carries_the_whole_error(is_blocking: bool) -> None:
    error = Conflict("GENERATION_OLD", "epoch 3 is older than 4 – naïve", "ask the newer controller")
    back = asyncio.run(_serve_and_call(error, is_blocking=is_blocking))
    assert type(back) is Conflict
    assert back.to_wire() == error.to_wire()


def test_the_largest_error_fits_through_a_real_call() -> None:
    error = Denied("A" * 500, "𝄞" * 10_000, "𝄞" * 10_000)
    status = status_codes.to_status(error)
    assert 12 * len(status.details) + len(status.trailing_metadata[0][1]) * 4 // 3 < 8192
    back = asyncio.run(_serve_and_call(error, is_blocking=False))
    assert isinstance(back, Denied)
    assert back.code == "A" * status_codes.MAX_CODE
    assert back.message.startswith("𝄞𝄞𝄞")
    assert back.hint.startswith("𝄞𝄞𝄞")
