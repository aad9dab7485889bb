"""The CA: what its certificates say, how long they live, and what it refuses to sign."""

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID
from fleet_api import identity, pki
from fleet_api.errors import BadRequest, Denied
from fleet_api.identity import Identity, Role
from fleet_api.pki import Issued

pytestmark = pytest.mark.pure

NOW = 1_900_000_000.0
DAY = 86400.0


@pytest.fixture(scope="module")
def ca() -> Issued:
    return pki.create_ca("prod", days=100, now=NOW)


def _issue(
    ca: Issued, role: Role = Role.AGENT, name: str = "web1", days: float = 7, now: float = NOW
) -> Issued:
    return pki.issue(ca.certificate, ca.key, identity.make("prod", role, name), days=days, now=now)


def _extensions(pem: bytes) -> x509.Extensions:
    return x509.load_pem_x509_certificate(pem).extensions


def test_the_ca_signs_its_own_fleet_and_no_further_ca(ca: Issued) -> None:
    extensions = _extensions(ca.certificate)
    basic = extensions.get_extension_for_class(x509.BasicConstraints)
    assert basic.critical
    assert (basic.value.ca, basic.value.path_length) == (True, 0)
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.key_cert_sign
    assert not usage.value.digital_signature
    assert extensions.get_extension_for_class(x509.NameConstraints).critical
    assert pki.ca_fleet(x509.load_pem_x509_certificate(ca.certificate)) == "prod"
    assert pki.describe(ca.certificate).is_ca


@pytest.mark.parametrize(
    ("role", "purposes", "dns_names"),
    [
        (Role.AGENT, {ExtendedKeyUsageOID.SERVER_AUTH}, ("x1.agent.prod",)),
        (
            Role.CONTROLLER,
            {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH},
            ("x1.controller.prod",),
        ),
        (Role.OPERATOR, {ExtendedKeyUsageOID.CLIENT_AUTH}, ()),
    ],
)
def test_each_role_gets_its_purposes_and_names(
    ca: Issued, role: Role, purposes: set[x509.ObjectIdentifier], dns_names: tuple[str, ...]
) -> None:
    issued = _issue(ca, role, "x1")
    extensions = _extensions(issued.certificate)
    assert set(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == purposes
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    described = pki.describe(issued.certificate)
    assert described.dns_names == dns_names
    assert described.identity == identity.make("prod", role, "x1")
    assert not described.is_ca


def test_it_is_valid_a_little_earlier_and_never_longer_than_the_ca(ca: Issued) -> None:
    described = pki.describe(_issue(ca, days=7).certificate)
    authority = pki.describe(ca.certificate)
    assert described.not_after == NOW + 7 * DAY
    assert described.not_before == NOW - 300 == authority.not_before
    assert pki.describe(_issue(ca, days=5000).certificate).not_after == authority.not_after
    later = pki.describe(_issue(ca, now=NOW + DAY).certificate)
    assert later.not_before == NOW + DAY - 300


def test_serials_and_keys_are_fresh(ca: Issued) -> None:
    first, second = _issue(ca), _issue(ca)
    assert pki.describe(first.certificate).serial != pki.describe(second.certificate).serial
    assert pki.fingerprint(first.certificate) != pki.fingerprint(second.certificate)
    assert first.key != second.key


def test_it_is_signed_by_this_ca_and_by_no_other(ca: Issued) -> None:
    leaf = x509.load_pem_x509_certificate(_issue(ca).certificate)
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(ca.certificate))
    other = pki.create_ca("prod", days=1, now=NOW)
    with pytest.raises(InvalidSignature):
        leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(other.certificate))


def test_more_names_and_addresses(ca: Issued) -> None:
    holder = identity.make("prod", Role.AGENT, "web1")
    issued = pki.issue(
        ca.certificate,
        ca.key,
        holder,
        days=1,
        now=NOW,
        dns_names=["WEB1.example.org", "web1.example.org.", "web1.agent.prod", "localhost"],
        ip_addresses=["127.0.0.1", "::1", "127.0.0.1"],
    )
    described = pki.describe(issued.certificate)
    assert described.dns_names == ("web1.agent.prod", "web1.example.org", "localhost")
    assert described.ip_addresses == ("127.0.0.1", "::1")


