"""What agents cannot do at present, as lines for stderr."""

from fleet_cli.answers import HostAnswer
from fleet_cli.views.ages import age_text
from fleet_cli.views.text import shown


def lines(answer: HostAnswer, now: float, *, is_local: bool) -> list[str]:
    """One line for each trouble, behind the host where several were asked."""
    host = "" if is_local else f"{shown(answer.host)}: "
    return [
        f"{host}trouble: {shown(trouble['message'])}"
        f" ({_times(trouble['count'])}, first {age_text(max(0.0, now - trouble['since']))})"
        for trouble in answer.troubles
    ]


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
