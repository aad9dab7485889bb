"""`fleet-agent doctor`: what it prints and how it ends."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from fakes.a_host import GOOD
from fleet_agent.commands import doctor
from fleet_agent.host.check import Verdict
from real.agent import AGENT


@pytest.mark.pure
def test_a_table_that_explains_what_is_not_well() -> None:
    facts = GOOD._replace(encoding="ascii", gateway_user="")
    text = doctor.as_text(doctor.judge(facts))
    lines = text.splitlines()
    assert "ok       state folder    /var/lib/fleet-agent, ext4" in lines
    at = next(number for number, line in enumerate(lines) if line.startswith("limited  encoding"))
    assert lines[at + 1].split(maxsplit=1)[0] == "means:"
    assert lines[at + 2].split(maxsplit=1) == ["cure:", "set LANG=C.UTF-8"]
    assert lines[-1].endswith("1 limited, 1 missing")


@pytest.mark.pure
def test_json_holds_the_same() -> None:
    checks = doctor.judge(GOOD)
    document = json.loads(doctor.as_json(checks))
    assert document["schema"] == "fleet-agent/doctor/v1"
    assert [check["name"] for check in document["checks"]] == [check.name for check in checks]
    assert {check["verdict"] for check in document["checks"]} == {"ok"}


@pytest.mark.pure
def test_names_are_unique_and_every_complaint_has_a_cure() -> None:
    names = [check.name for check in doctor.judge(GOOD)]
    assert len(set(names)) == len(names)
    worst = GOOD._replace(kernel=GOOD.kernel._replace(system="Odd", release="", works=frozenset()))
    for check in doctor.judge(worst):
        assert check.verdict is Verdict.OK or (check.meaning and check.cure)


def call(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*AGENT, "doctor", *words], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


def test_on_this_host(tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text(
        "[program:a]\ncommand=/bin/true\nstdout_logfile=NONE\nstderr_logfile=NONE\n"
    )
    done = call(tmp_path, "-c", "a.conf", "--state-dir", "state", "--json")
    assert done.stderr == ""
    verdicts = {check["name"]: check["verdict"] for check in json.loads(done.stdout)["checks"]}
    worst = max(("ok", "limited", "missing").index(verdict) for verdict in verdicts.values())
    assert done.returncode == worst
    assert verdicts["state folder"] in ("ok", "limited")
    assert verdicts["fifo"] == "ok"


@pytest.mark.parametrize("environ", [{}, {"PATH": "/nowhere"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
def test_an_odd_surrounding_is_no_reason_to_crash(tmp_path: Path, environ: dict[str, str]) -> None:
    done = subprocess.run(
        [*AGENT, "doctor", "-c", "none.conf", "--state-dir", "x"],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (2, "")
    assert "missing  configuration" in done.stdout
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [(["--help"], 0, "usage: fleet-agent doctor"), (["--strange"], 2, "doctor takes no '--strange'")],
)
def test_bad_use(words: list[str], code: int, text: str, tmp_path: Path) -> None:
    done = call(tmp_path, *words)
    assert done.returncode == code
    assert text in done.stdout + done.stderr
