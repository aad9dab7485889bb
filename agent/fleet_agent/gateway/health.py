# ruff: noqa: N802 - methods are named as on the wire
"""The standard health service: serving while the supervisor answers, for "" and the agent's own service.

Own rather than the stock servicer, so that nothing is pinged while nobody asks.
"""

import asyncio
from collections.abc import AsyncIterator

from fleet_api.admission import Context
from fleet_api.errors import NotFound
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fleet_agent.gateway.pulse import Pulse

CHECK_SECONDS = 2.0
WATCH_SECONDS = 1.0

SERVICE_NAME: str = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """Health of the services named."""

    def __init__(self, pulse: Pulse, services: frozenset[str]) -> None:
        self._pulse = pulse
        self._services = services | {""}

    async def Check(
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> health_pb2.HealthCheckResponse:
        """The health of one service, after asking the supervisor."""
        if request.service not in self._services:
            raise NotFound("SERVICE_UNKNOWN", f"there is no service {request.service[:80]!r}")
        return _response(await self._pulse.check(CHECK_SECONDS))

    async def List(
        self, request: health_pb2.HealthListRequest, context: Context
    ) -> health_pb2.HealthListResponse:
        """The health of every service."""
        response = _response(await self._pulse.check(CHECK_SECONDS))
        return health_pb2.HealthListResponse(statuses=dict.fromkeys(self._services, response))

    async def Watch(
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """The health of one service, told again with each change."""
        if request.service not in self._services:
            yield health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
        with self._pulse.listening():
            told: bool | None = None
            is_alive = await self._pulse.check(CHECK_SECONDS)
            while True:
                if is_alive is not told and request.service in self._services:
                    told = is_alive
                    yield _response(is_alive)
                await asyncio.sleep(WATCH_SECONDS)
                is_alive = self._pulse.is_alive


def _response(is_alive: bool) -> health_pb2.HealthCheckResponse:
    statuses = health_pb2.HealthCheckResponse
    return statuses(status=statuses.SERVING if is_alive else statuses.NOT_SERVING)
