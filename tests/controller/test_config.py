"""The controller's configuration: all that can be set, and every problem at once."""

from pathlib import Path

import pytest
from fleet_api.errors import BadRequest
from fleet_controller import config
from hypothesis import given
from hypothesis import strategies as st

GOOD = """
[controller]
fleet = "demo"
name = "controller-1"
inventory = "inventory.toml"
state_dir = "/var/lib/fleet-controller"
[tls]
certificate = "c.crt"
key = "c.key"
ca = "ca.crt"
"""


def load(folder: Path, text: str | bytes) -> config.Config:
    path = folder / "controller.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return config.load(path)


def problems(folder: Path, text: str | bytes) -> list[str]:
    with pytest.raises(BadRequest) as caught:
        load(folder, text)
    assert caught.value.code == "BAD_CONFIG"
    prefix = f"{folder / 'controller.toml'}: "
    lines = caught.value.message.splitlines()
    assert all(line.startswith(prefix) for line in lines)
    return [line.removeprefix(prefix) for line in lines]


def test_defaults_and_paths(tmp_path: Path) -> None:
    loaded = load(tmp_path, GOOD)
    assert loaded.listen == "127.0.0.1:7600"
    assert (loaded.fanout, loaded.max_connecting) == (64, 50)
    assert (loaded.host_timeout, loaded.connect_timeout, loaded.heartbeat) == (30, 3, 2)
    assert loaded.inventory == tmp_path / "inventory.toml"
    assert loaded.state_dir == Path("/var/lib/fleet-controller")
    assert loaded.tls is not None and loaded.tls.key == tmp_path / "c.key"


def test_everything_can_be_set(tmp_path: Path) -> None:
    more = """
        listen = "[::1]:0"
        fanout = 5
        host_timeout = 1.5
        connect_timeout = 1
        heartbeat = 0.5
        max_connecting = 7
        """
    loaded = load(tmp_path, GOOD.replace("[tls]", more + "[tls]"))
    assert (loaded.listen, loaded.fanout, loaded.host_timeout) == ("[::1]:0", 5, 1.5)
    assert (loaded.connect_timeout, loaded.heartbeat, loaded.max_connecting) == (1, 0.5, 7)


def test_plaintext_only_when_it_is_asked_for(tmp_path: Path) -> None:
    text = GOOD.split("[tls]", maxsplit=1)[0]
    assert load(tmp_path, text + "[tls]\ninsecure_plaintext = true\n").tls is None
    assert problems(tmp_path, text)[0].startswith("tls: is missing")
    assert len(problems(tmp_path, text + "[tls]\ninsecure_plaintext = false\n")) == 3
    both = problems(tmp_path, GOOD + "insecure_plaintext = true\n")
    assert [line.split(":")[0] for line in both] == ["tls.certificate", "tls.key", "tls.ca"]


def test_every_problem_stands_in_one_report(tmp_path: Path) -> None:
    lines = problems(
        tmp_path,
        """
        [controler]
        [controller]
        fleet = "De mo"
        name = 7
        inventry = "x"
        inventory = ""
        listen = "localhost"
        fanout = 0
        host_timeout = "long"
        heartbeat = true
        connect_timeout = nan
        max_connecting = 2.5
        [tls]
        certificate = "c"
        kee = "k"
        """,
    )
    places = [line.split(": ")[0] for line in lines]
    assert sorted(places) == sorted(
        [
            "controler",
            "controller.fleet",
            "controller.name",
            "controller.inventry",
            "controller.inventory",
            "controller.listen",
            "controller.fanout",
            "controller.host_timeout",
            "controller.heartbeat",
            "controller.connect_timeout",
            "controller.max_connecting",
            "controller.state_dir",
            "tls.kee",
            "tls.key",
            "tls.ca",
        ]
    )
    report = "\n".join(lines)
    assert "controler: nobody knows this section; did you mean 'controller'?" in report
    assert "controller.inventry: nobody knows this key; did you mean 'inventory'?" in report
    assert "controller.fanout: is 0; it must be a whole number from 1 to 10000" in report


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"\xff\xfe", "is no UTF-8 text: byte 0 is 0xff"),
        ("[controller", "is no TOML"),
        ("a = " + "[" * 5000, "is no TOML"),
        ("controller = 3\n[tls]\n", "controller: is 3 instead of a table [controller]"),
        ("", "tls: is missing"),
    ],
)
def test_what_is_no_configuration(tmp_path: Path, text: str | bytes, words: str) -> None:
    assert any(line.startswith(words) for line in problems(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"nowhere\.toml: cannot be read: No such file"):
        config.load(tmp_path / "nowhere.toml")


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(data)
    with pytest.raises(BadRequest):
        config.load(path)
