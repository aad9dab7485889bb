"""The link on asyncio, against a fake supervisor: answers, streams, descriptors, and every rude end."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from fakes.supervisor import FakeLog, FakeSupervisor, make_row
from fleet_agent.gateway.link import Link, close_fds
from fleet_api.errors import BadRequest, NotFound, Unavailable
from fleet_api.frames import Frame, encode


def talk(
    body: Callable[[Link, FakeSupervisor], Awaitable[None]],
    prepare: Callable[[FakeSupervisor], None] = lambda supervisor: None,
) -> None:
    """Run `body` with both ends of a link."""
    supervisor = FakeSupervisor([make_row("web")])
    prepare(supervisor)
    supervisor.start()

    async def run() -> None:
        link = Link(socket.socket(fileno=supervisor.theirs.detach()))
        try:
            async with asyncio.timeout(20):
                await body(link, supervisor)
        finally:
            link.close()

    try:
        asyncio.run(run())
    finally:
        supervisor.end()


def open_fds() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def test_many_questions_at_once_get_their_own_answers() -> None:
    async def body(link: Link, supervisor: FakeSupervisor) -> None:
        answers = await asyncio.gather(*(link.call("echo", number=number) for number in range(500)))
        assert [answer["number"] for answer in answers] == list(range(500))

    def prepare(supervisor: FakeSupervisor) -> None:
        supervisor.on["echo"] = lambda frame: {"number": frame["number"]}

    talk(body, prepare)


def test_large_questions_and_answers_pass() -> None:
    async def body(link: Link, supervisor: FakeSupervisor) -> None:
        answer = await link.call("echo", text="x" * 3_000_000)
        assert len(answer["text"]) == 3_000_000

    def prepare(supervisor: FakeSupervisor) -> None:
        supervisor.on["echo"] = lambda frame: {"text": frame["text"]}

    talk(body, prepare)


def test_an_error_of_the_supervisor_is_raised() -> None:
    async def body(link: Link, supervisor: FakeSupervisor) -> None:
        with pytest.raises(NotFound) as raised:
            await link.call("operation", key="none")
        assert raised.value.code == "OPERATION_NOT_FOUND"

    talk(body)


def test_silence_has_a_deadline_and_the_question_is_taken_back() -> None:
    async def body(link: Link, supervisor: FakeSupervisor) -> None:
        with pytest.raises(Unavailable) as raised:
            await link.call("ping", timeout_seconds=0.05)
        assert raised.value.code == "SUPERVISOR_SILENT"
        await asyncio.to_thread(supervisor.wait_for_request, "cancel")
        supervisor.silent.clear()
        assert await link.call("ping", timeout_seconds=10)

    talk(body, lambda supervisor: supervisor.silent.add("ping"))


def test_a_stream_left_early_is_cancelled_and_its_descriptors_are_closed(tmp_path: Path) -> None:
    async def body(link: Link, supervisor: FakeSupervisor) -> None:
        log = FakeLog(supervisor, tmp_path)
        before = open_fds()
        async with link.stream("follow_log", process="web", stream="stdout") as items:
            async for item in items:
                assert item.body["log_id"] == "log-1"
                close_fds(item.fds)
                break
            log.rotate()
            log.write(b"x")
            # Answered after the rotation, so its descriptor has come and nobody took it.
            await link.call("ping")
        await asyncio.to_thread(supervisor.wait_for, lambda: bool(supervisor.cancelled), "cancel")
        assert len(open_fds()) == len(before) + 1  # the log's own new file
        log.close()

    talk(body)


def test_descriptors_come_with_their_answer_even_within_a_burst(tmp_path: Path) -> None:
    async def body(link: Link, supervisor: FakeSupervisor) -> None:
        log = FakeLog(supervisor, tmp_path)
        log.write(b"first")
        log.rotate()
        log.write(b"second")
        calls = [link.call_with_fds(verb, process="web") for verb in ("open_log", "ping") * 25]
        for item in await asyncio.gather(*calls):
            if "log_id" in item.body:
                assert [os.pread(fd, 10, 0) for fd in item.fds] == [b"first", b"second"]
            else:
                assert item.fds == []
            close_fds(item.fds)
        log.close()

    talk(body)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x05hello",
        b"\x00\x00\x00\x02[]",
        encode({"ok": {}}),
        encode({"id": 1, "ok": {}, "fds": 3}),
        encode({"id": 1, "ok": {}, "fds": "many"}),
        encode({"id": 1, "ok": {}, "fds": -1}),
    ],
)
def test_garbage_ends_the_link_and_everything_that_waits(garbage: bytes) -> None:
    async def body(link: Link, supervisor: FakeSupervisor) -> None:
        waiting = asyncio.ensure_future(link.call("ping"))
        await asyncio.to_thread(supervisor.wait_for_request, "ping")
        supervisor.send_raw(garbage)
        with pytest.raises(Unavailable) as raised:
            await waiting
        assert raised.value.code == "SUPERVISOR_GONE"
        await link.wait_until_ended()
        assert isinstance(link.failure, BadRequest)
        with pytest.raises(Unavailable):
            await link.call("ping")

    talk(body, lambda supervisor: supervisor.silent.add("ping"))


def test_an_answer_that_says_nothing_fails_its_question_alone() -> None:
    async def body(link: Link, supervisor: FakeSupervisor) -> None:
        waiting = asyncio.ensure_future(link.call("odd"))
        frame: Frame = await asyncio.to_thread(supervisor.wait_for_request, "odd")
        supervisor.send_raw(encode({"id": 99, "ok": {}}))  # to nobody
        supervisor.send_raw(encode({"id": frame["id"], "ok": "fine"}))
        with pytest.raises(BadRequest):
            await waiting
        assert await link.call("ping")

    talk(body, lambda supervisor: supervisor.silent.add("odd"))


@pytest.mark.parametrize("cut", [b"", b"\x00\x00\x00\x20{"])
def test_the_end_reaches_questions_and_streams(cut: bytes) -> None:
    async def body(link: Link, supervisor: FakeSupervisor) -> None:
        waiting = asyncio.ensure_future(link.call("ping"))

        async def follow() -> None:
            async with link.stream("watch", after=None) as items:
                async for _ in items:
                    pass

        following = asyncio.ensure_future(follow())
        await asyncio.to_thread(supervisor.wait_for_request, "watch")
        supervisor.send_raw(cut)
        await asyncio.to_thread(supervisor.end)
        results: tuple[Any, ...] = await asyncio.gather(waiting, following, return_exceptions=True)
        assert [result.code for result in results] == ["SUPERVISOR_GONE", "SUPERVISOR_GONE"]
        assert (link.failure is None) == (cut == b"")

    talk(body, lambda supervisor: supervisor.silent.add("ping"))


def test_a_stream_that_nobody_reads_holds_a_bounded_number_of_files(tmp_path: Path) -> None:
    async def body(link: Link, supervisor: FakeSupervisor) -> None:
        log = FakeLog(supervisor, tmp_path)
        before = open_fds()
        async with link.stream("follow_log", process="web", stream="stdout") as items:
            await asyncio.to_thread(supervisor.wait_for_request, "follow_log")
            for _ in range(100):
                log.rotate(keep=0)
            await asyncio.to_thread(supervisor.wait_for, lambda: bool(supervisor.cancelled), "cancel")
            assert len(open_fds()) < len(before) + 80
            with pytest.raises(Unavailable) as raised:
                async for item in items:
                    close_fds(item.fds)
            assert raised.value.code == "STREAM_NOT_READ"
        assert len(open_fds()) == len(before)
        assert await link.call("ping")
        log.close()

    talk(body)
