"""The last line."""

import pytest
from fleet_cli.answers import Bucket
from fleet_cli.views import summary

pytestmark = pytest.mark.pure


def counts(**numbers: int) -> dict[Bucket, int]:
    return {bucket: numbers.get(bucket.value, 0) for bucket in Bucket}


def test_only_what_there_is_is_counted() -> None:
    assert summary.line(counts(ok=118, failed=1, timed_out=1)) == "120 hosts: 118 ok, 1 failed, 1 timed out"
    assert summary.line(counts(ok=1)) == "1 host: 1 ok"
    assert summary.line(counts()) == "0 hosts"


def test_an_interrupted_command_says_so_and_names_its_operation() -> None:
    assert summary.line(counts(ok=2, unknown=3), is_interrupted=True, operation_id="op-1") == (
        "interrupted; so far 5 hosts: 2 ok, 3 unknown (operation op-1)"
    )
