"""The whole command: what it imports, how it starts, how it ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fakes.door import Conversation, fake_door
from fakes.fleetctl import run
from fakes.local_agent import answers_status
from fakes.process_rows import process_row
from fleet_api.frames import Frame
from fleet_cli import main

FLEETCTL = [sys.executable, "-c", "import sys; from fleet_cli.main import main; sys.exit(main())"]
HEAVY = (
    "grpc",
    "google.protobuf",
    "rich",
    "cryptography",
    "asyncio",
    "ssl",
    "pydantic",
    "logging",
    "dataclasses.x",
)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "door.sock")


def start(*arguments: str, environ: dict[str, str] | None = None) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [*FLEETCTL, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environ,
    )


def finish(process: "subprocess.Popen[bytes]") -> tuple[int, str, str]:
    out, err = process.communicate(timeout=30)
    return process.returncode, out.decode(), err.decode()


def test_a_real_process_prints_the_tutorials_line(path: str) -> None:
    with fake_door(path, {"status": answers_status([process_row("hello_world")])}):
        assert finish(start("status", "--door", path)) == (
            0,
            "hello_world                      RUNNING   pid 180772, uptime 0:01:31\n",
            "",
        )


def test_a_local_command_imports_nothing_heavy(path: str) -> None:
    code = (
        "import sys\n"
        "from fleet_cli import main\n"
        "code = main.run(sys.argv[1:], main.real_invocation())\n"
        f"print(sorted(name for name in {HEAVY!r} if name in sys.modules), file=sys.stderr)\n"
        "verbs = sorted(name for name in sys.modules if name.startswith('fleet_cli.commands.'))\n"
        "print(verbs, file=sys.stderr)\n"
    )
    with fake_door(path, {"status": answers_status()}):
        done = subprocess.run(
            [sys.executable, "-c", code, "status", "--door", path],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
    assert done.stderr.splitlines() == ["[]", "['fleet_cli.commands.status']"]


def test_every_verb_has_its_file_and_stands_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(main.__file__).parent / "commands"
    assert {path.stem for path in folder.glob("*.py")} - {"__init__"} == set(main.VERBS)
    assert run("--help").code == 0
    help_text = capsys.readouterr().out
    for verb in main.VERBS:
        assert f"  {verb} " in help_text


def test_every_verb_stands_in_the_operators_page() -> None:
    text = (Path(__file__).parents[2] / "docs" / "fleetctl.md").read_text()
    assert [verb for verb in main.VERBS if f"`{verb}" not in text] == []


def test_without_a_verb_it_shows_what_there_is() -> None:
    result = run()
    assert (result.code, result.out) == (1, "")
    assert "Usage: fleetctl" in result.err
    assert "Examples:\n  fleetctl status " in result.err


def test_a_verb_that_was_probably_meant_is_named() -> None:
    assert run("statsu").err == "error: there is no verb 'statsu'\nhint: did you mean status?\n"


def test_a_reader_that_leaves_is_no_traceback(path: str) -> None:
    rows = [process_row(f"process-{number}") for number in range(3000)]
    with fake_door(path, {"status": answers_status(rows)}):
        process = start("status", "--door", path)
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        err = process.stderr.read()
        assert process.wait(30) == 141
    assert err == b""


def test_a_full_disk_is_told_without_a_traceback(path: str) -> None:
    with fake_door(path, {"status": answers_status()}), open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*FLEETCTL, "status", "--door", path], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr) == (
        141,
        b"error: the output cannot be written: No space left on device\n",
    )


def test_closed_streams_are_no_traceback(path: str) -> None:
    with fake_door(path, {"status": answers_status()}):
        command = [*FLEETCTL, "status", "--door", path]
        done = subprocess.run(
            ["sh", "-c", 'exec "$@" <&- >&-', "sh", *command], stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr) == (0, b"")


def test_ctrl_c_during_a_change_says_what_is_not_known(path: str) -> None:
    with fake_door(path, {"operate": lambda talk, request: None}) as fake:
        process = start("stop", "web", "--door", path)
        deadline = time.monotonic() + 20
        while not fake.requests:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        code, out, err = finish(process)
    assert (code, out) == (130, "")
    assert err == "error: not waited for; it may have been done\nhint: see fleetctl status\n"


def test_ctrl_c_while_waiting_is_130_without_a_traceback(path: str) -> None:
    with fake_door(path, {"status": lambda talk, request: None}) as fake:
        process = start("status", "--door", path)
        deadline = time.monotonic() + 20
        while not fake.requests:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        code, out, err = finish(process)
    assert (code, out) == (130, "")
    assert "Traceback" not in err


def test_names_that_the_locale_cannot_show_are_escaped(path: str) -> None:
    with fake_door(path, {"status": answers_status([process_row("größe")])}):
        environ = {**os.environ, "PYTHONIOENCODING": "ascii"}
        code, out, err = finish(start("status", "--door", path, environ=environ))
    assert (code, err) == (0, "")
    assert out.startswith("gr\\xf6\\xdfe")


def test_an_agent_that_dies_in_the_middle_of_its_answer(path: str) -> None:
    def cut(talk: Conversation, request: Frame) -> None:
        talk.raw(b"\x00\x00\x10\x00{")
        os.unlink(path)
        talk.close()

    with fake_door(path, {"status": cut}):
        code, out, err = finish(start("status", "--door", path))
    assert (code, out) == (4, "")
    assert "Traceback" not in err
