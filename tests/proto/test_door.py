"""The blocking client of the local door, against a real socket that may be rude."""

import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.conditions import wait_until
from fakes.door import Conversation, FakeDoor, fake_door
from fleet_api import door
from fleet_api.door import Door
from fleet_api.errors import BadRequest, Broken, Denied, FleetError, NotFound, Unavailable
from fleet_api.frames import Frame, encode


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "door.sock")


def ask(path: str, do: str = "hello", timeout: float | None = 5.0) -> dict[str, object]:
    with Door.connect(path) as connection:
        return connection.request(do, timeout_seconds=timeout)


def open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_request_carries_its_arguments_and_gets_its_answer(path: str) -> None:
    with fake_door(path, {"status": lambda talk, request: talk.ok(request, terms=request["terms"])}) as fake:
        with Door.connect(path) as connection:
            assert connection.request("status", terms=["web:*", "ü"]) == {"terms": ["web:*", "ü"]}
            assert connection.request("status", terms=[]) == {"terms": []}
        assert [request["id"] for request in fake.requests] == [1, 2]


def test_the_agents_error_comes_as_it_was_meant(path: str) -> None:
    def refuse(talk: Conversation, request: Frame) -> None:
        talk.error(request, "NotFound", "NO_SUCH_PROCESS", "x: no such process", "look again")

    with fake_door(path, {"hello": refuse}), pytest.raises(NotFound) as caught:
        ask(path)
    assert (caught.value.code, caught.value.message, caught.value.hint) == (
        "NO_SUCH_PROCESS",
        "x: no such process",
        "look again",
    )


def test_a_large_answer_comes_whole(path: str) -> None:
    rows = [{"name": f"process-{number}", "text": "x" * 500} for number in range(3000)]
    with fake_door(path, {"hello": lambda talk, request: talk.ok(request, rows=rows)}):
        assert ask(path)["rows"] == rows


def test_a_path_too_long_for_a_socket_address_is_reached(tmp_path: Path) -> None:
    long = str(tmp_path / ("long-" * 15) / ("name-" * 15) / "door.sock")
    assert len(long) > 150
    with fake_door(long, {"hello": lambda talk, request: talk.ok(request, pid=7)}):
        before = open_fds()
        assert ask(long) == {"pid": 7}
        wait_until(lambda: open_fds() <= before)


# ---------------------------------------------------------------- nobody there


def test_no_socket(path: str) -> None:
    with pytest.raises(Unavailable) as caught:
        Door.connect(path)
    assert caught.value.code == door.NOT_FOUND
    assert path in caught.value.message
    assert "fleet-agent run" in caught.value.hint


def test_a_file_in_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in ("file/door.sock", "file/" + "x" * 120 + "/door.sock"):
        with pytest.raises(Unavailable) as caught:
            Door.connect(str(tmp_path / place))
        assert caught.value.code == door.NOT_FOUND


def test_a_socket_that_was_left_behind(path: str) -> None:
    FakeDoor(path).start().stop(leave_socket=True)
    with pytest.raises(Unavailable) as caught:
        Door.connect(path)
    assert caught.value.code == door.REFUSED


def test_a_file_that_is_no_socket(path: str) -> None:
    Path(path).write_text("hello")
    with pytest.raises(FleetError) as caught:
        Door.connect(path)
    assert caught.value.code in {door.REFUSED, door.UNUSABLE}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_somebody_else_is_told_whom_to_ask(path: str) -> None:
    ask_as_nobody = (
        "import os, sys\n"
        "from fleet_api.door import Door\n"
        "from fleet_api.errors import Denied\n"
        "os.setuid(65534)\n"
        "try:\n    Door.connect(sys.argv[1])\n"
        "except Denied as error:\n    print(error.code, error.hint)\n"
    )
    with fake_door(path):
        os.chmod(path, stat.S_IRUSR | stat.S_IWUSR)
        for folder in Path(path).parents[:3]:
            if str(folder) != "/tmp":
                os.chmod(folder, 0o755)
        done = subprocess.run(
            [sys.executable, "-c", ask_as_nobody, path],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    assert done.stdout == "DOOR_DENIED ask as root or as the agent's user\n", done.stderr


def test_the_kernels_no_is_denied(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(sock: socket.socket, path: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(door, "_connect", refuse)
    with pytest.raises(Denied) as caught:
        Door.connect(path)
    assert caught.value.code == door.DENIED


def test_who_is_not_let_in_is_told_why(path: str) -> None:
    def greet(talk: Conversation) -> None:
        talk.send({"id": 0, "error": {"class": "Denied", "code": "DOOR_NOT_ALLOWED", "message": "not you"}})
        talk.close()

    with fake_door(path) as fake:
        fake.greet = greet
        for _ in range(20):  # whoever is quicker: the refusal or the request
            with pytest.raises(Denied, match="not you"):
                ask(path)


# ---------------------------------------------------------------- rude answers


def rude(act: Callable[[Conversation], None]) -> dict[str, Callable[[Conversation, Frame], None]]:
    return {"hello": lambda talk, request: act(talk)}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "was announced"),
        (b"\x00\x00\x00\x04null", "instead of an object"),
        (b"\x00\x00\x00\x03{]}", "no JSON"),
        (b"\x7f\xff\xff\xff", "limit"),
        (encode({"id": 9, "ok": {}}), "never asked"),
        (encode({"id": "x", "ok": {}}), "never asked"),
        (encode({"id": 1}), "neither ok nor error"),
        (encode({"id": 1, "ok": [1]}), "neither ok nor error"),
        (encode({"id": 1, "ok": {}, "fds": 2}), "descriptors"),
        (encode({"id": 1, "ok": {}, "fds": "many"}), "descriptors"),
        (encode({"id": 1, "ok": {}, "fds": -1}), "descriptors"),
    ],
)
def test_garbage_is_named_as_such(path: str, answer: bytes, words: str) -> None:
    with fake_door(path, rude(lambda talk: talk.raw(answer))), pytest.raises(Broken, match=words) as caught:
        ask(path)
    assert caught.value.code == door.GARBAGE
    assert path in caught.value.message


