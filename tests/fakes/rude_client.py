"""The other end of a session: a client that says what it likes, or hears what it is told."""

import array
import os
import socket
from typing import Any

from fakes.loop_turns import turn, turn_until
from fleet_agent.supervisor.loop import Loop
from fleet_api.frames import Decoder, encode


class RudeClient:
    """One connected socket and the loop at whose other end the session lives."""

    def __init__(self, sock: socket.socket, loop: Loop) -> None:
        sock.setblocking(False)
        self.sock = sock
        self._loop = loop
        self._decoder = Decoder()
        self._unsent = b""
        self.heard: list[dict[str, Any]] = []
        self.fds: list[int] = []
        self.is_ended = False

    def say(self, *frames: Any) -> None:
        """Queue whole frames; what is no object is sent as it is."""
        for frame in frames:
            self._unsent += frame if isinstance(frame, bytes) else encode(frame)
        self.push()

    def push(self) -> None:
        """Send as much as the kernel takes."""
        try:
            while self._unsent:
                self._unsent = self._unsent[self.sock.send(self._unsent) :]
        except BlockingIOError:
            return
        except (BrokenPipeError, ConnectionResetError):
            self._unsent = b""

    def listen(self) -> None:
        """Hear what has come."""
        while not self.is_ended:
            try:
                data, ancillary, _, _ = self.sock.recvmsg(256 * 1024, socket.CMSG_SPACE(253 * 4))
            except BlockingIOError:
                return
            except ConnectionResetError:
                data, ancillary = b"", []
            for _, _, payload in ancillary:
                fds = array.array("i")
                fds.frombytes(payload)
                self.fds.extend(fds)
            if not data:
                self.is_ended = True
            self.heard.extend(self._decoder.feed(data))

    def ask(self, *frames: Any) -> list[dict[str, Any]]:
        """Say something and hear as many frames in answer."""
        del self.heard[:]
        self.say(*frames)
        return self.hear(len(frames))

    def hear(self, count: int) -> list[dict[str, Any]]:
        """Wait for so many frames, and take them."""

        def have_come() -> bool:
            self.push()
            self.listen()
            return len(self.heard) >= count or self.is_ended

        turn_until(self._loop, have_come, f"{count} frames")
        taken, self.heard = self.heard[:count], self.heard[count:]
        return taken

    def wait_for_end(self) -> None:
        """Wait until the other end closes."""

        def has_ended() -> bool:
            self.listen()
            return self.is_ended

        turn_until(self._loop, has_ended, "the end")

    def hears_nothing(self) -> bool:
        """Whether nothing comes of some turns."""
        for _ in range(3):
            self.push()
            turn(self._loop)
        self.listen()
        return not self.heard and not self.is_ended

    def close(self) -> None:
        """Leave, and close what was received."""
        self.sock.close()
        for fd in self.fds:
            os.close(fd)
        self.fds.clear()
