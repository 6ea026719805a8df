"""Who keeps idle connections: HTTP kept alive after a request, and conversations that wait for input."""

from __future__ import annotations

import os
import shutil
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bench.common import Missing, compile_c
from bench.load.requests import KINDS, fixed
from bench.peers.checks import echoes, says_hello
from bench.peers.process import Command, Peer, python, script

__all__ = ["Parked", "all_parked", "make_certificate"]

HTTP = says_hello([fixed(KINDS["600 B"])])
ECHO = echoes([1024])
LONG = "3600"  # seconds for which a connection may idle: longer than any run
MANY = "20000"  # connections a server may have
MOST_THREADS = 2200


@dataclass(frozen=True)
class Parked:
    """A row: a server, and what its connections wait in. ``most``: no more connections than this."""

    what: str
    peer: Peer
    most: int = 10_000

    @property
    def name(self) -> str:
        return f"{self.peer.name}, {self.what}"


Certificate = tuple[Path, ssl.SSLContext]


def make_certificate(folder: Path) -> Certificate:
    """A certificate with its key in one file, and a context that trusts it. Raises ``Missing``."""
    try:
        import trustme
    except ModuleNotFoundError:
        raise Missing("no certificate: not installed (no module trustme)") from None
    authority = trustme.CA()
    path, context = folder / "certificate.pem", ssl.create_default_context()
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(path)
    authority.configure_trust(context)
    return path, context


def all_parked(certificate: Certificate | None) -> Iterator[Parked]:
    """Every row, plain; then those that have it with TLS, of which fewer are opened: handshakes take time."""
    yield from _rows(None)
    if certificate is None:
        return
    path, context = certificate
    for row in _rows(path):
        yield Parked(f"{row.what}, TLS", replace(row.peer, tls=context), min(row.most, 2_000))


def _rows(certificate: Path | None) -> Iterator[Parked]:
    for engine in ("threads", "events"):
        yield Parked("HTTP, kept alive", _portico(engine, "wsgi:app_module:app", certificate))
    talk = "handler:echo_handler:echo"
    yield Parked("conversation (greenlet)", _portico("events", talk, certificate))
    yield Parked("conversation (thread)", _portico(f"threads:{MOST_THREADS}", talk, certificate), 2_000)
    others = _http_peers(certificate)
    yield from (Parked("HTTP, kept alive", peer) for peer in others)
    if certificate is None:
        # It looks at every connection for each request: with ten thousand the run would take all its time.
        waitress = Peer("waitress", "Python", _waitress(), HTTP, "waitress")
        yield Parked("HTTP, kept alive", waitress, 2_000)
    yield from _talkers(certificate)


def _portico(engine: str, target: str, certificate: Path | None) -> Peer:
    http = target.startswith("wsgi:")
    scheme = ("https" if http else "tls") if certificate else ("http" if http else "tcp")
    secret = ["--cert", str(certificate)] if certificate else []
    command = python(
        "portico", "serve", target, "--at", f"{scheme}://127.0.0.1:0", "--engine", engine,
        "--limit", f"idle={LONG}", *secret,
    )  # fmt: skip
    check = HTTP if http else ECHO
    return Peer(f"portico {engine}", "Python", command, check, "portico.__main__", announces=True)


def _http_peers(certificate: Path | None) -> Iterator[Peer]:
    if certificate is None:
        loop: Command = lambda port, folder: [str(compile_c("epoll_loop", folder)), str(port)]  # noqa: E731
        yield Peer("c-loop", "C", loop, HTTP)
        yield Peer("bjoern", "C", script("http_bjoern"), HTTP, "bjoern")
        yield Peer("gevent", "Python", script("http_gevent"), HTTP, "gevent")
    yield Peer("nginx", "C", _nginx(certificate), HTTP)
    yield Peer("uvicorn", "Python", _uvicorn(certificate), HTTP, "uvicorn", ("uvloop", "httptools"))
    yield Peer("granian", "Rust", _granian(certificate), HTTP, "granian")


