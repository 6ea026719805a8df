"""Who serves files of a folder: one worker on one core, uncompressed, without a log."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from bench.common import Missing
from bench.peers.checks import answers
from bench.peers.http_servers import FAST, serving
from bench.peers.process import Peer, python

__all__ = ["CONNECTIONS", "REQUESTS", "peers", "portico", "write_files"]

SIZES = {"1 KiB": 1 << 10, "1 MiB": 1 << 20, "100 MiB": 100 << 20}
CONNECTIONS = {"1 MiB": 16, "100 MiB": 4}
"""Where the usual number would only measure how many can be begun."""
BLOCK = bytes(range(256)) * 4
NAMES = {kind: f"{size}.bin" for kind, size in SIZES.items()}
REQUESTS = {
    kind: f"GET /files/{name} HTTP/1.1\r\nHost: localhost:8000\r\n\r\n".encode("ascii")
    for kind, name in NAMES.items()
}
# The largest is counted by the generator: comparing it again and again would take all the time.
CHECK = answers([(REQUESTS[kind], BLOCK * (SIZES[kind] // len(BLOCK))) for kind in ("1 KiB", "1 MiB")])
APP = "static_app:app"


def write_files(folder: Path) -> None:
    """The files, in ``files`` below a folder."""
    (folder / "files").mkdir()
    for kind, size in SIZES.items():
        with (folder / "files" / NAMES[kind]).open("wb") as file:
            for _ in range(size // len(BLOCK)):
                file.write(BLOCK)


def portico(engine: str | None = None, *, compiled: bool = False) -> Peer:
    """Portico's own command."""
    options = ["--engine", engine] if engine else []
    command = python("portico", "serve", "/files={folder}/files", "--at", "http://127.0.0.1:0", *options)
    name = " ".join(["portico", *(["compiled"] if compiled else []), *([engine] if engine else [])])
    path = FAST if compiled else None
    return Peer(name, "Python", command, CHECK, "portico.__main__", announces=True, path=path)


def peers() -> dict[str, Peer]:
    """In the order in which they are shown; servers of WSGI applications by way of ``static_app``."""
    granian = python(
        "granian", "--interface", "wsgi", "--workers", "1", "--blocking-threads", "1",
        "--http", "1", "--no-ws", "--log-level", "warning",
        "--static-path-route", "/files", "--static-path-mount", "{folder}/files",
        "--host", "127.0.0.1", "--port", "{port}", "app_module:app",
    )  # fmt: skip
    # fastwsgi takes no wrapper of its own for an answer.
    own = ("portico", "granian", "fastwsgi")
    others = [peer for peer in serving(APP, CHECK) if not peer.name.startswith(own)]
    rows = [
        Peer("nginx", "C", _nginx, CHECK),
        portico(compiled=True),
        portico(),
        Peer("granian", "Rust", granian, CHECK, "granian"),
        *others,
    ]
    return {peer.name: peer for peer in rows}


NGINX = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr error;
{user}
events {{ }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 100000000;
    client_body_temp_path {folder}/nginx-body;
    proxy_temp_path {folder}/nginx-proxy;
    fastcgi_temp_path {folder}/nginx-fastcgi;
    uwsgi_temp_path {folder}/nginx-uwsgi;
    scgi_temp_path {folder}/nginx-scgi;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        root {folder};
    }}
}}
"""


def _nginx(port: int, folder: Path) -> list[str]:
    # Debian keeps it where only root's path leads.
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise Missing("not installed (no command nginx)")
    # Its workers would change to a user who cannot enter the folder.
    user = "user root;" if os.geteuid() == 0 else ""
    settings = folder / "nginx.conf"
    settings.write_text(NGINX.format(folder=folder, port=port, user=user), encoding="utf-8")
    return [program, "-p", str(folder), "-c", str(settings)]
