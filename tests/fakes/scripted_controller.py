"""A controller that says what the test tells it to, over real gRPC: plaintext, or TLS with real files."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import grpc
from fleet_api import channel, status_codes, wire
from fleet_api.credentials import Credentials
from fleet_api.errors import FleetError
from fleet_api.rows import ErrorRow, OutcomeRow, ProcessRow
from fleet_api.v1 import agent_pb2, controller_pb2, controller_pb2_grpc, types_pb2

Bucket = controller_pb2.HostOutcome.Bucket
Reach = controller_pb2.Reachability

Answers = Callable[[Any], Iterable[Any]]


class ScriptedController(controller_pb2_grpc.ControllerServiceServicer):
    """Each call goes to the function of its name here; a FleetError raised there ends the call with it."""

    def __init__(self) -> None:
        self.address = ""
        self.requests: list[Any] = []
        self.on_hosts: Answers = lambda request: [listing("web1")]
        self.on_status: Answers = lambda request: []
        self.on_operate: Answers = lambda request: []
        self.on_log: Answers = lambda request: []

    def last(self, kind: type) -> Any:
        """The newest request of this type."""
        return next(request for request in reversed(self.requests) if isinstance(request, kind))

    def count(self, kind: type) -> int:
        return sum(isinstance(request, kind) for request in self.requests)

    def GetController(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.requests.append(request)
        return controller_pb2.GetControllerResponse(version="0.1.0", fleet_id="test", host_count=2)

    def ListHosts(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        return self._answer(request, context, self.on_hosts)

    def GetStatus(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        return self._answer(request, context, self.on_status)

    def OperateFleet(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        return self._answer(request, context, self.on_operate)

    def ReadFleetLog(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        return self._answer(request, context, self.on_log)

    def _answer(self, request: Any, context: Any, answers: Answers) -> Iterator[Any]:
        self.requests.append(request)
        try:
            for answer in answers(request):
                if not context.is_active():
                    return
                yield answer
        except FleetError as error:
            _abort(context, error)


def _abort(context: Any, error: FleetError) -> NoReturn:
    status = status_codes.to_status(error)
    context.set_trailing_metadata(status.trailing_metadata)
    context.abort(status.code, status.details)
    raise AssertionError


@contextlib.contextmanager
def scripted_controller(credentials: Credentials | None = None) -> Iterator[ScriptedController]:
    """A controller on a port of its own; `flags` of the test tell fleetctl where."""
    controller = ScriptedController()
    server = grpc.server(ThreadPoolExecutor(8), options=channel.server_options())
    controller_pb2_grpc.add_ControllerServiceServicer_to_server(controller, server)
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", channel.server_credentials(credentials))
    controller.address = f"127.0.0.1:{port}"
    server.start()
    try:
        yield controller
    finally:
        server.stop(0.2).wait()


def plain_flags(controller: ScriptedController) -> list[str]:
    """Where to find it, without TLS."""
    return ["--controller", controller.address, "--fleet", "test", "--insecure-plaintext"]


# ---------------------------------------------------------------- answers


def reach(state: str = "CONNECTED", age: float | None = 0.1, error: ErrorRow | None = None) -> Any:
    message = controller_pb2.Reachability(state=Reach.State.Value(state))
    if age is not None:
        message.age.CopyFrom(wire.duration(age))
    if error is not None:
        message.error.CopyFrom(wire.error_to_proto(error))
    return message


def listing(*names: str) -> Any:
    return controller_pb2.ListHostsResponse(
        hosts=[
            controller_pb2.Host(
                name=name,
                address=f"{name}:7601",
                groups=["web"],
                reachability=reach(),
                agent_version="0.1.0",
            )
            for name in names
        ]
    )


def status_of(host: str, *rows: ProcessRow, missing: Iterable[str] = (), **fields: Any) -> Any:
    return controller_pb2.HostStatus(
        host=host,
        bucket=fields.pop("bucket", controller_pb2.HostOutcome.OK),
        reachability=fields.pop("reachability", None) or reach(),
        processes=[wire.process_to_proto(row) for row in rows],
        errors=[
            types_pb2.Error(code="NO_SUCH_PROCESS", message=f"{term}: no such process") for term in missing
        ],
        **fields,
    )


def silent(host: str, message: str, hint: str = "", age: float | None = 240.0, **fields: Any) -> Any:
    """The status of a host that does not answer."""
    error = types_pb2.Error(code="CONNECTION_REFUSED", message=message, hint=hint)
    return controller_pb2.HostStatus(
        host=host,
        bucket=controller_pb2.HostOutcome.UNREACHABLE,
        error=error,
        reachability=reach("UNREACHABLE", age),
        **fields,
    )


def outcome_of(host: str, *rows: OutcomeRow, bucket: str = "OK", error: ErrorRow | None = None) -> Any:
    return controller_pb2.HostOutcome(
        host=host,
        bucket=Bucket.Value(bucket),
        error=wire.error_to_proto(error) if error else None,
        outcomes=[wire.outcome_to_proto(row) for row in rows],
        operation_id="op",
        duration=wire.duration(0.2),
    )


def log_piece(host: str, start: int, data: bytes, lost_bytes: int = 0, log_id: str = "log") -> Any:
    chunk = wire.log_chunk(log_id, start, data, lost_bytes)
    return controller_pb2.ReadFleetLogResponse(host=host, chunk=chunk)


def log_end(host: str, bucket: str, code: str, message: str) -> Any:
    return controller_pb2.ReadFleetLogResponse(
        host=host, bucket=Bucket.Value(bucket), error=types_pb2.Error(code=code, message=message)
    )


STDOUT = agent_pb2.ReadLogRequest.STDOUT
