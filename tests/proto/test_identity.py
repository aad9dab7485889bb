"""Identities: which texts are ones, and that each survives its URI and its certificate."""

import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fleet_api import identity, pki
from fleet_api.errors import BadRequest, Denied, FleetError
from fleet_api.identity import Identity, Role
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.pure

_LABEL = st.from_regex(r"[a-z0-9_]([a-z0-9_-]{0,10}[a-z0-9_])?", fullmatch=True)
_DOTTED = st.lists(_LABEL, min_size=1, max_size=4).map(".".join)


def _certificate(*names: x509.GeneralName) -> bytes:
    from datetime import UTC, datetime, timedelta

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "spiffe://f/agent/not-here")])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _uri(text: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(text)


@given(_DOTTED, st.sampled_from(Role), _DOTTED)
def test_an_identity_survives_its_uri(fleet: str, role: Role, name: str) -> None:
    made = identity.make(fleet, role, name)
    assert identity.from_uri(made.uri) == made


@given(st.text(max_size=60))
def test_any_text_is_an_identity_or_a_bad_request(text: str) -> None:
    for uri in (text, f"spiffe://{text}", f"spiffe://f/agent/{text}", f"spiffe://{text}/user/x"):
        try:
            assert identity.from_uri(uri).uri == uri
        except BadRequest as error:
            assert error.message.isprintable()


@pytest.mark.parametrize(
    ("uri", "role", "dns_name"),
    [
        ("spiffe://prod/agent/web-1", Role.AGENT, "web-1.agent.prod"),
        ("spiffe://prod.example/controller/main", Role.CONTROLLER, "main.controller.prod.example"),
        ("spiffe://prod/user/Alice.B@example", Role.OPERATOR, ""),
    ],
)
def test_uri_and_dns_name(uri: str, role: Role, dns_name: str) -> None:
    found = identity.from_uri(uri)
    assert (found.role, found.uri, found.dns_name) == (role, uri, dns_name)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "spiffe://",
        "spiffe://f",
        "spiffe://f/agent",
        "spiffe://f/agent/",
        "spiffe:///agent/x",
        "spiffe://f/agent/x/",
        "spiffe://f/agent/x/y",
        "spiffe://f//agent/x",
        "spiffe://f/agent/x\n",
        "spiffe://f/agent/x\0",
        "spiffe://f/agent/Web1",
        "spiffe://F/agent/x",
        "spiffe://f/agent/..",
        "spiffe://f/agent/a..b",
        "spiffe://f/agent/-a",
        "spiffe://f/agent/a%2fb",
        "spiffe://f/agent/a?b",
        "spiffe://f/agent/ä",
        "spiffe://f/Agent/x",
        "spiffe://f/admin/x",
        "spiffe://f@g/agent/x",
        "spiffe://f:1/agent/x",
        "spiffe://f/user/.",
        "spiffe://f/user/@",
        "spiffe://f/user/-rf",
        "SPIFFE://f/agent/x",
        "https://f/agent/x",
        "spiffe://f/agent/" + "a" * 64,
        "spiffe://f/user/" + "a" * 129,
        "spiffe://f/agent/" + "a." * 130 + "a",
        "x" * 100_000,
    ],
)
def test_what_is_no_identity(uri: str) -> None:
    with pytest.raises(BadRequest):
        identity.from_uri(uri)


@pytest.mark.parametrize("role", list(Role))
def test_an_issued_certificate_states_its_holder(role: Role) -> None:
    holder = identity.make("prod", role, "x1")
    now = time.time()
    ca = pki.create_ca("prod", days=1, now=now)
    issued = pki.issue(ca.certificate, ca.key, holder, days=1, now=now)
    assert identity.from_certificate(issued.certificate) == holder
    context = {"x509_pem_cert": [issued.certificate], "peer_uri": [holder.uri.encode()]}
    assert identity.from_auth_context(context) == holder


def test_other_names_beside_the_identity_do_not_matter() -> None:
    pem = _certificate(x509.DNSName("spiffe://f/controller/fake"), _uri("spiffe://f/agent/x"))
    assert identity.from_certificate(pem) == Identity("f", Role.AGENT, "x")


@pytest.mark.parametrize(
    "names",
    [
        (),
        (x509.DNSName("x.agent.f"),),
        (x509.DNSName("spiffe://f/agent/x"),),
        (_uri("spiffe://f/agent/x"), _uri("spiffe://f/controller/x")),
        (_uri("spiffe://f/agent/x"), _uri("spiffe://f/agent/x")),
        (_uri("spiffe://f/agent/x"), _uri("SPIFFE://f/controller/x")),
        (_uri("https://example.org"), _uri("spiffe://f/agent/x")),
        (_uri("spiffe://f/agent/x/../../controller/x"),),
        (_uri("spiffe://f/root/x"),),
    ],
)
def test_exactly_one_identity_must_be_there(names: tuple[x509.GeneralName, ...]) -> None:
    with pytest.raises(Denied) as caught:
        identity.from_certificate(_certificate(*names))
    assert caught.value.code == "CERTIFICATE_WITHOUT_IDENTITY"


@pytest.mark.parametrize(
    "pem", [b"", b"x", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_an_unreadable_certificate_is_denied(pem: bytes) -> None:
    with pytest.raises(Denied) as caught:
        identity.from_certificate(pem)
    assert caught.value.code == "CERTIFICATE_MALFORMED"


@pytest.mark.parametrize(
    "context",
    [
        {},
        {"x509_pem_cert": []},
        {"transport_security_type": [b"insecure"]},
        {
            "x509_subject_alternative_name": [b"spiffe://f/controller/x"],
            "peer_uri": [b"spiffe://f/controller/x"],
        },
    ],
)
def test_a_call_without_a_certificate_is_denied(context: dict[str, list[bytes]]) -> None:
    with pytest.raises(Denied) as caught:
        identity.from_auth_context(context)
    assert caught.value.code == "CERTIFICATE_MISSING"


@pytest.mark.parametrize(
    ("uri", "code"),
    [
        ("spiffe://prod/controller/x", None),
        ("spiffe://prod/user/x", None),
        ("spiffe://prod/agent/x", "ROLE_NOT_ALLOWED"),
        ("spiffe://test/controller/x", "WRONG_FLEET"),
        ("spiffe://test/agent/x", "WRONG_FLEET"),
    ],
)
def test_require_takes_the_fleet_and_the_roles_asked_for(uri: str, code: str | None) -> None:
    found = ""
    try:
        identity.require(identity.from_uri(uri), "prod", {Role.CONTROLLER, Role.OPERATOR})
    except FleetError as error:
        assert isinstance(error, Denied)
        found = error.code
    assert found == (code or "")
