"""Who a caller is, by what a real TLS handshake of gRPC tells of real certificates, odd ones included."""

import datetime
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent import futures
from typing import cast

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID, ObjectIdentifier
from fleet_api import identity, pki
from fleet_api.errors import Denied
from fleet_api.identity import Identity, Role
from fleet_api.pki import Issued

DNS, URI = 0x82, 0x86
"""Tags of a GeneralName, RFC 5280."""


class Server:
    """Answers each call with what it makes of the caller, whom its fleet has certified, or another CA."""

    def __init__(self) -> None:
        now = time.time()
        own = identity.make("prod", Role.AGENT, "x")
        self.ca = pki.create_ca("prod", days=1, now=now)
        self._careless = Careless()
        issued = pki.issue(self.ca.certificate, self.ca.key, own, days=1, now=now)
        self._server = grpc.server(futures.ThreadPoolExecutor(1))
        call = grpc.unary_unary_rpc_method_handler(self._tell)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("who", {"am_i": call}),))
        trusted = self.ca.certificate + self._careless.certificate
        trust = grpc.ssl_server_credentials([(issued.key, issued.certificate)], trusted, True)
        self._target = f"127.0.0.1:{self._server.add_secure_port('127.0.0.1:0', trust)}"
        self._options = [("grpc.ssl_target_name_override", own.dns_name)]
        self._server.start()

    def _tell(self, _: bytes, context: grpc.ServicerContext) -> bytes:
        told = cast(Mapping[str, Iterable[bytes]], context.auth_context())
        try:
            return identity.from_auth_context(told).uri.encode()
        except Denied as error:
            return f"{error.code}: {error.message}".encode()

    def ask(self, caller: Issued) -> str:
        trust = grpc.ssl_channel_credentials(self.ca.certificate, caller.key, caller.certificate)
        with grpc.secure_channel(self._target, trust, self._options) as channel:
            answer: bytes = channel.unary_unary("/who/am_i", None, None)(b"", timeout=20)
            return answer.decode()

    def ask_as(self, *names: tuple[int, bytes], subject: str = "odd") -> str:
        return self.ask(self._careless.issue(names, subject))

    def stop(self) -> None:
        self._server.stop(0).wait()


class Careless:
    """A CA that certifies any names, as they are to stand in the certificate."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named("careless")
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        builder = self._builder(self._name, self._key).add_extension(constraints, critical=True)
        self.certificate = builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def issue(self, names: Sequence[tuple[int, bytes]], subject: str) -> Issued:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(_named(subject), key)
        if names:
            body = b"".join(bytes([tag]) + _length(text) + text for tag, text in names)
            extension = x509.UnrecognizedExtension(
                ObjectIdentifier("2.5.29.17"), b"\x30" + _length(body) + body
            )
            builder = builder.add_extension(extension, critical=False)
        pem = builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)
        return Issued(pem, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return x509.CertificateBuilder(
            self._name,
            subject,
            key.public_key(),
            x509.random_serial_number(),
            now - datetime.timedelta(hours=1),
            now + datetime.timedelta(hours=1),
        )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _length(text: bytes) -> bytes:
    size = len(text)
    if size < 0x80:
        return bytes([size])
    return bytes([0x81, size]) if size < 0x100 else b"\x82" + size.to_bytes(2, "big")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


@pytest.mark.parametrize(
    "holder",
    [
        Identity("prod", Role.CONTROLLER, "c1"),
        Identity("prod", Role.OPERATOR, "ana@example.org"),
        Identity("prod", Role.OPERATOR, "a" * 128),
    ],
)
def test_an_issued_certificate_names_its_holder(server: Server, holder: Identity) -> None:
    issued = pki.issue(server.ca.certificate, server.ca.key, holder, days=1, now=time.time())
    assert server.ask(issued) == holder.uri
    assert identity.from_certificate(issued.certificate) == holder


def test_other_names_beside_the_identity_do_not_matter(server: Server) -> None:
    uri = b"spiffe://prod/agent/x"
    assert (
        server.ask_as((DNS, b"spiffe://prod/controller/y"), (URI, uri), subject=uri.decode()) == uri.decode()
    )


@pytest.mark.parametrize(
    "names",
    [
        [],
        [(DNS, b"spiffe://prod/controller/x")],
        [(URI, b"spiffe://prod/agent/x"), (URI, b"spiffe://prod/controller/x")],
        [(URI, b"spiffe://prod/agent/x"), (URI, b"https://example.org")],
        [(URI, b"spiffe://prod/agent/x"), (URI, b"")],
        [(URI, b"https://example.org")],
        [(URI, b"spiffe://prod/agent/x\xff")],
        [(URI, b"spiffe://prod/controller/x\0.web1.example.org")],
        [(URI, b"spiffe://prod/controller/x\0"), (DNS, b"a.\x86\x1aspiffe://prod/controller/x")],
        [(URI, b"spiffe://" + b"f" * 3000 + b"/controller/x")],
    ],
)
def test_whoever_is_not_named_once_and_as_a_whole_is_nobody(
    server: Server, names: list[tuple[int, bytes]]
) -> None:
    assert server.ask_as(*names).startswith("CERTIFICATE_WITHOUT_IDENTITY: ")


def test_a_subject_is_shown_and_counts_for_nothing(server: Server) -> None:
    told = server.ask_as(subject="spiffe://prod/controller/x")
    assert told.startswith("CERTIFICATE_WITHOUT_IDENTITY: the certificate 'CN=spiffe://prod/controller/x'")
