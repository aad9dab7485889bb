"""Other programs find the agent, and find it gone."""

import json
import os
from collections.abc import Callable
from pathlib import Path

from fleet_agent.supervisor.announcement import Announcement


def an_announcement(folder: Path, pidfile: str, said: list[str]) -> Announcement:
    def about(_: str, path: str, _retry: object) -> Callable[[str], None]:
        return lambda words: said.append(words and f"{path} {words}")

    return Announcement(str(folder / "endpoint.json"), pidfile, "host-1", 77, "/run/door.sock", about)


def test_both_files_are_there_from_start_to_end(tmp_path: Path) -> None:
    said: list[str] = []
    announcement = an_announcement(tmp_path, str(tmp_path / "pid"), said)
    announcement.make("")
    endpoint = {"version": 1, "host_id": "host-1", "pid": 77, "door": "/run/door.sock", "grpc": None}
    assert json.loads((tmp_path / "endpoint.json").read_text()) == endpoint
    assert (tmp_path / "pid").read_text() == "77\n"
    announcement.tell_address("127.0.0.1:7601")
    assert json.loads((tmp_path / "endpoint.json").read_text())["grpc"] == "127.0.0.1:7601"
    announcement.take_back()
    announcement.take_back()
    assert list(tmp_path.iterdir()) == []
    assert not any(said)


def test_a_pidfile_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    an_announcement(tmp_path, str(tmp_path / "gone" / "pid"), said).make("127.0.0.1:1")
    assert [words for words in said if words] == [
        f"{tmp_path}/gone/pid cannot be written: No such file or directory;"
        " programs that look there may not find this agent"
    ]
    assert (tmp_path / "endpoint.json").exists()


def test_without_a_pidfile_there_is_none(tmp_path: Path) -> None:
    announcement = an_announcement(tmp_path, "", [])
    announcement.make("127.0.0.1:1")
    announcement.take_back()
    assert os.listdir(tmp_path) == []
