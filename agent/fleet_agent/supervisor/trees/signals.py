"""Signals to processes that are nobody's children: each is proved to be the one that is meant."""

import os
import signal
from collections.abc import Callable, Iterable


def send(pids: Iterable[int], number: int, is_meant: Callable[[int], bool]) -> dict[int, OSError]:
    """Signal these processes; what the kernel refused, by pid. One that is gone is no refusal.

    `is_meant` is asked when a handle on the process is held: from then on its pid cannot pass to another.
    """
    refused: dict[int, OSError] = {}
    for pid in pids:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        except OSError as error:
            refused[pid] = error
            continue
        try:
            if is_meant(pid):
                signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            continue
        except OSError as error:
            refused[pid] = error
        finally:
            os.close(handle)
    return refused
