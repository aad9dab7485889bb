"""A configuration as the supervisor keeps it, so that the next one goes on with what is in force.

Not the file: that may have been edited since, and must not take effect because a supervisor died.
"""

from typing import Any

from fleet_agent.config.settings import AgentConfig, DaemonSettings, FleetSettings
from fleet_agent.core.model import Autorestart, GroupSpec, LogSpec, ProcessSpec


def to_state(config: AgentConfig) -> dict[str, Any]:
    """As JSON keeps it."""
    return {
        "path": config.path,
        "daemon": config.daemon._asdict(),
        "fleet": config.fleet._asdict(),
        "groups": [_group_to_state(group) for group in config.groups],
    }


def from_state(state: dict[str, Any]) -> AgentConfig:
    """The inverse of `to_state`.

    Raises: KeyError, TypeError or ValueError for what nobody of this version wrote.
    """
    daemon = state["daemon"]
    return AgentConfig(
        state["path"],
        DaemonSettings(**{**daemon, "environment": _pairs(daemon["environment"])}),
        FleetSettings(**state["fleet"]),
        tuple(_group_from_state(group) for group in state["groups"]),
    )


def _group_to_state(group: GroupSpec) -> dict[str, Any]:
    return {
        "name": group.name,
        "priority": group.priority,
        "processes": [_process_to_state(spec) for spec in group.processes],
    }


def _group_from_state(state: dict[str, Any]) -> GroupSpec:
    return GroupSpec(
        state["name"],
        state["priority"],
        tuple(_process_from_state(process) for process in state["processes"]),
    )


def _process_to_state(spec: ProcessSpec) -> dict[str, Any]:
    return {**spec._asdict(), "exitcodes": sorted(spec.exitcodes), "autorestart": spec.autorestart.value}


def _process_from_state(state: dict[str, Any]) -> ProcessSpec:
    return ProcessSpec(
        **{
            **state,
            "environment": _pairs(state["environment"]),
            "exitcodes": frozenset(state["exitcodes"]),
            "autorestart": Autorestart(state["autorestart"]),
            "stdout": LogSpec(*state["stdout"]),
            "stderr": LogSpec(*state["stderr"]),
        }
    )


def _pairs(state: list[list[str]]) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in state)
