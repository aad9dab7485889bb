"""Where the controller is and who we are to it: flags before environment before a TOML file.

controller = "fleet.example.org:7600"
controller_name = "main"        # as its certificate says; default "controller"
fleet = "production"            # default: the fleet of our own certificate
certificate = "alice.crt"       # relative to the folder of the file
key = "alice.key"
ca = "ca.crt"
"""

import os
from collections.abc import Mapping
from typing import NamedTuple

from fleet_api.errors import BadRequest, NotFound

KEYS = ("controller", "controller_name", "fleet", "certificate", "key", "ca")
_FILES = frozenset({"certificate", "key", "ca"})
DEFAULT_CONTROLLER_NAME = "controller"
_MAX_FILE_BYTES = 1024 * 1024


class Settings(NamedTuple):
    """`certificate`, `key` and `ca` are paths; all three are empty with `is_plaintext`."""

    controller: str
    controller_name: str
    fleet: str
    certificate: str
    key: str
    ca: str
    is_plaintext: bool


def find(flags: Mapping[str, str | None], environ: Mapping[str, str], *, is_plaintext: bool) -> Settings:
    """The settings in force. `flags` has `config` and any of `KEYS`.

    Raises: NotFound for a file that was named and is not there; BadRequest for one that holds something
    else, and when the controller or a credential is named nowhere.
    """
    path, is_named = _config_path(flags.get("config"), environ)
    found = _read(path, is_named)
    for key in KEYS:
        value = flags.get(key) or environ.get(f"FLEETCTL_{key.upper()}")
        if value:
            found[key] = value
    if not found.get("controller"):
        raise BadRequest(
            "CONTROLLER_NOT_CONFIGURED",
            "no controller is configured",
            f'write controller = "HOST:7600" into {path}, or use --controller or FLEETCTL_CONTROLLER; '
            "without -H the agent of this host is asked",
        )
    if is_plaintext:
        found = {key: value for key, value in found.items() if key not in _FILES}
    elif missing := [key for key in ("certificate", "key", "ca") if not found.get(key)]:
        raise BadRequest(
            "CREDENTIALS_NOT_CONFIGURED",
            f"{' and '.join(missing)} not configured",
            f"make them with `fleetctl pki issue` and name them in {path} or with "
            + " ".join(f"--{key}" for key in missing),
        )
    return Settings(
        controller=found["controller"],
        controller_name=found.get("controller_name") or DEFAULT_CONTROLLER_NAME,
        fleet=found.get("fleet", ""),
        certificate=found.get("certificate", ""),
        key=found.get("key", ""),
        ca=found.get("ca", ""),
        is_plaintext=is_plaintext,
    )


def _config_path(flag: str | None, environ: Mapping[str, str]) -> tuple[str, bool]:
    named = flag or environ.get("FLEETCTL_CONFIG")
    if named:
        return named, True
    home = environ.get("XDG_CONFIG_HOME") or os.path.join(environ.get("HOME", "/"), ".config")
    return os.path.join(home, "fleetctl", "config.toml"), False


def _read(path: str, is_named: bool) -> dict[str, str]:
    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
    except FileNotFoundError as error:
        if not is_named:
            return {}
        raise NotFound(
            "CONFIG_NOT_FOUND",
            f"there is no configuration file {path}",
            "name another one with --config or FLEETCTL_CONFIG",
        ) from error
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise BadRequest("CONFIG_NOT_READABLE", f"configuration file {path!r}: {why}") from error
    if len(data) > _MAX_FILE_BYTES:
        raise BadRequest(
            "CONFIG_TOO_LARGE", f"configuration file {path} is larger than {_MAX_FILE_BYTES} bytes"
        )
    import tomllib

    try:
        values = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise BadRequest("CONFIG_MALFORMED", f"configuration file {path}: {error}") from error
    result = {}
    for key, value in values.items():
        if key not in KEYS:
            raise BadRequest(
                "CONFIG_KEY_UNKNOWN",
                f"configuration file {path}: unknown key {key!r}",
                f"known: {', '.join(KEYS)}",
            )
        if not isinstance(value, str):
            raise BadRequest(
                "CONFIG_MALFORMED", f"configuration file {path}: {key} is {value!r} instead of a text"
            )
        is_file = key in _FILES and value
        result[key] = (
            os.path.join(os.path.dirname(os.path.abspath(path)), os.path.expanduser(value))
            if is_file
            else value
        )
    return result
