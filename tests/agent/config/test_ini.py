"""The dialect: as RawConfigParser reads it, with places, and with every bad line told."""

import configparser
import os
from pathlib import Path

import pytest
from fleet_agent.config.ini import MAX_FILE_BYTES, Ini, parse, read_text
from fleet_agent.config.problems import MAX_PROBLEMS, Report
from fleet_api.errors import BadRequest, NotFound
from hypothesis import example, given, settings
from hypothesis import strategies as st

LINES = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "[a]",
                "[b:c]",
                "[DEFAULT]",
                "[a] ; x",
                "[]",
                "[x]y]",
                "k = v",
                "K: w",
                "k=",
                "k = v ; c",
                "k = a;b",
                "  more",
                "\tmore # c",
                "",
                "   ",
                "; c",
                "  # c",
                "bare",
                " k2 = x",
            ]
        ),
        st.text(alphabet="k=:;# []\t.a", max_size=12),
    ),
    max_size=14,
)


def read(text: str) -> tuple[Ini, Report]:
    ini, report = Ini(), Report()
    parse(ini, text, "/etc/x.conf", report)
    return ini, report


def values(ini: Ini) -> dict[str, dict[str, str]]:
    return {name: {key: entry.value for key, entry in ini.entries(name).items()} for name in ini.sections}


@pytest.mark.pure
@settings(max_examples=500, deadline=None)
@given(LINES)
@example(["[a]", "k=a;b ;c #d"])
@example(["[a]", "k = v", "", "  more", "# c", "  yet more", "", "[b]"])
@example(["[a]", "  k = v", "  k2 = v", "    more"])
@example(["[a]", "k = v", "bare", "   more"])
def test_reads_as_raw_config_parser_does(lines: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    parser = configparser.RawConfigParser(strict=False, inline_comment_prefixes=(";", "#"))
    ini, report = read(text)
    try:
        parser.read_string(text)
    except configparser.Error:
        assert report.has_errors, text
        return
    assert not report.has_errors, report.problems
    theirs = {name: dict(parser.items(name)) for name in parser.sections()}
    assert values(ini) == theirs
    assert {key: entry.value for key, entry in ini.defaults.entries.items()} == dict(parser.defaults())


@pytest.mark.pure
def test_keys_know_their_places() -> None:
    ini, report = read("# head\n[a]\nKey = one\n\ttwo\nother: x ; said\n")
    assert not report.problems
    entry = ini.sections["a"].entries["key"]
    assert entry.value == "one\ntwo"
    assert entry.place == ("/etc/x.conf", 3, "a", "key")
    assert ini.sections["a"].entries["other"].value == "x"
    assert ini.sections["a"].place.line == 2


@pytest.mark.pure
def test_quotes_do_not_protect_a_comment() -> None:
    ini, _ = read('[a]\nk=sh -c "a ; b"\n')
    assert ini.sections["a"].entries["k"].value == 'sh -c "a'


@pytest.mark.pure
def test_every_bad_line_is_told() -> None:
    _, report = read("[a]\nbare\nk=v\n= v\n[\n")
    assert [(problem.line, problem.severity) for problem in report.problems] == [
        (2, "error"),
        (4, "error"),
        (5, "error"),
    ]


@pytest.mark.pure
def test_text_before_any_header_is_told_once() -> None:
    _, report = read("a=1\nb=2\n[s]\nk=v\n")
    (problem,) = report.problems
    assert "File contains no section headers" in problem.message
    assert problem.line == 1


@pytest.mark.pure
def test_a_value_set_twice_names_both_places() -> None:
    ini, report = read("[a]\nk=1\n[b]\n[a]\nk=2\n")
    assert ini.sections["a"].entries["k"].value == "2"
    (problem,) = report.problems
    assert (problem.severity, problem.line, problem.key) == ("warning", 5, "k")
    assert "/etc/x.conf:2" in problem.message


@pytest.mark.pure
def test_a_program_defined_twice_is_told() -> None:
    _, report = read("[program:a]\ncommand=x\n[program:a]\nuser=y\n")
    (problem,) = report.problems
    assert "/etc/x.conf:1" in problem.message


@pytest.mark.pure
def test_garbage_is_bounded() -> None:
    _, report = read("[a]\n" + "bare\n" * 50_000)
    result = report.result("/etc/x.conf")
    assert len(result) == MAX_PROBLEMS + 1
    assert f"{50_000 - MAX_PROBLEMS} more" in result[-1].message


@pytest.mark.pure
def test_one_long_line_is_read_in_linear_time() -> None:
    ini, _ = read("[a]\nk" + " " * 2_000_000 + "= " + ";" * 1_000_000 + "\n")
    assert ini.sections["a"].entries["k"].value.startswith(";") or not ini.sections["a"].entries["k"].value


def write(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"[a]\nk=\0\n", "NUL byte in line 2"),
        (b"[a]\nk=1\n\xff\xfe=2\n", "byte 0xff in line 3"),
        (bytes(range(160, 224)) + b"\0", "not a text file"),
        (b"[a]\nk=\xe4", "not UTF-8"),
    ],
)
def test_binary_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        read_text(write(tmp_path / "x", data))


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    assert read_text(write(tmp_path / "x", b"\xef\xbb\xbf[a]\n")) == "[a]\n"


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with path.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(BadRequest, match="larger than 16777216 bytes"):
        read_text(str(path))


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name in (str(tmp_path / "fifo"), str(tmp_path), "/dev/zero"):
        with pytest.raises(BadRequest, match="could not read config file"):
            read_text(name)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=f"could not find config file {tmp_path}/gone"):
        read_text(f"{tmp_path}/gone")


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "x", b"")
    os.chmod(path, 0)
    if os.access(path, os.R_OK):
        pytest.skip("root reads every file")
    with pytest.raises(BadRequest, match="could not read config file"):
        read_text(path)
