"""The systemd unit: what systemd itself says about it, and the lines on which promises stand."""

import shutil
import subprocess
from pathlib import Path

import pytest
from fleet_agent.host.installation import Installation
from fleet_agent.host.unit import LEAF, quoted, systemd_version, unit_text
from fleet_agent.supervisor.trees import cgroups


def an_installation(program: str = "/bin/true") -> Installation:
    return Installation((program,), "/etc/agent.conf", "", 240, True)


def lines(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))


@pytest.mark.pure
def test_the_lines_on_which_promises_stand() -> None:
    unit = lines(unit_text(an_installation("/opt/fleet/bin/fleet-agent"), 252))
    assert unit["Type"] == "notify"
    assert unit["ExecStart"] == "/opt/fleet/bin/fleet-agent run -c /etc/agent.conf"
    assert unit["ExecStop"] == "/opt/fleet/bin/fleet-agent leave"
    # Programs are neither stopped nor killed by systemd, whatever becomes of ExecStop or the keeper.
    assert (unit["KillMode"], unit["KillSignal"]) == ("process", "SIGUSR1")
    assert (unit["Restart"], unit["StartLimitIntervalSec"]) == ("on-failure", "0")
    assert unit["OOMPolicy"] == "continue"
    assert unit["TimeoutStopSec"] == "240"
    assert "network.target" in unit["After"]
    assert not [key for key in unit if key.startswith(("Protect", "Private", "NoNew", "OOMScore"))]


@pytest.mark.pure
def test_a_plain_users_unit_belongs_to_their_own_manager() -> None:
    text = unit_text(an_installation()._replace(is_root=False), 252)
    assert "WantedBy=default.target" in text
    assert "network.target" not in text, "no unit of a user's manager"


@pytest.mark.pure
def test_a_subgroup_where_systemd_knows_them() -> None:
    assert f"DelegateSubgroup={cgroups.LEAF}\n" in unit_text(an_installation(), 254)
    assert "DelegateSubgroup" not in unit_text(an_installation(), 253)
    assert LEAF == cgroups.LEAF


@pytest.mark.pure
@pytest.mark.parametrize(
    ("text", "version"), [("systemd 252 (252.38-1)\n+PAM", 252), ("", 0), ("systemd", 0), ("systemd x", 0)]
)
def test_the_version_of_systemd(text: str, version: int) -> None:
    assert systemd_version(text) == version


@pytest.mark.pure
@pytest.mark.parametrize(
    ("word", "written"),
    [
        ("/plain-path_1.2", "/plain-path_1.2"),
        ("with space", '"with space"'),
        ("100%", "100%%"),
        ("$HOME", "$$HOME"),
        ('say "hi"', '"say \\"hi\\""'),
        ("back\\slash", '"back\\\\slash"'),
        ("", '""'),
    ],
)
def test_words_are_read_as_they_are(word: str, written: str) -> None:
    assert quoted([word]) == written


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze here")
@pytest.mark.parametrize("is_root", [True, False])
def test_systemd_finds_nothing_wrong(tmp_path: Path, is_root: bool) -> None:
    program = tmp_path / "an odd folder 100%" / "fleet-agent"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    installation = an_installation(str(program))._replace(is_root=is_root)
    unit = tmp_path / "fleet-agent.service"
    version = subprocess.run(["systemctl", "--version"], capture_output=True, text=True, check=True).stdout
    assert systemd_version(version) > 200
    unit.write_text(unit_text(installation, systemd_version(version)))
    done = subprocess.run(
        ["systemd-analyze", *([] if is_root else ["--user"]), "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    about_it = [line for line in done.stderr.splitlines() if "fleet-agent" in line]
    if "Failed to initialize manager" in done.stderr or "XDG_RUNTIME_DIR" in done.stderr:
        pytest.skip(f"systemd-analyze does not work here: {done.stderr.strip()}")
    assert (done.returncode, about_it) == (0, [])
