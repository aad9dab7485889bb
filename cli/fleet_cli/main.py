"""The command `fleetctl`: finds the file of the one verb that was asked for and runs it."""

import importlib
import os
import sys
import time
from types import MappingProxyType
from typing import Annotated, Any

import typer
import typer.core
import typer.main
from fleet_api.errors import FleetError

from fleet_cli import exit_codes
from fleet_cli.invocation import Invocation
from fleet_cli.terminal import look

VERBS = MappingProxyType(
    {
        verb: f"fleet_cli.commands.{verb}"
        for verb in ("status", "start", "stop", "restart", "signal", "tail", "pid", "hosts", "version", "pki")
    }
)
"""Each verb and the module whose `app` it is; only the one asked for is imported."""

# The mistakes of a command line; typer does not export their base, and has moved it.
_Mistake: type[Exception] = typer.BadParameter.__mro__[2]


class VerbGroup(typer.core.TyperGroup):
    """The group of all verbs, each imported when it is needed."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The verbs, in the order of their use."""
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of one verb; None for a verb that does not exist."""
        module = VERBS.get(cmd_name)
        if module is None:
            return None
        command = typer.main.get_command(importlib.import_module(module).app)
        command.name = cmd_name
        return command


app = typer.Typer(
    name="fleetctl",
    cls=VerbGroup,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def fleetctl(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version of fleetctl itself")] = False,
) -> int:
    """Ask and command the processes of this host, or of every host with -H or --all-hosts."""
    if context.invoked_subcommand is None:
        from fleet_api.version import VERSION

        context.obj.print(f"fleetctl {VERSION}" if version else context.get_help())
        return exit_codes.OK if version else exit_codes.USAGE
    return exit_codes.OK


def run(arguments: list[str], invocation: Invocation) -> int:
    """Run one command line; returns its exit code."""
    try:
        command = typer.main.get_command(app)
        result = command.main(args=arguments, prog_name="fleetctl", standalone_mode=False, obj=invocation)
        code = result if isinstance(result, int) else exit_codes.OK
    except FleetError as error:
        invocation.tell_error(error)
        return exit_codes.of_error(error)
    except typer.Abort:
        return exit_codes.INTERRUPTED
    except KeyboardInterrupt:
        return exit_codes.INTERRUPTED
    except _Mistake as error:
        _tell_usage(error, invocation)
        return exit_codes.USAGE
    return code


def main() -> int:
    """The entry of `fleetctl` and `flt`."""
    # gRPC reads this when it is imported; what it would say of a failed handshake, our error says better.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    for stream in (sys.stdout, sys.stderr):
        # A name that the locale cannot show is no reason to fail.
        getattr(stream, "reconfigure", lambda **_: None)(errors="backslashreplace")
    code = run(sys.argv[1:], real_invocation())
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = exit_codes.READER_LEFT
    if code == exit_codes.READER_LEFT:
        # Or the interpreter complains about the lost output on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def real_invocation() -> Invocation:
    """The invocation of a real command line."""
    return Invocation(
        environ=os.environ,
        uid=os.geteuid(),
        user=_user_name(),
        stdin=sys.stdin,
        stdout=sys.stdout,
        stderr=sys.stderr,
        terminal=look(os.environ, sys.stdin, sys.stdout, sys.stderr),
        clock=time.monotonic,
        wall=time.time,
        sleep=time.sleep,
        new_id=lambda: os.urandom(16).hex(),
    )


def _user_name() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _tell_usage(error: Any, invocation: Invocation) -> None:
    context = getattr(error, "ctx", None)
    if context is not None:
        invocation.tell(context.get_usage())
    invocation.tell(f"Error: {error.format_message()}")
