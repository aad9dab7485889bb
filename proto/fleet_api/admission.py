"""Who may call a server: the certificate of the caller before any call, and errors as statuses after it.

An interceptor around every method of every service of gateway and controller, health and reflection
included. `Door.caller` tells a service whom it serves.
"""

import contextlib
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, cast

import grpc
import grpc.aio

from fleet_api import identity, status_codes
from fleet_api.errors import Broken, FleetError
from fleet_api.identity import Identity, Role

# Quoted where they are generic in the stubs alone.
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class Door(NamedTuple):
    """Who may come in: these roles of `fleet`; anybody when it is None (plain text)."""

    fleet: str | None
    roles: frozenset[Role]

    def admit(self, auth_context: Mapping[str, Sequence[bytes]]) -> Identity | None:
        """Who is calling; None for the anonymous callers of a plain-text port.

        Raises: Denied ROLE_NOT_ALLOWED, WRONG_FLEET, or without an identity in the certificate.
        """
        if self.fleet is None:
            return None
        peer = identity.from_auth_context(auth_context)
        identity.require(peer, self.fleet, self.roles)
        return peer

    def caller(self, context: Context) -> Identity | None:
        """As `admit`, for a call in progress."""
        return self.admit(cast(Mapping[str, Sequence[bytes]], context.auth_context()))


class Admission(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Lets a call through, or ends it with the status of its error.

    `report(method, error)` is told of what is no FleetError: a bug of ours.
    """

    def __init__(self, door: Door, report: Callable[[str, Exception], None]) -> None:
        self._door = door
        self._report = report

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
                await status_codes.abort(context, self._told(error, method))

        return answer

    def _guard_stream(self, behaviour: Callable[..., Any], method: str) -> Callable[..., Any]:
        # Subtle: written, not yielded: when the client vanishes, the cancellation arrives in here and
        # ends `behaviour` at once, where a suspended generator would wait for the garbage collector.
        async def respond(request: Any, context: Context) -> None:
            try:
                self._door.caller(context)
                if inspect.iscoroutinefunction(behaviour):  # it writes by itself
                    await behaviour(request, context)
                    return
                async with contextlib.aclosing(behaviour(request, context)) as responses:
                    async for response in responses:
                        await context.write(response)
            except grpc.aio.AbortError:
                raise
            except Exception as error:
                await status_codes.abort(context, self._told(error, method))

        return respond

    def _told(self, error: Exception, method: str) -> FleetError:
        if isinstance(error, FleetError):
            return error
        self._report(method, error)
        return Broken("INTERNAL", f"{method} failed: {type(error).__name__}", "see the log of that program")


def _kind(handler: Handler) -> tuple[Callable[..., Handler], Callable[..., Any]]:
    if handler.request_streaming and handler.response_streaming:
        return grpc.stream_stream_rpc_method_handler, cast(Callable[..., Any], handler.stream_stream)
    if handler.request_streaming:
        return grpc.stream_unary_rpc_method_handler, cast(Callable[..., Any], handler.stream_unary)
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler, cast(Callable[..., Any], handler.unary_stream)
    return grpc.unary_unary_rpc_method_handler, cast(Callable[..., Any], handler.unary_unary)
