"""A session answers or closes, whatever its client does, and takes no more memory than it may."""

import json
import os
import socket
import struct
import time
from collections.abc import Iterator

import fleet_agent.supervisor.sessions as room
import pytest
from fakes.loop_turns import turn, turn_until
from fakes.rude_client import RudeClient
from fleet_agent.link.channel import Channel
from fleet_agent.supervisor.loop import Loop
from fleet_agent.supervisor.sessions import Session, flag, text, texts
from fleet_api.errors import BadRequest, NotFound
from fleet_api.frames import Frame

BIG = "x" * 100_000


class Handler:
    """Answers as the verb says."""

    def __init__(self) -> None:
        self.handled: list[str] = []
        self.cancelled: list[int] = []

    def handle(self, session: Session, number: int, verb: str, arguments: Frame) -> None:
        self.handled.append(verb)
        match verb:
            case "echo":
                session.answer(number, {"echo": arguments.get("what")})
            case "big":
                session.answer(number, {"text": BIG})
            case "huge":
                session.answer(number, {"text": "x" * 17 * 1024 * 1024})
            case "stream":
                session.begin_stream(number, lambda: self.cancelled.append(number))
            case "begin and fail":
                session.begin_stream(number, lambda: self.cancelled.append(number))
                raise NotFound("GONE", "it is gone")
            case "lend":
                fd = os.open("/dev/null", os.O_RDONLY)
                session.answer(number, {}, [fd])
                os.close(fd)
            case "bug":
                raise ZeroDivisionError("a bug")
            case _:
                raise BadRequest("UNKNOWN_REQUEST", f"no {verb}")


class World:
    """A session, its client and its handler."""

    def __init__(self) -> None:
        self.loop = Loop(time.monotonic)
        self.handler = Handler()
        ours, theirs = socket.socketpair()
        self.channel = Channel(ours, 1024 * 1024)
        self.ended: list[Session] = []
        self.session = Session(self.loop, self.channel, "root", self.handler, self.ended.append)
        self.client = RudeClient(theirs, self.loop)


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.client.close()
    world.session.close()


def codes(frames: list[Frame]) -> list[str]:
    return [frame["error"]["code"] for frame in frames]


def test_requests_are_answered_by_their_ids(world: World) -> None:
    frames = world.client.ask({"id": 7, "do": "echo", "what": 1}, {"id": 3, "do": "echo", "what": [2]})
    assert frames == [{"id": 7, "ok": {"echo": 1}}, {"id": 3, "ok": {"echo": [2]}}]


@pytest.mark.parametrize(
    ("frame", "number"),
    [
        ({}, 0),
        ({"id": 1}, 1),
        ({"do": "echo"}, 0),
        ({"id": "1", "do": "echo"}, 0),
        ({"id": True, "do": "echo"}, 0),
        ({"id": 1.5, "do": "echo"}, 0),
        ({"id": None, "do": "echo"}, 0),
        ({"id": 4, "do": 7}, 4),
        ({"id": 4, "do": ["echo"]}, 4),
        ({"id": [[[]]], "do": {"a": BIG}}, 0),
    ],
)
def test_what_is_no_request_is_told(world: World, frame: Frame, number: int) -> None:
    (answer,) = world.client.ask(frame)
    assert (answer["id"], answer["error"]["code"]) == (number, "BAD_REQUEST")
    assert len(answer["error"]["message"]) < 300
    assert world.client.ask({"id": 2, "do": "echo"})[0]["ok"] == {"echo": None}


def test_unknown_verbs_and_bugs_are_answered(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    frames = world.client.ask({"id": 1, "do": "fly"}, {"id": 2, "do": "bug"}, {"id": 3, "do": "echo"})
    assert codes(frames[:2]) == ["UNKNOWN_REQUEST", "INTERNAL"]
    assert frames[2]["ok"] == {"echo": None}
    assert "ZeroDivisionError" in capfd.readouterr().err


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: here\r\n\r\n",
        struct.pack(">I", 0xFFFFFFFF),
        struct.pack(">I", 1024 * 1024 + 1),
        struct.pack(">I", 4) + b"\xff\xfe\xfd\xfc",
        struct.pack(">I", 2) + b"[]",
        struct.pack(">I", 4) + b"null",
        struct.pack(">I", 9) + b'{"id":NaN',
        struct.pack(">I", 200_000) + b"[" * 200_000,
        struct.pack(">I", 0),
    ],
)
def test_garbage_is_told_and_ends_the_session(world: World, garbage: bytes) -> None:
    world.client.say(garbage)
    world.client.wait_for_end()
    assert [frame["id"] for frame in world.client.heard] == [0]
    assert codes(world.client.heard)[0].startswith("FRAME_")
    assert world.ended == [world.session]


