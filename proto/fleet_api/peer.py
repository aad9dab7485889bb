"""Who is at the other end of a unix socket, as the kernel tells. Called by both ends of the local door."""

import os
import socket
import struct

_CREDENTIALS = "3i"


def uid_of_peer(connection: socket.socket) -> int:
    """The user who connected, or who listened; our own where the kernel (no Linux) does not tell."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return os.geteuid()
    credentials = connection.getsockopt(socket.SOL_SOCKET, option, struct.calcsize(_CREDENTIALS))
    uid: int = struct.unpack(_CREDENTIALS, credentials)[1]
    return uid
