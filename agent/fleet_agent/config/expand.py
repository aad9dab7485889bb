"""Replaces `%(name)s` in values, as Python's % does with a mapping, within bounds."""

import re
from collections.abc import Mapping

from fleet_api.errors import BadRequest

from fleet_agent.config.problems import nearest, shown

Names = Mapping[str, str | int]

# A width of at most three digits: nobody pads a name to a gigabyte by accident.
_FORMAT = re.compile(
    r"%(?:(?P<percent>%)|\((?P<name>[^()]*)\)(?P<spec>[#0\- +]*\d{0,3}(?:\.\d{0,3})?[diouxXeEfFgGcrsa]))?"
)


def expand(text: str, names: Names) -> str:
    """The text with every `%(name)s` replaced and every `%%` made one.

    Raises: BadRequest naming what cannot be expanded; the hint never lists the environment.
    """
    if "%" not in text:
        return text
    unknown: list[str] = []

    def replace(match: re.Match[str]) -> str:
        if match["percent"]:
            return "%"
        name = match["name"]
        if name is None:
            raise _badly_formatted(text, f"at {shown(text[match.start() : match.start() + 20])}")
        if name not in names:
            unknown.append(name)
            return ""
        try:
            return str(("%" + match["spec"]) % names[name])
        except (TypeError, ValueError, OverflowError) as error:
            raise _badly_formatted(text, f"{match[0]}: {error}") from error

    expanded = _FORMAT.sub(replace, text)
    if unknown:
        listed = ", ".join(f"%({name})s" for name in dict.fromkeys(unknown))
        raise BadRequest(
            "UNKNOWN_NAME", f"{listed} cannot be expanded in {shown(text)}", _hint(unknown[0], names)
        )
    return expanded


def _badly_formatted(text: str, reason: str) -> BadRequest:
    hint = "write %% for a percent sign, %(name)s for a name"
    return BadRequest("BAD_FORMAT", f"{shown(text)} is badly formatted: {reason}", hint)


def _hint(name: str, names: Names) -> str:
    if name.startswith("ENV_"):
        variable = name.removeprefix("ENV_")
        return nearest(name, list(names)) or f"the environment has no variable {variable}"
    known = ", ".join(sorted(other for other in names if not other.startswith("ENV_")))
    return f"known here: {known}, and ENV_X for the environment's X"
