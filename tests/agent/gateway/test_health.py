"""The health service tells whether the supervisor answers, not merely whether the gateway does."""

from typing import Any

from fakes.running_gateway import SECONDS, refusal
from grpc_health.v1 import health_pb2, health_pb2_grpc


def test_health_follows_the_supervisor(launch: Any) -> None:
    gateway = launch()
    stub = health_pb2_grpc.HealthStub(gateway.channel())
    statuses = health_pb2.HealthCheckResponse

    def health(service: str = "") -> Any:
        return stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=SECONDS).status

    assert health() == statuses.SERVING
    assert health("fleet_api.v1.AgentService") == statuses.SERVING
    assert refusal(lambda: health("nope")).code == "SERVICE_UNKNOWN"
    assert set(stub.List(health_pb2.HealthListRequest(), timeout=SECONDS).statuses) == {
        "",
        "fleet_api.v1.AgentService",
    }
    watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=SECONDS)
    assert next(watch).status == statuses.SERVING
    gateway.supervisor.silent.add("ping")
    assert next(watch).status == statuses.NOT_SERVING
    watch.cancel()


def test_a_service_that_does_not_exist_is_watched_as_unknown(shared: Any) -> None:
    stub = health_pb2_grpc.HealthStub(shared.channel())
    watch = stub.Watch(health_pb2.HealthCheckRequest(service="nope"), timeout=SECONDS)
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    watch.cancel()
