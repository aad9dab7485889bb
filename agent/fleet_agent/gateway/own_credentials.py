"""The agent's own certificate, key and CA, checked in a process that ends with the check.

Called by `main`, before anything else runs in this process. The library that reads certificates takes 9 MB,
and callers are known without it.
"""

import json
import os
import resource

from fleet_api import identity
from fleet_api.credentials import Credentials
from fleet_api.errors import Broken, FleetError, from_wire


def check(certificate: bytes, key: bytes, ca: bytes, now: float) -> Credentials:
    """The credentials in these PEM texts, fit for use at `now` (seconds since the epoch).

    Raises: as `tls.from_pem`; Broken when they could not be checked.
    """
    try:
        reading, writing = os.pipe()
        pid = os.fork()
    except OSError as error:
        raise _not_checked(error.strerror or str(error)) from error
    if pid == 0:
        os.close(reading)
        _tell(writing, certificate, key, ca, now)
    os.close(writing)
    with open(reading, "rb") as file:
        told = file.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status != 0:
        raise _not_checked(f"the check ended with {status}")
    answer = json.loads(told)
    if "error" in answer:
        raise from_wire(answer["error"])
    return Credentials(certificate, key, ca, identity.from_uri(answer["uri"]))


def _tell(fd: int, certificate: bytes, key: bytes, ca: bytes, now: float) -> None:
    """In the child, which ends here, whatever happens."""
    code = 1
    try:
        # The key must not end in a file of what was in memory.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        try:
            from fleet_api import tls  # noqa: PLC0415 - what it imports is to stay out of our parent

            answer: dict[str, object] = {"uri": tls.from_pem(certificate, key, ca, now).identity.uri}
        except FleetError as error:
            answer = {"error": error.to_wire()}
        except Exception as error:
            answer = {"error": _not_checked(f"{type(error).__name__}: {error}").to_wire()}
        with open(fd, "wb") as file:
            file.write(json.dumps(answer).encode("ascii"))
        code = 0
    finally:
        os._exit(code)


def _not_checked(reason: str) -> Broken:
    return Broken("CREDENTIALS_NOT_CHECKED", f"the agent's certificate cannot be checked: {reason}")
