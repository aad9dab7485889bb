"""Options that several commands share, what they add up to, and how help shows them.

`targeted` gives them to a command as one `Target` and, for a change, one `Sending`, so that each is
declared once. "Without -H this host's agent, with it the controller" is decided here and nowhere else.
"""

import inspect
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
import typer.core
from fleet_api.errors import BadRequest

from fleet_cli import exit_codes
from fleet_cli.invocation import Invocation
from fleet_cli.local import LocalAgent, door_path

if TYPE_CHECKING:
    from fleet_cli.remote import Controller

_HOSTS = "Which hosts"
_AGENT = "Which agent of this host"
_CONTROLLER = "Which controller, and who we are to it"


class Output(StrEnum):
    """How answers are printed."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    JSONL = "jsonl"
    NAME = "name"


Programs = Annotated[
    list[str] | None, typer.Argument(metavar="PROGRAM...", help="name, group:name, group:*, a glob, or all")
]
OutputOption = Annotated[
    Output,
    typer.Option(
        "-o",
        "--output",
        help="table (many hosts: folded), wide, json, jsonl, or name: targets only",
        metavar="FORMAT",
    ),
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Return when accepted instead of when done")]

_SENDING: dict[str, Any] = {
    "yes": Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask before a change on more than one host")
    ],
    "reason": Annotated[str, typer.Option("--reason", help="Why, for the audit", metavar="TEXT")],
    "fanout": Annotated[
        int,
        typer.Option(
            "--fanout", min=0, help="Hosts changed at once; 0: as the controller likes", metavar="N"
        ),
    ],
}


def _text(flag: str, metavar: str, help_text: str, group: str) -> Any:
    return Annotated[str | None, typer.Option(flag, metavar=metavar, help=help_text, rich_help_panel=group)]


def _flag(flag: str, help_text: str, group: str) -> Any:
    return Annotated[bool, typer.Option(flag, help=help_text, rich_help_panel=group)]


_TARGET: dict[str, Any] = {
    "hosts": Annotated[
        str | None,
        typer.Option(
            "-H",
            "--hosts",
            metavar="EXPR",
            help="Through the controller: web[1-20],@group,!web3",
            rich_help_panel=_HOSTS,
        ),
    ],
    "all_hosts": _flag("--all-hosts", "Every host of the controller", _HOSTS),
    "timeout": Annotated[
        float | None,
        typer.Option(
            "--timeout",
            min=0.001,
            metavar="SECONDS",
            help="Longest wait for one host",
            rich_help_panel=_HOSTS,
        ),
    ],
    "door": _text("--door", "PATH", "Its socket", _AGENT),
    "state_dir": _text("--state-dir", "DIR", "As given to it; or FLEET_STATE_DIR", _AGENT),
    "config": _text("--config", "FILE", "TOML file with all that follows; or FLEETCTL_CONFIG", _CONTROLLER),
    "controller": _text("--controller", "HOST:PORT", "Its address", _CONTROLLER),
    "controller_name": _text("--controller-name", "NAME", "Its name in its certificate", _CONTROLLER),
    "fleet": _text("--fleet", "NAME", "Its fleet", _CONTROLLER),
    "certificate": _text("--certificate", "FILE", "Our certificate", _CONTROLLER),
    "key": _text("--key", "FILE", "Our key", _CONTROLLER),
    "ca": _text("--ca", "FILE", "The fleet's authority", _CONTROLLER),
    "insecure_plaintext": _flag("--insecure-plaintext", "No TLS: for laboratories only", _CONTROLLER),
}
_DEFAULTS: dict[str, Any] = {
    "all_hosts": False,
    "insecure_plaintext": False,
    "yes": False,
    "reason": "",
    "fanout": 0,
}


class Target(NamedTuple):
    """Whom a command asks, and how."""

    invocation: Invocation
    hosts: str | None
    all_hosts: bool
    timeout: float | None
    door: str | None
    state_dir: str | None
    config: str | None
    controller: str | None
    controller_name: str | None
    fleet: str | None
    certificate: str | None
    key: str | None
    ca: str | None
    insecure_plaintext: bool

    @property
    def is_remote(self) -> bool:
        """Whether hosts were named: then the controller is asked.

        Raises: BadRequest when they were named in two ways.
        """
        if self.hosts is not None and self.all_hosts:
            raise BadRequest("TWO_HOST_SETS", "-H and --all-hosts exclude each other", "give one of them")
        return self.hosts is not None or self.all_hosts

    def agent(self) -> LocalAgent:
        """The agent of this host."""
        path = door_path(self.door, self.state_dir, self.invocation)
        return LocalAgent(path, self.invocation, self.timeout)

    def connect(self) -> "Controller":
        """The controller, as a context manager. Raises: what is wrong with settings or credentials."""
        from fleet_cli import settings
        from fleet_cli.remote import Controller

        flags = {key: getattr(self, key) for key in ("config", *settings.KEYS)}
        found = settings.find(flags, self.invocation.environ, is_plaintext=self.insecure_plaintext)
        return Controller(found, self.invocation, self.timeout)


class Sending(NamedTuple):
    """How a change is sent. `fanout` 0 leaves it to the controller."""

    yes: bool
    reason: str
    fanout: int


def targeted(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command the options of its parameters `target` and, where it has it, `sending`."""
    signature = inspect.signature(command)
    own = [parameter for name, parameter in signature.parameters.items() if name not in {"target", "sending"}]
    is_change = "sending" in signature.parameters
    shared = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=_DEFAULTS.get(name), annotation=annotation
        )
        for name, annotation in ((_SENDING if is_change else {}) | _TARGET).items()
    ]
    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)

    def run(context: typer.Context, **values: Any) -> int:
        target = Target(invocation=context.obj, **{name: values.pop(name) for name in _TARGET})
        if is_change:
            values["sending"] = Sending(**{name: values.pop(name) for name in _SENDING})
        try:
            code = command(target=target, **values)
            target.invocation.stdout.flush()
        except BrokenPipeError:
            # Before typer sees it, which would make it a 1.
            return exit_codes.OUTPUT_LOST
        return code

    parameters = [
        context,
        *(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own),
        *shared,
    ]
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters} | {"return": int}
    run.__doc__ = command.__doc__
    run.__name__ = command.__name__
    return run


class VerbCommand(typer.core.TyperCommand):
    """A verb in whose help options stand in groups, and the examples of its epilog line by line."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options, each under the title of its group."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                group = getattr(parameter, "rich_help_panel", None)
                is_argument = parameter.param_type_name == "argument"
                title = "Arguments" if is_argument else group or "Options"
                groups.setdefault(title, []).append(record)
        for title, records in groups.items():
            with formatter.section(title):
                formatter.write_dl(records)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples."""
        write_examples(self.epilog, formatter)


def write_examples(text: str | None, formatter: Any) -> None:
    """Examples as they are typed: no line is joined with another or broken."""
    if text:
        with formatter.section("Examples"):
            for line in inspect.cleandoc(text).splitlines():
                formatter.write(f"  {line}\n")
