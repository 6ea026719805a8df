"""The same requests to nginx and to us: the same answers, and where not, on purpose."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from portico.server import Server
from portico.web.static import Static
from tests.peers import need
from tests.web.test_variants import BESIDE, TEXT

CONFIG = """
daemon off; worker_processes 1; pid nginx.pid; error_log stderr crit; {user}
events {{ worker_connections 64; }}
http {{
  types {{ text/plain txt; text/html html; application/octet-stream bin; }}
  client_body_temp_path t; proxy_temp_path t; fastcgi_temp_path t; uwsgi_temp_path t; scgi_temp_path t;
  access_log off; sendfile on; gzip_static on; gzip_vary on; charset utf-8; absolute_redirect off;
  server {{ listen unix:{socket}; root {root}; index index.html; }}
}}
"""
OLD = "Sun, 06 Nov 1994 08:49:37 GMT"


class Answer(NamedTuple):
    status: int
    fields: dict[str, str]
    body: bytes


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("site") / "root"
    files = {"ten.txt": b"0123456789", "empty.txt": b"", "a.txt": TEXT, "a.txt.gz": BESIDE["gz"]}
    files |= {"index.html": b"home", "sub/index.html": b"sub", "bare/x.txt": b"x", "big.bin": TEXT * 10}
    files |= {"with space.txt": b"1", "größe.txt": b"2", "100%.txt": b"3", "back\\slash.txt": b"4"}
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    (root / "link.txt").symlink_to("ten.txt")
    os.mkfifo(root / "fifo")
    old = time.time() - 3600
    for path in root.rglob("*.*"):
        os.utime(path, (old, old))
    return root


@pytest.fixture(scope="module")
def nginx(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("nginx")
    (folder / "logs").mkdir()
    user = "user root;" if os.geteuid() == 0 else ""
    text = CONFIG.format(socket=folder / "n.sock", root=site, user=user)
    (folder / "nginx.conf").write_text(text)
    command = [need("nginx"), "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        until = time.monotonic() + 20
        while not (folder / "n.sock").exists() and time.monotonic() < until and process.poll() is None:
            time.sleep(0.02)
        try:
            assert process.poll() is None, process.stderr
            yield folder / "n.sock"
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def ours(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("portico") / "p.sock"
    with Server(Static(site), f"unix:{path}"):
        yield path


def ask(path: Path, method: str, target: str, fields: dict[str, str]) -> Answer:
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(path))
        client.sendall(f"{method} {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{lines}\r\n".encode())
        received = b"".join(iter(lambda: client.recv(65536), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    return Answer(
        int(first.split()[1]), {n.lower(): v for n, _, v in (x.partition(": ") for x in rest)}, body
    )


def filled(path: Path, fields: dict[str, str]) -> dict[str, str]:
    """``fields`` with what a client knows from an earlier answer."""
    said = ask(path, "GET", "/ten.txt", {}).fields
    known = {"TAG": said["etag"], "DATE": said["last-modified"]}
    return {name: re.sub("TAG|DATE", lambda each: known[each[0]], value) for name, value in fields.items()}


def essence(answer: Answer) -> dict[str, Any]:
    """What must be equal: bodies of errors, tags and boundaries are each server's own."""
    told = {"status": answer.status}
    for name in ("content-range", "content-encoding", "location"):
        told[name] = answer.fields.get(name)
    if answer.status in (200, 206, 304):
        told["tagged"] = "etag" in answer.fields and "last-modified" in answer.fields
    if answer.status in (200, 206):
        kind = answer.fields["content-type"]
        told["type"] = re.sub("boundary=.*", "", kind).replace("; charset=utf-8", "")
        told["length"] = None if "multipart" in kind else answer.fields["content-length"]
        told["body"] = (
            re.findall(rb"\r\n\r\n([^\r]*)\r\n", answer.body) if "multipart" in kind else answer.body
        )
        told["vary"] = answer.fields.get("vary")
        # nginx gives no parts of what is compressed.
        if answer.status == 200 and not told["content-encoding"]:
            told["accept-ranges"] = answer.fields.get("accept-ranges")
    return told


