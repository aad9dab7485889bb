"""Who may call: checks the certificate of the caller before any call, and turns errors into statuses.

An interceptor around every method of every service of the gateway, health and reflection included.
`caller` tells the service whom it serves.
"""

import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, cast

import grpc
import grpc.aio
from fleet_api import identity, status_codes
from fleet_api.errors import Broken, Denied, FleetError
from fleet_api.identity import Identity, Role

ALLOWED = frozenset({Role.CONTROLLER, Role.OPERATOR})

# Quoted where they are generic in the stubs alone.
Context = grpc.aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

log = logging.getLogger(__name__)


class Door(NamedTuple):
    """Who may come in: controllers and operators of `fleet`; anybody when it is None (plain text)."""

    fleet: str | None

    def admit(self, auth_context: Mapping[str, Sequence[bytes]]) -> Identity | None:
        """Who is calling; None for the anonymous callers of a plain-text port.

        Raises: Denied ROLE_NOT_ALLOWED, WRONG_FLEET, or without an identity in the certificate.
        """
        if self.fleet is None:
            return None
        peer = identity.from_auth_context(auth_context)
        if peer.fleet == self.fleet and peer.role is Role.AGENT:
            raise Denied(
                "ROLE_NOT_ALLOWED",
                f"{peer} is an agent; an agent takes calls from a controller or a user only",
                "connect with a certificate of a controller or a user",
            )
        identity.require(peer, self.fleet, ALLOWED)
        return peer

    def caller(self, context: Context) -> Identity | None:
        """As `admit`, for a call in progress."""
        return self.admit(cast(Mapping[str, Sequence[bytes]], context.auth_context()))


def actor(peer: Identity | None, stated: str) -> str:
    """Who asks for a change, as it is written down: the certificate first, then what it vouches for."""
    if peer is None:
        return f"anonymous/{stated}" if stated else "anonymous"
    if peer.role is Role.CONTROLLER and stated:
        return f"{peer}/{stated}"
    # An operator speaks for nobody else.
    return str(peer)


class Admission(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Lets a call through, or ends it with the status of its error."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """The handler of this call behind the check; gRPC itself answers for unknown methods."""
        handler = await continuation(handler_call_details)
        # gRPC gives None for an unknown method; its stubs do not know.
        if not handler:
            return handler
        make, behaviour = _kind(handler)
        guard = self._guard_stream if handler.response_streaming else self._guard_answer
        guarded = guard(behaviour, handler_call_details.method)
        return make(guarded, handler.request_deserializer, handler.response_serializer)

    def _guard_answer(self, behaviour: Callable[..., Any], method: str) -> Callable[..., Any]:
        async def answer(request: Any, context: Context) -> Any:
            try:
                self._door.caller(context)
                return await behaviour(request, context)
            except grpc.aio.AbortError:
                raise
            except Exception as error:
                await status_codes.abort(context, _told(error, method))

        return answer

    def _guard_stream(self, behaviour: Callable[..., Any], method: str) -> Callable[..., Any]:
        # Subtle: written, not yielded: when the client vanishes, the cancellation arrives in here and
        # ends `behaviour` at once, where a suspended generator would wait for the garbage collector.
        async def respond(request: Any, context: Context) -> None:
            try:
                self._door.caller(context)
                async with contextlib.aclosing(behaviour(request, context)) as responses:
                    async for response in responses:
                        await context.write(response)
            except grpc.aio.AbortError:
                raise
            except Exception as error:
                await status_codes.abort(context, _told(error, method))

        return respond


def _kind(handler: Handler) -> tuple[Callable[..., Handler], Callable[..., Any]]:
    if handler.request_streaming and handler.response_streaming:
        return grpc.stream_stream_rpc_method_handler, cast(Callable[..., Any], handler.stream_stream)
    if handler.request_streaming:
        return grpc.stream_unary_rpc_method_handler, cast(Callable[..., Any], handler.stream_unary)
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler, cast(Callable[..., Any], handler.unary_stream)
    return grpc.unary_unary_rpc_method_handler, cast(Callable[..., Any], handler.unary_unary)


def _told(error: Exception, method: str) -> FleetError:
    if isinstance(error, FleetError):
        return error
    log.error("%s failed", method, exc_info=error)
    return Broken("GATEWAY_FAILED", f"{method}: {error!r}", "see the agent's log on that host")
