"""FIFOs of a run: no reader is missed by a writer, and the end is seen."""

import os
import select
from pathlib import Path

import pytest
from fakes.descriptors import open_below
from fleet_agent.keeper import fifos


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    paths = fifos.paths(str(tmp_path), "a.1", fifos.STREAMS)
    fifos.make(paths, None)
    return paths


def test_the_end_is_seen_when_the_last_writer_is_gone(paths: list[str]) -> None:
    held = fifos.open_held(paths, fifos.STREAMS)
    child = fifos.open_child(paths)
    poller = select.poll()
    poller.register(held[1], select.POLLIN)
    assert poller.poll(0) == []
    os.write(child[1], b"last")
    fifos.close(child)
    assert poller.poll(0)
    assert os.read(held[1], 100) == b"last"
    assert poller.poll(0)
    assert os.read(held[1], 100) == b""
    fifos.close(held)


def test_a_writer_is_never_without_reader(paths: list[str]) -> None:
    held = fifos.open_held(paths, fifos.STREAMS)
    child = fifos.open_child(paths)
    fifos.close(held)
    os.write(child[1], b"kept")
    held = fifos.open_held(paths, fifos.STREAMS)
    assert os.read(held[1], 100) == b"kept"
    fifos.close([*held, *child])


def test_a_reader_is_found(paths: list[str]) -> None:
    assert not any(fifos.has_reader(path) for path in paths)
    child = fifos.open_child(paths)
    assert all(fifos.has_reader(path) for path in paths)
    fifos.close(child)
    assert not fifos.has_reader(paths[0] + "x")


def test_what_stands_in_the_way_is_replaced(paths: list[str], tmp_path: Path) -> None:
    Path(paths[0]).unlink()
    Path(paths[0]).write_text("no fifo")
    fifos.make(paths, None)
    assert all(Path(path).is_fifo() for path in paths)
    assert fifos.found(str(tmp_path)) == {"a.1": list(fifos.STREAMS)}
    fifos.remove([*paths, paths[0]])
    assert fifos.found(str(tmp_path)) == {}


def test_a_failed_opening_leaves_none_open(tmp_path: Path, paths: list[str]) -> None:
    Path(paths[2]).unlink()
    with pytest.raises(FileNotFoundError):
        fifos.open_held(paths, fifos.STREAMS)
    assert open_below(tmp_path) == []


@pytest.mark.parametrize("streams", [["stdout", "stdin"], ["stdout", "stdout"], ["fd 3"], "stdin"])
def test_streams_that_no_process_has(streams: list[str]) -> None:
    with pytest.raises(ValueError, match="no process has"):
        fifos.check(streams)
