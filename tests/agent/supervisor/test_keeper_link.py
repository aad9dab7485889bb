"""Messages come and go over a real link; its end is told, whatever brought it about."""

import os
import socket
import time
from collections.abc import Iterator

import pytest
from fakes.loop_turns import turn, turn_until
from fleet_agent.link.channel import Channel
from fleet_agent.link.messages import Asked, Exited, Message, Release, Spawned, from_frame, to_frame
from fleet_agent.supervisor.keeper_link import KeeperLink
from fleet_agent.supervisor.loop import Loop


class World:
    """A link with the keeper's end in the test's hand."""

    def __init__(self) -> None:
        self.loop = Loop(time.monotonic)
        ours, self.theirs = socket.socketpair()
        self.messages: list[tuple[Message, list[int]]] = []
        self.ends: list[str] = []
        self.link = KeeperLink(
            self.loop,
            ours.detach(),
            lambda message, fds: self.messages.append((message, fds)),
            self.ends.append,
        )
        self.keeper = Channel(self.theirs)


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.keeper.close()


def test_messages_come_in_order_with_their_descriptors(world: World) -> None:
    reading, writing = os.pipe()
    spawned = Spawned("g:a", 1, 7, 1.0, 2.0, ["stdout"], ["/f"])
    world.keeper.send(to_frame(spawned), [reading])
    world.keeper.send(to_frame(Asked("stop", "SIGTERM")))
    os.close(reading)
    turn_until(world.loop, lambda: len(world.messages) == 2)
    (first, fds), (second, none) = world.messages
    assert (first, second, none) == (spawned, Asked("stop", "SIGTERM"), [])
    os.write(writing, b"x")
    assert os.read(fds[0], 1) == b"x"
    for fd in (writing, *fds):
        os.close(fd)


def test_a_message_of_a_later_version_is_passed_over(world: World) -> None:
    reading, writing = os.pipe()
    world.keeper.send({"m": "sing", "song": "a"}, [reading])
    world.keeper.send(to_frame(Exited("g:a", 1, 7, 0, 1.0, 2.0)) | {"weather": "fine"})
    os.close(reading)
    turn_until(world.loop, lambda: world.messages)
    assert world.messages == [(Exited("g:a", 1, 7, 0, 1.0, 2.0), [])]
    with pytest.raises(BrokenPipeError):
        os.write(writing, b"its descriptor is closed")
    os.close(writing)


def test_a_burst_waits_for_a_keeper_that_is_busy(world: World) -> None:
    for number in range(5000):
        world.link.send(Release("g:a", number))
    heard: list[int] = []

    def have_all_come() -> bool:
        for item in world.keeper.receive() or ():
            message = from_frame(item.frame)
            assert isinstance(message, Release)
            heard.append(message.run)
        return len(heard) == 5000

    turn_until(world.loop, have_all_come)
    assert heard == list(range(5000))
    assert world.ends == []


def test_the_end_of_the_keeper_is_told(world: World) -> None:
    world.keeper.send(to_frame(Asked("stop", "SIGTERM")))
    world.keeper.close()
    world.link.send(Release("g:a", 1))
    turn_until(world.loop, lambda: world.ends)
    assert world.messages == [(Asked("stop", "SIGTERM"), [])], "what it said before counts"
    assert world.ends == ["the keeper is gone"]
    world.link.send(Release("g:a", 2))
    turn(world.loop)


def test_garbage_is_the_end(world: World) -> None:
    world.theirs.send(b"\x00\x00\x00\x04oops")
    turn_until(world.loop, lambda: world.ends)
    assert world.ends[0].startswith("the keeper's link broke: a frame is no JSON")
