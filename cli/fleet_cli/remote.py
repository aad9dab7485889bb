"""The controller: the only file that opens a gRPC channel. Answers in, answers out, as `local`."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

import grpc
from fleet_api import channel, status_codes, tree_wire, wire
from fleet_api.errors import Denied, FleetError, Unavailable
from fleet_api.rows import ErrorRow
from fleet_api.v1 import agent_pb2, controller_pb2, controller_pb2_grpc, types_pb2

from fleet_cli.answers import Bucket, Change, Gaps, HostAnswer, HostRecord, Reachability, settle_change
from fleet_cli.invocation import Invocation
from fleet_cli.retry import Retry
from fleet_cli.settings import Settings

READ_TIMEOUT_SECONDS = 30.0
TREE_HOST_SECONDS = 10.0
PROBE_SECONDS = 3.0

_RETRIED = frozenset({"AGENT_UNAVAILABLE", "CONNECTION_REFUSED", "CONTROLLER_LEAVING"})

_HINTS = {
    "CONNECTION_REFUSED": "is the controller running there? is its address right (see --controller)?",
    "NAME_NOT_FOUND": "correct the address (see --controller), or its DNS",
    "NOT_ANSWERING": "is the controller stopped or overloaded? look at its host",
    "NOT_A_FLEET_PORT": "check the port (see --controller): controllers listen on 7600",
    "WRONG_NAME": "is it another controller? see --controller, --controller-name and --fleet",
    "UNKNOWN_CA": "is it the controller of another fleet? otherwise compare ca.crt on both sides (see --ca)",
    "CERTIFICATE_EXPIRED": "renew it: fleetctl pki issue controller, then install it there",
    "CERTIFICATE_REFUSED": "take a certificate of this fleet for a user: fleetctl pki issue user",
}
"""The cures of `probe`, which speaks of agents too, for somebody who asks a controller."""

Message = TypeVar("Message")
LogCursors = dict[str, tuple[str, int]]


class LogPiece(NamedTuple):
    """Bytes of one host's log with the cursor behind them; or, with `bucket`, why no more will come."""

    host: str
    data: bytes = b""
    log_id: str = ""
    next_offset: int = 0
    lost_bytes: int = 0
    bucket: Bucket | None = None
    error: ErrorRow | None = None


