"""Length-prefixed JSON frames: the one encoding of every local link and of the local door.

A frame is four bytes of length (big endian) and that many bytes of UTF-8 JSON, always an object.
No I/O here: bytes in, objects out. Descriptors travel beside the bytes; the receiver takes as many
as the object's own "fds" count says.
"""

import json
from collections.abc import Iterator
from types import GeneratorType
from typing import Any, NoReturn

from fleet_api.errors import BadRequest

HEADER_BYTES = 4
MAX_FRAME_BYTES = 16 * 1024 * 1024

Frame = dict[str, Any]


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def encode(frame: Frame) -> bytes:
    """The bytes of one frame. A generator in it, or in an object of it, is written as a list.

    Raises: BadRequest when the frame is larger than any receiver takes, or holds NaN or an infinity.
    """
    try:
        body = _text(frame).encode("ascii")
    except ValueError as error:
        raise BadRequest("FRAME_NOT_JSON", f"a frame cannot be written as JSON: {error}") from error
    if len(body) > MAX_FRAME_BYTES:
        raise BadRequest("FRAME_TOO_LARGE", f"a frame of {len(body)} bytes; the limit is {MAX_FRAME_BYTES}")
    return len(body).to_bytes(HEADER_BYTES, "big") + body


def _text(value: Any) -> str:
    # One by one, since the encoder holds ten times the text of what it is given until that is done.
    if type(value) is GeneratorType:
        return f"[{','.join(map(_ENCODER.encode, value))}]"
    if type(value) is dict and _has_generator(value):
        return f"{{{','.join(f'{_ENCODER.encode(key)}:{_text(inner)}' for key, inner in value.items())}}}"
    return _ENCODER.encode(value)


def _has_generator(frame: Frame) -> bool:
    for value in frame.values():
        if type(value) is GeneratorType or (type(value) is dict and _has_generator(value)):
            return True
    return False


class Decoder:
    """Turns a stream of bytes into frames, however the bytes are cut."""

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._max = max_frame_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield each frame that `data` completes.

        Raises: BadRequest on a length beyond the limit or a body that is no JSON object; the stream
        cannot be read any further then.
        """
        self._buffer += data
        start = 0
        try:
            while len(self._buffer) - start >= HEADER_BYTES:
                length = int.from_bytes(self._buffer[start : start + HEADER_BYTES], "big")
                if length > self._max:
                    raise BadRequest(
                        "FRAME_TOO_LARGE",
                        f"a frame of {length} bytes was announced; the limit is {self._max}",
                    )
                end = start + HEADER_BYTES + length
                if len(self._buffer) < end:
                    break
                body = bytes(self._buffer[start + HEADER_BYTES : end])
                start = end
                yield _parse(body)
        finally:
            del self._buffer[:start]

    @property
    def is_between_frames(self) -> bool:
        """Whether the stream may end here without cutting a frame short."""
        return not self._buffer


def _parse(body: bytes) -> Frame:
    try:
        frame = _DECODER.decode(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadRequest("FRAME_NOT_JSON", f"a frame is no JSON: {error}; it begins {body[:40]!r}") from error
    if not isinstance(frame, dict):
        raise BadRequest("FRAME_NOT_OBJECT", f"a frame holds {type(frame).__name__} instead of an object")
    return frame
