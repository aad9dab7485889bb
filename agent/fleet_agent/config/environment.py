"""Reads `environment=A="1",B=two`: the tokens of shlex in POSIX mode, three to a pair, any one between."""

import re
from shlex import shlex

from fleet_api.errors import BadRequest

from fleet_agent.config.problems import shown

Pairs = tuple[tuple[str, str], ...]

_WORD = r"[A-Za-z0-9_/.+\-():]+"
_PAIR = rf"[ \t\n]*({_WORD})[ \t\n]*=[ \t\n]*(?:({_WORD})|\"([^\"\\]*)\"|'([^']*)')[ \t\n]*"
# What nearly every file holds, and ten times faster to read than token by token.
_PLAIN_PAIR = re.compile(rf"{_PAIR}(?:,|\Z)")
_PLAIN = re.compile(rf"(?:{_PAIR},)*(?:{_PAIR}|[ \t\n]*)")


def to_environment(text: str) -> Pairs:
    """The pairs of an `environment` value, the last of equal keys only.

    Raises: BadRequest.
    """
    if _PLAIN.fullmatch(text):
        found = _PLAIN_PAIR.findall(text)
        return tuple({key: bare or double or single for key, bare, double, single in found}.items())
    tokens = _tokens(text)
    pairs: dict[str, str] = {}
    for start in range(0, len(tokens), 4):
        pair = tokens[start : start + 3]
        if len(pair) != 3 or pair[1] != "=" or not pair[0] or "=" in pair[0]:
            message = f"Unexpected end of key/value pairs in value {shown(text)}"
            raise BadRequest("BAD_ENVIRONMENT", message, 'write KEY="value", pairs separated by commas')
        pairs[pair[0]] = pair[2]
    return tuple(pairs.items())


def doubts(text: str) -> list[str]:
    """What a readable value probably does not mean: one sentence for each doubt."""
    if _PLAIN.fullmatch(text):
        return []
    try:
        tokens = _tokens(text)
        whole = _tokens(text, comments=False)
    except BadRequest:
        return []
    lost = ["everything from # on is left out; quote the value to keep it"] if tokens != whole else []
    ends = [(tokens[at - 3], tokens[at]) for at in range(3, len(tokens) - 1, 4) if tokens[at] not in ",;"]
    return lost + [f"{mark} ends the value of {key}; quote the value to keep it" for key, mark in ends]


def _tokens(text: str, comments: bool = True) -> list[str]:
    lexer = shlex(text, posix=True)
    lexer.wordchars += "/.+-():"
    if not comments:
        lexer.commenters = ""
    try:
        return list(lexer)
    except ValueError as error:
        raise BadRequest("BAD_ENVIRONMENT", f"{error} in value {shown(text)}", "close the quotes") from error