class Controller:
    """One connection to the controller. Hosts are an expression, or None for all of them."""

    def __init__(self, settings: Settings, invocation: Invocation, timeout_seconds: float | None) -> None:
        self._settings = settings
        self._invocation = invocation
        self._timeout_seconds = timeout_seconds
        self._credentials = _credentials(settings, invocation.wall())
        self.fleet = settings.fleet or (self._credentials.identity.fleet if self._credentials else "")
        self._server_name = f"{settings.controller_name}.controller.{self.fleet}"
        self._channel: grpc.Channel | None = None

    def __enter__(self) -> "Controller":
        return self

    def __exit__(self, *_: object) -> None:
        if self._channel is not None:
            self._channel.close()

    def about(self) -> dict[str, Any]:
        """Version, features and identity of the controller."""
        request = controller_pb2.GetControllerRequest()
        retry = self._invocation.retry()
        while True:
            try:
                reply = self._stub().GetController(request, timeout=self._read_timeout)
            except grpc.RpcError as error:
                self._retry_or_raise(error, retry)
                continue
            return {
                "version": reply.version,
                "api_level": reply.api_level,
                "features": list(reply.features),
                "fleet": reply.fleet_id,
                "epoch": reply.epoch,
                "hosts": reply.host_count,
            }

    def hosts(self, expression: str | None) -> list[HostRecord]:
        """The inventory, sorted by name."""
        request = controller_pb2.ListHostsRequest(hosts=_selector(expression))
        retry = self._invocation.retry()
        while True:
            try:
                replies = list(self._stub().ListHosts(request, timeout=self._read_timeout))
            except grpc.RpcError as error:
                self._retry_or_raise(error, retry)
                continue
            records = [_record(host) for reply in replies for host in reply.hosts]
            return sorted(records, key=lambda record: record.name)

    def status(
        self, expression: str | None, terms: Iterable[str], *, tree: bool = False
    ) -> Iterator[HostAnswer]:
        """Each host's processes, from the controller's memory; with `tree`, from the hosts themselves."""
        request = controller_pb2.GetStatusRequest(
            hosts=_selector(expression), selector=types_pb2.ProcessSelector(terms=terms), tree=tree
        )
        timeout = self._read_timeout
        if tree:
            request.host_timeout.CopyFrom(wire.duration(self._timeout_seconds or TREE_HOST_SECONDS))
            timeout += TREE_HOST_SECONDS
        return self._answers(lambda stub: stub.GetStatus(request, timeout=timeout), _gather_status)

    def operate(self, expression: str | None, change: Change) -> Iterator[HostAnswer]:
        """Carry one change to every host; each answer as it comes."""
        request = controller_pb2.OperateFleetRequest(
            hosts=_selector(expression),
            context=wire.context_to_proto(change.context(self.fleet)),
            verb=wire.verb_to_proto(change.verb),
            selector=types_pb2.ProcessSelector(terms=[wire.clean(term) for term in change.terms]),
            signal=change.signal,
            no_wait=not change.wait,
            fanout=change.fanout,
            now=change.now,
        )
        if change.timeout_seconds is not None:
            request.host_timeout.CopyFrom(wire.duration(change.timeout_seconds))
        return self._answers(lambda stub: stub.OperateFleet(request), _gather_change)

    def read_log(
        self,
        expression: str | None,
        process: str,
        stream: str,
        last_bytes: int,
        after: Mapping[str, tuple[str, int]],
        *,
        follow: bool,
    ) -> "LogCall":
        """One process's log on every host; `after` says where hosts go on.

        No retry here: the caller knows how far each host has come.
        """
        request = controller_pb2.ReadFleetLogRequest(
            hosts=_selector(expression),
            process=wire.clean(process),
            stream=agent_pb2.ReadLogRequest.Stream.Value(stream.upper()),
            last_bytes=last_bytes,
            follow=follow,
            after={host: wire.log_cursor(*cursor) for host, cursor in after.items()},
        )
        timeout = None if follow else self._read_timeout
        return LogCall(self._stub().ReadFleetLog(request, timeout=timeout), self.why)

    def why(self, error: grpc.RpcError) -> FleetError:
        """The true reason of a failed call: what gRPC calls unavailable is looked into."""
        self._drop_channel()
        found = status_codes.from_rpc_error(error)
        if found.code != "AGENT_UNAVAILABLE":
            return found
        from fleet_api.probe import probe

        try:
            reason = asyncio.run(
                probe(self._settings.controller, self._credentials, self._server_name, PROBE_SECONDS)
            )
        except (OSError, RuntimeError):
            reason = None
        if reason is None:
            return Unavailable(
                found.code,
                f"the controller at {self._settings.controller} broke off: {found.message}",
                "try again; see the controller's log",
            )
        hint = _HINTS.get(reason.code, reason.hint)
        if self._settings.is_plaintext and reason.code == "NOT_A_FLEET_PORT":
            hint = "it may want TLS: leave out --insecure-plaintext"
        return type(reason)(reason.code, f"the controller cannot be used: {reason.message}", hint)

    @property
    def _read_timeout(self) -> float:
        return self._timeout_seconds or READ_TIMEOUT_SECONDS

    def _stub(self) -> controller_pb2_grpc.ControllerServiceStub:
        if self._channel is None:
            self._channel = channel.open_blocking_channel(
                self._settings.controller, self._credentials, self._server_name
            )
        return controller_pb2_grpc.ControllerServiceStub(self._channel)

    def _drop_channel(self) -> None:
        # A new one tries at once, without the old one's back-off.
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _answers(
        self,
        call: Callable[[controller_pb2_grpc.ControllerServiceStub], Any],
        gather: Callable[[Iterable[Any]], Iterator[HostAnswer]],
    ) -> Iterator[HostAnswer]:
        """Each host once, though the call be repeated: reads may be, and changes carry their key."""
        seen: set[str] = set()
        retry = self._invocation.retry()
        while True:
            replies = call(self._stub())
            try:
                for answer in gather(replies):
                    if answer.host not in seen:
                        seen.add(answer.host)
                        retry.reset()
                        yield answer
                return
            except grpc.RpcError as error:
                self._retry_or_raise(error, retry)
            finally:
                replies.cancel()

    def _retry_or_raise(self, error: grpc.RpcError, retry: Retry) -> None:
        found = self.why(error)
        if found.code not in _RETRIED or not retry.wait_or_give_up():
            raise found from error


class LogCall:
    """A running `read_log`: iterate, or `cancel` it from another thread."""

    def __init__(self, call: Any, why: Callable[[grpc.RpcError], FleetError]) -> None:
        self._call = call
        self._why = why
        self._is_cancelled = False

    def cancel(self) -> None:
        """End the iteration soon, without an error."""
        self._is_cancelled = True
        self._call.cancel()

    def __iter__(self) -> Iterator[LogPiece]:
        try:
            for reply in self._call:
                yield _piece(reply)
        except grpc.RpcError as error:
            if not self._is_cancelled:
                raise self._why(error) from error
        finally:
            self._call.cancel()


