"""The exit code of a command, from what became of its targets. Every command ends through here."""

from collections.abc import Iterable

from fleet_api.errors import BadRequest, Denied, FleetError, NotFound, Unavailable

from fleet_cli.answers import Bucket

OK = 0
USAGE = 1
"""A mistake in the command or on this host; nothing was sent."""
FAILED = 2
NOT_AS_WANTED = 3
"""A status: all answered, but some process is not in a wanted state."""
UNREACHABLE = 4
EMPTY = 7
"""No host was meant."""
OWN_SIDE = 9
"""Not authorised, or our own certificate is at fault."""
INTERRUPTED = 130
OUTPUT_LOST = 141
"""The output could not be written: its reader has gone, or its disk is full."""

UNWANTED_STATES = frozenset({"STOPPED", "EXITED", "FATAL", "UNKNOWN"})
"""As supervisorctl: a process that starts, stops or waits for its next try is none of these."""

_BITS = {
    Bucket.OK: 0,
    Bucket.FAILED: FAILED,
    Bucket.REFUSED: FAILED,
    Bucket.TIMED_OUT: UNREACHABLE,
    Bucket.UNKNOWN: UNREACHABLE,
    Bucket.UNREACHABLE: UNREACHABLE,
}

_EMPTY_CODES = frozenset({"EMPTY_TARGET", "EMPTY_HOST_SET", "NO_HOST_MATCHES"})
_OWN_SIDE_CODES = frozenset(
    {
        "CERTIFICATE_REFUSED",
        "OWN_CERTIFICATE_EXPIRED",
        "OWN_CERTIFICATE_NOT_YET_VALID",
        "OWN_CREDENTIALS_UNUSABLE",
    }
)
_LOCAL_CODES = frozenset(
    {"FILE_EXISTS", "FILE_NOT_WRITTEN", "FOLDER_NOT_WRITABLE", "FOLDER_WRITABLE_BY_OTHERS"}
)
"""What `fleetctl pki` cannot write on this host: nobody was asked, and nobody's permission is missing."""


def of_buckets(buckets: Iterable[Bucket]) -> int:
    """2 when a target failed or was refused, 4 when one stayed silent, 6 for both, 7 for no target."""
    code, is_empty = 0, True
    for bucket in buckets:
        is_empty = False
        code |= _BITS[bucket]
    return EMPTY if is_empty else code


def of_status(buckets: Iterable[Bucket], states: Iterable[str]) -> int:
    """As `of_buckets`; when all answered, 3 if a shown process is not in a wanted state."""
    code = of_buckets(buckets)
    if code == OK and any(state in UNWANTED_STATES for state in states):
        return NOT_AS_WANTED
    return code


def of_error(error: FleetError) -> int:
    """The code of a command that ended before any target could answer."""
    if error.code in _EMPTY_CODES:
        return EMPTY
    if error.code in _LOCAL_CODES:
        return USAGE
    if isinstance(error, Denied) or error.code in _OWN_SIDE_CODES:
        return OWN_SIDE
    if isinstance(error, Unavailable):
        return UNREACHABLE
    if isinstance(error, BadRequest | NotFound):
        return USAGE
    return FAILED
