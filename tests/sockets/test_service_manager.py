"""What a service manager is told; ``NOTIFY_SOCKET`` is a real socket here."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from time import monotonic_ns

import pytest

from portico.sockets.service_manager import ServiceManager


class Manager:
    """The other end."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(f"\0{name[1:]}" if name.startswith("@") else name)
        self.sock.settimeout(20)

    def heard(self) -> dict[str, str]:
        lines = self.sock.recv(65536).decode().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def heard_nothing(self) -> bool:
        self.sock.setblocking(False)
        try:
            return not self.sock.recv(100)
        except BlockingIOError:
            return True


@pytest.fixture(params=["file", "abstract"])
def manager(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Manager]:
    made = Manager(str(tmp_path / "notify") if request.param == "file" else f"@portico-test-{os.getpid()}")
    monkeypatch.setenv("NOTIFY_SOCKET", made.name)
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    yield made
    made.sock.close()


def test_ready_reloading_and_stopping(manager: Manager) -> None:
    us = ServiceManager.from_environ()
    assert "NOTIFY_SOCKET" not in os.environ  # what we start is not the service
    with us.told():
        assert manager.heard()["READY"] == "1"
        before = monotonic_ns() // 1000
        us.reloading()
        said = manager.heard()
        assert said["RELOADING"] == "1"
        assert before <= int(said["MONOTONIC_USEC"]) <= monotonic_ns() // 1000
        us.ready("The reload failed: line one\nline two")
        assert manager.heard() == {"READY": "1", "STATUS": "The reload failed: line one line two"}
        us.stopping()
        assert manager.heard()["STOPPING"] == "1"
        us.stopping()
        us.ready()
        us.reloading()
    assert manager.heard_nothing()


def test_signs_of_life_come_twice_in_the_time_that_is_given(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "40000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    us = ServiceManager.from_environ()
    assert "WATCHDOG_USEC" not in os.environ
    with us.told():
        assert "READY" in manager.heard()
        assert [manager.heard() for _ in range(3)] == [{"WATCHDOG": "1"}] * 3
    assert us._watchdog == 0.04


@pytest.mark.parametrize(("seconds", "pid"), [("40000", "1"), ("0", ""), ("x", ""), ("-1", "")])
def test_no_sign_is_given_that_nobody_waits_for(
    manager: Manager, monkeypatch: pytest.MonkeyPatch, seconds: str, pid: str
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", seconds)
    monkeypatch.setenv("WATCHDOG_PID", pid)
    with ServiceManager.from_environ().told():
        assert "READY" in manager.heard()
    assert manager.heard_nothing()


def test_without_a_manager_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    us = ServiceManager.from_environ()
    with us.told():
        us.reloading()
    us.stopping()
    assert repr(us) == "<ServiceManager nobody>"
    assert not caplog.records


@pytest.mark.parametrize("name", ["vsock:2:1234", "relative/path"])
def test_an_address_of_another_kind_is_told_and_ignored(
    name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    with ServiceManager.from_environ().told():
        pass
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_a_manager_that_is_gone_costs_a_warning(manager: Manager, caplog: pytest.LogCaptureFixture) -> None:
    us = ServiceManager.from_environ()
    manager.sock.close()
    with us.told():
        pass
    assert "cannot be told READY=1" in caplog.text