def _talkers(certificate: Path | None) -> Iterator[Parked]:
    secret = [str(certificate)] if certificate else []
    row = "conversation (coroutine)"
    gevent = Peer("gevent", "Python", script("echo_gevent", *secret), ECHO, "gevent")
    yield Parked("conversation (greenlet)", gevent)
    asyncio = script("echo_asyncio", "asyncio", *secret)
    yield Parked(row, Peer("asyncio streams", "Python", asyncio, ECHO))
    uvloop = script("echo_asyncio", "uvloop", *secret)
    yield Parked(row, Peer("uvloop streams", "Python", uvloop, ECHO, "uvloop"))
    if certificate is None:
        yield Parked(row, Peer("trio", "Python", script("echo_trio"), ECHO, "trio"))
        sockets = Peer("socketserver", "Python", script("echo_socketserver"), ECHO)
        yield Parked("conversation (thread)", sockets, 2_000)


def _waitress() -> Command:
    return python(
        "waitress", "--listen=127.0.0.1:{port}", "--threads=4", f"--connection-limit={MANY}",
        f"--channel-timeout={LONG}", "--asyncore-use-poll", "app_module:app",
    )  # fmt: skip


def _uvicorn(certificate: Path | None) -> Command:
    secret = ["--ssl-certfile", str(certificate), "--ssl-keyfile", str(certificate)] if certificate else []
    return python(
        "uvicorn", "--loop", "uvloop", "--http", "httptools", "--lifespan", "off", "--no-access-log",
        "--log-level", "warning", "--timeout-keep-alive", LONG, *secret,
        "--host", "127.0.0.1", "--port", "{port}", "app_module:asgi",
    )  # fmt: skip


def _granian(certificate: Path | None) -> Command:
    secret = ["--ssl-certificate", str(certificate), "--ssl-keyfile", str(certificate)] if certificate else []
    return python(
        "granian", "--interface", "wsgi", "--workers", "1", "--blocking-threads", "1",
        "--http", "1", "--no-ws", "--log-level", "warning",
        "--backlog", MANY, "--backpressure", MANY, *secret,
        "--host", "127.0.0.1", "--port", "{port}", "app_module:app",
    )  # fmt: skip


NGINX = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr error;
{user}
events {{ worker_connections {many}; }}
http {{
    access_log off;
    keepalive_timeout {long};
    keepalive_requests 1000000;
    client_body_temp_path {folder}/nginx-body;
    proxy_temp_path {folder}/nginx-proxy;
    fastcgi_temp_path {folder}/nginx-fastcgi;
    uwsgi_temp_path {folder}/nginx-uwsgi;
    scgi_temp_path {folder}/nginx-scgi;
    {secret}
    server {{
        listen 127.0.0.1:{port}{tls} backlog=1024;
        default_type text/plain;
        location / {{ return 200 "Hello, world!"; }}
    }}
}}
"""


def _nginx(certificate: Path | None) -> Command:
    def command(port: int, folder: Path) -> list[str]:
        # Debian keeps it where only root's path leads.
        program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
        if program is None:
            raise Missing("not installed (no command nginx)")
        settings = folder / f"nginx-{port}.conf"
        settings.write_text(_nginx_settings(certificate, port, folder), encoding="utf-8")
        return [program, "-p", str(folder), "-c", str(settings)]

    return command


def _nginx_settings(certificate: Path | None, port: int, folder: Path) -> str:
    secret = f"ssl_certificate {certificate}; ssl_certificate_key {certificate};" if certificate else ""
    # Its workers would change to a user who cannot enter the folder.
    user = "user root;" if os.geteuid() == 0 else ""
    return NGINX.format(
        folder=folder, port=port, secret=secret, tls=" ssl" if certificate else "", user=user,
        long=LONG, many=MANY,
    )  # fmt: skip
