"""What children tell reaches whoever waits for it, and only what is waited for."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from acts import Act, Acts, parse, wait_until


@pytest.fixture
def acts(tmp_path: Path) -> Iterator[Acts]:
    with Acts(str(tmp_path / "acts")) as found:
        yield found


def tell(acts: Acts, text: str) -> None:
    fd = os.open(acts.path, os.O_WRONLY)
    os.write(fd, text.encode("ascii"))
    os.close(fd)


@pytest.mark.pure
def test_a_line_is_an_act() -> None:
    assert parse("began 7 4711 12.000000345") == Act("began", 7, 4711, 12.000000345)


def test_the_act_of_one_child_is_found_among_others(acts: Acts) -> None:
    tell(acts, "began 1 11 1.0\nbegan 2 12 2.0\nended 2 12 3.0\n")
    assert acts.next("ended", 2, 5.0) == Act("ended", 2, 12, 3.0)
    assert acts.began == {1: Act("began", 1, 11, 1.0), 2: Act("began", 2, 12, 2.0)}
    assert acts.pids == {11, 12}


def test_a_line_may_come_in_two_parts(acts: Acts) -> None:
    tell(acts, "began 1 11 1.0\nbega")
    assert len(acts.collect("began", 1, 5.0)) == 1
    tell(acts, "n 2 12 2.0\n")
    assert acts.collect("began", 1, 5.0) == [Act("began", 2, 12, 2.0)]


def test_what_never_comes_is_not_waited_for_for_ever(acts: Acts) -> None:
    assert acts.next("began", 1, 0.05) is None
    assert acts.collect("began", 1, 0.05) == []
    with pytest.raises(TimeoutError, match="the moon"):
        wait_until(lambda: False, 0.05, "the moon", pause=0.01)
