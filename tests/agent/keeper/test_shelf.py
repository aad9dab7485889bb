"""Descriptors that lie in sockets: none is lost, mixed up or left open, whatever the order."""

import os
import random
import resource
import socket
from collections.abc import Iterator

import pytest
from fleet_agent.keeper import shelf
from fleet_agent.keeper.shelf import Shelf
from fleet_agent.keeper.spawn import Spare


@pytest.fixture
def spare() -> Iterator[Spare]:
    spare = Spare()
    yield spare
    spare.__enter__()


def open_now() -> int:
    return len(os.listdir("/proc/self/fd"))


def marked(word: str) -> int:
    """A descriptor that can be told from others by what it reads."""
    reader, writer = os.pipe()
    os.write(writer, word.encode())
    os.close(writer)
    return reader


def words(fds: list[int]) -> list[str]:
    found = [os.read(fd, 100).decode() for fd in fds]
    for fd in fds:
        os.close(fd)
    return found


def test_what_is_put_is_given_back_in_any_order(spare: Spare) -> None:
    before = open_now()
    laid = Shelf(1000, spare)
    keys = [("g:a", number) for number in range(shelf.SETS_PER_BOARD * 2 + 5)]
    for key in keys:
        assert laid.put(key, [marked(f"{key[1]}.{stream}") for stream in range(key[1] % 3 + 1)])
    assert open_now() == before + 2 * 3, "six sockets in place of all"
    random.Random(5).shuffle(keys)
    for key in keys:
        assert words(laid.take(key)) == [f"{key[1]}.{stream}" for stream in range(key[1] % 3 + 1)]
        assert laid.take(key) == []
    assert laid.count == 0
    assert open_now() == before


def test_a_board_that_was_emptied_is_not_used_again(spare: Spare) -> None:
    laid = Shelf(10, spare)
    for number in range(3):
        assert laid.put(("g:a", number), [marked(str(number))])
        assert words(laid.take(("g:a", number))) == [str(number)]


def test_no_more_than_it_may_hold(spare: Spare) -> None:
    laid = Shelf(3, spare)
    assert laid.put(("g:a", 1), [marked("a"), marked("b")])
    left = [marked("c"), marked("d")]
    assert not laid.put(("g:a", 2), left)
    assert words(left) == ["c", "d"]
    assert words(laid.take(("g:a", 1))) == ["a", "b"]


def test_what_does_not_go_back_is_kept_beside(spare: Spare, monkeypatch: pytest.MonkeyPatch) -> None:
    laid = Shelf(10, spare)
    for number in range(3):
        assert laid.put(("g:a", number), [marked(str(number))])

    def refuse(*_: object) -> None:
        raise OSError("too many references")

    monkeypatch.setattr(socket, "send_fds", refuse)
    assert words(laid.take(("g:a", 2))) == ["2"]
    assert words(laid.take(("g:a", 0))) == ["0"]
    assert words(laid.take(("g:a", 1))) == ["1"]


def test_it_works_where_no_descriptor_is_left(spare: Spare) -> None:
    laid = Shelf(10, spare)
    for number in range(2):
        assert laid.put(("g:a", number), [marked(f"{number}{stream}") for stream in "abc"])
    taken: list[int] = []
    try:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(64, open_now() + 8), hard))
        try:
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            found = laid.take(("g:a", 1))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    finally:
        for fd in taken:
            os.close(fd)
    assert words(found) == ["1a", "1b", "1c"]
