"""Frames: any cut of the bytes gives the same objects, and garbage a clear refusal."""

import itertools

import pytest
from fleet_api.errors import BadRequest
from fleet_api.frames import HEADER_BYTES, MAX_FRAME_BYTES, Decoder, Frame, encode
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.pure

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
FRAMES: st.SearchStrategy[Frame] = st.dictionaries(st.text(max_size=6), VALUES, max_size=4)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in itertools.pairwise(places)]


@given(st.lists(FRAMES, max_size=5), st.lists(st.integers(0, 10_000), max_size=12))
def test_any_cut_gives_the_same_frames(frames: list[Frame], cuts: list[int]) -> None:
    decoder = Decoder()
    data = b"".join(map(encode, frames))
    assert [frame for piece in pieces(data, cuts) for frame in decoder.feed(piece)] == frames
    assert decoder.is_between_frames


@given(FRAMES, st.lists(VALUES, max_size=4), st.sampled_from(["", "é", 'a"b']))
def test_what_comes_one_by_one_is_a_list(frame: Frame, values: list[object], key: str) -> None:
    plain, nested = {**frame, key: values}, {"id": 1, "ok": {**frame, key: values}, "last": {}}
    assert encode({**frame, key: (value for value in values)}) == encode(plain)
    assert encode({"id": 1, "ok": {**frame, key: (value for value in values)}, "last": {}}) == encode(nested)


@given(FRAMES)
def test_byte_by_byte(frame: Frame) -> None:
    decoder = Decoder()
    *first, last = (bytes([byte]) for byte in encode(frame))
    for byte in first:
        assert not list(decoder.feed(byte))
        assert not decoder.is_between_frames
    assert list(decoder.feed(last)) == [frame]
    assert decoder.is_between_frames


def test_bytes_that_no_caller_took_yet_are_kept() -> None:
    """A caller may stop in the middle of what one feed yields."""
    decoder = Decoder()
    assert next(decoder.feed(encode({"a": 1}) + encode({"b": 2}) + encode({"c": 3})[:5])) == {"a": 1}
    assert list(decoder.feed(encode({"c": 3})[5:])) == [{"b": 2}, {"c": 3}]


def test_names_of_files_that_are_no_utf8_survive() -> None:
    frame = {"path": "/tmp/\udcff\ud800"}
    assert list(Decoder().feed(encode(frame))) == [frame]


@given(st.binary(max_size=64))
def test_garbage_is_frames_or_a_refusal(data: bytes) -> None:
    decoder = Decoder()
    try:
        frames = list(decoder.feed(data))
    except BadRequest as error:
        assert error.code in {"FRAME_TOO_LARGE", "FRAME_NOT_JSON", "FRAME_NOT_OBJECT"}
    else:
        assert all(isinstance(frame, dict) for frame in frames)


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(HEADER_BYTES, "big") + body


@pytest.mark.parametrize(
    ("data", "code", "says"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "FRAME_TOO_LARGE", str(int.from_bytes(b"GET ", "big"))),
        (b"\x16\x03\x01\x02\x00", "FRAME_TOO_LARGE", str(int.from_bytes(b"\x16\x03\x01\x02", "big"))),
        (b"\xff\xff\xff\xff", "FRAME_TOO_LARGE", "4294967295"),
        ((MAX_FRAME_BYTES + 1).to_bytes(4, "big"), "FRAME_TOO_LARGE", str(MAX_FRAME_BYTES)),
        (framed(b""), "FRAME_NOT_JSON", "b''"),
        (framed(b"{"), "FRAME_NOT_JSON", "b'{'"),
        (framed(b"\xff\xfe\xfd\xfc"), "FRAME_NOT_JSON", "xff"),
        (framed(b'{"a": "\xff"}'), "FRAME_NOT_JSON", "xff"),
        (framed(b"[" * 200_000), "FRAME_NOT_JSON", "[["),
        (framed(b'{"a": ' + b"9" * 10_000 + b"}"), "FRAME_NOT_JSON", "999"),
        (framed(b'{"a": NaN}'), "FRAME_NOT_JSON", "NaN"),
        (framed(b'{"a": -Infinity}'), "FRAME_NOT_JSON", "Infinity"),
        (framed('{"a": 1}'.encode("utf-16")), "FRAME_NOT_JSON", "{"),
        (framed(b"[1]"), "FRAME_NOT_OBJECT", "list"),
        (framed(b"null"), "FRAME_NOT_OBJECT", "NoneType"),
        (framed(b'"x"'), "FRAME_NOT_OBJECT", "str"),
    ],
)
def test_what_is_refused_and_how(data: bytes, code: str, says: str) -> None:
    with pytest.raises(BadRequest) as refused:
        list(Decoder().feed(data))
    assert refused.value.code == code
    assert says in refused.value.message
    assert len(refused.value.message) < 300


def test_frames_before_the_garbage_are_delivered() -> None:
    stream = Decoder().feed(encode({"a": 1}) + framed(b"nonsense"))
    assert next(stream) == {"a": 1}
    with pytest.raises(BadRequest):
        next(stream)


def test_a_smaller_limit_counts_for_the_announced_length() -> None:
    assert list(Decoder(max_frame_bytes=20).feed(encode({"a": "x" * 12}))) == [{"a": "x" * 12}]
    with pytest.raises(BadRequest, match="21 bytes was announced; the limit is 20"):
        list(Decoder(max_frame_bytes=20).feed((21).to_bytes(4, "big")))


def test_largest_frame_passes_and_one_byte_more_is_never_sent() -> None:
    room = MAX_FRAME_BYTES - len(b'{"a":""}')
    data = encode({"a": "x" * room})
    assert len(data) == HEADER_BYTES + MAX_FRAME_BYTES
    decoder = Decoder()
    assert not list(decoder.feed(data[:-1]))
    assert [len(frame["a"]) for frame in decoder.feed(data[-1:])] == [room]
    with pytest.raises(BadRequest) as refused:
        encode({"a": "x" * (room + 1)})
    assert refused.value.code == "FRAME_TOO_LARGE"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_json_does_not_have_are_never_sent(value: float) -> None:
    with pytest.raises(BadRequest) as refused:
        encode({"a": value})
    assert refused.value.code == "FRAME_NOT_JSON"