def test_a_cut_answer(path: str) -> None:
    def cut(talk: Conversation) -> None:
        talk.raw(encode({"id": 1, "ok": {"pid": 1}})[:-3])
        talk.close()

    with fake_door(path, rude(cut)), pytest.raises(Unavailable, match="middle of an answer") as caught:
        ask(path)
    assert caught.value.code == door.CLOSED


def test_an_agent_that_leaves_without_an_answer(path: str) -> None:
    with fake_door(path, rude(Conversation.close)), pytest.raises(Unavailable) as caught:
        ask(path)
    assert caught.value.code == door.CLOSED


def test_an_agent_that_says_nothing(path: str) -> None:
    with (
        fake_door(path, rude(lambda talk: None)),
        pytest.raises(Unavailable, match=r"within 0\.2 s") as caught,
    ):
        ask(path, timeout=0.2)
    assert caught.value.code == door.TIMED_OUT


def test_an_agent_that_drips_bytes_does_not_stretch_the_time(path: str) -> None:
    def drip(talk: Conversation) -> None:
        for byte in encode({"id": 1, "ok": {"text": "x" * 500}}):
            talk.raw(bytes([byte]))
            time.sleep(0.01)

    with fake_door(path, rude(drip)), pytest.raises(Unavailable) as caught:
        ask(path, timeout=0.3)
    assert caught.value.code == door.TIMED_OUT


def test_an_agent_that_does_not_accept(path: str) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(0)
    held: list[Door] = []
    try:
        with pytest.raises(Unavailable) as caught:
            while len(held) < 5:
                held += [Door.connect(path, timeout_seconds=0.2)]
        assert caught.value.code == door.TIMED_OUT
    finally:
        listener.close()
        for connection in held:
            connection.close()


# ---------------------------------------------------------------- streams and descriptors


def test_a_stream_gives_items_until_its_end(path: str) -> None:
    def count(talk: Conversation, request: Frame) -> None:
        for number in range(3):
            talk.item(request, number=number)
        talk.ok(request)

    with fake_door(path, {"watch": count}), Door.connect(path) as connection:
        assert [item["number"] for item, _ in connection.stream("watch")] == [0, 1, 2]


def test_a_stream_left_early_is_cancelled_and_its_rest_dropped(path: str) -> None:
    def endless(talk: Conversation, request: Frame) -> None:
        for number in range(100):
            talk.item(request, number=number)
        cancelled = talk.receive()
        assert cancelled == {"id": request["id"], "do": "cancel"}
        talk.ok(request)

    handlers = {"watch": endless, "hello": lambda talk, request: talk.ok(request, pid=1)}
    with fake_door(path, handlers), Door.connect(path) as connection:
        for item, _ in connection.stream("watch"):
            if item["number"] == 3:
                break
        assert connection.request("hello", timeout_seconds=5) == {"pid": 1}


def test_a_stream_that_dies_in_the_middle(path: str) -> None:
    def die(talk: Conversation, request: Frame) -> None:
        talk.item(request, number=1)
        talk.close()

    seen = []
    with (
        fake_door(path, {"watch": die}),
        Door.connect(path) as connection,
        pytest.raises(Unavailable) as caught,
    ):
        for item, _ in connection.stream("watch"):
            seen.append(item)
    assert seen == [{"number": 1}]
    assert caught.value.code == door.CLOSED


