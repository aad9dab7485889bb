"""The one way to open a gRPC channel or to set up a server: TLS, limits, keepalive, reconnects.

Called by gateway, controller and fleetctl. Deadlines belong to each call; `wait_for_ready` is never set,
since it would hide why a connection fails.
"""

from collections.abc import Callable

import grpc
import grpc.aio

from fleet_api import address
from fleet_api.credentials import Credentials
from fleet_api.errors import BadRequest

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
MAX_STREAMS_PER_CONNECTION = 1000
MAX_CONNECTIONS = 1000

# Strangers may connect and say nothing; gRPC itself would hold each of them for two minutes.
HANDSHAKE_TIMEOUT_MS = 10_000

# A server of ours takes a ping each 20 s; faster ones would earn GOAWAY. Streams carry their own heartbeat.
KEEPALIVE_MS = 30_000
KEEPALIVE_TIMEOUT_MS = 10_000
MIN_PING_INTERVAL_MS = 20_000

RECONNECT_FIRST_MS = 100
RECONNECT_MAX_MS = 5_000
CONNECT_TIMEOUT_MS = 5_000

# Open channels outlive expiry and revocation of certificates; this bounds by how much.
MAX_CONNECTION_AGE_MS = 3_600_000
CONNECTION_AGE_GRACE_MS = 300_000

Options = list[tuple[str, int | str]]


def channel_options() -> Options:
    """Options of every client channel."""
    return [
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 0),
        ("grpc.initial_reconnect_backoff_ms", RECONNECT_FIRST_MS),
        ("grpc.max_reconnect_backoff_ms", RECONNECT_MAX_MS),
        # In gRPC's words the shortest time a connection attempt gets, hence its time-out.
        ("grpc.min_reconnect_backoff_ms", CONNECT_TIMEOUT_MS),
        # A new channel begins anew, without the back-off that an older one to the same address earned.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_http_proxy", 0),
        ("grpc.service_config_disable_resolution", 1),
    ]


def server_options(so_reuseport: bool = False, max_connections: int = MAX_CONNECTIONS) -> Options:
    """Options of every server; `so_reuseport` lets the next gateway bind beside this one.

    `max_connections` counts those that have not shown who they are, too: what is beyond is closed at once.
    """
    return [
        ("grpc.so_reuseport", int(so_reuseport)),
        ("grpc.max_allowed_incoming_connections", max_connections),
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_TIMEOUT_MS),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_concurrent_streams", MAX_STREAMS_PER_CONNECTION),
        ("grpc.max_connection_age_ms", MAX_CONNECTION_AGE_MS),
        ("grpc.max_connection_age_grace_ms", CONNECTION_AGE_GRACE_MS),
        ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_INTERVAL_MS),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", MIN_PING_INTERVAL_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ]


def connections_within(open_files: int, at_most: int) -> int:
    """How many connections a server takes: half of the files that it may have open are left for all else."""
    return max(1, min(at_most, open_files // 2))


def open_channel(target: str, credentials: Credentials | None, server_name: str) -> grpc.aio.Channel:
    """A channel to HOST:PORT whose server must prove to be `server_name` (its DNS SAN).

    Connects with the first call. Without credentials the channel is plain text, for tests and laboratories.
    Raises: BadRequest for a malformed address or an empty name.
    """
    where = _target(target)
    if credentials is None:
        return grpc.aio.insecure_channel(where, options=channel_options())
    return grpc.aio.secure_channel(where, _client_credentials(credentials), options=_named(server_name))


def open_blocking_channel(target: str, credentials: Credentials | None, server_name: str) -> grpc.Channel:
    """As `open_channel`, for callers without an event loop."""
    where = _target(target)
    if credentials is None:
        return grpc.insecure_channel(where, options=channel_options())
    return grpc.secure_channel(where, _client_credentials(credentials), options=_named(server_name))


def server_credentials(credentials: Credentials) -> grpc.ServerCredentials:
    """Mutual TLS: no client without a certificate of the same CA gets past the handshake."""
    return grpc.ssl_server_credentials(
        [(credentials.key, credentials.certificate)],
        root_certificates=credentials.ca,
        require_client_auth=True,
    )


def renewable_server_credentials(
    credentials: Credentials, renewed: Callable[[], Credentials | None]
) -> grpc.ServerCredentials:
    """As `server_credentials`; each handshake asks `renewed` for newer ones (None: go on with the last).

    `renewed` runs on a thread of gRPC and must not block.
    """

    def fetch() -> grpc.ServerCertificateConfiguration:
        newer = renewed()
        # gRPC takes None for "unchanged"; its stubs do not know.
        return None if newer is None else _server_configuration(newer)  # type: ignore[return-value]

    return grpc.dynamic_ssl_server_credentials(
        _server_configuration(credentials), fetch, require_client_authentication=True
    )


def _server_configuration(credentials: Credentials) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(credentials.key, credentials.certificate)], root_certificates=credentials.ca
    )


def _client_credentials(credentials: Credentials) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(
        root_certificates=credentials.ca,
        private_key=credentials.key,
        certificate_chain=credentials.certificate,
    )


def _named(server_name: str) -> Options:
    if not server_name:
        raise BadRequest("SERVER_NAME_MISSING", "a TLS channel needs the name that the server must prove")
    return [*channel_options(), ("grpc.ssl_target_name_override", server_name)]


def _target(text: str) -> str:
    # Parsed, so that no text can choose another resolver ("unix:", "dns://server/").
    return str(address.parse(text))
