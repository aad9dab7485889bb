"""An agent's local door that says what the test tells it to: a real unix socket, as rude as wished."""

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

from fleet_api.frames import Decoder, Frame, encode


class Conversation:
    """One accepted connection, as a script sees it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._decoder = Decoder()
        self._waiting: list[Frame] = []

    def receive(self) -> Frame | None:
        """The next request; None when the client has left."""
        while not self._waiting:
            try:
                data = self.sock.recv(65536)
            except OSError:
                return None
            if not data:
                return None
            self._waiting.extend(self._decoder.feed(data))
        return self._waiting.pop(0)

    def ok(self, request: Frame, fds: Sequence[int] = (), **result: Any) -> None:
        self.send({"id": request["id"], "ok": result}, fds)

    def item(self, request: Frame, fds: Sequence[int] = (), **item: Any) -> None:
        self.send({"id": request["id"], "item": item}, fds)

    def error(self, request: Frame, cls: str, code: str, message: str, hint: str = "") -> None:
        error = {"class": cls, "code": code, "message": message, "hint": hint}
        self.send({"id": request["id"], "error": error})

    def send(self, frame: Frame, fds: Sequence[int] = ()) -> None:
        if fds:
            frame = {**frame, "fds": len(fds)}
            data = encode(frame)
            sent = socket.send_fds(self.sock, [data], list(fds))
            if sent < len(data):
                self.sock.sendall(data[sent:])
        else:
            self.sock.sendall(encode(frame))

    def raw(self, data: bytes) -> None:
        self.sock.sendall(data)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


Handler = Callable[[Conversation, Frame], None]


class FakeDoor:
    """Listens at `path`; each request goes to the handler of its verb, kept in `handlers`.

    `requests` holds every request that came. With `greet`, that is called with each new connection first.
    """

    def __init__(self, path: str, handlers: dict[str, Handler] | None = None) -> None:
        self.path = path
        self.handlers: dict[str, Handler] = handlers or {}
        self.greet: Callable[[Conversation], None] | None = None
        self.requests: list[Frame] = []
        self.connections = 0
        self._listener: socket.socket | None = None
        self._open: list[Conversation] = []
        self._threads: list[threading.Thread] = []

    def start(self) -> Self:
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        folder = os.open(os.path.dirname(self.path), os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{folder}/{os.path.basename(self.path)}")
        os.close(folder)
        listener.listen(16)
        self._listener = listener
        self._run(self._accept, listener)
        return self

    def stop(self, *, leave_socket: bool = False) -> None:
        """Go away as a killed supervisor does; with `leave_socket` the stale file stays."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        for conversation in self._open:
            conversation.close()
        self._open.clear()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(5)
        self._threads.clear()
        if not leave_socket:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)

    def verbs(self) -> list[str]:
        return [request["do"] for request in self.requests]

    def _run(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            conversation = Conversation(sock)
            self._open.append(conversation)
            self._run(self._serve, conversation)

    def _serve(self, conversation: Conversation) -> None:
        with contextlib.suppress(OSError):
            if self.greet is not None:
                self.greet(conversation)
            while (request := conversation.receive()) is not None:
                self.requests.append(request)
                handler = self.handlers.get(request["do"])
                if handler is None:
                    conversation.error(request, "BadRequest", "UNKNOWN_REQUEST", f"no {request['do']} here")
                else:
                    handler(conversation, request)
        conversation.close()


@contextlib.contextmanager
def fake_door(path: str, handlers: dict[str, Handler] | None = None) -> Iterator[FakeDoor]:
    door = FakeDoor(path, handlers).start()
    try:
        yield door
    finally:
        door.stop()
