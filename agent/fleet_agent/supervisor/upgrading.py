"""An upgrade as the running supervisor sees it: the other version's trial, what it needs, and the end.

Nothing changes before the other version has shown that it reads our state. What became of an upgrade is kept
in a file, since the supervisor that answers for it is not the one that began it.
"""

import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from fleet_api.errors import BadRequest, Conflict, Denied, FleetError, NotFound

from fleet_agent.core.upgrade import Report, plan
from fleet_agent.formats.table import UPGRADE
from fleet_agent.link.messages import Hello, Replace, ReplaceFailed
from fleet_agent.supervisor.loop import Loop
from fleet_agent.supervisor.trial_run import Said, TrialRun
from fleet_agent.supervisor.whole_file import write_whole

MAX_WORDS = 2000
DONE = "done"
FAILED = "failed"
SWITCHING = "switching"


class Upgrade(NamedTuple):
    """One upgrade. `result` is switching, done or failed, `reason` says why; times are since the epoch."""

    id: str
    from_version: str
    to_version: str
    python: str
    actor: str
    replaces_keeper: bool
    began: float
    result: str = SWITCHING
    reason: str = ""
    ended: float = 0.0

    def to_state(self) -> dict[str, Any]:
        """As stored and answered."""
        return self._asdict()

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Upgrade":
        """The inverse of `to_state`.

        Raises: TypeError when a field is missing.
        """
        return cls(**{name: value for name, value in state.items() if name in cls._fields})


class Place(NamedTuple):
    """Where the running agent lives, as its commands are told; `state_dir` may be empty."""

    configuration: str
    state_dir: str


Answer = Callable[[dict[str, Any] | FleetError], None]


