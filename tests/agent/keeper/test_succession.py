"""What a keeper leaves to the next one in its process survives the way through memory."""

import json
import os
from pathlib import Path

import pytest
from fleet_agent.formats.held import HANDOVER
from fleet_agent.keeper import succession
from fleet_agent.keeper.handover import Version
from fleet_agent.keeper.run_records import Run
from fleet_agent.keeper.succession import Succession, SupervisorLeft


def sample(folder: str) -> Succession:
    living = Run("g:a", 3, "g%3Aa.3", ["stdin", "stdout"], folder)
    living.pid, living.ticks, living.boot_id, living.ends = 77, 5, "boot", [20, 21]
    dead = Run("g:b", 1, "g%3Ab.1", ["stdin", "stdout", "stderr"], folder)
    dead.pid, dead.status, dead.ends, dead.pidfd, dead.adopted = 78, 256, [22, 23, 24], 25, True
    return Succession(
        version=Version(["s"], ["k"]),
        before=Version(["s0"], ["k0"]),
        upgrade="u1",
        reverted="",
        locks=(10, 11),
        formats={"run_record": 1, "handover": 1},
        runs=[living, dead],
        kept=[("door", 12, "note")],
        supervisor=SupervisorLeft(79, 13, 2, True),
        gateway=80,
        leaving={81: 5.5, 82: float("inf")},
        stop_asked=True,
    )


def test_it_survives_the_way(tmp_path: Path) -> None:
    left = sample(str(tmp_path))
    fd = succession.write(left, HANDOVER.version)
    try:
        assert fd > 5, "out of the way of low numbers"
        assert os.get_inheritable(fd)
        for _ in range(2):
            found = succession.read(fd, str(tmp_path))
            assert found.to_state() == left.to_state()
        assert found.runs[0].ends == [20, 21]
        assert succession.before_of(fd) == left.before
    finally:
        os.close(fd)


def test_every_descriptor_is_named(tmp_path: Path) -> None:
    assert sorted(sample(str(tmp_path)).descriptors()) == [10, 11, 12, 13, 20, 21, 22, 23, 24, 25]


def test_taken_back(tmp_path: Path) -> None:
    back = sample(str(tmp_path)).taken_back("because")
    assert (back.version, back.before, back.reverted) == (Version(["s0"], ["k0"]), None, "because")
    assert back.supervisor.pid == 0
    assert back.supervisor.number == 2
    assert 13 not in back.descriptors()


@pytest.mark.parametrize("change", [{"runs": [{}]}, {"locks": [1]}, {"program": {}}])
def test_what_cannot_be_read_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    state = json.loads(json.dumps(sample(str(tmp_path)).to_state())) | change
    with pytest.raises((ValueError, TypeError, KeyError, IndexError)):
        Succession.from_state(state, str(tmp_path))


def test_a_keeper_that_cannot_be_executed_leaves_all_as_it_was(tmp_path: Path) -> None:
    with open(os.devnull, "rb") as one, open(os.devnull, "rb") as other:
        left = sample(str(tmp_path))._replace(
            locks=(one.fileno(), other.fileno()), runs=[], kept=[], supervisor=SupervisorLeft(0, -1, 1, True)
        )
        before = os.listdir("/proc/self/fd")
        with pytest.raises(OSError, match="nowhere"):
            succession.replace_process(["/nowhere"], {}, left, HANDOVER.version)
        assert os.listdir("/proc/self/fd") == before
        assert not os.get_inheritable(one.fileno())
