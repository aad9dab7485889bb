"""From what is wanted of a process to the one spawn request that the keeper carries out.

All that can be known to be wrong before a fork is found here and told in the words of supervisord.
"""

import grp
import os
import pwd
import stat
from collections.abc import Mapping
from typing import NamedTuple

from fleet_agent.config.settings import DaemonSettings
from fleet_agent.core.model import ProcessSpec
from fleet_agent.link.messages import Spawn

FALLBACK_PATH = "/bin:/usr/bin:/usr/local/bin"


class CannotSpawn(Exception):
    """The reason why a process cannot even be tried, as `status` shows it."""


class CannotBecome(CannotSpawn):
    """The user cannot be taken on; supervisord finds that out in the child, and its log tells."""


class Account(NamedTuple):
    """The user a child runs as; all None keeps the agent's own."""

    uid: int | None = None
    gid: int | None = None
    groups: list[int] | None = None


def build(
    spec: ProcessSpec, run: int, daemon: DaemonSettings, server_url: str, environ: Mapping[str, str]
) -> Spawn:
    """The spawn request of one run.

    Raises: CannotSpawn with the reason in words.
    """
    environment = child_environment(spec, daemon, server_url)
    argv = split_command(spec.command)
    executable = find_executable(argv[0], environment.get("PATH", environ.get("PATH", FALLBACK_PATH)))
    account = find_account(spec.user or daemon.user, os.geteuid())
    return Spawn(
        process=spec.id,
        run=run,
        executable=executable,
        argv=argv,
        environment=environment,
        directory=spec.directory or daemon.directory,
        umask=spec.umask if spec.umask is not None else daemon.umask,
        uid=account.uid,
        gid=account.gid,
        groups=account.groups,
        streams=["stdin", "stdout"] if spec.redirect_stderr else ["stdin", "stdout", "stderr"],
        nofile=daemon.minfds,
    )


def child_environment(spec: ProcessSpec, daemon: DaemonSettings, server_url: str) -> dict[str, str]:
    """What a child gets besides the agent's own environment; the last one wins."""
    environment = {
        "SUPERVISOR_ENABLED": "1",
        "SUPERVISOR_PROCESS_NAME": spec.name,
        "SUPERVISOR_GROUP_NAME": spec.group,
    }
    if server_url:
        environment["SUPERVISOR_SERVER_URL"] = server_url
    environment.update(daemon.environment)
    environment.update(spec.environment)
    return environment


def split_command(command: str) -> list[str]:
    """The words of a command line, split as a shell would, without a shell.

    Raises: CannotSpawn when quotes do not match or nothing is there.
    """
    if not any(quote in command for quote in "'\"\\"):
        words = command.split()
    else:
        import shlex  # noqa: PLC0415  # most commands do not need it

        try:
            words = shlex.split(command)
        except ValueError as error:
            raise CannotSpawn(f"can't parse command {command!r}: {error}") from error
    if not words:
        raise CannotSpawn("command is empty")
    return words


def find_executable(name: str, path: str) -> str:
    """The file that a command name means: the first that exists, as supervisord looks it up.

    Raises: CannotSpawn when there is none or it cannot be run.
    """
    candidates = [name] if "/" in name else [os.path.join(folder or ".", name) for folder in path.split(":")]
    for candidate in candidates:
        try:
            mode = os.stat(candidate).st_mode
        except OSError:
            continue
        if stat.S_ISDIR(mode):
            raise CannotSpawn(f"command at {candidate!r} is a directory")
        if not mode & 0o111:
            raise CannotSpawn(f"command at {candidate!r} is not executable")
        if not os.access(candidate, os.X_OK):
            raise CannotSpawn(f"no permission to run command {candidate!r}")
        return candidate
    raise CannotSpawn(f"can't find command {name!r}")


def find_account(user: str, own_uid: int) -> Account:
    """The account of a user name or number with its supplementary groups.

    Raises: CannotBecome when it does not exist or only root may switch to it.
    """
    if not user:
        return Account()
    try:
        entry = pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
    except KeyError as error:
        kind = f"uid {user}" if user.isdecimal() else f"username {user!r}"
        raise CannotBecome(f"couldn't setuid to {user}: Can't find {kind}") from error
    if entry.pw_uid == own_uid:
        return Account()
    if own_uid != 0:
        raise CannotBecome(f"couldn't setuid to {entry.pw_uid}: Can't drop privilege as nonroot user")
    groups = {group.gr_gid for group in grp.getgrall() if entry.pw_name in group.gr_mem}
    return Account(entry.pw_uid, entry.pw_gid, sorted(groups | {entry.pw_gid}))
