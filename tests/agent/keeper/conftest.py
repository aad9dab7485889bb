"""Fixtures: a real keeper that ends with the test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.supervised_keeper import SupervisedKeeper


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[SupervisedKeeper]:
    with SupervisedKeeper(tmp_path) as keeper:
        yield keeper
