"""What is built of a checkout: a wheel with all that a host needs and nothing else, and a whole sdist."""

import importlib
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {
    "fleet_agent": "agent",
    "fleet_controller": "controller",
    "fleet_cli": "cli",
    "fleet_api": "proto",
}


def build(target: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = folder.iterdir()
    return built


def sources(root: Path, *patterns: str) -> set[str]:
    return {
        str(path.relative_to(root))
        for pattern in patterns
        for path in root.rglob(pattern)
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_holds_the_packages_and_nothing_else(tmp_path: Path) -> None:
    with zipfile.ZipFile(build("wheel", tmp_path)) as wheel:
        held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    wanted = {
        name
        for package, folder in PACKAGES.items()
        for name in sources(ROOT / folder, *(f"{package}/**/*.{kind}" for kind in ("py", "pyi", "proto")))
    }
    assert held == wanted | {f"{package}/py.typed" for package in PACKAGES}
    suffixes = Counter(Path(name).suffix for name in held)
    assert suffixes[".proto"] == 3
    assert suffixes[".pyi"] >= 6


def test_the_sdist_holds_what_the_tests_need(tmp_path: Path) -> None:
    with tarfile.open(build("sdist", tmp_path)) as sdist:
        held = {name.partition("/")[2] for name in sdist.getnames()}
    folders = ("agent", "controller", "cli", "proto", "tests", "benchmarks", "docs")
    kinds = ("*.py", "*.md", "*.proto", "*.binpb", "*.c")
    wanted = {f"{folder}/{name}" for folder in folders for name in sources(ROOT / folder, *kinds)}
    wanted |= {".ci/run", "Makefile", "requirements.lock", "pyproject.toml", "README.md", "LICENSE"}
    assert wanted - held == set()


@pytest.mark.pure
def test_every_command_is_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(project["scripts"]) == {"fleet-agent", "fleet-controller", "fleetctl", "flt"}
    for target in project["scripts"].values():
        module, _, name = target.partition(":")
        assert callable(getattr(importlib.import_module(module), name))
    assert project["scripts"]["flt"] == project["scripts"]["fleetctl"]