@pytest.mark.parametrize(
    "name",
    [
        "db1.agent.prod",
        "DB1.agent.PROD",
        "db1.agent.prod.",
        "x.controller.prod",
        "a.user.prod",
        "x.web1.agent.prod",
    ],
)
def test_no_certificate_speaks_for_somebody_else(ca: Issued, name: str) -> None:
    with pytest.raises(Denied) as caught:
        pki.issue(
            ca.certificate,
            ca.key,
            identity.make("prod", Role.AGENT, "web1"),
            days=1,
            now=NOW,
            dns_names=[name],
        )
    assert caught.value.code == "NAME_NOT_ALLOWED"


@pytest.mark.parametrize(
    "name", ["", "*", "*.prod", "*.agent.prod", "a b", "a\0b", "ä.example", "a" * 300, "x/y"]
)
def test_names_that_are_none_are_refused(ca: Issued, name: str) -> None:
    with pytest.raises(BadRequest):
        pki.issue(
            ca.certificate, ca.key, identity.make("prod", Role.AGENT, "a"), days=1, now=NOW, dns_names=[name]
        )


def test_an_address_that_is_none_is_refused(ca: Issued) -> None:
    holder = identity.make("prod", Role.AGENT, "a")
    with pytest.raises(BadRequest):
        pki.issue(ca.certificate, ca.key, holder, days=1, now=NOW, ip_addresses=["web1"])


def test_a_user_serves_nothing(ca: Issued) -> None:
    holder = identity.make("prod", Role.OPERATOR, "alice")
    with pytest.raises(BadRequest):
        pki.issue(ca.certificate, ca.key, holder, days=1, now=NOW, ip_addresses=["127.0.0.1"])


def test_another_fleet_is_refused(ca: Issued) -> None:
    with pytest.raises(Denied) as caught:
        pki.issue(ca.certificate, ca.key, identity.make("test", Role.AGENT, "a"), days=1, now=NOW)
    assert caught.value.code == "WRONG_FLEET"


def test_an_identity_that_nobody_checked_is_checked(ca: Issued) -> None:
    with pytest.raises(BadRequest):
        pki.issue(ca.certificate, ca.key, Identity("prod", Role.AGENT, "a/b"), days=1, now=NOW)


def test_an_expired_or_future_ca_signs_nothing(ca: Issued) -> None:
    with pytest.raises(Denied) as caught:
        _issue(ca, now=NOW + 101 * DAY)
    assert caught.value.code == "CA_EXPIRED"
    with pytest.raises(Denied) as caught:
        _issue(ca, now=NOW - 20 * DAY)
    assert caught.value.code == "CA_NOT_YET_VALID"


@pytest.mark.parametrize("days", [0, -1, float("nan"), float("inf"), 1e9])
def test_a_life_that_cannot_be_is_refused(ca: Issued, days: float) -> None:
    with pytest.raises(BadRequest):
        _issue(ca, days=days)
    with pytest.raises(BadRequest):
        pki.create_ca("prod", days=days, now=NOW)


@pytest.mark.parametrize("fleet", ["", "Prod", "a/b", "a..b", "-a", "a" * 300, "a b", "prod\n"])
def test_a_fleet_needs_a_name(fleet: str) -> None:
    with pytest.raises(BadRequest):
        pki.create_ca(fleet, days=1, now=NOW)


def test_a_name_at_its_longest_can_be_issued() -> None:
    fleet = ".".join(["f" * 63] * 2)
    ca = pki.create_ca(fleet, days=1, now=NOW)
    holder = identity.make(fleet, Role.AGENT, "h" * 63)
    issued = pki.issue(ca.certificate, ca.key, holder, days=1, now=NOW)
    assert pki.describe(issued.certificate).identity == holder


def test_files_that_are_no_ca_are_told(ca: Issued) -> None:
    leaf = _issue(ca)
    other = pki.create_ca("prod", days=1, now=NOW)
    holder = identity.make("prod", Role.AGENT, "a")
    for certificate, key, code in (
        (leaf.certificate, leaf.key, "NOT_A_CA"),
        (ca.certificate, other.key, "KEY_DOES_NOT_FIT"),
        (ca.certificate, b"junk", "CREDENTIALS_MALFORMED"),
        (b"junk", ca.key, "CREDENTIALS_MALFORMED"),
    ):
        with pytest.raises(BadRequest) as caught:
            pki.issue(certificate, key, holder, days=1, now=NOW)
        assert caught.value.code == code


def test_the_key_does_not_show_in_words(ca: Issued) -> None:
    assert "PRIVATE" not in repr(ca)


def test_the_fingerprint_is_as_other_tools_print_it(ca: Issued) -> None:
    parts = pki.fingerprint(ca.certificate).split(":")
    assert len(parts) == 32
    assert all(len(part) == 2 and part == part.upper() for part in parts)
