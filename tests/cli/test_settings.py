"""Where the controller is: flags, environment, file."""

from pathlib import Path

import pytest
from fleet_api.errors import BadRequest, NotFound
from fleet_cli import settings
from fleet_cli.settings import Settings

WHOLE = """
controller = "fleet.example.org:7600"
controller_name = "main"
fleet = "production"
certificate = "alice.crt"
key = "/keys/alice.key"
ca = "ca.crt"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(WHOLE)
    return path


def find(environ: dict[str, str] | None = None, plaintext: bool = False, **flags: str) -> Settings:
    return settings.find(flags, environ or {}, is_plaintext=plaintext)


def test_the_file_tells_all_and_paths_are_relative_to_it(file: Path) -> None:
    assert find(config=str(file)) == Settings(
        controller="fleet.example.org:7600",
        controller_name="main",
        fleet="production",
        certificate=str(file.parent / "alice.crt"),
        key="/keys/alice.key",
        ca=str(file.parent / "ca.crt"),
        is_plaintext=False,
    )


def test_flags_before_environment_before_file(file: Path) -> None:
    environ = {"FLEETCTL_CONFIG": str(file), "FLEETCTL_CONTROLLER": "env:1", "FLEETCTL_FLEET": "env"}
    found = find(environ, controller="flag:1")
    assert (found.controller, found.fleet, found.controller_name) == ("flag:1", "env", "main")


def test_the_usual_place(tmp_path: Path) -> None:
    for environ in ({"HOME": str(tmp_path)}, {"HOME": "/x", "XDG_CONFIG_HOME": str(tmp_path / ".config")}):
        folder = tmp_path / ".config" / "fleetctl"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.toml").write_text(WHOLE)
        assert find(environ).controller == "fleet.example.org:7600"


def test_without_anything_it_says_what_to_write_where() -> None:
    with pytest.raises(BadRequest) as caught:
        find({"HOME": "/home/alice"})
    assert caught.value.code == "CONTROLLER_NOT_CONFIGURED"
    assert "/home/alice/.config/fleetctl/config.toml" in caught.value.hint


def test_missing_credentials_are_named() -> None:
    with pytest.raises(BadRequest, match="key and ca") as caught:
        find(controller="x:1", certificate="a.crt")
    assert "--key --ca" in caught.value.hint


def test_plaintext_needs_and_takes_no_credentials(file: Path) -> None:
    found = find(config=str(file), plaintext=True)
    assert (found.certificate, found.key, found.ca, found.is_plaintext) == ("", "", "", True)


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"none\.toml"):
        find(config=str(tmp_path / "none.toml"))
    with pytest.raises(NotFound):
        find({"FLEETCTL_CONFIG": str(tmp_path / "none.toml")})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"controler = 'x:1'", "unknown key 'controler'"),
        (b"controller = 7", "controller is 7"),
        (b"controller = ", "Invalid value"),
        (b"\xff\xfe", "utf-8"),
        (b"\x00", "line 1"),
        (b"a = [" * 2000, "configuration file"),
        (b"#" * 1024 * 1024 + b"##", "larger than"),
    ],
)
def test_a_bad_file_is_named_with_its_place(tmp_path: Path, text: bytes, words: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(text)
    with pytest.raises(BadRequest, match=words) as caught:
        find(config=str(path))
    assert str(path) in caught.value.message


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="directory"):
        find(config=str(tmp_path))
