"""The error tree on gRPC: one table between its classes and the status codes, and the rich error beside.

A FleetError travels as status code and details, and whole, as JSON, in the trailing metadata
"fleet-error-bin". Called by gateway and controller (`abort`) and by every client (`from_rpc_error`).
"""

import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple, NoReturn

import grpc

from fleet_api.errors import (
    CLASSES,
    BadRequest,
    Broken,
    Conflict,
    Denied,
    FleetError,
    NotFound,
    Unavailable,
)

METADATA_KEY = "fleet-error-bin"

# All together stay below the 8 KiB of metadata that every peer takes, even when every letter has four
# bytes, which details write as twelve and -bin values as five and a half.
MAX_DETAILS = 180
MAX_MESSAGE = 600
MAX_HINT = 300
MAX_CODE = 64
_MAX_RICH_BYTES = 16 * 1024

CODE_BY_CLASS: dict[type[FleetError], grpc.StatusCode] = {
    BadRequest: grpc.StatusCode.INVALID_ARGUMENT,
    NotFound: grpc.StatusCode.NOT_FOUND,
    Conflict: grpc.StatusCode.FAILED_PRECONDITION,
    Denied: grpc.StatusCode.PERMISSION_DENIED,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
    Broken: grpc.StatusCode.INTERNAL,
}


class _Plain(NamedTuple):
    cls: type[FleetError]
    code: str
    message: str
    hint: str = ""


# What a status means that comes without our metadata: from gRPC itself, or from a stranger.
PLAIN_BY_CODE: dict[grpc.StatusCode, _Plain] = {
    grpc.StatusCode.CANCELLED: _Plain(Unavailable, "CANCELLED", "the call was cancelled"),
    grpc.StatusCode.UNKNOWN: _Plain(Broken, "UNEXPECTED_ERROR", "the other side failed", "see its log"),
    grpc.StatusCode.INVALID_ARGUMENT: _Plain(
        BadRequest, "INVALID_ARGUMENT", "the request was not understood"
    ),
    grpc.StatusCode.DEADLINE_EXCEEDED: _Plain(
        Unavailable, "DEADLINE_EXCEEDED", "no answer within the time allowed", "allow more with --timeout"
    ),
    grpc.StatusCode.NOT_FOUND: _Plain(NotFound, "NOT_FOUND", "there is no such thing"),
    grpc.StatusCode.ALREADY_EXISTS: _Plain(Conflict, "ALREADY_EXISTS", "it exists already"),
    grpc.StatusCode.PERMISSION_DENIED: _Plain(Denied, "PERMISSION_DENIED", "not allowed"),
    grpc.StatusCode.RESOURCE_EXHAUSTED: _Plain(
        Unavailable, "RESOURCE_EXHAUSTED", "a limit was reached", "ask for less at once"
    ),
    grpc.StatusCode.FAILED_PRECONDITION: _Plain(Conflict, "FAILED_PRECONDITION", "its state forbids it"),
    grpc.StatusCode.ABORTED: _Plain(Conflict, "ABORTED", "it was given up"),
    grpc.StatusCode.OUT_OF_RANGE: _Plain(BadRequest, "OUT_OF_RANGE", "a value is out of range"),
    grpc.StatusCode.UNIMPLEMENTED: _Plain(
        BadRequest, "NOT_IMPLEMENTED", "the other side does not know this call", "compare the versions"
    ),
    grpc.StatusCode.INTERNAL: _Plain(Broken, "INTERNAL", "the other side failed", "see its log"),
    grpc.StatusCode.UNAVAILABLE: _Plain(Unavailable, "AGENT_UNAVAILABLE", "no connection"),
    grpc.StatusCode.DATA_LOSS: _Plain(Broken, "DATA_LOSS", "data was lost"),
    grpc.StatusCode.UNAUTHENTICATED: _Plain(Denied, "UNAUTHENTICATED", "not recognised"),
}


class Status(NamedTuple):
    """What a gRPC server sends for an error; also fits `abort_with_status`."""

    code: grpc.StatusCode
    details: str
    trailing_metadata: tuple[tuple[str, bytes], ...]


def class_of(error: FleetError) -> type[FleetError]:
    """The class of the tree that `error` belongs to; one outside of it counts as Broken."""
    return next((cls for cls in type(error).__mro__ if cls in CODE_BY_CLASS), Broken)


def to_status(error: FleetError) -> Status:
    """The status of `error`; overlong texts are cut so that they fit into metadata."""
    cls = class_of(error)
    message = _clean(error.message, MAX_MESSAGE)
    wire = {
        "class": cls.__name__,
        "code": error.code[:MAX_CODE],
        "message": message,
        "hint": _clean(error.hint, MAX_HINT),
    }
    # Subtle: not ASCII-escaped, or 600 characters could become 7,200 bytes.
    body = json.dumps(wire, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
    return Status(CODE_BY_CLASS[cls], _clean(message, MAX_DETAILS), ((METADATA_KEY, body),))


async def abort(context: "grpc.aio.ServicerContext[Any, Any]", error: FleetError) -> NoReturn:
    """End the call with `error`; does not return."""
    status = to_status(error)
    await context.abort(status.code, status.details, status.trailing_metadata)
    raise AssertionError("context.abort returned")


def from_rpc_error(error: grpc.RpcError) -> FleetError:
    """The error behind a failed call, blocking or async; never raises, whatever the peer sent."""
    code = _ask(error, "code")
    details = _clean(str(_ask(error, "details") or ""), MAX_MESSAGE)
    rich = _rich(_ask(error, "trailing_metadata"))
    if rich is not None:
        return rich
    plain = PLAIN_BY_CODE.get(code) if isinstance(code, grpc.StatusCode) else None
    if plain is None:
        return Broken("UNEXPECTED_ERROR", details or f"the call failed: {_clean(repr(error), MAX_MESSAGE)}")
    message = f"{plain.message}: {details}" if details and details != plain.message else plain.message
    return plain.cls(plain.code, message, plain.hint)


def _ask(error: grpc.RpcError, what: str) -> Any:
    method = getattr(error, what, None)
    return method() if callable(method) else None


def _rich(metadata: Iterable[tuple[str, str | bytes]] | None) -> FleetError | None:
    for key, value in metadata or ():
        if key != METADATA_KEY or len(value) > _MAX_RICH_BYTES:
            continue
        try:
            wire = json.loads(value)
        except (ValueError, RecursionError):
            continue
        if not isinstance(wire, dict):
            continue
        cls = CLASSES.get(str(wire.get("class")))
        code, message, hint = wire.get("code"), wire.get("message"), wire.get("hint", "")
        if cls is None or not (isinstance(code, str) and isinstance(message, str) and isinstance(hint, str)):
            continue
        if not _CODE.fullmatch(code):
            continue
        return cls(code, _clean(message, MAX_MESSAGE), _clean(hint, MAX_HINT))
    return None


_CODE = re.compile(rf"[A-Z][A-Z0-9_]{{0,{MAX_CODE - 1}}}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")


def _clean(text: str, limit: int) -> str:
    # Control characters of a peer must not reach a terminal or a log line.
    text = _CONTROL.sub(" ", text)
    return text if len(text) <= limit else text[: limit - 3] + "..."
