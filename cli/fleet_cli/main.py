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
from fleet_api.errors import BadRequest, FleetError

from fleet_cli import exit_codes
from fleet_cli.invocation import Invocation
from fleet_cli.terminal import look

VERBS = MappingProxyType(
    {
        verb: f"fleet_cli.commands.{verb}"
        for verb in (
            "status",
            "start",
            "stop",
            "restart",
            "signal",
            "enable",
            "disable",
            "tail",
            "pid",
            "hosts",
            "version",
            "pki",
        )
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

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples."""
        from fleet_cli.options import write_examples

        write_examples(self.epilog, formatter)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of one verb.

        Raises: BadRequest, with what was probably meant, for a verb that does not exist.
        """
        module = VERBS.get(cmd_name)
        if module is None:
            raise _unknown(cmd_name)
        command = typer.main.get_command(importlib.import_module(module).app)
        command.name = cmd_name
        return command


def _unknown(verb: str) -> BadRequest:
    from difflib import get_close_matches

    near = get_close_matches(verb, VERBS, 1)
    hint = f"did you mean {near[0]}?" if near else f"verbs: {', '.join(VERBS)}"
    return BadRequest("USAGE", f"there is no verb {verb!r}", hint)


EXAMPLES = """
fleetctl status                            what runs on this host
fleetctl status --all-hosts                what runs in the fleet
fleetctl restart web -H 'web[1-20],!web3'  a change on some hosts
fleetctl tail -f web -H @blue              a log of every host of a group
fleetctl VERB --help                       everything about one verb
"""

app = typer.Typer(
    name="fleetctl",
    cls=VerbGroup,
    epilog=EXAMPLES,
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

        if not version:
            context.obj.tell(context.get_help())
            return exit_codes.USAGE
        context.obj.print(f"fleetctl {VERSION}")
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
    except OSError as error:
        # Whoever asks files or sockets turns their errors into our own: what is left is stdout's.
        invocation.stderr.write(f"error: the output cannot be written: {error.strerror}\n")
        return exit_codes.OUTPUT_LOST
    return code


def main() -> int:
    """The entry of `fleetctl` and `flt`."""
    # gRPC reads this when it is imported; what it would say of a failed handshake, our error says better.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, open(os.devnull, "r+"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        # A name that the locale cannot show is no reason to fail.
        getattr(stream, "reconfigure", lambda **_: None)(errors="backslashreplace")
    code = run(sys.argv[1:], real_invocation())
    try:
        sys.stdout.flush()
    except OSError:
        code = exit_codes.OUTPUT_LOST
    if code == exit_codes.OUTPUT_LOST:
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
    hint = f"see `{context.command_path} --help`" if context is not None else ""
    message: str = error.format_message().removesuffix(".")
    invocation.tell_error(BadRequest("USAGE", message[:1].lower() + message[1:], hint))
