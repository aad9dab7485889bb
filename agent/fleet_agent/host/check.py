"""What a check says of a host: found by the rooms in `checks`, printed by `fleet-agent doctor`."""

from enum import StrEnum
from typing import NamedTuple


class Verdict(StrEnum):
    """From good to bad: `limited` keeps some promise not, `missing` keeps the agent from working."""

    OK = "ok"
    LIMITED = "limited"
    MISSING = "missing"


class Check(NamedTuple):
    """One verdict: what was found, what it means for the agent's promises, and what to do about it."""

    name: str
    verdict: Verdict
    finding: str
    meaning: str = ""
    cure: str = ""
