"""A log of this host, from real files lent by a fake door, over rotations and replaced supervisors."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes.conditions import wait_until
from fakes.door import Conversation, FakeDoor
from fakes.fleetctl import Screen, read, screen
from fleet_api.errors import Broken, NotFound, Unavailable
from fleet_api.frames import Frame
from fleet_cli import local_log
from fleet_cli.local_log import LocalLog
from fleet_cli.log_output import Amount, LogOutput


class LogDoor(FakeDoor):
    """Lends the files of one log. `grow` and `rotate` tell whoever follows."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder / "door.sock"))
        self.handlers = {"open_log": self.lend, "follow_log": self.follow}
        self.folder = folder
        self.log_id = "log-1"
        self.made = 0
        self.files: list[tuple[int, Path]] = []
        self.end = 0
        self.followers: list[tuple[Conversation, Frame]] = []
        self.rotate()

    def rotate(self) -> None:
        self.made += 1
        path = self.folder / f"log.{self.made}"
        path.touch()
        self.files.append((self.end, path))
        for talk, request in self.followers:
            fd = os.open(path, os.O_RDONLY)
            talk.item(request, fds=[fd], segment={"start": self.end})
            os.close(fd)

    def grow(self, data: bytes) -> None:
        with open(self.files[-1][1], "ab") as file:
            file.write(data)
        self.end += len(data)
        for talk, request in self.followers:
            talk.item(request, end=self.end)

    def stop(self, *, leave_socket: bool = False) -> None:
        self.followers.clear()
        super().stop(leave_socket=leave_socket)

    def lend(self, talk: Conversation, request: Frame) -> None:
        fds = [os.open(path, os.O_RDONLY) for _, path in self.files]
        described = {
            "log_id": self.log_id,
            "segments": [{"start": start} for start, _ in self.files],
            "end": self.end,
        }
        if request["do"] == "follow_log":
            talk.item(request, fds=fds, **described)
        else:
            talk.ok(request, fds=fds, **described)
        for fd in fds:
            os.close(fd)

    def follow(self, talk: Conversation, request: Frame) -> None:
        self.lend(talk, request)
        self.followers.append((talk, request))


@pytest.fixture
def door(tmp_path: Path) -> Iterator[LogDoor]:
    fake = LogDoor(tmp_path)
    fake.start()
    yield fake
    fake.stop()


def show(door: LogDoor, amount: Amount, stream: str = "stdout") -> str:
    made = screen()
    output = LogOutput(made.invocation, [])
    LocalLog(door.path, "web", stream, made.invocation, output).show(amount)
    return read(made.out)


class Following:
    """`tail -f` on a thread; ends when the door is gone and patience is over."""

    def __init__(self, door: LogDoor, amount: Amount) -> None:
        self.made: Screen = screen()
        self.error: Exception | None = None
        self._door = door
        self._amount = amount
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        wait_until(lambda: door.followers)

    @property
    def text(self) -> str:
        return read(self.made.out)

    def _run(self) -> None:
        output = LogOutput(self.made.invocation, [])
        try:
            LocalLog(self._door.path, "web", "stdout", self.made.invocation, output).follow(self._amount)
        except Exception as error:
            self.error = error


@pytest.fixture
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_log, "RESUME_SECONDS", 3.0)


def open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_the_last_bytes_also_over_a_rotation(door: LogDoor) -> None:
    door.grow(b"one\ntwo\n")
    door.rotate()
    door.grow(b"three\n")
    assert show(door, Amount(1600)) == "one\ntwo\nthree\n"
    assert show(door, Amount(8)) == "o\nthree\n"
    assert show(door, Amount(0)) == ""
    assert door.requests[-1]["process"] == "web"


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 500, 100_000])
def test_the_last_lines(door: LogDoor, count: int) -> None:
    lines = [f"line {number} {'x' * (number % 90)}\n" for number in range(1200)]
    for start in range(0, 1200, 400):
        door.grow("".join(lines[start : start + 400]).encode())
        door.rotate()
    assert show(door, Amount(0, lines=count)) == "".join(lines[len(lines) - min(count, 1200) :])


