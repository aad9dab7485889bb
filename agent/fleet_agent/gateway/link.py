"""The gateway's end of the link to the supervisor: requests, replies, streams and descriptors on asyncio.

Made by `main`, used by everything in the gateway that needs the supervisor. One reader on one socket;
nothing here blocks. Once the link has ended, every request ends with Unavailable SUPERVISOR_GONE.
"""

import array
import asyncio
import contextlib
import os
import socket
from collections import deque
from collections.abc import Iterable
from typing import Any, NamedTuple

from fleet_api.errors import BadRequest, FleetError, Unavailable, from_wire
from fleet_api.frames import Decoder, Frame, encode

RECEIVE_BYTES = 256 * 1024
MAX_FDS = 253  # the kernel's limit for one message
MAX_UNSENT_BYTES = 16 * 1024 * 1024
MAX_WAITING_ITEMS = 100_000
MAX_WAITING_FDS = 64

_CANCEL = "cancel"


class Item(NamedTuple):
    """One answer, or one item of a stream. The receiver closes `fds`."""

    body: Frame
    fds: list[int]


class Stream:
    """The items of one streamed request: `async with link.stream(...) as items: async for item in items`.

    Leaving the block early tells the supervisor to stop and closes what was not taken.
    """

    def __init__(self, link: "Link", request_id: int) -> None:
        self._link = link
        self._id = request_id
        self._items: deque[Item] = deque()
        self._waiting_fds = 0
        self._news = asyncio.Event()
        self._is_ended = False
        self._error: FleetError | None = None

    async def __aenter__(self) -> "Stream":
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self._is_ended:
            self._link.cancel(self._id)
        while self._items:
            close_fds(self._items.popleft().fds)

    def __aiter__(self) -> "Stream":
        return self

    async def __anext__(self) -> Item:
        while not self._items:
            if self._is_ended:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        item = self._items.popleft()
        self._waiting_fds -= len(item.fds)
        return item

    def take_waiting(self) -> list[Item]:
        """All items that have come and were not taken, without waiting."""
        items = list(self._items)
        self._items.clear()
        self._waiting_fds = 0
        return items

    def put(self, item: Item) -> None:
        """Called by the link: one more item."""
        waiting_fds = self._waiting_fds + len(item.fds)
        # The first item may bring as many as it likes: it is one log with all its backups.
        if self._items and (len(self._items) >= MAX_WAITING_ITEMS or waiting_fds > MAX_WAITING_FDS):
            close_fds(item.fds)
            self._link.cancel(self._id)
            self.end(
                Unavailable(
                    "STREAM_NOT_READ",
                    f"the reader is too slow: {len(self._items)} messages wait for it",
                    "go on from the last cursor",
                )
            )
            return
        self._waiting_fds = waiting_fds
        self._items.append(item)
        self._news.set()

    def end(self, error: FleetError | None) -> None:
        """Called by the link: no more items."""
        self._is_ended, self._error = True, error
        self._news.set()


