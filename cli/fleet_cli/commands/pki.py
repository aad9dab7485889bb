"""`fleetctl pki`: makes the CA of a fleet and issues certificates from it, as files."""

import os
from typing import TYPE_CHECKING, Annotated

import typer
from fleet_api import identity
from fleet_api.errors import BadRequest, Conflict, NotFound
from fleet_api.identity import Role

from fleet_cli.invocation import Invocation
from fleet_cli.options import VerbCommand

if TYPE_CHECKING:
    from fleet_api.pki import Description

app = typer.Typer(add_completion=False, rich_markup_mode=None)

CA_CERTIFICATE = "ca.crt"
CA_KEY = "ca.key"

INIT_EXAMPLES = "fleetctl pki init --fleet production --dir pki"
ISSUE_EXAMPLES = """
fleetctl pki issue agent web1 --dir pki --out web1
fleetctl pki issue controller controller --dir pki --dns fleet.example.org
fleetctl pki issue user alice --dir pki --days 30
"""
SHOW_EXAMPLES = "fleetctl pki show pki/*.crt"

_Folder = Annotated[str, typer.Option("--dir", help="Folder of the CA", metavar="DIR")]


@app.callback()
def pki() -> None:
    """Make a fleet's CA and certificates."""


@app.command(cls=VerbCommand, epilog=INIT_EXAMPLES)
def init(
    context: typer.Context,
    fleet: Annotated[str, typer.Option("--fleet", help="Name of the fleet", metavar="NAME")],
    folder: _Folder,
    days: Annotated[float, typer.Option("--days", help="Life of the CA", metavar="DAYS")] = 3650,
) -> None:
    """Make a new CA: ca.crt and ca.key. Refuses where there is one already."""
    from fleet_api import pki as authority

    from fleet_cli import credential_files as files

    invocation: Invocation = context.obj
    issued = authority.create_ca(fleet, days=days, now=invocation.wall())
    files.make_folder(folder)
    try:
        written = files.write(
            folder,
            {
                CA_KEY: (issued.key, files.KEY_MODE),
                CA_CERTIFICATE: (issued.certificate, files.CERTIFICATE_MODE),
            },
        )
    except Conflict as error:
        raise Conflict(error.code, error.message, "a new CA needs a folder of its own") from error
    _tell(invocation, written, f"CA of fleet {fleet}", issued.certificate)


@app.command(cls=VerbCommand, epilog=ISSUE_EXAMPLES)
def issue(
    context: typer.Context,
    role: Annotated[Role, typer.Argument(help="What the holder may be", metavar="agent|controller|user")],
    name: Annotated[
        str, typer.Argument(help="Host id of an agent, name of a controller or user", metavar="NAME")
    ],
    folder: _Folder,
    out: Annotated[
        str | None,
        typer.Option("--out", help="Folder for the new files; default: that of the CA", metavar="DIR"),
    ] = None,
    days: Annotated[float, typer.Option("--days", help="Life of the certificate", metavar="DAYS")] = 90,
    dns: Annotated[list[str] | None, typer.Option("--dns", help="One more DNS name", metavar="NAME")] = None,
    ip: Annotated[list[str] | None, typer.Option("--ip", help="An IP address", metavar="ADDRESS")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files of the same names")] = False,
) -> None:
    """Issue a certificate: NAME.crt, NAME.key and a copy of ca.crt."""
    from fleet_api import pki as authority
    from fleet_api import tls

    from fleet_cli import credential_files as files

    invocation: Invocation = context.obj
    try:
        ca = tls.read_file(os.path.join(folder, CA_CERTIFICATE), "CA")
        ca_key = tls.read_file(os.path.join(folder, CA_KEY), "CA key", is_private=True)
    except NotFound as error:
        raise NotFound(
            error.code, error.message, "make one with `fleetctl pki init`, or name its folder with --dir"
        ) from error
    if name.lower() == "ca":
        raise BadRequest("NAME_RESERVED", f"a holder cannot be called {name}: {name}.key is the CA's")
    fleet = authority.ca_fleet(authority.load_ca(ca, ca_key)[0])
    holder = identity.make(fleet, role, name)
    issued = authority.issue(
        ca, ca_key, holder, days=days, now=invocation.wall(), dns_names=dns or (), ip_addresses=ip or ()
    )
    target = out or folder
    files.make_folder(target)
    contents = {
        f"{name}.key": (issued.key, files.KEY_MODE),
        f"{name}.crt": (issued.certificate, files.CERTIFICATE_MODE),
    }
    if _current(os.path.join(target, CA_CERTIFICATE)) != ca:
        contents[CA_CERTIFICATE] = (ca, files.CERTIFICATE_MODE)
    try:
        written = files.write(target, contents, is_forced=force)
    except Conflict as error:
        raise Conflict(error.code, error.message, "replace it with --force, or choose --out") from error
    _tell(invocation, written, f"{holder} of fleet {fleet}", issued.certificate)


@app.command(cls=VerbCommand, epilog=SHOW_EXAMPLES)
def show(
    context: typer.Context,
    paths: Annotated[list[str], typer.Argument(help="Certificate files", metavar="FILE...")],
) -> None:
    """Say whom certificates speak for, and until when."""
    from fleet_api import pki as authority
    from fleet_api import tls

    invocation: Invocation = context.obj
    for path in paths:
        pem = tls.read_file(path, "certificate")
        invocation.print(f"{path}:")
        for line in _lines(authority.describe(pem), invocation.wall()):
            invocation.print(f"  {line}")


def _tell(invocation: Invocation, written: list[str], what: str, certificate: bytes) -> None:
    from fleet_api import pki as authority
    from fleet_api import tls

    for path in written:
        invocation.print(f"wrote {path}")
    described = authority.describe(certificate)
    invocation.print(f"{what}, valid until {tls.utc(described.not_after)}")
    invocation.print(f"sha256 {described.fingerprint}")


def _lines(described: "Description", now: float) -> list[str]:
    from fleet_api import tls

    from fleet_cli.views.text import shown

    holder = described.identity
    who = f"{holder} of fleet {holder.fleet}" if holder else described.subject
    left = described.not_after - now
    life = f"{tls.spoken(left)} left" if left >= 0 else f"expired {tls.spoken(-left)} ago"
    lines = [
        shown(who),
        f"valid from {tls.utc(described.not_before)} until {tls.utc(described.not_after)} ({life})",
        f"sha256 {described.fingerprint}",
    ]
    names = [*described.dns_names, *described.ip_addresses]
    if names:
        lines.insert(1, shown("names " + ", ".join(names)))
    return lines


def _current(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None
