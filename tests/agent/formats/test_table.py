"""State that any version wrote is read, and none changes its shape unnoticed.

The files below `tests/fixtures/state` were made by the code of their time and are never made again. With
FLEET_NEW_FIXTURES=1 those that are missing are made: those of a new version, say.
"""

import os
import shutil
from pathlib import Path

import pytest
from fakes.state_samples import SAMPLES
from fleet_agent.formats.table import FORMATS

pytestmark = pytest.mark.pure

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "state"
READ = [(name, version) for name, format_ in FORMATS.items() for version in format_.reads]
WRITTEN = [(name, version) for name, format_ in FORMATS.items() for version in format_.writes]


def fixture(name: str, version: int) -> Path:
    """The files of one version of a format."""
    folder = FIXTURES / name / f"v{version}"
    if not folder.exists() and os.environ.get("FLEET_NEW_FIXTURES"):
        folder.mkdir(parents=True)
        SAMPLES[name].write(folder, version)
        for path in folder.iterdir():
            path.chmod(0o644)
    assert folder.is_dir(), f"{name} {version} has no sample: run FLEET_NEW_FIXTURES=1 pytest {__file__}"
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_every_format_has_a_sample() -> None:
    assert SAMPLES.keys() == FORMATS.keys()
    assert {path.name for path in FIXTURES.iterdir()} == FORMATS.keys()


@pytest.mark.parametrize(("name", "version"), READ)
def test_what_any_version_wrote_is_read(name: str, version: int, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(fixture(name, version), folder)
    assert SAMPLES[name].read(folder) == SAMPLES[name].value


@pytest.mark.parametrize(("name", "version"), WRITTEN)
def test_no_format_changes_without_a_new_version(name: str, version: int, tmp_path: Path) -> None:
    SAMPLES[name].write(tmp_path, version)
    assert contents(tmp_path) == contents(fixture(name, version)), (
        f"the shape of {FORMATS[name].words} has changed, and state of the old one is on disks: give it a new"
        " version (see CONTRIBUTING.md). Only while this version of it has never been released: remove"
        f" tests/fixtures/state/{name}/v{version} and run FLEET_NEW_FIXTURES=1 pytest {__file__}"
    )
