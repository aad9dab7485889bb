"""A host with an init of its own as pid 1: the distribution's minimal system in systemd-nspawn.

It has no network. The base system is built once (`FLEET_HOSTS_DIR`, default /var/tmp/fleet-hosts) and never
written to again; what a host writes lies in a layer above it that is thrown away with the host.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from real.waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]
BASES = Path(os.environ.get("FLEET_HOSTS_DIR", "/var/tmp/fleet-hosts"))
PACKAGES = {
    "systemd": "systemd,systemd-sysv,dbus,python3,procps",
    "sysvinit": "sysvinit-core,sysv-rc,initscripts,python3,procps",
}
IS_UP = {
    "systemd": "systemctl is-system-running | grep -E 'running|degraded'",
    "sysvinit": "runlevel | grep '^N 2'",
}
AGENT = "/opt/fleet/bin/fleet-agent"
LIBRARY = "/opt/fleet/lib"
LAUNCHER = "#!/usr/bin/python3 -P\nimport sys\nfrom fleet_agent.main import main\nsys.exit(main())\n"
ASK = """
import json, sys
from fleet_api.door import Door
with Door.connect("/run/fleet-agent/door.sock") as door:
    print(json.dumps(door.request(sys.argv[1], timeout_seconds=20)))
"""


def why_not() -> str:
    """Why no host can be made here; empty when one can."""
    if not os.environ.get("FLEET_TEST_HOSTS"):
        return "boots whole systems: make hosts"
    if os.geteuid() != 0:
        return "only root may boot a host"
    missing = [name for name in ("systemd-nspawn", "debootstrap", "nsenter") if not shutil.which(name)]
    return f"not installed: {', '.join(missing)}" if missing else ""


def build_base(init: str) -> Path:
    """The base system of this distribution with this init; made once, in a minute, from its mirror."""
    release = dict(
        line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line
    )
    codename = release["VERSION_CODENAME"].strip('"')
    base = BASES / f"{codename}-{init}"
    if not (base / ".whole").exists():
        shutil.rmtree(base, ignore_errors=True)
        base.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={PACKAGES[init]}", codename, str(base)],
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=900,
        )
        (base / "etc/machine-id").write_text("")
        (base / ".whole").touch()
    return base


class Machine:
    """One host; a context manager that leaves neither a process nor a mount behind."""

    def __init__(self, folder: Path, init: str = "systemd") -> None:
        self._init = init
        self._name = f"fleet-{os.getpid()}"
        self._console = folder / "console.log"
        self.root = folder / "root"
        layers = [folder / name for name in ("upper", "work", "root")]
        for layer in layers:
            layer.mkdir()
        options = f"lowerdir={build_base(init)},upperdir={layers[0]},workdir={layers[1]}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, str(self.root)], check=True)
        self._nspawn: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Machine":
        return self

    def __exit__(self, *_: object) -> None:
        self.crash()
        subprocess.run(["umount", str(self.root)], check=False)

    def install(self) -> None:
        """Put this checkout's agent where a virtual environment would."""
        for package in ("agent/fleet_agent", "proto/fleet_api"):
            ignored = shutil.ignore_patterns("__pycache__", "*.pyi")
            place = self.root / LIBRARY.lstrip("/") / Path(package).name
            shutil.copytree(ROOT / package, place, ignore=ignored, dirs_exist_ok=True)
        for site in (self.root / "usr/local/lib").glob("python3.*"):
            (site / "dist-packages/fleet.pth").write_text(f"{LIBRARY}\n")
        self.write(AGENT, LAUNCHER)
        (self.root / AGENT.lstrip("/")).chmod(0o755)

    def write(self, path: str, text: str) -> None:
        """Make a file of the host."""
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def boot(self) -> None:
        """Switch it on and wait until it has booted."""
        argv = ["systemd-nspawn", "-q", "-D", str(self.root), f"--machine={self._name}", "--register=no"]
        with self._console.open("ab") as console:
            self._nspawn = subprocess.Popen(
                [*argv, "--keep-unit", "--private-network", "--boot"],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
        wait_for(
            lambda: self.run(IS_UP[self._init], check=False).strip(),
            seconds=60,
            what=f"a host that has booted, see {self._console}",
        )

    def run(self, script: str, *arguments: str, check: bool = True) -> str:
        """What a shell script of the host prints; with `check`, it must end well."""
        leader = self._leader()
        if not leader:
            assert not check, "the host is off, or on its way up"
            return ""
        enter = ["nsenter", f"--target={leader}", "--mount", "--uts", "--ipc", "--net", "--pid", "--"]
        done = subprocess.run(
            [*enter, "/bin/sh", "-c", script, "sh", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            env={"PATH": f"{Path(AGENT).parent}:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"},
            check=False,
        )
        assert not check or done.returncode == 0, f"{script}: {done.returncode}\n{done.stdout}"
        return done.stdout

    def ask(self, verb: str) -> dict[str, Any]:
        """One request to the door of the host's agent; empty while nobody answers."""
        text = self.run('python3 -c "$1" "$2" 2>/dev/null', ASK, verb, check=False)
        answer: dict[str, Any] = json.loads(text) if text.startswith("{") else {}
        return answer

    def unit(self, name: str) -> str:
        """A property of the agent's unit."""
        return self.run(f"systemctl show --value --property={name} fleet-agent").strip()

    def power_off(self) -> None:
        """Shut it down in order."""
        assert self._nspawn is not None
        self.run("systemctl --no-block poweroff" if self._init == "systemd" else "poweroff")
        self._nspawn.wait(120)
        self._nspawn = None

    def crash(self) -> None:
        """Power failure: every process of the host ends at once."""
        nspawn, self._nspawn = self._nspawn, None
        if nspawn is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(_init_of(nspawn.pid) or nspawn.pid, signal.SIGKILL)
        try:
            nspawn.wait(30)
        except subprocess.TimeoutExpired:
            nspawn.kill()
            nspawn.wait()

    @contextlib.contextmanager
    def drop_in(self, settings: Mapping[str, str]) -> Iterator[None]:
        """Other settings of the unit's service for a while."""
        path = "/run/systemd/system/fleet-agent.service.d/test.conf"
        lines = "".join(f"{name}={value}\n" for name, value in settings.items())
        self.run('mkdir -p "$(dirname "$1")"; printf "[Service]\\n%s" "$2" > "$1"', path, lines)
        self.run("systemctl daemon-reload; systemctl restart fleet-agent")
        yield
        self.run('rm -f "$1"; systemctl daemon-reload; systemctl restart fleet-agent', path)

    def _leader(self) -> int:
        return _init_of(self._nspawn.pid) if self._nspawn is not None else 0


def _init_of(nspawn: int) -> int:
    """The pid of the host's own process 1; 0 while there is none.

    Subtle: for a moment other children of nspawn live in our own namespaces, where nothing may be tried out.
    """
    try:
        children = Path(f"/proc/{nspawn}/task/{nspawn}/children").read_text().split()
        for child in children:
            status = Path(f"/proc/{child}/status").read_text()
            pids = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
            if len(pids) > 1 and pids[-1] == "1":
                return int(child)
    except OSError:
        pass
    return 0