SAME = [
    ("GET", "/", {}),
    ("GET", "/ten.txt", {}),
    ("HEAD", "/ten.txt", {}),
    ("GET", "/ten.txt?query=1", {}),
    ("GET", "/empty.txt", {}),
    ("GET", "/big.bin", {}),
    ("HEAD", "/big.bin", {}),
    ("GET", "/link.txt", {}),
    ("GET", "/with%20space.txt", {}),
    ("GET", "/gr%C3%B6%C3%9Fe.txt", {}),
    ("GET", "/100%25.txt", {}),
    ("GET", "/back%5Cslash.txt", {}),
    ("GET", "//ten.txt", {}),
    ("GET", "/sub//index.html", {}),
    ("GET", "/sub", {}),
    ("GET", "/sub?a=b", {}),
    ("GET", "//sub", {}),
    ("GET", "/sub/", {}),
    ("HEAD", "/sub/", {}),
    ("GET", "/none", {}),
    ("GET", "/TEN.TXT", {}),
    ("GET", "/ten.txt/", {}),
    ("GET", "/ten.txt/more", {}),
    ("GET", "/fifo", {}),
    ("GET", "/" + "x" * 300, {}),
    ("POST", "/ten.txt", {"Content-Length": "0"}),
    ("DELETE", "/ten.txt", {}),
    ("GET", "/a.txt", {"Accept-Encoding": "gzip"}),
    ("HEAD", "/a.txt", {"Accept-Encoding": "deflate, gzip;q=0.5"}),
    ("GET", "/a.txt", {"Accept-Encoding": "identity"}),
    *[
        ("GET", "/ten.txt", {"Range": f"bytes={asked}"})
        for asked in (
            "0-3",
            "4-",
            "-3",
            "-99",
            "0-99",
            "9-9",
            "10-",
            "-0",
            "0-0,5-6",
            "8-9,0-1",
            "0-,0-",
            " 1-2",
        )
    ],
    ("GET", "/ten.txt", {"Range": "lines=0-3"}),
    ("GET", "/ten.txt", {"Range": "BYTES=0-3"}),
    ("GET", "/big.bin", {"Range": "bytes=1000-200000"}),
    ("GET", "/ten.txt", {"If-None-Match": "TAG"}),
    ("HEAD", "/ten.txt", {"If-None-Match": "TAG"}),
    ("GET", "/ten.txt", {"If-None-Match": "W/TAG"}),
    ("GET", "/ten.txt", {"If-None-Match": '"x", W/"y" , TAG'}),
    ("GET", "/ten.txt", {"If-None-Match": "*"}),
    ("GET", "/ten.txt", {"If-None-Match": '"x"'}),
    ("GET", "/ten.txt", {"If-None-Match": '"x"', "If-Modified-Since": "DATE"}),
    ("GET", "/ten.txt", {"If-Modified-Since": "DATE"}),
    ("GET", "/ten.txt", {"If-Modified-Since": OLD}),
    ("GET", "/ten.txt", {"If-Modified-Since": "yesterday"}),
    ("GET", "/ten.txt", {"If-Match": "TAG"}),
    ("GET", "/ten.txt", {"If-Match": "W/TAG"}),
    ("GET", "/ten.txt", {"If-Match": '"x"'}),
    ("GET", "/ten.txt", {"If-Match": "*"}),
    ("GET", "/ten.txt", {"If-Unmodified-Since": "DATE"}),
    ("GET", "/ten.txt", {"If-Unmodified-Since": OLD}),
    ("GET", "/ten.txt", {"If-Unmodified-Since": "Sunday, 06-Nov-94 08:49:37 GMT"}),
    ("GET", "/ten.txt", {"If-Unmodified-Since": "Sun Nov  6 08:49:37 1994"}),
    ("GET", "/ten.txt", {"Range": "bytes=0-1", "If-Range": "TAG"}),
    ("GET", "/ten.txt", {"Range": "bytes=0-1", "If-Range": "W/TAG"}),
    ("GET", "/ten.txt", {"Range": "bytes=0-1", "If-Range": "DATE"}),
    ("GET", "/ten.txt", {"Range": "bytes=0-1", "If-Range": OLD}),
    ("GET", "/ten.txt", {"Range": "bytes=99-", "If-Range": '"x"'}),
    ("GET", "/ten.txt", {"Range": "bytes=0-1", "If-None-Match": "TAG"}),
    ("GET", "/none", {"If-None-Match": "*"}),
]


@pytest.mark.parametrize(("method", "target", "fields"), SAME)
def test_nginx_answers_the_same(
    nginx: Path, ours: Path, method: str, target: str, fields: dict[str, str]
) -> None:
    theirs, mine = (essence(ask(path, method, target, filled(path, fields))) for path in (nginx, ours))
    assert mine == theirs


OTHERWISE = [
    ("GET", "/sub/../ten.txt", {}, 200, 404, "dot segments are refused, not resolved"),
    ("GET", "/sub%2Findex.html", {}, 200, 404, "an encoded slash is part of a name, which no file has"),
    ("GET", "/ten.txt%00", {}, 400, 404, "and neither is NUL in one"),
    ("OPTIONS", "/ten.txt", {}, 405, 204, "says what is allowed"),
    ("GET", "/bare/", {}, 403, 404, "a folder that shows nothing is not there"),
    ("HEAD", "/ten.txt", {"Range": "bytes=0-3"}, 206, 200, "RFC 9110, 14.2: ranges are for GET"),
    ("GET", "/ten.txt", {"Range": "bytes=x"}, 416, 200, "RFC 9110, 14.2: what is no range is ignored"),
    ("GET", "/ten.txt", {"Range": "bytes=0-3,"}, 416, 206, "RFC 9110, 5.6.1: lists may have empty members"),
    ("GET", "/empty.txt", {"Range": "bytes=0-0"}, 200, 416, "nothing of it is there"),
    ("GET", "/a.txt", {"Accept-Encoding": "gzip", "Range": "bytes=0-9"}, 200, 206, "of the gzip form"),
    ("POST", "/sub", {"Content-Length": "0"}, 301, 405, "a method that nothing here knows"),
]


@pytest.mark.parametrize(("method", "target", "fields", "theirs", "mine", "why"), OTHERWISE)
def test_we_answer_otherwise_on_purpose(
    nginx: Path,
    ours: Path,
    method: str,
    target: str,
    fields: dict[str, str],
    theirs: int,
    mine: int,
    why: str,
) -> None:
    assert ask(nginx, method, target, fields).status == theirs
    assert ask(ours, method, target, fields).status == mine, why
