"""Every benchmark can be asked for by its name."""

from pathlib import Path

import pytest
import run

pytestmark = pytest.mark.pure


def test_every_file_that_measures_is_among_all() -> None:
    folder = Path(run.__file__).parent
    files = {path.stem for path in folder.glob("*.py") if "\nBENCHMARK = " in path.read_text()}
    assert files == {benchmark.name for benchmark in run.BENCHMARKS}
