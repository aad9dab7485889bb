"""One line for each event, and never a wait for its reader."""

import io
import re

import pytest
from fleet_controller.log import Log

pytestmark = pytest.mark.pure


def test_one_line_for_each_event() -> None:
    file = io.StringIO()
    log = Log(file, lambda: 0.0)
    log.info("host connected", host="web1", processes=3)
    log.warning("host lost", host="web2", reason='says "no" = never\nINFO forged', empty="")
    log.error("ünknown", host="wéb")
    lines = file.getvalue().splitlines()
    assert all(re.match(r"1970-01-01T\d\d:\d\d:\d\d[+-]\d{4} |1969-12-31", line) for line in lines)
    assert [line.split(" ", 1)[1] for line in lines] == [
        "INFO host connected host=web1 processes=3",
        'WARNING host lost host=web2 reason="says \\"no\\" = never\\nINFO forged" empty=""',
        'ERROR ünknown host="w\\u00e9b"',
    ]


def test_a_log_that_cannot_be_written_harms_nobody() -> None:
    file = io.StringIO()
    file.close()
    Log(file).info("listening")
