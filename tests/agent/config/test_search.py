"""The list of places."""

import pytest
from fleet_agent.config.search import search

pytestmark = pytest.mark.pure


def test_order() -> None:
    assert search("/opt/x/bin", "/srv") == [
        "/opt/x/etc/supervisord.conf",
        "/opt/x/supervisord.conf",
        "/srv/supervisord.conf",
        "/srv/etc/supervisord.conf",
        "/etc/supervisord.conf",
        "/etc/supervisor/supervisord.conf",
    ]


def test_no_place_twice() -> None:
    assert search("bin", "/").count("/etc/supervisord.conf") == 1
