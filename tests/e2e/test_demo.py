"""The demo does what it says, beside another one, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from real.waiting import wait_for

DEMO = Path(__file__).parents[2] / "docs" / "demo" / "demo.py"


def begin(tmp_path: Path, name: str, *arguments: str) -> tuple["subprocess.Popen[bytes]", Path]:
    output = tmp_path / f"{name}.out"
    with output.open("wb") as file:
        demo = subprocess.Popen(
            [sys.executable, str(DEMO), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env={**os.environ, "TMPDIR": str(tmp_path)},
            start_new_session=True,
        )
    return demo, output


@pytest.mark.timeout(180)
def test_two_demos_side_by_side_check_every_step(tmp_path: Path) -> None:
    demos = [begin(tmp_path, name, "--once") for name in ("one", "two")]
    for demo, output in demos:
        code = demo.wait(150)
        text = output.read_text()
        assert code == 0, text
        assert text.count("Hello world") == 5
        assert "No pid changed" in text
        assert "Nothing is left behind." in text
    assert not list(tmp_path.glob("fleet-demo-*"))


@pytest.mark.timeout(180)
def test_it_stays_until_ctrl_c(tmp_path: Path) -> None:
    demo, output = begin(tmp_path, "stays")
    try:
        wait_for(output.read_text, lambda text: "Ctrl-C ends" in text, 120)
        assert demo.poll() is None
        demo.send_signal(signal.SIGINT)
        assert demo.wait(60) == 0
    finally:
        demo.kill()
        demo.wait()
    assert "Nothing is left behind." in output.read_text()
    assert not list(tmp_path.glob("fleet-demo-*"))
