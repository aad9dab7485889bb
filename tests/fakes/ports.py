"""Ports that are no agent: one that accepts and says nothing, one that talks garbage."""

import contextlib
import socket
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def black_hole(address: str = "127.0.0.1") -> Iterator[str]:
    """The address of a port where the kernel accepts and nobody ever answers."""
    with socket.create_server((address, 0), backlog=64) as sock:
        yield f"{address}:{sock.getsockname()[1]}"


@contextlib.contextmanager
def garbage(data: bytes = b"SSH-2.0-OpenSSH_9.6\r\n", address: str = "127.0.0.1") -> Iterator[str]:
    """The address of a port that greets everybody with `data` and hangs up."""
    with socket.create_server((address, 0), backlog=64) as sock:
        sock.settimeout(0.1)
        is_over = threading.Event()

        def greet() -> None:
            while not is_over.is_set():
                with contextlib.suppress(OSError):
                    connection, _ = sock.accept()
                    with connection:
                        connection.sendall(data)

        thread = threading.Thread(target=greet)
        thread.start()
        try:
            yield f"{address}:{sock.getsockname()[1]}"
        finally:
            is_over.set()
            thread.join()


def free_port(address: str = "127.0.0.1") -> str:
    """An address where nobody listens: connections are refused."""
    with socket.create_server((address, 0)) as sock:
        return f"{address}:{sock.getsockname()[1]}"
