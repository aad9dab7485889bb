"""A whole PKI in a folder, in milliseconds: `make(tmp_path)` for tests that need credentials on disk."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fleet_api import identity, pki, tls
from fleet_api.credentials import Credentials
from fleet_api.identity import Identity, Role

FLEET = "test"


class Files(NamedTuple):
    """Paths of one party's credentials, as `tls.load` takes them, and who it is."""

    certificate: str
    key: str
    ca: str
    identity: Identity

    def load(self) -> Credentials:
        return tls.load(self.certificate, self.key, self.ca, time.time())


class Pki(NamedTuple):
    """`agents` by host id. `issue` makes one more party, also with odd dates."""

    folder: Path
    fleet: str
    ca: str
    ca_key: str
    agents: dict[str, Files]
    controller: Files
    operator: Files

    def issue(
        self,
        role: Role,
        name: str,
        days: float = 1,
        now: float | None = None,
        ip_addresses: Sequence[str] = (),
    ) -> Files:
        return _issue(self.folder, identity.make(self.fleet, role, name), days, now, ip_addresses)


def make(
    folder: Path,
    hosts: Sequence[str] = ("web1",),
    controller: str = "main",
    operator: str = "alice",
    fleet: str = FLEET,
    now: float | None = None,
) -> Pki:
    """A CA and one party of each kind below `folder`, valid for a day (`now`: seconds since the epoch)."""
    folder.mkdir(parents=True, exist_ok=True)
    # Older than its certificates, so that tests can issue expired ones.
    start = (time.time() if now is None else now) - 30 * 86400
    authority = pki.create_ca(fleet, days=60, now=start)
    ca = _write(folder / "ca.crt", authority.certificate)
    ca_key = _write(folder / "ca.key", authority.key)
    agents = {
        host: _issue(folder, identity.make(fleet, Role.AGENT, host), 1, now, ("127.0.0.1",)) for host in hosts
    }
    return Pki(
        folder,
        fleet,
        ca,
        ca_key,
        agents,
        _issue(folder, identity.make(fleet, Role.CONTROLLER, controller), 1, now, ("127.0.0.1",)),
        _issue(folder, identity.make(fleet, Role.OPERATOR, operator), 1, now, ()),
    )


def _issue(
    folder: Path, holder: Identity, days: float, now: float | None, ip_addresses: Sequence[str]
) -> Files:
    issued = pki.issue(
        (folder / "ca.crt").read_bytes(),
        (folder / "ca.key").read_bytes(),
        holder,
        days=days,
        now=time.time() if now is None else now,
        ip_addresses=ip_addresses,
    )
    stem = f"{holder.role.value}-{holder.name}"
    return Files(
        _write(folder / f"{stem}.crt", issued.certificate),
        _write(folder / f"{stem}.key", issued.key),
        str(folder / "ca.crt"),
        holder,
    )


def _write(path: Path, content: bytes) -> str:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
    return str(path)
