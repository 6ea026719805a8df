"""The proxy in front of servers that we did not write, and between programs that know nothing of it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from portico.http.exchange import Exchange
from portico.server import Server
from portico.web.proxy import Proxy
from tests.http.served import Client, chunked, get, post, serving
from tests.peers import need, need_module
from tests.ports import free_port
from tests.web.proxy.upstreams import Scripted, Upside

SITE = b"a static page"
APP = """
from flask import Flask, Response, request
app = Flask(__name__)

@app.route("/echo", methods=["POST", "PUT"])
def echo():
    return request.get_data(), 200, {"X-Remote": request.headers["X-Forwarded-For"]}

@app.route("/stream")
def stream():
    return Response((f"part {n}\\n" for n in range(1000)), mimetype="text/plain")

@app.route("/login")
def login():
    return "", 302, {"Location": "/home", "Set-Cookie": "a=b; Path=/"}
"""


@contextmanager
def running(command: list[str], port: int, folder: Path) -> Iterator[None]:
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        until = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < until
                time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    program, port, folder = need("nginx"), free_port(), tmp_path_factory.mktemp("nginx")
    (folder / "index.html").write_bytes(SITE)
    (folder / "large").write_bytes(os.urandom(1 << 22))
    (folder / "nginx.conf").write_text(f"""
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    server {{ listen 127.0.0.1:{port}; root {folder}; keepalive_timeout 1s; keepalive_requests 5;
              location /old {{ return 301 /new; }} }}
}}
""")
    command = [program, "-c", str(folder / "nginx.conf"), "-p", str(folder)]
    with running(command, port, folder):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def gunicorn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    need_module("gunicorn")
    need_module("flask")
    port, folder = free_port(), tmp_path_factory.mktemp("gunicorn")
    (folder / "shop.py").write_text(APP)
    address = f"127.0.0.1:{port}"
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "-b",
        address,
        "-k",
        "gthread",
        "--keep-alive",
        "1",
        "shop:app",
    ]
    with running(command, port, folder):
        yield f"http://{address}"


@pytest.mark.parametrize("engine", ["threads", "events"])
def test_nginx_behind(nginx: str, engine: str) -> None:
    proxy = Proxy(nginx)
    with Server(proxy, "http://127.0.0.1:0", engine=engine) as server, Client(server) as client:
        for _ in range(12):  # nginx closes each connection after five requests
            assert client.ask(get("/")).body == SITE
        large = client.ask(get("/large"))
        part = client.ask(get("/large", "Range: bytes=100-199"))
        assert (part.status, part.body) == (206, large.body[100:200])
        assert client.ask(get("/large", f"If-None-Match: {large['etag']}")).status == 304
        assert client.ask(get("/large", method="HEAD"), "HEAD")["content-length"] == str(1 << 22)
        assert client.ask(get("/old"))["location"] == "/new"
        time.sleep(1.2)  # and rests them for a second
        assert client.ask(get("/missing")).status == 404
    assert not proxy.errors
    proxy.close()


@pytest.mark.parametrize("engine", ["threads", "events"])
def test_flask_under_gunicorn_behind(gunicorn: str, engine: str) -> None:
    proxy = Proxy(gunicorn)
    with Server(proxy, "http://127.0.0.1:0", engine=engine) as server, Client(server) as client:
        body = bytes(range(256)) * 4096
        for raw in (post(body, "/echo"), chunked([body[:100], body[100:]], "/echo"), post(b"", "/echo")):
            answer = client.ask(raw)
            assert (answer.status, answer["x-remote"]) == (200, "127.0.0.1")
            assert (
                hashlib.sha256(answer.body).digest() == hashlib.sha256(body if answer.body else b"").digest()
            )
        assert client.ask(get("/stream")).body == b"".join(b"part %d\n" % number for number in range(1000))
        # Flask makes its redirect of the host that the client asked for.
        assert client.ask(get("/login"))["location"] == "/home"
        time.sleep(1.3)  # gunicorn closes what rests
        assert client.ask(post(b"x", "/echo")).body == b"x"
    assert not proxy.errors
    proxy.close()


@pytest.mark.parametrize("engine", ["threads", "events"])
def test_websockets_through(engine: str) -> None:
    need_module("websockets")
    from websockets.asyncio.client import connect
    from websockets.asyncio.server import serve

    async def talk() -> None:
        async def echo(socket: Any) -> None:
            async for message in socket:
                await socket.send(message)

        async with serve(echo, "127.0.0.1", 0, max_size=None) as upstream:
            port = upstream.sockets[0].getsockname()[1]
            with Server(Proxy(f"http://127.0.0.1:{port}"), "http://127.0.0.1:0", engine=engine) as server:
                url = f"ws://127.0.0.1:{server.addresses[0].port}/chat"
                async with connect(url, max_size=None) as first, connect(url, max_size=None) as second:
                    large = os.urandom(3_000_000)
                    for client in (first, second):
                        await client.send("hello")
                        assert await client.recv() == "hello"
                    await first.send(large)
                    await second.send("meanwhile")
                    assert await second.recv() == "meanwhile"
                    assert await first.recv() == large

    asyncio.run(asyncio.wait_for(talk(), 40))


def test_a_huge_upload_and_download_hold_no_memory(tmp_path: Path) -> None:
    """In a process of its own, 200 MB each way; it may grow by what buffers hold and no more."""
    size = 200 << 20

    def talk(up: Upside) -> None:
        up.request()
        left = size
        left -= len(up.buffer)
        while left > 0:
            left -= len(up.sock.recv(min(left, 1 << 20)))
        up.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size >> 20):
            up.say(bytes(1 << 20))

    program = """
import sys
from portico.server import Server
from portico.web.proxy import Proxy
with Server(Proxy(sys.argv[1]), "http://127.0.0.1:0", engine=sys.argv[2]) as server:
    print(server.addresses[0].port, flush=True)
    sys.stdin.read()
"""
    with Scripted(talk) as up:
        command = [sys.executable, "-c", program, up.url, "threads"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        port = int(process.stdout.readline())
        before = psutil.Process(process.pid).memory_info().rss
        with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
            client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)

            def send() -> None:
                for _ in range(size >> 20):
                    client.sendall(bytes(1 << 20))

            sender = threading.Thread(target=send)
            sender.start()
            got = 0
            while got < size:
                data = client.recv(1 << 20)
                assert data
                got += len(data)
            sender.join()
        grown = psutil.Process(process.pid).memory_info().rss - before
        process.communicate("")
    assert grown < 30 << 20


def test_a_proxy_before_a_proxy_before_an_application() -> None:
    def who(exchange: Exchange) -> None:
        exchange.respond(
            200,
            [],
            "|".join(exchange.header(f"x-forwarded-{each}") or "" for each in ("for", "host")).encode(),
        )

    with serving(who) as app:
        inner = Proxy(f"http://127.0.0.1:{app.addresses[0].port}", trusted=["127.0.0.1"])
        with Server(inner, "http://127.0.0.1:0") as middle:
            outer = Proxy(f"http://127.0.0.1:{middle.addresses[0].port}", host="inner.example")
            with Server(outer, "http://127.0.0.1:0") as server, Client(server) as client:
                said = client.ask(get("/")).body
            outer.close()
        inner.close()
    assert said == b"127.0.0.1, 127.0.0.1|test"
