"""Requests for logs that are open: what the log thread finds is passed on to whoever asked.

Called by `requests`, which knows whether the log may be read; results come from the log worker.
"""

import os
from typing import NamedTuple

from fleet_agent.core.model import LogSpec
from fleet_agent.supervisor.logs.worker import LogDescribed, LogGrew, LogRotated, LogWorker
from fleet_agent.supervisor.sessions import Session

MAX_SEGMENTS = 250
"""The kernel passes no more than 253 descriptors in one message."""


class _Asked(NamedTuple):
    session: Session
    number: int
    follow: bool


class LogAnswers:
    """Owns the open requests for logs."""

    def __init__(self, logs: LogWorker) -> None:
        self._logs = logs
        self._asked: dict[int, _Asked] = {}
        self._number = 0

    def begin(self, session: Session, number: int, id_: str, stream: str, log: LogSpec, follow: bool) -> None:
        """Have the log thread look for a log; with `follow`, go on telling of it until the stream ends.

        Raises: BadRequest when the session has too much open.
        """
        self._number += 1
        request = self._number

        def cancel() -> None:
            self._asked.pop(request, None)
            self._logs.forget(request)

        session.begin_stream(number, cancel)
        self._asked[request] = _Asked(session, number, follow)
        self._logs.describe(request, id_, stream, log, follow)

    def on_result(self, result: LogDescribed | LogGrew | LogRotated) -> None:
        """Pass on what the log worker says to whoever asked."""
        asked = self._asked.get(result.request)
        if isinstance(result, LogDescribed):
            self._on_described(asked, result)
        elif isinstance(result, LogRotated):
            if asked is not None:
                asked.session.item(asked.number, {"segment": {"start": result.start}}, [result.fd])
            os.close(result.fd)
        elif asked is not None:
            asked.session.item(asked.number, {"end": result.end})

    def _on_described(self, asked: _Asked | None, result: LogDescribed) -> None:
        fds = [fd for _, fd in result.segments]
        try:
            if asked is None:
                return
            if result.error is not None:
                asked.session.fail(asked.number, result.error)
                self._asked.pop(result.request, None)
                return
            newest = result.segments[-MAX_SEGMENTS:]
            described = {
                "log_id": result.log_id,
                "segments": [{"start": start} for start, _ in newest],
                "end": result.end,
            }
            if asked.follow:
                asked.session.item(asked.number, described, [fd for _, fd in newest])
            else:
                asked.session.answer(asked.number, described, [fd for _, fd in newest])
                self._asked.pop(result.request, None)
        finally:
            for fd in fds:
                os.close(fd)