@pytest.mark.parametrize("depth", [50, 500, 900, 980, 990, 995])
def test_deep_nesting_harms_nobody(world: World, depth: int, capfd: pytest.CaptureFixture[str]) -> None:
    body = b'{"do":' + b"[" * depth + b"]" * depth + b"}"
    world.client.say(struct.pack(">I", len(body)) + body)
    assert codes(world.client.hear(1))[0] in {"BAD_REQUEST", "FRAME_NOT_JSON", "INTERNAL"}


def test_half_a_frame_waits_for_the_rest(world: World) -> None:
    body = json.dumps({"id": 1, "do": "echo"}).encode()
    data = struct.pack(">I", len(body)) + body
    for byte in data[:-1]:
        world.client.say(bytes([byte]))
        turn(world.loop)
    assert world.client.hears_nothing()
    assert world.client.ask(data[-1:])[0]["ok"] == {"echo": None}


def test_a_client_that_leaves_in_the_middle_of_a_frame_is_forgotten(world: World) -> None:
    world.client.say({"id": 1, "do": "stream"}, b"\x00\x00")
    turn_until(world.loop, lambda: world.handler.handled)
    world.client.sock.close()
    turn_until(world.loop, lambda: world.ended)
    assert world.handler.cancelled == [1]


def test_descriptors_that_a_client_sends_are_closed(world: World) -> None:
    reading, writing = os.pipe()
    data = json.dumps({"id": 1, "do": "echo", "fds": 1}).encode()
    socket.send_fds(world.client.sock, [struct.pack(">I", len(data)) + data], [writing])
    os.close(writing)
    world.client.hear(1)
    assert os.read(reading, 1) == b"", "nobody holds the other end"
    os.close(reading)


def test_a_stream_ends_when_the_client_says_so(world: World) -> None:
    world.client.say({"id": 5, "do": "stream"})
    turn_until(world.loop, lambda: world.handler.handled)
    world.session.item(5, {"news": 1})
    frames = world.client.ask({"id": 5, "do": "cancel"}, {"id": 99, "do": "cancel"}, {"id": 6, "do": "echo"})
    assert frames[0] == {"id": 5, "item": {"news": 1}}
    assert frames[1] == {"id": 5, "ok": {}}
    assert frames[2]["id"] == 6
    assert world.handler.cancelled == [5]


def test_an_id_in_use_ends_its_stream_and_can_be_used_again(world: World) -> None:
    world.client.say({"id": 5, "do": "stream"})
    turn_until(world.loop, lambda: world.handler.handled)
    assert codes(world.client.ask({"id": 5, "do": "echo"})) == ["ID_IN_USE"]
    assert world.handler.cancelled == [5]
    assert world.client.ask({"id": 5, "do": "echo"})[0]["ok"] == {"echo": None}


def test_a_request_that_fails_after_it_began_a_stream_leaves_nothing(world: World) -> None:
    assert codes(world.client.ask({"id": 5, "do": "begin and fail"})) == ["GONE"]
    assert world.handler.cancelled == [5]


def test_streams_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MAX_STREAMS", 3)
    world.client.say(*({"id": number, "do": "stream"} for number in range(1, 4)))
    turn_until(world.loop, lambda: len(world.handler.handled) == 3)
    assert codes(world.client.ask({"id": 4, "do": "stream"})) == ["TOO_MANY_STREAMS"]
    world.client.ask({"id": 1, "do": "cancel"})
    world.client.say({"id": 4, "do": "stream"})
    assert world.client.hears_nothing()


