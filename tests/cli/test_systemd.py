"""Started by a service manager: sockets by number and name, readiness, reloads."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.serving import ENOUGH, curl, serving
from tests.peers import need

PORTICO = [sys.executable, "-m", "portico", "serve"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("site", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.html").write_text(name)
    return tmp_path


@contextmanager
def activated(folder: Path, names: str, *args: str) -> Iterator[list[int]]:
    """``systemd-socket-activate`` with a socket for each name; their ports. A call starts us."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in names.split(":")]
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    listen = [word for port in ports for word in ("--listen", f"127.0.0.1:{port}")]
    command = [need("systemd-socket-activate"), *listen, f"--fdname={names}", *PORTICO, *args]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            yield ports
            process.terminate()
            assert process.wait(ENOUGH) == 0
        finally:
            process.kill()


def asked(port: int, scheme: str = "http") -> str:
    return curl(
        "--retry", "50", "--retry-connrefused", "--retry-delay", "1", "-k", f"{scheme}://127.0.0.1:{port}/"
    )


@pytest.mark.parametrize("engine", [[], ["--workers", "2"]])
def test_sockets_of_systemd_are_served(folder: Path, engine: list[str]) -> None:
    with activated(folder, "a:b", "site", *engine) as ports:
        assert [asked(port) for port in ports * 2] == ["site"] * 4


def test_one_of_them_is_chosen_by_its_name_and_has_tls(folder: Path) -> None:
    args = ["--at", "fd://public?tls=yes", "--at", "fd://inner", "--tls", "self-signed"]
    with activated(folder, "unused:public:inner", "site", *args) as (_, public, inner):
        assert asked(public, "https") == "site"
        assert asked(inner) == "site"


@pytest.mark.parametrize("engine", [[], ["--workers", "1"]])
def test_a_manager_is_told_when_we_serve_reload_and_end(folder: Path, engine: list[str]) -> None:
    (folder / "portico.toml").write_text("[[mount]]\nrespond = 200\n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(folder / "notify"))
        manager.settimeout(ENOUGH)

        def heard() -> dict[str, str]:
            while "WATCHDOG=1" in (said := manager.recv(65536).decode()):
                signs.append(time.monotonic())
            return dict(line.split("=", 1) for line in said.splitlines())

        signs: list[float] = []
        env = {"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "200000"}
        with serving(folder, "-c", "portico.toml", "-v", *engine, **env) as running:
            assert heard() == {"READY": "1", "STATUS": "Serving"}
            assert curl("-I", running.url).startswith("HTTP/1.1 200")
            running.send(signal.SIGHUP)
            assert "MONOTONIC_USEC" in heard()
            assert heard() == {"READY": "1", "STATUS": "Serving"}
            (folder / "portico.toml").write_text("nonsense = 1\n")
            running.send(signal.SIGHUP)
            assert heard()["RELOADING"] == "1"
            assert "portico.toml:1: nonsense: unknown key" in heard()["STATUS"]
            while not signs:
                if "WATCHDOG=1" in manager.recv(65536).decode():
                    signs.append(time.monotonic())
            running.send(signal.SIGTERM)
            assert heard()["STOPPING"] == "1"
            assert running.wait() == 0


def test_programs_do_not_inherit_the_managers_socket(folder: Path) -> None:
    (folder / "shop.py").write_text(
        "import os\ndef app(environ, start_response):\n"
        "    start_response('200 OK', [])\n    return [os.environ.get('NOTIFY_SOCKET', 'none').encode()]\n"
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(folder / "notify"))
        for engine in ([], ["--workers", "1"]):
            with serving(folder, "shop:app", *engine, NOTIFY_SOCKET=str(folder / "notify")) as running:
                assert curl(f"{running.url}/") == "none"
