"""Gives up every right that the gateway does not need, once all is imported and before a byte is parsed.

Called once by `main`, while the process has one thread: what is set here holds for the threads to come.
"""

import ctypes
import os
import resource
from typing import NamedTuple

from fleet_api.errors import BadRequest, Broken, Denied

_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION = 0x20080522
_CAP_NET_BIND_SERVICE = 1 << 10


class User(NamedTuple):
    """Whom to become."""

    uid: int
    gid: int


def user_of(configured: object) -> User | None:
    """The `user` of the supervisor's configuration.

    Raises: BadRequest when it is neither None nor a pair of ids.
    """
    if configured is None:
        return None
    if isinstance(configured, dict):
        uid, gid = configured.get("uid"), configured.get("gid")
        if isinstance(uid, int) and isinstance(gid, int) and uid >= 0 and gid >= 0:
            return User(uid, gid)
    raise BadRequest("USER_MALFORMED", f"no user: {configured!r}", 'it reads {"uid": N, "gid": N}')


def confine(user: User | None, port_fd: int | None) -> None:
    """Become `user` (None: stay) for good, never gain rights, leave no core and no door for ptrace.

    Of the capabilities that a plain user's agent may have been given only that to bind a low port is kept.

    As many files may be open as the limits allow: each log that is read takes one a backup.

    `port_fd`, the reserved port, is given to that user, since only sockets of one user share a port.
    Raises: Denied when the kernel refuses; nothing must be served then.
    """
    try:
        if user is not None and (os.geteuid(), os.getegid()) != user:
            if port_fd is not None:
                os.fchown(port_fd, user.uid, user.gid)
            os.setgroups([])
            os.setresgid(user.gid, user.gid, user.gid)
            os.setresuid(user.uid, user.uid, user.uid)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
    except OSError as error:
        raise Denied(
            "USER_NOT_TAKEN",
            f"the gateway cannot become uid {user.uid if user else os.geteuid()}: {error.strerror}",
            "start the agent as root, or leave gateway_user out",
        ) from error
    if user is not None and user.uid != 0 and _can_be_root():
        raise Broken("USER_NOT_TAKEN", f"the gateway is uid {user.uid} and could still become root")
    _drop_capabilities()
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_DUMPABLE, 0)


def _can_be_root() -> bool:
    try:
        os.setresuid(0, 0, 0)
    except PermissionError:
        return False
    return True


def _drop_capabilities() -> None:
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    # Effective, permitted and inheritable, the lower 32 and then the higher 32.
    sets = (ctypes.c_uint32 * 6)()
    _call("capget", header, sets)
    kept = sets[1] & _CAP_NET_BIND_SERVICE
    sets[:] = [kept, kept, 0, 0, 0, 0]
    _call("capset", header, sets)


def _prctl(option: int, value: int) -> None:
    _call("prctl", option, ctypes.c_ulong(value), *[ctypes.c_ulong(0)] * 3)


def _call(name: str, *arguments: object) -> None:
    """Call the kernel; another Unix than Linux, which has no such call, is passed over.

    Raises: Denied.
    """
    function = getattr(ctypes.CDLL(None, use_errno=True), name, None)
    if function is not None and function(*arguments) != 0:
        raise Denied("NOT_CONFINED", f"{name}: {os.strerror(ctypes.get_errno())}")