def test_an_answer_too_large_for_a_frame_becomes_an_error(world: World) -> None:
    frames = world.client.ask({"id": 1, "do": "huge"}, {"id": 2, "do": "echo"})
    assert codes(frames[:1]) == ["FRAME_TOO_LARGE"]
    assert frames[1]["id"] == 2


def test_an_item_too_large_for_a_frame_ends_its_stream_and_harms_no_caller(world: World) -> None:
    world.client.say({"id": 1, "do": "stream"})
    turn_until(world.loop, lambda: world.handler.handled)
    world.session.item(1, {"text": "x" * 17 * 1024 * 1024})
    assert codes(world.client.hear(1)) == ["FRAME_TOO_LARGE"]
    assert world.handler.cancelled == [1]


def test_who_does_not_read_is_not_worked_for(world: World) -> None:
    world.client.say(*({"id": number, "do": "big"} for number in range(1, 301)))
    for _ in range(20):
        world.client.push()
        turn(world.loop)
    assert world.channel.queued_bytes <= room.MAX_UNREAD_BYTES + len(BIG) + 100
    assert len(world.handler.handled) < 30
    # Once it reads, all that it asked for is answered, in order.
    frames = world.client.hear(300)
    assert [frame["id"] for frame in frames] == list(range(1, 301))
    assert world.client.ask({"id": 1, "do": "echo"})[0]["id"] == 1


def test_who_does_not_read_and_leaves_is_forgotten(world: World) -> None:
    world.client.say(*({"id": number, "do": "big"} for number in range(1, 301)))
    for _ in range(20):
        world.client.push()
        turn(world.loop)
    world.client.sock.close()
    turn_until(world.loop, lambda: world.ended)
    assert world.channel.queued_bytes == 0


def test_who_does_not_read_a_stream_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MAX_QUEUED_BYTES", 2_000_000)
    world.client.say({"id": 1, "do": "stream"})
    turn_until(world.loop, lambda: world.handler.handled)
    for _ in range(1000):
        # All in one turn, as a burst of changes comes.
        world.session.item(1, {"text": BIG})
    assert world.channel.queued_bytes <= 2_000_000 + len(BIG) + 100
    turn(world.loop)
    assert world.ended == [world.session]
    assert world.handler.cancelled == [1]


def test_descriptors_for_who_does_not_read_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MAX_QUEUED_FDS", 20)
    before = len(os.listdir("/proc/self/fd"))
    # The kernel takes some of them itself, until its buffer is full.
    world.client.say({"id": 0, "do": "big"}, {"id": 0, "do": "big"}, {"id": 0, "do": "big"})
    world.client.say(*({"id": number, "do": "lend"} for number in range(1, 500)))
    turn_until(world.loop, lambda: world.ended)
    assert len(os.listdir("/proc/self/fd")) <= before


def test_an_end_in_the_middle_of_what_has_come_is_an_end(world: World) -> None:
    world.client.say({"id": 1, "do": "stream"}, {"id": 2, "do": "stream"})
    turn_until(world.loop, lambda: len(world.handler.handled) == 2)
    world.session.close()
    world.session.close()
    world.session.item(1, {})
    world.session.answer(2, {})
    assert world.handler.cancelled == [1, 2]
    assert world.ended == [world.session]
    world.client.wait_for_end()
    assert world.client.heard == []


@pytest.mark.parametrize("value", [None, 7, [], {}, True, 1.5, ["a", 3], [["a"]], BIG * 20])
def test_arguments_of_the_wrong_kind_are_told_shortly(value: object) -> None:
    readers = {text: "a text", texts: "a list of texts", flag: "true or false"}
    for read, kind in readers.items():
        arguments = {"x": value}
        try:
            if read is flag:
                flag(arguments, "x", default=False)
            elif read is text:
                text(arguments, "x")
            else:
                texts(arguments, "x")
        except BadRequest as error:
            assert error.code == "BAD_ARGUMENT"
            assert error.message.startswith("`x` is ")
            assert error.message.endswith(f"{kind} is expected")
            assert len(error.message) < 200
        else:
            assert isinstance(value, str | bool) or value == []


def test_arguments_that_are_left_out() -> None:
    assert text({}, "x") == ""
    assert text({}, "x", "stdout") == "stdout"
    assert texts({}, "x") == []
    assert flag({}, "x", default=True) is True
