"""SIGHUP: certificates anew, nothing else; and what a cut answer leaves behind."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest
import trustme

from portico import Server, connect, timeout
from portico.errors import ConfigError
from portico.http.exchange import CutAnswer, Exchange
from tests.cli.serving import serving
from tests.peers import need


def write(path: Path, authority: trustme.CA) -> Path:
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(path))
    return path


def fetch(url: str, authority: trustme.CA, folder: Path) -> subprocess.CompletedProcess[str]:
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    command = [need("curl"), "-sS", "--cacert", str(folder / "ca.pem"), "-v", url]
    return subprocess.run(command, capture_output=True, text=True, timeout=20)


def test_a_hangup_reloads_certificates_and_cuts_nobody(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    first, second = trustme.CA(), trustme.CA()
    cert = write(tmp_path / "both.pem", first)
    with serving(tmp_path, "site", "--cert", str(cert), "-v", at="https://127.0.0.1:0") as running:
        answer = fetch(running.url, first, tmp_path)
        assert answer.returncode == 0
        assert "server accepted http/1.1" in answer.stderr  # ALPN
        write(cert, second)
        running.send(signal.SIGHUP)
        with timeout(10) as deadline:
            while fetch(running.url, second, tmp_path).returncode != 0:
                deadline.check("waiting for the new certificate")
        cert.write_text("nonsense")
        running.send(signal.SIGHUP)
        assert fetch(running.url, second, tmp_path).returncode == 0
        assert running.stop() == 0
        assert "info portico.server: reloaded" in running.stderr
        assert "the old configuration goes on" in running.stderr
        assert "both.pem contains no certificate" in running.stderr


class Cutting:
    name = "cutting"

    def streams(self, request: object) -> bool:
        return False

    def __call__(self, exchange: Exchange) -> None:
        exchange.start(200, [("Content-Length", "10")])
        exchange.write(b"half")
        raise CutAnswer("said elsewhere")


def test_an_answer_that_is_cut_is_in_the_access_log_and_only_there(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[tuple[int, int]] = []
    server = Server(Cutting(), "http://127.0.0.1:0")
    server.access = lambda exchange, seconds: seen.append((exchange.status, exchange.sent))
    with server:
        command = [need("curl"), "-sS", f"{server.addresses[0]}/"]
        assert subprocess.run(command, capture_output=True, timeout=20).returncode != 0
    assert seen == [(200, 4)]
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_secure_address_is_not_opened_in_the_clear() -> None:
    with pytest.raises(ConfigError, match="write tcp://"):
        connect("tls://127.0.0.1:1", tls=False)
