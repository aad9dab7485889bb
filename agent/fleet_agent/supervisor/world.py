"""What a supervisor is given from outside. Made by `main`, and by tests as they like it."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from fleet_agent.core.model import Now


class World(NamedTuple):
    """What comes from outside: clocks, ids and the environment."""

    clock: Callable[[], Now]
    new_id: Callable[[], str]
    environ: Mapping[str, str]
    host_name: str
    # As the command line names it; empty where it does not.
    state_dir: str
