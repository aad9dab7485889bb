"""What `fleet-agent doctor` knows of a host before it judges: plain values, gathered by `gathering`."""

from typing import NamedTuple

from fleet_agent.config.settings import AgentConfig


class Kernel(NamedTuple):
    """Which kernel, and what of it was tried and works: pidfd, memfd, reuseport, fifo."""

    system: str
    release: str
    works: frozenset[str]

    @property
    def version(self) -> tuple[int, int]:
        """The first two numbers of the release; zeros when it has none."""
        numbers = self.release.split("-")[0].split(".")[:2]
        if len(numbers) < 2 or not all(number.isdecimal() for number in numbers):
            return (0, 0)
        return (int(numbers[0]), int(numbers[1]))


class ControlGroup(NamedTuple):
    """The version 2 group that the agent is in, or would be; `path` empty without one."""

    path: str = ""
    is_ours: bool = False
    controllers: frozenset[str] = frozenset()


class Limits(NamedTuple):
    """Hard limits, of the agent where it runs, else of whoever asks; None is unlimited.

    `of` says whose they are. `processes` counts all of a user, `pids` those of the control groups.
    """

    of: str
    open_files: int | None
    processes: int | None
    pids: int | None
    pid_max: int


class Folder(NamedTuple):
    """A folder that is there, or the nearest one above it that is.

    `kind` is the file system's, empty when unknown; `free_files` None where they are not counted.
    """

    wanted: str
    path: str
    owner: int
    mode: int
    kind: str
    is_writable: bool
    free_bytes: int
    free_files: int | None

    @property
    def is_there(self) -> bool:
        """Whether it is the wanted one."""
        return self.path == self.wanted


class Unit(NamedTuple):
    """The unit that starts the agent, as systemd has it loaded; seconds and open files None for no limit.

    `environment` is the folder of the virtual environment that it starts, links followed.
    """

    path: str
    is_enabled: bool
    start: str
    environment: str
    kind: str
    kill_mode: str
    stop_seconds: float | None
    delegates: bool
    open_files: int | None


class Service(NamedTuple):
    """Who starts the agent. `lingers` and `removes_ipc` None when nobody knows."""

    has_systemd: bool
    unit: Unit | None
    init_script: str
    lingers: bool | None
    removes_ipc: bool | None


class Facts(NamedTuple):
    """All that is judged. `keeper` is the pid of an agent that runs here, 0 without one.

    `environment` is the virtual environment that it runs from, links followed, empty when it is none.
    """

    uid: int
    keeper: int
    answers: bool
    environment: str
    kernel: Kernel
    group: ControlGroup
    limits: Limits
    state: Folder
    runtime: Folder
    logs: tuple[Folder, ...]
    service: Service
    configuration: str
    problems: tuple[str, ...]
    config: AgentConfig | None
    gateway_user: str
    login_users: tuple[str, ...]
    port_problem: str
    encoding: str
    is_clock_synchronized: bool | None
