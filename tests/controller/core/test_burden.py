"""A host that tells without end is stopped, whatever way it tells."""

import pytest
from fleet_api.errors import Broken
from fleet_controller.core.burden import MAX_HOST_BYTES, MAX_ROW_BYTES, ROW_COST, Burden, check_row
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.pure


def test_ten_thousand_usual_processes_are_no_burden() -> None:
    burden = Burden()
    for _ in range(3):
        for part in range(20):
            burden.snapshot_part([500] * 500, is_last=part == 19)
    for _ in range(100_000):
        burden.change(500, 510)
        burden.change(510, 500)


def test_a_snapshot_without_end_is_stopped() -> None:
    burden = Burden()
    with pytest.raises(Broken, match="tells too much: more than 16777216 bytes") as raised:
        for _ in range(1000):
            burden.snapshot_part([1] * 1000, is_last=False)
    assert raised.value.code == "HOST_TELLS_TOO_MUCH"


def test_ever_new_processes_are_stopped() -> None:
    burden = Burden()
    with pytest.raises(Broken):
        for _ in range(1 + MAX_HOST_BYTES // ROW_COST):
            burden.change(None, 0)


@pytest.mark.parametrize("tell", [lambda size: Burden().change(None, size), check_row])
def test_one_huge_row_is_stopped(tell: object) -> None:
    assert callable(tell)
    tell(MAX_ROW_BYTES)
    with pytest.raises(Broken, match="the limit is 65536"):
        tell(MAX_ROW_BYTES + 1)
    with pytest.raises(Broken):
        Burden().snapshot_part([1, MAX_ROW_BYTES + 1], is_last=True)


@given(st.lists(st.integers(0, MAX_ROW_BYTES), max_size=50))
def test_what_comes_and_goes_weighs_nothing(sizes: list[int]) -> None:
    burden = Burden(MAX_HOST_BYTES - 2 * (MAX_ROW_BYTES + ROW_COST))
    for size in sizes:
        burden.change(None, size)
        burden.change(size, None)
