"""The error tree: the class says who must act.

    FleetError
      BadRequest    the caller must change the request
      NotFound      there is no such thing
      Conflict      its state or generation forbids it
      Denied        not allowed
      Unavailable   try again
      Broken        our bug

What may happen in a healthy fleet (a program that exits 1, a host that does not answer) is a value,
not one of these. The map to gRPC status codes is in `status_codes`, so that local programs need no grpc.
"""

from typing import Any


class FleetError(Exception):
    """An error that a person or a program can act on.

    `code` is stable and UPPER_SNAKE, for machines; the message says what is wrong with which value;
    the hint says what to do next.
    """

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message

    def to_wire(self) -> dict[str, str]:
        """The error as JSON carries it."""
        return {"class": type(self).__name__, "code": self.code, "message": self.message, "hint": self.hint}


class BadRequest(FleetError):
    """The caller must change the request."""


class NotFound(FleetError):
    """There is no such thing."""


class Conflict(FleetError):
    """Its state or generation forbids it."""


class Denied(FleetError):
    """Not allowed."""


class Unavailable(FleetError):
    """Not now; try again."""


class Broken(FleetError):
    """A bug of ours."""


CLASSES: dict[str, type[FleetError]] = {
    cls.__name__: cls for cls in (BadRequest, NotFound, Conflict, Denied, Unavailable, Broken)
}


def from_wire(wire: dict[str, Any]) -> FleetError:
    """The error that `to_wire` described; an unknown class is read as Broken."""
    cls = CLASSES.get(str(wire.get("class", "")), Broken)
    return cls(str(wire.get("code", "UNKNOWN")), str(wire.get("message", "")), str(wire.get("hint", "")))
