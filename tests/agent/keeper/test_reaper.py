"""However deaths come, each is told, once, and the first of them without a second look."""

import math
import os
import signal
from collections.abc import Iterator

import pytest
from fleet_agent.keeper.reaper import Reaper
from real.waiting import wait_for


@pytest.fixture
def statuses(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, int]]]:
    """What the kernel has to tell, in place of the children of the tests themselves."""
    waiting: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "waitpid", lambda pid, flags: waiting.pop(0) if waiting else (0, 0))
    yield waiting
    assert not waiting


def test_the_first_of_a_burst_comes_alone_and_then_all_others(statuses: list[tuple[int, int]]) -> None:
    reaper = Reaper()
    statuses += [(10, 0), (11, 256), (12, 9)]
    assert list(reaper.ended()) == [(10, 0)]
    assert reaper.due < math.inf
    assert list(reaper.ended()) == [(11, 256), (12, 9)]
    assert reaper.due == math.inf


def test_a_look_that_finds_nothing_is_not_repeated(statuses: list[tuple[int, int]]) -> None:
    reaper = Reaper()
    assert list(reaper.ended()) == []
    assert reaper.due == math.inf
    statuses.append((10, 0))
    assert list(reaper.ended()) == [(10, 0)]
    assert list(reaper.ended()) == []
    assert reaper.due == math.inf


def test_who_fails_to_act_on_a_death_looks_again_all_the_same(statuses: list[tuple[int, int]]) -> None:
    reaper = Reaper()
    statuses += [(10, 0), (11, 0)]
    for _ in reaper.ended():
        break
    assert reaper.due < math.inf
    statuses += [(12, 0)]
    for _ in reaper.ended():
        break
    assert reaper.due < math.inf
    assert list(reaper.ended()) == [(12, 0)]
    assert reaper.due == math.inf


def test_the_kernel_tells_of_real_children_in_a_process_that_has_others() -> None:
    """In a child of the test, since a reaper takes the statuses of all children there are."""

    def has_told_all() -> bool:
        pids = {os.posix_spawn("/bin/true", ["true"], {}) for _ in range(5)}
        found: list[tuple[int, int]] = []
        reaper = Reaper()

        def look() -> int:
            found.extend(reaper.ended())
            return len(found)

        wait_for(look, lambda count: count == len(pids), what="all deaths")
        return {pid for pid, _ in found} == pids and not any(status for _, status in found)

    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            code = 0 if has_told_all() else 1
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
