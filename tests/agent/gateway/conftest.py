"""Fixtures: gateways that end with the test, and one that a module shares."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes import certificates
from fakes.certificates import Pki
from fakes.running_gateway import RunningGateway, Watcher, launch_gateway
from fakes.supervisor import make_row
from fleet_api.rows import ProcessRow

Launch = Callable[..., RunningGateway]


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return certificates.make(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def launch(tmp_path: Path, pki: Pki) -> Iterator[Launch]:
    """Starts gateways and ends them after the test."""
    started: list[RunningGateway] = []

    def start(
        rows: list[ProcessRow] | None = None, plaintext: bool = False, **options: Any
    ) -> RunningGateway:
        rows = [make_row("web")] if rows is None else rows
        folder = tmp_path / f"gateway-{len(started)}"
        gateway = launch_gateway(folder, None if plaintext else pki, rows, **options)
        started.append(gateway)
        return gateway

    yield start
    for gateway in started:
        gateway.end()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, pki: Pki) -> Iterator[RunningGateway]:
    """One gateway for the tests of a module that leave it as they found it."""
    rows = [
        make_row("web"),
        make_row("one", "workers"),
        make_row("two", "workers", state="STOPPED", uptime=None),
    ]
    gateway = launch_gateway(tmp_path_factory.mktemp("shared"), pki, rows)
    yield gateway
    gateway.end()


@pytest.fixture
def watcher() -> Iterator[Any]:
    opened: list[Watcher] = []

    def watch(*arguments: Any, **options: Any) -> Watcher:
        opened.append(Watcher(*arguments, **options))
        return opened[-1]

    yield watch
    for each in opened:
        each.close()
