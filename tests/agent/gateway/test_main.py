"""The life of the gateway process: how it starts, whom it becomes, whom it lets in, and when it leaves."""

import contextlib
import os
import pwd
import signal
import socket
import ssl
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from fakes import certificates
from fakes.running_gateway import SECONDS, refusal
from fleet_agent.gateway.main import Setup
from fleet_api import channel
from fleet_api.errors import BadRequest, Denied
from fleet_api.identity import Role
from fleet_api.v1 import agent_pb2
from fleet_api.v1.agent_pb2_grpc import AgentServiceStub
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

CAP_NET_BIND_SERVICE = 1 << 10


def ask(stub: AgentServiceStub) -> agent_pb2.GetAgentResponse:
    return stub.GetAgent(agent_pb2.GetAgentRequest(), timeout=SECONDS)


def wait_until_answered(gateway: Any) -> None:
    """Ask at this gateway's address until somebody answers."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            # A new channel each time: one that was refused would wait before it tries again.
            assert ask(gateway.stub()).host_id == "web1"
            return
        except grpc.RpcError:
            assert time.monotonic() < deadline


# ---------------------------------------------------------------- whom it lets in


class LooseCa:
    """A CA that signs what the fleet's own would refuse: agents as clients, other fleets."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._build("loose CA", self._key, None, x509.BasicConstraints(True, None))

    @property
    def pem(self) -> bytes:
        return self._certificate.public_bytes(Encoding.PEM)

    def issue(self, uri: str, dns_name: str = "") -> tuple[bytes, bytes]:
        """Certificate and key, good for both ends of TLS."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri)] if uri else []
        names += [x509.DNSName(dns_name)] if dns_name else []
        extensions: list[x509.ExtensionType] = [
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        ]
        if names:
            extensions.append(x509.SubjectAlternativeName(names))
        certificate = self._build(uri or "nobody", key, self._certificate, *extensions)
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return certificate.public_bytes(Encoding.PEM), private

    def _build(
        self,
        name: str,
        key: ec.EllipticCurvePrivateKey,
        issuer: x509.Certificate | None,
        *extensions: x509.ExtensionType,
    ) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:60])])
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.subject if issuer else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(days=1))
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(self._key, hashes.SHA256())


@pytest.fixture(scope="module")
def loose_ca() -> LooseCa:
    return LooseCa()


@pytest.mark.parametrize(
    ("uri", "code"),
    [
        ("spiffe://test/agent/web2", "ROLE_NOT_ALLOWED"),
        ("spiffe://other/user/alice", "WRONG_FLEET"),
        ("spiffe://other/agent/web1", "WRONG_FLEET"),
        ("", "CERTIFICATE_WITHOUT_IDENTITY"),
        ("spiffe://test/owner/alice", "CERTIFICATE_WITHOUT_IDENTITY"),
        ("spiffe://test/user/alice", None),
        ("spiffe://test/controller/main", None),
    ],
)
def test_controllers_and_users_of_this_fleet_come_in(
    launch: Any, loose_ca: LooseCa, uri: str, code: str | None
) -> None:
    certificate, key = loose_ca.issue("spiffe://test/agent/web1", "web1.agent.test")
    changes = {"certificate": certificate.decode(), "key": key.decode(), "ca": loose_ca.pem.decode()}
    gateway = launch(changes=changes)
    certificate, key = loose_ca.issue(uri)
    credentials = grpc.ssl_channel_credentials(loose_ca.pem, key, certificate)
    options = [*channel.channel_options(), ("grpc.ssl_target_name_override", "web1.agent.test")]
    with grpc.secure_channel(gateway.address, credentials, options=options) as opened:
        stub = AgentServiceStub(opened)
        if code is None:
            assert ask(stub).host_id == "web1"
            return
        reflection = reflection_pb2_grpc.ServerReflectionStub(opened)
        listing = reflection_pb2.ServerReflectionRequest(list_services="")
        health = health_pb2_grpc.HealthStub(opened)
        for call in (
            lambda: ask(stub),
            lambda: list(stub.Watch(agent_pb2.WatchRequest(), timeout=SECONDS)),
            lambda: list(stub.ReadLog(agent_pb2.ReadLogRequest(), timeout=SECONDS)),
            lambda: stub.Operate(agent_pb2.OperateRequest(), timeout=SECONDS),
            lambda: health.Check(health_pb2.HealthCheckRequest(), timeout=SECONDS),
            lambda: list(reflection.ServerReflectionInfo(iter([listing]), timeout=SECONDS)),
        ):
            error = refusal(call)
            assert isinstance(error, Denied)
            assert error.code == code
            assert error.message


def test_the_fleets_own_agents_and_strangers_fail_the_handshake(shared: Any, tmp_path: Path) -> None:
    other = certificates.make(tmp_path / "other")
    ca = Path(shared.files.ca).read_bytes()
    strangers = [shared.files.agents["web1"].load(), other.operator.load()._replace(ca=ca)]
    for credentials in strangers:
        with channel.open_blocking_channel(shared.address, credentials, "web1.agent.test") as opened:
            stub = AgentServiceStub(opened)
            assert refusal(partial(ask, stub)).code == "AGENT_UNAVAILABLE"
    # Without any certificate, and without TLS.
    options = [("grpc.ssl_target_name_override", "web1.agent.test")]
    with grpc.secure_channel(shared.address, grpc.ssl_channel_credentials(ca), options=options) as opened:
        assert refusal(lambda: ask(AgentServiceStub(opened))).code == "AGENT_UNAVAILABLE"
    with grpc.insecure_channel(shared.address) as opened:
        assert refusal(lambda: ask(AgentServiceStub(opened))).code == "AGENT_UNAVAILABLE"
    assert ask(shared.stub()).host_id == "web1"


def test_silence_and_garbage_on_the_port_harm_nobody(shared: Any) -> None:
    rude: list[socket.socket] = []
    try:
        for data in [
            b"",
            b"\x16\x03",
            b"GET / HTTP/1.1\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\n",
            os.urandom(100_000),
        ]:
            for _ in range(5):
                connection = socket.create_connection(("127.0.0.1", shared.port), SECONDS)
                rude.append(connection)
                with contextlib.suppress(OSError):  # it may hang up
                    connection.sendall(data)
        # One that speaks TLS well and then says something else than HTTP/2.
        context = ssl.create_default_context(cafile=shared.files.ca)
        context.load_cert_chain(shared.files.operator.certificate, shared.files.operator.key)
        context.set_alpn_protocols(["h2"])
        raw = socket.create_connection(("127.0.0.1", shared.port), SECONDS)
        rude.append(raw)
        with context.wrap_socket(raw, server_hostname="web1.agent.test") as connection:
            connection.sendall(os.urandom(10_000))
            assert ask(shared.stub()).host_id == "web1"
        assert ask(shared.stub(shared.files.controller)).host_id == "web1"
    finally:
        for connection in rude:
            connection.close()
    assert shared.process.poll() is None


def test_plain_text_lets_anybody_in_and_says_so_loudly(launch: Any) -> None:
    gateway = launch(plaintext=True)
    stub = gateway.stub()
    assert ask(stub).host_id == "web1"
    request = agent_pb2.OperateRequest(verb=agent_pb2.OperateRequest.STOP)
    request.selector.terms.append("web")
    stub.Operate(request, timeout=SECONDS)
    assert gateway.supervisor.requests("operate")[0]["context"]["actor"] == "anonymous"
    assert "INSECURE" in gateway.stderr()
    assert gateway.address in gateway.stderr()


# ---------------------------------------------------------------- reflection


def test_services_can_be_listed_by_reflection(shared: Any) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(shared.channel())
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    (response,) = stub.ServerReflectionInfo(iter([request]), timeout=SECONDS)
    names = {service.name for service in response.list_services_response.service}
    assert {"fleet_api.v1.AgentService", "grpc.health.v1.Health"} <= names


# ---------------------------------------------------------------- its start


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"listen": ""}, "no address to listen on"),
        ({"key": "no key"}, "PEM"),
        ({"certificate": ""}, "certificate"),
        ({"user": "www-data"}, "no user"),
        ({"user": {"uid": -1, "gid": 0}}, "no user"),
    ],
)
def test_a_configuration_that_cannot_be_served_is_told(launch: Any, changes: Any, words: str) -> None:
    gateway = launch(changes=changes, wait=False)
    assert gateway.process.wait(SECONDS) == 1
    assert words in told(gateway)["message"]
    assert gateway.stderr() == ""


def told(gateway: Any) -> Any:
    """The error that the gateway told its supervisor."""
    return gateway.supervisor.wait_for_request("serving")["error"]


@pytest.mark.parametrize(
    ("role", "name", "days_ago", "code"),
    [
        (Role.CONTROLLER, "web1", 0, "WRONG_CERTIFICATE"),
        (Role.OPERATOR, "web1", 0, "WRONG_CERTIFICATE"),
        (Role.AGENT, "web2", 0, "WRONG_CERTIFICATE"),
        (Role.AGENT, "web1", 5, "CERTIFICATE_EXPIRED"),
        (Role.AGENT, "web1", -5, "CERTIFICATE_NOT_YET_VALID"),
    ],
)
def test_only_the_certificate_of_this_hosts_agent_will_do(
    launch: Any, tmp_path: Path, role: Role, name: str, days_ago: float, code: str
) -> None:
    pki = certificates.make(tmp_path / "own")
    files = pki.issue(role, name, now=time.time() - days_ago * 86400)
    changes = {part: Path(getattr(files, part)).read_text() for part in ("certificate", "key", "ca")}
    gateway = launch(changes=changes, wait=False)
    assert gateway.process.wait(SECONDS) == 1
    error = told(gateway)
    assert (error["class"], error["code"]) == ("Denied", code)
    assert ("host_id in [fleet]" in error["hint"]) == (code == "WRONG_CERTIFICATE")


def test_what_the_supervisor_does_not_hear_is_said_on_stderr(launch: Any) -> None:
    def refuse(frame: Any) -> Any:
        raise BadRequest("UNKNOWN_REQUEST", "an older supervisor does not know this")

    def prepare(supervisor: Any) -> None:
        supervisor.on["serving"] = refuse

    gateway = launch(changes={"listen": ""}, prepare=prepare, wait=False)
    assert gateway.process.wait(SECONDS) == 1
    assert "no address to listen on" in gateway.stderr()


def test_that_it_serves_is_told(launch: Any) -> None:
    gateway = launch()
    assert told(gateway) is None


def test_an_address_in_use_is_named(launch: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        gateway = launch(changes={"listen": address}, wait=False)
        assert gateway.process.wait(SECONDS) == 3
        assert address in told(gateway)["message"]
        assert "Traceback" not in gateway.stderr()


@pytest.mark.parametrize("verb", ["configure", "hello", "watch"])
def test_it_leaves_when_the_link_ends_before_it_serves(launch: Any, verb: str) -> None:
    gateway = launch(prepare=lambda supervisor: supervisor.silent.add(verb), wait=False)
    gateway.supervisor.wait_for_request(verb)
    gateway.supervisor.end()
    assert gateway.process.wait(SECONDS) == 0


def test_two_gateways_overlap_on_one_port(launch: Any) -> None:
    first = launch()
    second = launch(changes={"listen": first.address}, wait=False)
    first.supervisor.end()
    assert first.process.wait(SECONDS) == 0
    wait_until_answered(first)
    assert second.process.poll() is None


def test_usage_errors_do_not_hang() -> None:
    from fleet_agent.gateway import main

    command = [sys.executable, "-P", str(main.__file__)]
    process = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert process.returncode == 2
    assert b"--link-fd" in process.stderr


# ---------------------------------------------------------------- its rights


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def test_it_can_gain_no_rights(shared: Any) -> None:
    tasks = [int(task.name) for task in Path(f"/proc/{shared.process.pid}/task").iterdir()]
    assert len(tasks) > 1
    for task in tasks:
        status = status_of(task)
        assert status["NoNewPrivs"] == "1"
        # Not even those of root, but for low ports.
        for kind in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
            assert int(status[kind], 16) & ~CAP_NET_BIND_SERVICE == 0, kind
    if os.geteuid() != 0:
        # Not dumpable: another process of the same user cannot look into it.
        with pytest.raises(PermissionError):
            os.readlink(f"/proc/{shared.process.pid}/exe")


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_it_becomes_the_user_it_is_told(launch: Any) -> None:
    nobody = pwd.getpwnam("nobody")
    gateway = launch(changes={"user": {"uid": nobody.pw_uid, "gid": nobody.pw_gid}})
    assert ask(gateway.stub()).host_id == "web1"
    status = status_of(gateway.process.pid)
    assert set(status["Uid"].split()) == {str(nobody.pw_uid)}
    assert set(status["Gid"].split()) == {str(nobody.pw_gid)}
    assert status["Groups"] == ""
    assert int(status["CapEff"], 16) == 0
    assert int(status["CapPrm"], 16) == 0
    assert "as root" not in gateway.stderr()
    # Not dumpable: its memory, with the key, belongs to root alone.
    assert os.stat(f"/proc/{gateway.process.pid}/mem").st_uid == 0


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_the_next_gateway_of_the_same_user_binds_beside_it(launch: Any) -> None:
    nobody = pwd.getpwnam("nobody")
    user = {"uid": nobody.pw_uid, "gid": nobody.pw_gid}
    first = launch(changes={"user": user})
    second = launch(changes={"user": user, "listen": first.address}, wait=False)
    first.supervisor.end()
    assert first.process.wait(SECONDS) == 0
    wait_until_answered(first)
    assert second.process.poll() is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may become anybody")
def test_without_rights_it_refuses_to_be_somebody_else(launch: Any) -> None:
    gateway = launch(changes={"user": {"uid": os.getuid() + 1, "gid": os.getgid()}}, wait=False)
    assert gateway.process.wait(SECONDS) == 1
    assert "cannot become" in told(gateway)["message"]


# ---------------------------------------------------------------- its end


def test_it_leaves_at_once_when_the_supervisor_is_gone(launch: Any) -> None:
    gateway = launch()
    assert ask(gateway.stub()).host_id == "web1"
    gateway.supervisor.end()
    assert gateway.process.wait(SECONDS) == 0
    assert "Traceback" not in gateway.stderr()


def test_garbage_from_the_supervisor_ends_it_with_words(launch: Any) -> None:
    gateway = launch()
    gateway.supervisor.send_raw(b"\x00\x00\x00\x05hello")
    assert gateway.process.wait(SECONDS) == 4
    assert "no JSON" in gateway.stderr()
    assert "Traceback" not in gateway.stderr()


def test_ctrl_c_is_for_the_keeper_and_sigterm_drains(launch: Any) -> None:
    gateway = launch()
    stub = gateway.stub()
    watch = stub.Watch(agent_pb2.WatchRequest(), timeout=SECONDS)
    next(watch)
    gateway.process.send_signal(signal.SIGINT)
    gateway.process.send_signal(signal.SIGHUP)
    assert ask(stub).host_id == "web1"
    gateway.process.send_signal(signal.SIGTERM)
    assert gateway.process.wait(SECONDS) == 0
    refusal(lambda: list(watch))
    assert "Traceback" not in gateway.stderr()


@pytest.mark.pure
def test_a_setup_needs_credentials_unless_plain_text_is_asked_for() -> None:
    assert Setup.from_frame({"listen": "127.0.0.1:1", "insecure_plaintext": True}, 0.0).credentials is None
    for sneaky in ("yes", 1, None):
        with pytest.raises(BadRequest):
            Setup.from_frame({"listen": "127.0.0.1:1", "insecure_plaintext": sneaky}, 0.0)