def test_a_stream_that_falls_silent(path: str) -> None:
    with (
        fake_door(path, {"watch": lambda talk, request: talk.item(request, number=1)}),
        Door.connect(path) as connection,
        pytest.raises(Unavailable) as caught,
    ):
        for _ in connection.stream("watch", timeout_seconds=0.2):
            pass
    assert caught.value.code == door.TIMED_OUT


def test_only_the_first_item_is_waited_for_with_its_own_patience(path: str) -> None:
    def late(talk: Conversation, request: Frame) -> None:
        talk.item(request, number=1)
        time.sleep(0.4)
        talk.item(request, number=2)
        talk.ok(request)

    with fake_door(path, {"watch": late, "mute": lambda talk, request: None}):
        with Door.connect(path) as connection:
            assert len(list(connection.stream("watch", first_timeout_seconds=0.2))) == 2
        with Door.connect(path) as connection, pytest.raises(Unavailable) as caught:
            list(connection.stream("mute", first_timeout_seconds=0.2))
    assert caught.value.code == door.TIMED_OUT


def test_an_item_of_the_wrong_kind(path: str) -> None:
    def wrong(talk: Conversation, request: Frame) -> None:
        talk.send({"id": request["id"], "item": [1]})

    with fake_door(path, {"watch": wrong}), Door.connect(path) as connection, pytest.raises(Broken):
        list(connection.stream("watch"))


def test_descriptors_come_in_order_beside_their_frames(path: str, tmp_path: Path) -> None:
    names = ["a", "b", "c"]
    for name in names:
        (tmp_path / name).write_text(name)

    def lend(talk: Conversation, request: Frame) -> None:
        fds = [os.open(tmp_path / name, os.O_RDONLY) for name in names]
        talk.item(request, fds=fds[:2], first=True)
        talk.item(request, nothing=True)
        talk.item(request, fds=fds[2:], last=True)
        talk.ok(request)
        for fd in fds:
            os.close(fd)

    got = []
    with fake_door(path, {"follow_log": lend}), Door.connect(path) as connection:
        for _, fds in connection.stream("follow_log"):
            texts = []
            for fd in fds:
                assert not os.get_inheritable(fd)
                texts.append(os.read(fd, 10).decode())
                os.close(fd)
            got.append(texts)
    assert got == [["a", "b"], [], ["c"]]


def test_no_descriptor_is_left_open(path: str, tmp_path: Path) -> None:
    (tmp_path / "log").write_text("x")

    def lend(talk: Conversation, request: Frame) -> None:
        fd = os.open(tmp_path / "log", os.O_RDONLY)
        if request["do"] == "follow_log":
            talk.item(request, fds=[fd])
        elif request["do"] == "open_log":
            talk.send({"id": request["id"], "error": {"class": "NotFound"}}, fds=[fd])
        else:
            talk.ok(request, fds=[fd, fd, fd])
        os.close(fd)

    with fake_door(path, dict.fromkeys(("hello", "open_log", "follow_log"), lend)) as fake:
        before = open_fds()
        connection = Door.connect(path)
        connection.request("hello")
        with pytest.raises(NotFound):
            connection.request_with_fds("open_log")
        for _, fds in connection.stream("follow_log"):
            for fd in fds:
                os.close(fd)
            break
        connection.close()
        fake.stop()
        wait_until(lambda: open_fds() <= before)


def test_a_request_too_large_for_a_frame_is_not_sent(path: str) -> None:
    with fake_door(path) as fake, Door.connect(path) as connection:
        with pytest.raises(BadRequest):
            connection.request("hello", terms=["x" * (17 * 1024 * 1024)])
        assert fake.requests == []


@pytest.mark.parametrize(
    ("own", "listener", "is_let"),
    [(1000, 77, False), (1000, 1000, True), (1000, 0, True), (0, 77, True), (0, 0, True)],
)
def test_a_strangers_program_in_the_agents_place_is_not_talked_to(
    path: str, monkeypatch: pytest.MonkeyPatch, own: int, listener: int, is_let: bool
) -> None:
    with fake_door(path, {"hello": lambda talk, request: talk.ok(request)}) as fake:
        monkeypatch.setattr(os, "geteuid", lambda: own)
        monkeypatch.setattr(door, "uid_of_peer", lambda _: listener)
        if is_let:
            assert ask(path) == {}
            return
        with pytest.raises(Denied, match=f"uid 77 listens at {path}") as caught:
            ask(path)
        assert caught.value.code == door.STRANGER
        assert fake.requests == []
