"""Descriptors that wait in sockets instead of the keeper's own table. Owned by `holding`.

A fork copies the whole table and an exec closes it again. With the ends of a thousand children in it,
that took more time than the rest of a restart; what lies in a socket, sent and not received, costs nothing.
"""

import os
import socket
from collections import deque
from collections.abc import Sequence

from fleet_agent.keeper.spawn import Spare

# Few enough that a board never fills the kernel's smallest buffer, and that a search of one is short.
SETS_PER_BOARD = 32
# More than a set holds (a process has three streams); `Spare` frees as many numbers.
_MAX_FDS = 3

Key = tuple[str, int]


class Shelf:
    """Sets of up to three descriptors by key; no more than `most` in all."""

    def __init__(self, most: int, spare: Spare) -> None:
        self._most = most
        self._spare = spare
        self._boards: dict[Key, _Board] = {}
        self._filling: _Board | None = None
        self.count = 0

    def put(self, key: Key, fds: Sequence[int]) -> bool:
        """Take the set; False, and they stay the caller's, where there is no more room."""
        if self.count + len(fds) > self._most:
            return False
        if self._filling is None or self._filling.is_full:
            try:
                self._filling = _Board()
            except OSError:
                return False
        if not self._filling.put(key, fds):
            return False
        self._boards[key] = self._filling
        self.count += len(fds)
        return True

    def take(self, key: Key) -> list[int]:
        """Give a set back; none when it is not here."""
        board = self._boards.pop(key, None)
        if board is None:
            return []
        with self._spare:
            fds = board.take(key)
        self.count -= len(fds)
        if board.is_empty:
            board.close()
            if board is self._filling:
                self._filling = None
        return fds


class _Board:
    """A socket that leads back to itself: sets in the order of `keys` are under way in it."""

    def __init__(self) -> None:
        self._entry, self._exit = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._entry.setblocking(False)
        self._exit.setblocking(False)
        self._keys: deque[Key] = deque()
        # Taken out in a search, and refused by the kernel on their way back.
        self._beside: dict[Key, list[int]] = {}

    @property
    def is_full(self) -> bool:
        return len(self._keys) + len(self._beside) >= SETS_PER_BOARD

    @property
    def is_empty(self) -> bool:
        return not self._keys and not self._beside

    def put(self, key: Key, fds: Sequence[int]) -> bool:
        try:
            socket.send_fds(self._entry, [b"."], list(fds))
        except OSError:
            return False
        self._keys.append(key)
        for fd in fds:
            os.close(fd)
        return True

    def take(self, key: Key) -> list[int]:
        if key in self._beside:
            return self._beside.pop(key)
        while True:
            found = self._keys.popleft()
            fds = socket.recv_fds(self._exit, 1, _MAX_FDS, socket.MSG_CMSG_CLOEXEC)[1]
            if found == key:
                return fds
            if not self.put(found, fds):
                self._beside[found] = fds

    def close(self) -> None:
        self._entry.close()
        self._exit.close()
