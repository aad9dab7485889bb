"""Short reasons: one for each way in which a host is out of reach, short enough for a line."""

import pytest
from fleet_api import unreachable
from fleet_cli.views.reasons import SHORT

pytestmark = pytest.mark.pure


def test_every_reason_that_a_probe_finds_has_its_words() -> None:
    codes = {value for name, value in vars(unreachable).items() if name.isupper() and name == value}
    assert len(codes) > 10
    assert codes - SHORT.keys() == set()


def test_words_fit_into_a_line_behind_host_names() -> None:
    assert [words for words in SHORT.values() if len(words) > 50 or words.endswith(".") or not words] == []
