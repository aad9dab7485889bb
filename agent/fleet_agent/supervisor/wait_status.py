"""The kernel's wait status of a run or of the gateway, as the core's `Exit`."""

import os

from fleet_agent.core.model import Exit


def exit_of(status: int) -> Exit:
    """How a run ended, from the raw wait status; -1 when nobody could know."""
    if status < 0:
        return Exit()
    if os.WIFSIGNALED(status):
        return Exit(signal=os.WTERMSIG(status), core_dumped=os.WCOREDUMP(status))
    return Exit(code=os.WEXITSTATUS(status))
