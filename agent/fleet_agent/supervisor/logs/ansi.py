"""Escape sequences out of a stream of bytes, however the stream is cut. Pure; used by `streams`.

What is removed, after ECMA-48: control sequences (`ESC [` up to a final byte), strings (`ESC ]`, `P`, `X`,
`^` or `_` up to BEL or `ESC \\`) and the short ones (`ESC`, intermediate bytes, one final byte). A byte that
cannot belong to a sequence ends it and stays; so one that is never finished costs no more than its line.
"""

ESC = 0x1B
BEL = 0x07

PLAIN = 0
ESCAPE = 1  # after ESC
SHORT = 2  # after ESC and intermediate bytes
CONTROL = 3  # after ESC [
STRING = 4  # after ESC ] and the like
STRING_ESCAPE = 5  # after an ESC inside a string

_STRING_STARTS = b"]PX^_"


def strip(data: bytes, state: int) -> tuple[bytes, int]:
    """What remains of `data` when the stream stood in `state` before it, and the state after it."""
    if state == PLAIN and ESC not in data:
        return data, PLAIN
    kept: list[bytes] = []
    position = 0
    end = len(data)
    while position < end:
        if state == PLAIN:
            escape = data.find(ESC, position)
            if escape < 0:
                kept.append(data[position:])
                break
            kept.append(data[position:escape])
            position = escape + 1
            state = ESCAPE
            continue
        state, is_eaten = _inside(data[position], state)
        position += is_eaten
    return b"".join(kept), state


def _inside(byte: int, state: int) -> tuple[int, bool]:
    """The state after one byte of a sequence, and whether the byte belonged to it."""
    if state in (STRING, STRING_ESCAPE):
        return _inside_string(byte, state)
    if byte == ESC:
        return ESCAPE, True
    if state == ESCAPE and byte == 0x5B:
        return CONTROL, True
    if state == ESCAPE and byte in _STRING_STARTS:
        return STRING, True
    if state == CONTROL:
        if 0x20 <= byte <= 0x3F:
            return CONTROL, True
        return PLAIN, 0x40 <= byte <= 0x7E
    if 0x20 <= byte <= 0x2F:
        return SHORT, True
    return PLAIN, 0x30 <= byte <= 0x7E


def _inside_string(byte: int, state: int) -> tuple[int, bool]:
    if byte == 0x0A:
        return PLAIN, False
    if state == STRING_ESCAPE:
        # Any other sequence inside a string ends the string and begins itself.
        return (PLAIN, True) if byte == 0x5C else (ESCAPE, False)
    if byte == ESC:
        return STRING_ESCAPE, True
    return (PLAIN, True) if byte == BEL else (STRING, True)
