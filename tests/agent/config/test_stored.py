"""A configuration comes back from what is kept of it."""

import json
from pathlib import Path

from fleet_agent.config import stored
from fleet_agent.config.load import load

TEXT = """\
[supervisord]
environment = A="1",B="2"
[fleet]
listen = 127.0.0.1:0
insecure_plaintext = true
[program:a]
command = x
environment = C="3"
exitcodes = 0,2
umask = 022
autorestart = true
stderr_logfile = NONE
[program:b]
command = y
process_name = %(process_num)d
numprocs = 2
[group:g]
programs = b
"""


def test_round_trip_through_json(tmp_path: Path) -> None:
    path = tmp_path / "x.conf"
    path.write_text(TEXT)
    config = load(str(path), {}, host_name="h").config
    assert config is not None
    assert stored.from_state(json.loads(json.dumps(stored.to_state(config)))) == config