class Link:
    """One end of a connected unix stream socket; takes possession of it."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._loop = asyncio.get_running_loop()
        self._decoder = Decoder()
        self._fds: deque[int] = deque()
        self._unsent = bytearray()
        self._last_id = 0
        self._calls: dict[int, asyncio.Future[Item]] = {}
        self._streams: dict[int, Stream] = {}
        self._ended = asyncio.Event()
        self.failure: FleetError | None = None
        """Why the link ended, when it was not simply closed by the supervisor."""
        self._loop.add_reader(sock, self._on_readable)

    @property
    def is_open(self) -> bool:
        """Whether the supervisor can still be asked."""
        return not self._ended.is_set()

    async def wait_until_ended(self) -> None:
        """Return once the supervisor has gone."""
        await self._ended.wait()

    async def call(self, do: str, *, timeout_seconds: float | None = None, **arguments: Any) -> Frame:
        """Ask and wait for the answer; descriptors beside it are closed.

        Raises: the error that the supervisor answered with; Unavailable SUPERVISOR_GONE, or
        SUPERVISOR_SILENT after `timeout_seconds` (None: as long as it takes).
        """
        item = await self.call_with_fds(do, timeout_seconds=timeout_seconds, **arguments)
        close_fds(item.fds)
        return item.body

    async def call_with_fds(self, do: str, *, timeout_seconds: float | None = None, **arguments: Any) -> Item:
        """As `call`, with the descriptors that came beside the answer."""
        future: asyncio.Future[Item] = self._loop.create_future()
        request_id = self._ask(do, arguments)
        self._calls[request_id] = future
        is_taken = False
        try:
            async with asyncio.timeout(timeout_seconds):
                item = await future
            is_taken = True
            return item
        except TimeoutError as error:
            raise Unavailable(
                "SUPERVISOR_SILENT",
                f"the supervisor did not answer {do!r} within {timeout_seconds:g} s",
                "it is busy or stuck; see the agent's log on that host",
            ) from error
        finally:
            if self._calls.pop(request_id, None) is not None:
                self._send_cancel(request_id)
            # Subtle: given up between the answer and our turn, nobody else has its descriptors.
            if not is_taken and future.done() and not future.cancelled() and future.exception() is None:
                close_fds(future.result().fds)

    def stream(self, do: str, **arguments: Any) -> Stream:
        """Ask for a stream of items.

        Raises: Unavailable SUPERVISOR_GONE.
        """
        request_id = self._ask(do, arguments)
        stream = Stream(self, request_id)
        self._streams[request_id] = stream
        return stream

    def cancel(self, request_id: int) -> None:
        """Tell the supervisor to end a stream; what it still sends is dropped."""
        if self._streams.pop(request_id, None) is not None:
            self._send_cancel(request_id)

    def close(self) -> None:
        """End the link from this side."""
        self._end(None)

    def _ask(self, do: str, arguments: dict[str, Any]) -> int:
        self._last_id += 1
        self._send({"id": self._last_id, "do": do, **arguments})
        return self._last_id

    def _send_cancel(self, request_id: int) -> None:
        with contextlib.suppress(FleetError):
            self._send({"id": request_id, "do": _CANCEL})

    def _send(self, frame: Frame) -> None:
        if not self.is_open:
            raise supervisor_gone()
        data = encode(frame)
        if len(self._unsent) + len(data) > MAX_UNSENT_BYTES:
            raise Unavailable(
                "SUPERVISOR_SILENT",
                f"the supervisor does not read: {len(self._unsent)} bytes of requests wait for it",
                "it is busy or stuck; see the agent's log on that host",
            )
        self._unsent += data
        if len(self._unsent) == len(data):
            self._flush()

    def _flush(self) -> None:
        try:
            while self._unsent:
                sent = self._socket.send(self._unsent, socket.MSG_NOSIGNAL)
                del self._unsent[:sent]
        except BlockingIOError:
            self._loop.add_writer(self._socket, self._flush)
            return
        except OSError:
            # The reader sees the end too, after what the supervisor had still to say.
            self._unsent.clear()
        self._loop.remove_writer(self._socket)

    def _on_readable(self) -> None:
        try:
            data, ancillary, flags, _ = self._socket.recvmsg(
                RECEIVE_BYTES, socket.CMSG_SPACE(MAX_FDS * 4), socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return
        except OSError as error:
            self._end(Unavailable("LINK_BROKEN", f"the link to the supervisor: {error.strerror}"))
            return
        self._keep_fds(ancillary)
        if flags & socket.MSG_CTRUNC:
            self._end(BadRequest("DESCRIPTORS_LOST", "descriptors from the supervisor did not arrive"))
            return
        if not data:
            cut = not self._decoder.is_between_frames
            self._end(BadRequest("FRAME_CUT", "the link ended within a frame") if cut else None)
            return
        try:
            for frame in self._decoder.feed(data):
                self._take(frame)
        except FleetError as error:
            self._end(error)

    def _keep_fds(self, ancillary: Iterable[tuple[int, int, bytes]]) -> None:
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds = array.array("i")
                fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
                self._fds.extend(fds)

    def _take(self, frame: Frame) -> None:
        count = frame.get("fds", 0)
        if not isinstance(count, int) or not 0 <= count <= len(self._fds):
            raise BadRequest(
                "DESCRIPTORS_LOST", f"a frame announces {count!r} descriptors; {len(self._fds)} came"
            )
        fds = [self._fds.popleft() for _ in range(count)]
        request_id = frame.get("id")
        body, error = _content(frame)
        if not isinstance(request_id, int):
            close_fds(fds)
            raise error or BadRequest("FRAME_WITHOUT_ID", f"a frame without an id: {sorted(frame)}")
        stream = self._streams.get(request_id)
        if stream is not None and error is None and "item" in frame:
            stream.put(Item(body, fds))
            return
        if stream is not None:
            close_fds(fds)
            del self._streams[request_id]
            stream.end(error)
            return
        future = self._calls.pop(request_id, None)
        if future is None or future.done():
            close_fds(fds)
        elif error is not None:
            close_fds(fds)
            future.set_exception(error)
        else:
            future.set_result(Item(body, fds))

    def _end(self, failure: FleetError | None) -> None:
        if self._ended.is_set():
            return
        self.failure = failure
        self._ended.set()
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        close_fds(self._fds)
        self._fds.clear()
        for future in self._calls.values():
            if not future.done():
                future.set_exception(supervisor_gone())
        self._calls.clear()
        for stream in self._streams.values():
            stream.end(supervisor_gone())
        self._streams.clear()


def supervisor_gone() -> Unavailable:
    """What everything ends with once the link has ended."""
    return Unavailable(
        "SUPERVISOR_GONE",
        "the agent's supervisor has ended or is being replaced",
        "try again; the processes go on",
    )


def close_fds(fds: Iterable[int]) -> None:
    """Close descriptors that nobody needs."""
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)


def _content(frame: Frame) -> tuple[Frame, FleetError | None]:
    """What a frame of the supervisor says: the body of an item or answer, or an error."""
    for key in ("item", "ok"):
        body = frame.get(key)
        if isinstance(body, dict):
            return body, None
    error = frame.get("error")
    if isinstance(error, dict):
        return {}, from_wire(error)
    return {}, BadRequest(
        "FRAME_WITHOUT_ANSWER", f"a frame holds neither item, ok nor error: {sorted(frame)}"
    )
