"""`fleetctl tail`: the end of a process's log, followed if asked."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer
from fleet_api.errors import BadRequest, NotFound

from fleet_cli import exit_codes
from fleet_cli.answers import Bucket, HostAnswer, count
from fleet_cli.local import READ_TIMEOUT_SECONDS
from fleet_cli.log_output import Amount, LogOutput
from fleet_cli.options import Target, VerbCommand, targeted
from fleet_cli.views import folded, summary
from fleet_cli.views.text import shown

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """
fleetctl tail web                      the last 1600 bytes, as supervisorctl
fleetctl tail -f -n 20 web stderr
fleetctl tail -f web -H @blue          each line behind its host
"""

DEFAULT_BYTES = 1600
DEFAULT_FOLLOW_BYTES = 1024
DEFAULT_LINES = 10
"""Of each of several hosts: their lines stand one below the other, so none is cut in two."""
_USAGE = "fleetctl tail [-f] [-n LINES | -c BYTES | -BYTES] PROGRAM [stdout|stderr] [-H HOSTS]"


class TailCommand(VerbCommand):
    """Takes `-1000` for `--bytes=1000`, as supervisorctl does."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments of this command."""
        end = args.index("--") if "--" in args else len(args)
        return super().parse_args(ctx, [*_as_options(args[:end]), *args[end:]])


def _as_options(args: Sequence[str]) -> Iterator[str]:
    before = ""
    for text in args:
        # Behind an option that takes a value it would be that value.
        is_free = not before.startswith("-") or before in {"-f", "--follow"}
        is_number = text.startswith("-") and text[1:].isdecimal() and text.isascii()
        yield f"--bytes={text[1:]}" if is_free and is_number else text
        before = text


@app.command(cls=TailCommand, epilog=EXAMPLES)
@targeted
def tail(
    target: Target,
    name: Annotated[str | None, typer.Argument(metavar="PROGRAM", help="name or group:name")] = None,
    channel: Annotated[str, typer.Argument(metavar="CHANNEL", help="stdout or stderr")] = "stdout",
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as the log grows")] = False,
    lines: Annotated[
        int | None,
        typer.Option("-n", "--lines", min=0, help="Begin so many lines before the end", metavar="N"),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option("-c", "--bytes", min=0, help="Begin so many bytes before the end", metavar="N"),
    ] = None,
) -> int:
    """Print the end of a log.

    Its last 1600 bytes, 1024 with -f; of several hosts 10 lines each, every line behind its host. `tail
    -1000 web` means `tail -c 1000 web`.

    Exit code: 2 no such process or log, 4 a host did not answer, 130 ended with Ctrl-C.
    """
    if not name:
        raise BadRequest("USAGE", "tail requires process name", _USAGE)
    if channel not in {"stdout", "stderr"}:
        raise BadRequest("USAGE", f"bad channel {channel!r}", _USAGE)
    if lines is not None and size is not None:
        raise BadRequest("USAGE", "-n and -c exclude each other", _USAGE)
    default = DEFAULT_FOLLOW_BYTES if follow else DEFAULT_BYTES
    amount = Amount(default if size is None else size, lines)
    if follow:
        target.invocation.tell("==> Press Ctrl-C to exit <==")
    try:
        if target.is_remote:
            is_default = lines is None and size is None
            return _remote(target, name, channel, amount, is_default=is_default, follow=follow)
        return _local(target, name, channel, amount, follow=follow)
    except KeyboardInterrupt:
        return exit_codes.INTERRUPTED


def _local(target: Target, name: str, channel: str, amount: Amount, *, follow: bool) -> int:
    from fleet_cli.local_log import LocalLog

    invocation = target.invocation
    seconds = target.timeout or READ_TIMEOUT_SECONDS
    log = LocalLog(target.agent().path, name, channel, invocation, LogOutput(invocation, []), seconds)
    try:
        if follow:
            log.follow(amount)
        else:
            log.show(amount)
    except NotFound as error:
        words = "no log file" if error.code == "NO_LOG_FILE" else "no such process name"
        invocation.tell(f"{shown(name)}: ERROR ({words})")
        if error.hint:
            invocation.tell(f"hint: {shown(error.hint)}")
        return exit_codes.FAILED
    return exit_codes.OK


def _remote(
    target: Target, name: str, channel: str, amount: Amount, *, is_default: bool, follow: bool
) -> int:
    from fleet_cli.remote_log import RemoteLog

    with target.connect() as controller:
        hosts = [record.name for record in controller.hosts(target.hosts)]
        if is_default and len(hosts) > 1:
            amount = amount._replace(lines=DEFAULT_LINES)
        output = LogOutput(target.invocation, hosts)
        log = RemoteLog(controller, hosts, name, channel, target.invocation, output)
        try:
            if follow:
                log.follow(amount)
            else:
                log.show(amount)
        finally:
            output.finish()
    answers = log.answers()
    _tell(target, answers)
    return exit_codes.of_buckets(answer.bucket for answer in answers)


def _tell(target: Target, answers: list[HostAnswer]) -> None:
    """Which hosts gave no log, and why."""
    invocation = target.invocation
    if all(answer.bucket is Bucket.OK for answer in answers):
        return
    invocation.tell(folded.trouble(answers, None, False, invocation.wall()))
    for hint in folded.hints(answers):
        invocation.tell(hint)
    if len(answers) > 1:
        invocation.tell(summary.line(count(answers)))
