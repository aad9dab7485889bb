"""Whether the gateway still does its work: it is called at a slow pace, and at once when somebody looks.

Used by `gateways`, which replaces one that does not answer.
"""

from collections.abc import Callable

from fleet_agent.supervisor.loop import Alarm, Loop
from fleet_agent.supervisor.sessions import Session

CALL_SECONDS = 10.0
"""From one call to the next, and the longest time that an answer may take."""

START_SECONDS = 60.0
"""In which a gateway has begun to answer, or never will."""

_LATE_SECONDS = 1.0


class Attendance:
    """Owns the stream that a gateway opens to be called by, and the one call that is outstanding."""

    def __init__(self, loop: Loop, on_silence: Callable[[float], None]) -> None:
        """`on_silence` is told for how many seconds a gateway has not answered; then it is called no more."""
        self._loop = loop
        self._on_silence = on_silence
        self._stream: tuple[Session, int] | None = None
        self._called: float | None = None
        self._number = 0
        self._alarm: Alarm | None = None

    def expect(self) -> None:
        """A gateway was started: it is to open its stream."""
        self.end()
        self._alarm = self._loop.after(START_SECONDS, lambda: self._on_silence(START_SECONDS))

    def begin(self, session: Session, number: int) -> None:
        """Call the gateway by items of this stream from now on."""
        session.begin_stream(number, self.end)
        self._stream = session, number
        self._called = None
        self._call()

    def end(self) -> None:
        """Call nobody."""
        self._stream = None
        if self._alarm is not None:
            self._alarm.cancel()

    def present(self, call: int) -> None:
        """The gateway answers this call."""
        if call == self._number:
            self._called = None

    def look(self) -> None:
        """Call it now, unless a call is outstanding."""
        if self._stream is not None and self._called is None:
            self._call()

    def _call(self) -> None:
        if self._stream is None:
            return
        session, stream = self._stream
        self._number += 1
        self._called = self._loop.now()
        session.item(stream, {"call": self._number})
        self._arm()

    def _arm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._loop.after(CALL_SECONDS, self._ring)

    def _ring(self) -> None:
        if self._stream is None:
            return
        if self._called is None:
            self._call()
        elif self._alarm is not None and self._loop.now() > self._alarm.due + _LATE_SECONDS:
            # We were held up ourselves, and perhaps the whole host.
            self._arm()
        else:
            seconds = self._loop.now() - self._called
            self.end()
            self._on_silence(seconds)
