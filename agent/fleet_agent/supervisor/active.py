"""The configuration in force: read from the file when the agent starts, kept for the next supervisor."""

import contextlib
import itertools
import json
import os
import sys
from collections.abc import Callable, Mapping

from fleet_agent.config import stored
from fleet_agent.config.load import load
from fleet_agent.config.settings import AgentConfig
from fleet_agent.core.model import GroupSpec, LogSpec, ProcessSpec
from fleet_agent.formats.format import DAMAGE, State, UnknownVersion
from fleet_agent.formats.table import ACTIVE
from fleet_agent.supervisor.whole_file import read_ours, set_aside

PRIVATE = 0o600
MAX_BYTES = 64 * 1024 * 1024


class ConfigurationBroken(Exception):
    """The file cannot be used; the problems have been told on stderr."""


class ActiveConfig:
    """Owns `active.json` in the runtime folder."""

    def __init__(
        self, path: str, runtime: str, environ: Mapping[str, str], host_name: str, new_id: Callable[[], str]
    ) -> None:
        self.path = path
        self._active = os.path.join(runtime, "active.json")
        self._environ = environ
        self._host_name = host_name
        self._new_id = new_id
        self.version = ACTIVE.version

    def load(self, goes_on: bool, has_children: bool) -> AgentConfig:
        """The configuration in force when a supervisor goes on with it, else the file's.

        A file that cannot be used is no reason to let go of children that live: what was in force
        when they were started stays so.
        Raises: ConfigurationBroken.
        """
        kept = self._kept()
        if goes_on and kept is not None:
            return kept
        loaded = load(self.path, self._environ, host_name=self._host_name)
        for problem in loaded.problems:
            print(problem, file=sys.stderr)  # noqa: T201
        if loaded.config is None and has_children and kept is not None:
            words = f"fleet-agent: {self.path} cannot be used; going on with what was in force"
            print(words, file=sys.stderr)  # noqa: T201
            return kept
        if loaded.config is None:
            raise ConfigurationBroken
        config = self._with_auto_logs(loaded.config, kept, has_children)
        self._keep(config)
        return config

    def write_as(self, version: int) -> None:
        """Go on in this format: a supervisor is to come that reads no newer.

        Raises: OSError; ValueError, KeyError or TypeError when what is kept is damaged.
        """
        self.version = version
        with open(self._active, encoding="ascii") as file:
            self._write(ACTIVE.load(json.load(file)))

    def _kept(self) -> AgentConfig | None:
        try:
            state = json.loads(read_ours(self._active, MAX_BYTES))
            config = stored.from_state(ACTIVE.load(state))
            self.version = ACTIVE.going_on(state[ACTIVE.key])
            return config
        except UnknownVersion as error:
            print(f"fleet-agent: {self._active}: {error}", file=sys.stderr)  # noqa: T201
            return None
        except FileNotFoundError:
            return None
        except (OSError, *DAMAGE):
            words = f"fleet-agent: {self._active} is damaged; {set_aside(self._active)}"
            print(words, file=sys.stderr)  # noqa: T201
            return None

    def _keep(self, config: AgentConfig) -> None:
        self._write(stored.to_state(config))

    def _write(self, state: State) -> None:
        draft = f"{self._active}.draft"
        # It holds environments: nobody else may read it.
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, PRIVATE)
        with open(fd, "w", encoding="ascii") as file:
            json.dump(ACTIVE.dump(state, self.version), file)
        os.rename(draft, self._active)

    def _with_auto_logs(
        self, config: AgentConfig, before: AgentConfig | None, has_children: bool
    ) -> AgentConfig:
        """Every AUTO log with a file of its own.

        Children that live go on writing theirs; else those of the agent's last life are removed.
        """
        in_use = _auto_logs(before) if before is not None else {}
        if not has_children:
            if not config.daemon.nocleanup:
                for path in in_use.values():
                    _remove_with_backups(path)
            in_use = {}
        folder = config.daemon.childlogdir or self._environ.get("TMPDIR") or "/tmp"  # noqa: S108

        def resolve(spec: ProcessSpec, stream: str, log: LogSpec) -> LogSpec:
            if not log.is_auto:
                return log
            path = in_use.get((spec.id, stream))
            if path is None:
                name = f"{spec.name}-{stream}---{config.daemon.identifier}-{self._new_id()[:8]}.log"
                path = os.path.join(folder, name)
                # Where that fails, the log thread fails as well, and tells.
                with contextlib.suppress(OSError):
                    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE))
            return log._replace(path=path)

        groups = []
        for group in config.groups:
            processes = []
            for spec in group.processes:
                stderr = LogSpec() if spec.redirect_stderr else resolve(spec, "stderr", spec.stderr)
                processes.append(spec._replace(stdout=resolve(spec, "stdout", spec.stdout), stderr=stderr))
            groups.append(GroupSpec(group.name, group.priority, tuple(processes)))
        return config._replace(groups=tuple(groups))


def _auto_logs(config: AgentConfig) -> dict[tuple[str, str], str]:
    """The paths of AUTO logs by process and stream."""
    return {
        (spec.id, stream): log.path
        for group in config.groups
        for spec in group.processes
        for stream, log in (("stdout", spec.stdout), ("stderr", spec.stderr))
        if log.is_auto and log.path
    }


def _remove_with_backups(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)
        for number in itertools.count(1):
            os.unlink(f"{path}.{number}")
