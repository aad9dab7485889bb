"""The command line, and real `fleet-controller` processes."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from fakes import certificates
from fakes.certificates import Pki
from fakes.controller import DEADLINE_SECONDS, read_endpoint, write_config, write_inventory
from fakes.descriptors import is_readable
from fleet_api import channel, identity
from fleet_api.identity import Role
from fleet_api.v1 import agent_pb2, controller_pb2, controller_pb2_grpc, types_pb2
from fleet_controller import main

AGENT = Path(__file__).parent.parent / "programs" / "slow_agent.py"


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return certificates.make(tmp_path / "pki")


def wait_for(condition: Callable[[], object], what: str) -> None:
    until = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(0.02)


class Running:
    """A real process, its log, and a channel to it."""

    def __init__(self, process: "subprocess.Popen[bytes]", folder: Path, pki: Pki) -> None:
        self.process = process
        self._log = folder / "log"
        wait_for(lambda: read_endpoint(folder / "state" / "endpoint.json"), self._log.read_text())
        self.address = read_endpoint(folder / "state" / "endpoint.json") or ""
        name = identity.make(pki.fleet, Role.CONTROLLER, "main").dns_name
        self.channel = channel.open_blocking_channel(self.address, pki.operator.load(), name)
        self.stub = controller_pb2_grpc.ControllerServiceStub(self.channel)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def wait_for_log(self, words: str) -> None:
        wait_for(lambda: words in self.log, f"no {words!r} in the log")

    def wait(self) -> int:
        return self.process.wait(DEADLINE_SECONDS)


@contextlib.contextmanager
def started(folder: Path, config: Path, pki: Pki) -> Iterator[Running]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "fleet_controller.main", "run", "--config", str(config)],
            stderr=log,
            stdin=subprocess.DEVNULL,
        )
    try:
        running = Running(process, folder, pki)
        try:
            yield running
        finally:
            running.channel.close()
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def test_check_says_when_all_is_well(tmp_path: Path, pki: Pki, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path, pki, {"web1": "127.0.0.1:1"})
    assert main.main(["check", str(config)]) == 0
    assert capsys.readouterr() == (f"{config}: no problems\n", "")


def test_check_reports_certificates_and_inventory_at_once(
    tmp_path: Path, pki: Pki, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path, pki, {"web1": "nowhere:x"})
    os.chmod(pki.controller.key, 0o644)
    assert main.main(["check", str(config)]) == 2
    told = capsys.readouterr().err
    assert f"key {pki.controller.key} is open to others (mode 0644)" in told
    assert "inventory.toml: hosts.web1: " in told


def test_check_of_a_broken_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "c.toml"
    path.write_text("[controller]\nflet = 1\n")
    assert main.main(["check", str(path)]) == 2
    assert "controller.flet: nobody knows this key; did you mean 'fleet'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"fleet": "other"}, "is for controller/main of fleet test"),
        ({"name": "second"}, "is for controller/main"),
    ],
)
def test_a_certificate_of_somebody_else_is_refused(
    tmp_path: Path, pki: Pki, capsys: pytest.CaptureFixture[str], settings: dict[str, Any], words: str
) -> None:
    config = write_config(tmp_path, pki, {}, **settings)
    assert main.main(["run", "--config", str(config)]) == 2
    assert words in capsys.readouterr().err


def test_an_operators_certificate_makes_no_controller(
    tmp_path: Path, pki: Pki, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path, pki._replace(controller=pki.operator), {}, name="main")
    assert main.main(["run", "--config", str(config)]) == 2
    assert "is for user/alice" in capsys.readouterr().err


def test_a_port_in_use_is_named(tmp_path: Path, pki: Pki, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        config = write_config(tmp_path, pki, {}, listen=listen)
        assert main.main(["run", "--config", str(config)]) == 1
    assert f"cannot listen on {listen}" in capfd.readouterr().err


def test_a_second_controller_on_the_same_folder_is_refused_and_epochs_grow(tmp_path: Path, pki: Pki) -> None:
    config = write_config(tmp_path, pki, {})
    for epoch in (1, 2):
        with started(tmp_path, config, pki) as running:
            told = running.stub.GetController(controller_pb2.GetControllerRequest(), timeout=10)
            assert told.epoch == epoch
            second = subprocess.run(
                [sys.executable, "-m", "fleet_controller.main", "run", "--config", str(config)],
                capture_output=True,
                text=True,
                timeout=DEADLINE_SECONDS,
                check=False,
            )
            assert second.returncode == 1
            assert "belongs to a running fleet-controller" in second.stderr
            running.process.send_signal(signal.SIGTERM)
            assert running.wait() == 0
            assert not (tmp_path / "state" / "endpoint.json").exists()


def test_the_log_holds_one_line_for_each_event(tmp_path: Path, pki: Pki) -> None:
    config = write_config(tmp_path, pki, {"dead": "127.0.0.1:1"})
    with started(tmp_path, config, pki) as running:
        running.wait_for_log("host lost host=dead code=CONNECTION_REFUSED")
        write_inventory(tmp_path, {})
        running.process.send_signal(signal.SIGHUP)
        running.wait_for_log("removed=1")
        running.process.send_signal(signal.SIGINT)
        assert running.wait() == 0
        lines = running.log.splitlines()
        assert all(line.startswith("20") and line.split()[1] in ("INFO", "WARNING") for line in lines), lines
        assert lines[-2].endswith("INFO leaving reason=SIGINT")
        assert lines[-1].endswith("INFO left")


@contextlib.contextmanager
def slow_agent(pki: Pki, seconds: float) -> Iterator[str]:
    """A real process with an agent that takes this long for every change; its address."""
    process = subprocess.Popen(
        [sys.executable, str(AGENT), str(pki.folder), "web1", str(seconds)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        ready = is_readable(process.stdout, DEADLINE_SECONDS)
        assert ready, "the agent did not come up"
        yield str(json.loads(process.stdout.readline())["address"])
    finally:
        process.kill()
        process.communicate()


def stop_all() -> controller_pb2.OperateFleetRequest:
    return controller_pb2.OperateFleetRequest(
        hosts=controller_pb2.HostSelector(all_hosts=True),
        verb=agent_pb2.OperateRequest.STOP,
        selector=types_pb2.ProcessSelector(terms=["all"]),
    )


def test_sigterm_lets_a_running_operation_end_and_takes_no_new_one(tmp_path: Path, pki: Pki) -> None:
    with slow_agent(pki, 1.5) as address:
        config = write_config(tmp_path, pki, {"web1": address})
        with started(tmp_path, config, pki) as running:
            running.wait_for_log("host connected host=web1")
            answers = running.stub.OperateFleet(stop_all(), timeout=20)
            running.wait_for_log("operation asked")
            running.process.send_signal(signal.SIGTERM)
            running.wait_for_log("leaving reason=SIGTERM")
            with pytest.raises(grpc.RpcError):
                second = channel.open_blocking_channel(
                    running.address, pki.operator.load(), "main.controller.test"
                )
                with second:
                    controller_pb2_grpc.ControllerServiceStub(second).GetController(
                        controller_pb2.GetControllerRequest(), timeout=5
                    )
            (answer,) = answers
            assert answer.bucket == controller_pb2.HostOutcome.OK
            assert running.wait() == 0
            assert "operation ended on host host=web1" in running.log


def test_a_second_sigterm_does_not_wait(tmp_path: Path, pki: Pki) -> None:
    with slow_agent(pki, 60) as address:
        config = write_config(tmp_path, pki, {"web1": address}, host_timeout=60.0)
        with started(tmp_path, config, pki) as running:
            running.wait_for_log("host connected host=web1")
            answers = running.stub.OperateFleet(stop_all(), timeout=60)
            running.wait_for_log("operation asked")
            begun = time.monotonic()
            running.process.send_signal(signal.SIGTERM)
            running.wait_for_log("leaving reason=SIGTERM")
            running.process.send_signal(signal.SIGTERM)
            assert running.wait() == 0
            assert time.monotonic() - begun < 8
            with pytest.raises(grpc.RpcError):
                list(answers)