def _credentials(settings: Settings, now: float) -> Any:
    if settings.is_plaintext:
        return None
    from fleet_api import tls
    from fleet_api.identity import Role

    try:
        credentials = tls.load(settings.certificate, settings.key, settings.ca, now)
    except FleetError as error:
        # Whatever it is, it is on our own side.
        raise Denied(error.code, error.message, error.hint) from error
    if credentials.identity.role is not Role.OPERATOR:
        raise Denied(
            "WRONG_CERTIFICATE",
            f"{settings.certificate} is for {credentials.identity}; a controller listens to users",
            "take a certificate of a user: fleetctl pki issue user",
        )
    return credentials


def _selector(expression: str | None) -> controller_pb2.HostSelector:
    if expression is None:
        return controller_pb2.HostSelector(all_hosts=True)
    return controller_pb2.HostSelector(expression=wire.clean(expression))


def _gather_status(replies: Iterable[controller_pb2.HostStatus]) -> Iterator[HostAnswer]:
    parts: dict[str, list[controller_pb2.HostStatus]] = {}
    for reply in replies:
        parts.setdefault(reply.host, []).append(reply)
        if reply.more:
            continue
        all_parts = parts.pop(reply.host)
        yield HostAnswer(
            host=reply.host,
            bucket=_bucket(reply.bucket),
            error=_error(reply),
            rows=[tree_wire.process_from_proto(process) for part in all_parts for process in part.processes],
            errors=[wire.error_from_proto(error) for part in all_parts for error in part.errors],
            reachability=_reachability(all_parts[0].reachability),
            position=wire.position_from_proto(reply.position) if reply.HasField("position") else None,
            is_behind=any(part.behind for part in all_parts),
            troubles=[wire.trouble_from_proto(trouble) for part in all_parts for trouble in part.troubles],
        )


def _gather_change(replies: Iterable[controller_pb2.HostOutcome]) -> Iterator[HostAnswer]:
    for reply in replies:
        yield settle_change(
            HostAnswer(
                host=reply.host,
                bucket=_bucket(reply.bucket),
                error=_error(reply),
                outcomes=[wire.outcome_from_proto(outcome) for outcome in reply.outcomes],
                errors=[wire.error_from_proto(error) for error in reply.errors],
                position=wire.position_from_proto(reply.position) if reply.HasField("position") else None,
                operation_id=reply.operation_id,
                duration_seconds=wire.seconds_of(reply.duration) if reply.HasField("duration") else None,
            )
        )


def _piece(reply: controller_pb2.ReadFleetLogResponse) -> LogPiece:
    if reply.bucket not in {controller_pb2.HostOutcome.BUCKET_UNSPECIFIED, controller_pb2.HostOutcome.OK}:
        return LogPiece(reply.host, bucket=_bucket(reply.bucket), error=_error(reply))
    chunk = reply.chunk
    return LogPiece(reply.host, chunk.data, chunk.next.log_id, chunk.next.offset, chunk.lost_bytes)


def _record(host: controller_pb2.Host) -> HostRecord:
    reachability = host.reachability
    return HostRecord(
        name=host.name,
        address=host.address,
        groups=list(host.groups),
        labels=dict(host.labels),
        agent_version=host.agent_version,
        reachability=_reachability(reachability),
        error=_error(reachability),
        gaps=Gaps(
            host.gap_count,
            host.last_gap_reason,
            wire.seconds_of(host.last_gap_time) if host.HasField("last_gap_time") else None,
        ),
    )


def _reachability(message: controller_pb2.Reachability) -> Reachability:
    has_state = message.state != controller_pb2.Reachability.STATE_UNSPECIFIED
    return Reachability(
        state=_state_name(message) if has_state else "unknown",
        last_seen_time=wire.seconds_of(message.last_seen_time)
        if message.HasField("last_seen_time")
        else None,
        age_seconds=wire.seconds_of(message.age) if message.HasField("age") else None,
    )


def _state_name(message: controller_pb2.Reachability) -> str:
    try:
        return controller_pb2.Reachability.State.Name(message.state).lower()
    except ValueError:
        return "unknown"


def _bucket(value: int) -> Bucket:
    """The bucket; one that this version does not know is UNKNOWN, never OK."""
    for name, number in controller_pb2.HostOutcome.Bucket.items():
        if number == value and name.lower() in set(Bucket):
            return Bucket(name.lower())
    return Bucket.UNKNOWN


def _error(message: Any) -> ErrorRow | None:
    return wire.error_from_proto(message.error) if message.HasField("error") else None