def test_no_descriptor_stays_open(door: LogDoor) -> None:
    door.grow(b"x\n" * 9000)
    door.rotate()
    show(door, Amount(10))
    wait_until(lambda: not any(thread.name.endswith("(_serve)") for thread in threading.enumerate()))
    before = open_fds()
    for _ in range(5):
        show(door, Amount(0, lines=5000))
    wait_until(lambda: open_fds() <= before + 1)


def test_what_was_rotated_away_is_said(door: LogDoor) -> None:
    door.end = 1000
    door.files = []
    door.rotate()
    door.grow(b"new\n")
    assert show(door, Amount(1600)) == "new\n"


def test_errors_of_the_agent(door: LogDoor) -> None:
    door.handlers["open_log"] = lambda talk, request: talk.error(request, "NotFound", "NO_LOG_FILE", "none")
    with pytest.raises(NotFound):
        show(door, Amount(10))


def test_a_description_that_makes_no_sense(door: LogDoor) -> None:
    descriptions: list[dict[str, object]] = [
        {},
        {"log_id": "x", "segments": [{"start": 0}], "end": 3},
        {"log_id": "x", "segments": 7, "end": 3},
        {"log_id": "x", "segments": [], "end": "far"},
        {"log_id": "x", "segments": [], "end": 3},
    ]
    for description in descriptions:
        answer: Callable[[Conversation, Frame], None] = lambda talk, request, it=description: talk.ok(  # type: ignore[misc]  # noqa: E731
            request, **it
        )
        door.handlers["open_log"] = answer
        with pytest.raises(Broken):
            show(door, Amount(10))


def test_follow_begins_before_the_end_and_goes_on_over_rotations(door: LogDoor) -> None:
    door.grow(b"old\nlast\n")
    following = Following(door, Amount(5))
    door.grow(b"one\n")
    door.rotate()
    door.grow(b"two\n")
    door.rotate()
    door.grow(b"three\n")
    wait_until(lambda: following.text == "last\none\ntwo\nthree\n")


def test_a_replaced_supervisor_costs_no_byte(door: LogDoor, short_patience: None) -> None:
    following = Following(door, Amount(0))
    expected = ""
    for turn in range(4):
        door.grow(f"before {turn}\n".encode())
        door.stop(leave_socket=turn % 2 == 0)
        door.grow(f"while away {turn}\n".encode())
        if turn == 2:
            door.rotate()
        door.start()
        wait_until(lambda: door.followers)
        expected += f"before {turn}\nwhile away {turn}\n"
        wait_until(lambda text=expected: following.text == text)  # type: ignore[misc]
    assert "waiting for the agent" in read(following.made.err)


def test_bytes_lost_while_away_are_said(door: LogDoor, short_patience: None) -> None:
    following = Following(door, Amount(0))
    door.grow(b"seen\n")
    wait_until(lambda: following.text == "seen\n")
    door.stop()
    door.grow(b"never seen\n")
    door.rotate()
    door.files = door.files[-1:]
    door.grow(b"new\n")
    door.start()
    wait_until(lambda: following.text == "seen\nnew\n")
    assert "11 bytes are gone" in read(following.made.err)


def test_a_log_that_began_anew_is_read_from_its_beginning(door: LogDoor, short_patience: None) -> None:
    following = Following(door, Amount(0))
    door.grow(b"old old\n")
    wait_until(lambda: following.text == "old old\n")
    door.stop()
    door.log_id, door.end, door.files = "log-2", 0, []
    door.rotate()
    door.grow(b"new\n")
    door.start()
    wait_until(lambda: following.text == "old old\nnew\n")
    assert "begin anew" in read(following.made.err)


def test_an_agent_that_stays_away_ends_it_with_the_reason(
    door: LogDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_log, "RESUME_SECONDS", 0.3)
    following = Following(door, Amount(0))
    door.grow(b"x\n")
    wait_until(lambda: following.text == "x\n")
    door.stop()
    following.thread.join(10)
    assert isinstance(following.error, Unavailable)
