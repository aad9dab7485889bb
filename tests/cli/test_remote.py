"""The controller as fleetctl meets it: with real TLS, away for a moment, or not there at all."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes import certificates, ports
from fakes.certificates import Files, Pki
from fakes.fleetctl import Result, run, screen
from fakes.process_rows import process_row
from fakes.scripted_controller import (
    ScriptedController,
    listing,
    plain_flags,
    scripted_controller,
    status_of,
)
from fleet_api.errors import BadRequest, Unavailable
from fleet_api.identity import Role
from fleet_api.v1 import controller_pb2
from fleet_cli.remote import Controller
from fleet_cli.settings import Settings

STATUS = controller_pb2.GetStatusRequest
TUTORIAL = "hello_world                      RUNNING   pid 180772, uptime 0:01:31\n"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return certificates.make(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def shared(pki: Pki) -> Iterator[ScriptedController]:
    with scripted_controller(pki.controller.load()) as controller:
        controller.on_status = lambda request: [status_of("web1", process_row("hello_world"))]
        yield controller


@pytest.fixture
def controller(shared: ScriptedController) -> ScriptedController:
    shared.requests.clear()
    return shared


def status(address: str, files: Files, name: str = "main", **options: Any) -> Result:
    # A real clock: these certificates are valid today.
    made = screen(**options)
    from fleet_cli import main

    arguments = ["status", "--all-hosts", "--controller", address, "--controller-name", name]
    arguments += ["--certificate", files.certificate, "--key", files.key, "--ca", files.ca]
    return made.result(main.run(arguments, made.invocation._replace(wall=time.time)))


def test_over_mutual_tls(controller: ScriptedController, pki: Pki) -> None:
    assert status(controller.address, pki.operator) == Result(0, TUTORIAL, "")


def test_from_a_file(controller: ScriptedController, pki: Pki, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        f'controller = "{controller.address}"\ncontroller_name = "main"\nfleet = "test"\n'
        f'certificate = "{os.path.relpath(pki.operator.certificate, tmp_path)}"\n'
        f'key = "{pki.operator.key}"\nca = "{pki.operator.ca}"\n'
    )
    made = screen(environ={"FLEETCTL_CONFIG": str(config)})
    from fleet_cli import main

    code = main.run(["status", "--all-hosts"], made.invocation._replace(wall=time.time))
    assert made.result(code) == Result(0, TUTORIAL, "")


def test_plaintext_only_by_the_flag(controller: ScriptedController) -> None:
    result = run("status", "--all-hosts", "--controller", controller.address)
    assert (result.code, controller.requests) == (1, [])
    assert "certificate and key and ca not configured" in result.err


# ---------------------------------------------------------------- our own side is at fault: 9


def test_a_key_that_others_can_read(controller: ScriptedController, pki: Pki) -> None:
    files = pki.issue(Role.OPERATOR, "careless")
    os.chmod(files.key, 0o644)
    result = status(controller.address, files)
    assert (result.code, controller.requests) == (9, [])
    assert f"key {files.key} is open to others (mode 0644)" in result.err
    assert f"chmod 600 {files.key}" in result.err


def test_our_certificate_has_expired(controller: ScriptedController, pki: Pki) -> None:
    result = status(controller.address, pki.issue(Role.OPERATOR, "late", now=time.time() - 5 * 86400))
    assert (result.code, controller.requests) == (9, [])
    assert "expired" in result.err


def test_our_certificate_is_that_of_an_agent(controller: ScriptedController, pki: Pki) -> None:
    result = status(controller.address, pki.agents["web1"])
    assert (result.code, controller.requests) == (9, [])
    assert "is for agent/web1; a controller listens to users" in result.err


def test_our_certificate_is_not_there(controller: ScriptedController, pki: Pki) -> None:
    result = status(controller.address, pki.operator._replace(certificate="/nonexistent/alice.crt"))
    assert result.code == 9
    assert "there is no certificate file /nonexistent/alice.crt" in result.err


def test_our_certificate_is_of_another_fleet(
    controller: ScriptedController, pki: Pki, tmp_path: Path
) -> None:
    stranger = certificates.make(tmp_path / "other", fleet="test")
    result = status(controller.address, stranger.operator._replace(ca=stranger.ca))
    assert result.code in {4, 9}
    assert controller.requests == []
    assert "CA" in result.err


# ---------------------------------------------------------------- nobody, or somebody else, is there: 4


def test_no_controller_listens(pki: Pki) -> None:
    result = status(ports.free_port(), pki.operator)
    assert (result.code, result.out) == (4, "")
    assert "the controller cannot be used" in result.err
    assert "refuses connections" in result.err
    assert "is the controller running there?" in result.err


def test_a_name_that_does_not_exist(pki: Pki) -> None:
    result = status("no-such-host.invalid:7600", pki.operator)
    assert result.code == 4
    assert "no-such-host.invalid" in result.err


def test_a_controller_of_another_name(controller: ScriptedController, pki: Pki) -> None:
    result = status(controller.address, pki.operator, name="backup")
    assert (result.code, controller.requests) == (4, [])
    assert "backup.controller.test" in result.err
    assert "see --controller, --controller-name and --fleet" in result.err


def test_a_port_that_is_no_controller(pki: Pki) -> None:
    with ports.garbage() as address:
        result = status(address, pki.operator)
    assert result.code == 4
    assert result.err.startswith("error: the controller cannot be used")


def test_plaintext_to_a_port_with_tls(controller: ScriptedController) -> None:
    with scripted_controller() as plain:
        flags = plain_flags(plain)
    at = flags.index(plain.address)
    result = run("status", "--all-hosts", *flags[:at], controller.address, *flags[at + 1 :])
    assert result.code == 4
    assert "leave out --insecure-plaintext" in result.err


# ---------------------------------------------------------------- away for a moment


def test_a_read_is_asked_again_while_the_controller_is_replaced() -> None:
    with scripted_controller() as controller:

        def leave_once(request: object) -> Iterator[object]:
            yield status_of("web1", process_row("a"), more=True)
            if controller.count(STATUS) == 1:
                raise Unavailable("CONTROLLER_LEAVING", "leaving")
            yield status_of("web1", process_row("b"))

        controller.on_status = leave_once
        result = run("status", "--all-hosts", *plain_flags(controller))
    assert result.code == 0
    assert [line.split()[0] for line in result.lines] == ["a", "b"]


def test_a_host_told_before_the_break_is_not_told_twice() -> None:
    with scripted_controller() as controller:

        def leave_once(request: object) -> Iterator[object]:
            yield status_of("web1", process_row("a"))
            if controller.count(STATUS) == 1:
                raise Unavailable("CONTROLLER_LEAVING", "leaving")
            yield status_of("web2", process_row("a"))

        controller.on_status = leave_once
        result = run("status", "--all-hosts", "-o", "name", *plain_flags(controller))
    assert result.lines == ["web1 a", "web2 a"]


def test_an_answer_that_is_no_error_of_the_moment_is_not_asked_again() -> None:
    with scripted_controller() as controller:

        def refuse(request: object) -> list[object]:
            raise BadRequest("UNKNOWN_HOST", "no")

        controller.on_status = refuse
        assert run("status", "--all-hosts", *plain_flags(controller)).code == 1
        assert controller.count(STATUS) == 1


def test_a_controller_that_says_nothing_times_out() -> None:
    is_over = threading.Event()
    with scripted_controller() as controller:

        def wait(request: object) -> list[object]:
            is_over.wait(20)
            return []

        controller.on_status = wait
        result = run("status", "--all-hosts", "--timeout", "0.3", *plain_flags(controller))
        is_over.set()
    assert result.code == 4
    assert "no answer within the time allowed" in result.err


def test_a_first_start_is_waited_for(pki: Pki) -> None:
    with scripted_controller() as gone:
        pass
    # Nobody listens there any more: the time of patience passes, then the reason is told.
    started = time.monotonic()
    result = run("status", "--all-hosts", *plain_flags(gone))
    assert result.code == 4
    assert time.monotonic() - started >= 1.5


# ---------------------------------------------------------------- what is asked


def test_about_and_hosts() -> None:
    with scripted_controller() as controller:
        controller.on_hosts = lambda request: [listing("b"), listing("a")]
        settings = Settings(controller.address, "main", "test", "", "", "", True)
        with Controller(settings, screen().invocation, None) as client:
            assert client.about()["version"] == "0.1.0"
            assert [record.name for record in client.hosts(None)] == ["a", "b"]
            assert client.hosts("a,b")[0].reachability.state == "connected"