class Upgrading:
    """Owns the record of the last upgrade and the one that is under way."""

    def __init__(
        self,
        loop: Loop,
        path: str,
        place: Place,
        python: str,
        version: str,
        fingerprint: str,
        environ: Mapping[str, str],
        wall: Callable[[], float],
        send: Callable[[Replace], None],
        writing: Callable[[], Mapping[str, int]],
        rewrite: Callable[[Mapping[str, int]], str],
        report: Callable[[str], None],
    ) -> None:
        """`python` is taken where an upgrade names none, `fingerprint` is that of the keeper that runs.

        `writing` tells the formats in use, `rewrite` brings state into others.
        """
        self._loop = loop
        self._path = path
        self._place = place
        self._python = python
        self._version = version
        self._fingerprint = fingerprint
        self._environ = environ
        self._wall = wall
        self._send = send
        self._writing = writing
        self._rewrite = rewrite
        self._report = report
        self._last = self._load()
        self._run: _Run | None = None

    def resume(self, hello: Hello) -> None:
        """Settle what an earlier supervisor began, from what the keeper tells of it."""
        last = self._last
        if last is None:
            return
        if hello.reverted and hello.upgrade == last.id:
            self._settle(last, hello.reverted)
        elif last.result != SWITCHING:
            return
        elif hello.upgrade == last.id:
            self._settle(last, "")
        else:
            self._settle(last, "the agent ended in the middle of it")

    def begin(self, id_: str, python: str, actor: str, answer: Answer) -> None:
        """Have the version of this Python take over, or of our own as it is installed now.

        `answer` is called once it is about to, or with what forbids it.
        Raises: FleetError when it is not even tried.
        """
        if self._last is not None and self._last.id == id_:
            answer(self._last.to_state())
            return
        if self._run is not None and self._run.id == id_:
            self._run.answers.append(answer)
            return
        if self._run is not None or (self._last is not None and self._last.result == SWITCHING):
            raise Conflict("UPGRADE_UNDER_WAY", "another upgrade is under way", "wait until it has ended")
        python = python or self._python
        check_program(python)
        # State stays in its formats until this is over: the trial is to approve what will be found.
        self._rewrite({})
        self._run = _Run(id_, python, actor, [answer])
        self._try(is_rewritten=False)

    def result(self, id_: str) -> dict[str, Any]:
        """What became of an upgrade.

        Raises: NotFound for one that is not the last.
        """
        if self._last is None or (id_ and id_ != self._last.id):
            raise NotFound("UPGRADE_NOT_FOUND", f"there is no upgrade {id_!r}", "only the last one is kept")
        return self._last.to_state()

    def failed(self, message: ReplaceFailed) -> None:
        """The keeper says that the other version does not start."""
        if self._last is not None and self._last.id == message.upgrade:
            self._settle(self._last, message.reason)

    # ------------------------------------------------------------------ trial

    def _try(self, is_rewritten: bool) -> None:
        run = self._run
        assert run is not None
        argv = [run.python, "-P", "-m", "fleet_agent.main", "trial", "-c", self._place.configuration]
        if self._place.state_dir:
            argv += ["--state-dir", self._place.state_dir]
        try:
            TrialRun(self._loop, argv, self._environ, lambda said: self._judge(said, is_rewritten))
        except OSError as error:
            self._refuse(f"{run.python} cannot be run: {error.strerror}")

    def _judge(self, said: Said, is_rewritten: bool) -> None:
        try:
            found = Report.from_state(json.loads(said.output))
        except (ValueError, TypeError, LookupError, AttributeError):
            self._refuse(f"its trial did not end as it should: {_last_words(said)}")
            return
        needs = plan(found, self._writing())
        if needs.refusals:
            self._refuse("; ".join(needs.refusals))
        elif not needs.rewrite:
            self._switch(found)
        elif is_rewritten:
            self._refuse(f"it still cannot read {', '.join(needs.rewrite)}")
        else:
            problem = self._rewrite(needs.rewrite)
            if problem:
                self._refuse(problem)
            else:
                self._try(is_rewritten=True)

    def _refuse(self, reason: str) -> None:
        run, self._run = self._run, None
        assert run is not None
        self._report(f"upgrade to {run.python} refused: {reason[:MAX_WORDS]}")
        run.tell(Conflict("UPGRADE_REFUSED", f"{run.python} cannot take over: {reason[:MAX_WORDS]}"))

    # ------------------------------------------------------------------ change

    def _switch(self, found: Report) -> None:
        run, self._run = self._run, None
        assert run is not None
        replaces_keeper = found.keeper != self._fingerprint
        upgrade = Upgrade(
            id=run.id,
            from_version=self._version,
            to_version=found.version,
            python=run.python,
            actor=run.actor,
            replaces_keeper=replaces_keeper,
            began=self._wall(),
        )
        before = self._last
        try:
            self._keep(upgrade)
        except OSError as error:
            self._last = before
            run.tell(Conflict("UPGRADE_REFUSED", f"{self._path} cannot be written: {error.strerror}"))
            return
        parts = "supervisor, gateway and keeper" if replaces_keeper else "supervisor and gateway"
        self._report(f"upgrade from {self._version} to {found.version} asked by {run.actor}: {parts}")
        run.tell(upgrade.to_state())
        self._send(
            Replace(run.id, list(found.supervisor_argv), list(found.keeper_argv) if replaces_keeper else [])
        )

    def _settle(self, upgrade: Upgrade, reason: str) -> None:
        result = FAILED if reason else DONE
        words = f"upgrade from {upgrade.from_version} to {upgrade.to_version} {result}"
        self._report(f"{words}: {reason}" if reason else words)
        try:
            self._keep(upgrade._replace(result=result, reason=reason[:MAX_WORDS], ended=self._wall()))
        except OSError as error:
            self._report(f"could not write {self._path}: {error.strerror}")

    def _keep(self, upgrade: Upgrade) -> None:
        self._last = upgrade
        write_whole(self._path, json.dumps(UPGRADE.dump(upgrade.to_state(), UPGRADE.version)))

    def _load(self) -> Upgrade | None:
        try:
            with open(self._path, encoding="utf-8") as file:
                return Upgrade.from_state(UPGRADE.load(json.load(file)))
        except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
            return None


class _Run(NamedTuple):
    id: str
    python: str
    actor: str
    answers: list[Answer]

    def tell(self, outcome: dict[str, Any] | FleetError) -> None:
        for answer in self.answers:
            answer(outcome)


def check_program(python: str) -> None:
    """Whether a program may be run as us: it is there, and nobody else can put another in its place.

    Raises: BadRequest or Denied naming the path.
    """
    if not os.path.isabs(python) or not os.access(python, os.X_OK) or not os.path.isfile(python):
        raise BadRequest(
            "UPGRADE_NO_PROGRAM",
            f"{python} is no program that can be run",
            "name the python of a virtual environment with fleet-manager: VENV/bin/python",
        )
    for path in (*_with_folders(python), *_with_folders(os.path.realpath(python))):
        found = os.stat(path)
        is_shared = found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX
        if found.st_uid not in (0, os.geteuid()) or is_shared:
            raise Denied(
                "UPGRADE_UNSAFE",
                f"others than root and the agent's user can change {path}, and {python} is to be run",
                f"chown root {path}; chmod go-w {path}",
            )


def _with_folders(path: str) -> Iterator[str]:
    """A path and every folder above it."""
    yield path
    while path != os.path.dirname(path):
        path = os.path.dirname(path)
        yield path


def _last_words(said: Said) -> str:
    if said.status is None:
        return "it took too long"
    lines = said.errors.decode("utf-8", "replace").split("\n")
    words = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
    code = os.waitstatus_to_exitcode(said.status)
    return f"{words[:300]} ({'exit code' if code >= 0 else 'signal'} {abs(code)})"
