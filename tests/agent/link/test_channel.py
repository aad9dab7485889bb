"""Frames and descriptors over a real socket pair, in bursts, cut short, and from rude peers."""

import json
import os
import random
import socket
from array import array
from collections.abc import Iterator

import pytest
from fakes.descriptors import is_readable
from fleet_agent.link.channel import Channel, Received
from fleet_api.errors import BadRequest
from fleet_api.frames import encode

Pair = tuple[Channel, Channel]


def open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def pair() -> Iterator[Pair]:
    a, b = socket.socketpair()
    ends = Channel(a), Channel(b)
    yield ends
    for end in ends:
        end.close()


@pytest.fixture
def raw() -> Iterator[tuple[socket.socket, Channel]]:
    a, b = socket.socketpair()
    channel = Channel(b, max_frame_bytes=1000)
    yield a, channel
    a.close()
    channel.close()


def pump(sender: Channel, receiver: Channel) -> list[Received]:
    received: list[Received] = []
    while True:
        sender.flush()
        if not is_readable(receiver, 0):
            assert not sender.wants_write
            return received
        received += receiver.receive() or []


def test_descriptors_stay_with_their_frame_in_a_burst_beyond_the_buffer(pair: Pair) -> None:
    sender, receiver = pair
    choose = random.Random(7)
    inodes: list[list[int]] = []
    for number in range(2200):
        fds = [os.memfd_create("one") for _ in range(choose.choice([0, 0, 1, 3]))]
        sender.send({"n": number, "pad": "x" * choose.randrange(3000)}, fds)
        inodes.append([os.fstat(fd).st_ino for fd in fds])
        for fd in fds:
            os.close(fd)
        if number == 598:
            assert sender.wants_write
            assert sender.queued_bytes > 0
        if number % 200 == 199:
            inodes = inodes[len(check(inodes, pump(sender, receiver))) :]
    assert inodes == []
    assert sender.queued_bytes == 0


def check(inodes: list[list[int]], received: list[Received]) -> list[Received]:
    for wanted, item in zip(inodes, received, strict=True):
        assert [os.fstat(fd).st_ino for fd in item.fds] == wanted
        assert not any(os.get_inheritable(fd) for fd in item.fds)
        item.close()
    return received


def test_queued_descriptors_may_be_closed_by_the_caller(pair: Pair) -> None:
    sender, receiver = pair
    sender.send({"big": "x" * 1_000_000})
    reading, writing = os.pipe()
    sender.send({"late": 1}, [writing])
    os.close(writing)
    last = pump(sender, receiver)[-1]
    os.write(last.fds[0], b"through")
    assert os.read(reading, 10) == b"through"
    last.close()
    os.close(reading)


def test_a_burst_is_read_in_bounded_parts(pair: Pair) -> None:
    sender, receiver = pair
    for number in range(5000):
        sender.send({"n": number, "pad": "x" * 100})
    first = receiver.receive()
    assert first is not None
    assert 0 < len(first) < 2000


def test_the_end_of_the_stream(pair: Pair) -> None:
    sender, receiver = pair
    sender.send({"last": 1})
    sender.close()
    assert receiver.receive() == [Received({"last": 1}, [])]
    assert receiver.receive() is None
    assert receiver.receive() is None


def test_a_frame_cut_short_by_the_end_is_no_error(raw: tuple[socket.socket, Channel]) -> None:
    sock, channel = raw
    sock.send(encode({"a": 1}) + encode({"b": 2})[:-3])
    sock.close()
    assert channel.receive() == [Received({"a": 1}, [])]
    assert channel.receive() is None


def test_what_is_sent_to_a_peer_that_is_gone_is_dropped(pair: Pair) -> None:
    sender, receiver = pair
    sender.send({"big": "x" * 1_000_000})
    before = open_fds()
    with open(os.devnull) as file:
        sender.send({"waits": 1}, [file.fileno()])
    receiver.close()
    sender.flush()
    sender.send({"more": 1})
    assert not sender.wants_write
    assert sender.queued_bytes == 0
    assert sender.receive() is None
    assert open_fds() <= before - 1


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff",
        b"\x00\x00\x07\xd0",
        b"\x00\x00\x00\x02[]",
        b"\x00\x00\x00\x03{{{",
        b"\x00\x00\x00\x02\xff\xfe",
        encode({"fds": 1}),
        encode({"fds": -1}),
        encode({"fds": "3"}),
        encode({"fds": True}),
        encode({"fds": 10**30}),
    ],
)
def test_garbage_is_refused(raw: tuple[socket.socket, Channel], data: bytes) -> None:
    sock, channel = raw
    sock.send(data)
    with pytest.raises(BadRequest):
        channel.receive()


def test_descriptors_that_no_frame_tells_of_are_refused_and_closed(
    raw: tuple[socket.socket, Channel],
) -> None:
    sock, channel = raw
    before = open_fds()
    with open(os.devnull) as file:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [file.fileno()] * 200))]
        sock.sendmsg([encode({"fds": 1})], rights)
    with pytest.raises(BadRequest, match="no frame tells of"):
        channel.receive()
    channel.close()
    assert open_fds() <= before - 1


def test_descriptors_are_bounded_even_if_no_frame_ever_ends(raw: tuple[socket.socket, Channel]) -> None:
    sock, channel = raw
    with open(os.devnull) as file:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [file.fileno()] * 250))]
        for byte in encode({"pad": "x" * 900})[:3]:
            sock.sendmsg([bytes([byte])], rights)
    with pytest.raises(BadRequest):
        channel.receive()


def test_closing_twice_and_with_a_queue_leaks_nothing() -> None:
    before = open_fds()
    a, b = socket.socketpair()
    sender = Channel(a)
    with open(os.devnull) as file:
        for _ in range(300):
            sender.send({"pad": "x" * 5000}, [file.fileno()])
    sender.close()
    sender.close()
    sender.send({"after": 1})
    assert not sender.wants_write
    b.close()
    # What tests before this one have forgotten may be closed meanwhile.
    assert open_fds() <= before


def test_frames_arrive_however_the_bytes_are_cut(raw: tuple[socket.socket, Channel]) -> None:
    sock, channel = raw
    frames = [{"n": number, "text": "é" * number} for number in range(20)]
    data = b"".join(encode(frame) for frame in frames)
    got: list[object] = []
    for at in range(0, len(data), 7):
        sock.send(data[at : at + 7])
        got += [json.loads(json.dumps(item.frame)) for item in channel.receive() or []]
    assert got == frames
