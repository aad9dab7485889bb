"""Options that several commands share, and what they add up to: a `Target`.

`targeted` gives them to a command, so that each is declared once. "Without -H this host's agent, with
it the controller" is decided here and nowhere else.
"""

import inspect
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from fleet_api.errors import BadRequest

from fleet_cli import exit_codes
from fleet_cli.invocation import Invocation
from fleet_cli.local import LocalAgent, door_path

if TYPE_CHECKING:
    from fleet_cli.remote import Controller

_AGENT = "The agent of this host"
_CONTROLLER = "The controller"


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
        "-o", "--output", help="table (many hosts: folded), wide, json, jsonl, or name: targets only"
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before a change on more than one host")]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the audit", metavar="TEXT")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Return when accepted instead of when done")]
Fanout = Annotated[
    int,
    typer.Option("--fanout", min=0, help="Hosts changed at once; 0: as the controller likes", metavar="N"),
]

_SHARED: dict[str, Any] = {
    "hosts": Annotated[
        str | None,
        typer.Option(
            "-H", "--hosts", help="Hosts, through the controller: web[1-20],@group,!web3", metavar="EXPR"
        ),
    ],
    "all_hosts": Annotated[bool, typer.Option("--all-hosts", help="Every host of the controller")],
    "timeout": Annotated[
        float | None,
        typer.Option("--timeout", min=0.001, help="Longest wait for one host", metavar="SECONDS"),
    ],
    "door": Annotated[
        str | None, typer.Option("--door", help="Socket of the agent", metavar="PATH", rich_help_panel=_AGENT)
    ],
    "state_dir": Annotated[
        str | None,
        typer.Option(
            "--state-dir",
            help="As given to the agent; or FLEET_STATE_DIR",
            metavar="DIR",
            rich_help_panel=_AGENT,
        ),
    ],
    "config": Annotated[
        str | None, typer.Option("--config", help="TOML file; or FLEETCTL_CONFIG", metavar="FILE")
    ],
    "controller": Annotated[
        str | None,
        typer.Option("--controller", help="Its address", metavar="HOST:PORT", rich_help_panel=_CONTROLLER),
    ],
    "controller_name": Annotated[
        str | None, typer.Option("--controller-name", help="Its name in its certificate", metavar="NAME")
    ],
    "fleet": Annotated[str | None, typer.Option("--fleet", help="Its fleet", metavar="NAME")],
    "certificate": Annotated[
        str | None, typer.Option("--certificate", help="Our certificate", metavar="FILE")
    ],
    "key": Annotated[str | None, typer.Option("--key", help="Our key", metavar="FILE")],
    "ca": Annotated[str | None, typer.Option("--ca", help="The fleet's authority", metavar="FILE")],
    "insecure_plaintext": Annotated[
        bool, typer.Option("--insecure-plaintext", help="No TLS: for laboratories only")
    ],
}
_DEFAULTS: dict[str, Any] = {"all_hosts": False, "insecure_plaintext": False}


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


def targeted(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command, whose first parameter is `target`, the shared options in its place."""
    signature = inspect.signature(command)
    own = [parameter for name, parameter in signature.parameters.items() if name != "target"]
    shared = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=_DEFAULTS.get(name), annotation=annotation
        )
        for name, annotation in _SHARED.items()
    ]
    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)

    def run(context: typer.Context, **values: Any) -> int:
        target = Target(invocation=context.obj, **{name: values.pop(name) for name in _SHARED})
        try:
            code = command(target=target, **values)
            target.invocation.stdout.flush()
        except BrokenPipeError:
            # Before typer sees it, which would make it a 1.
            return exit_codes.READER_LEFT
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
