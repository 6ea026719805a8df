"""HTTP over TLS, with the clients that people use."""

from __future__ import annotations

import hashlib
import json
import random
import ssl
import subprocess
import time

import pytest
import trustme

from portico.sockets.tls import ServerTLS
from portico.web.wsgi import WSGI
from tests.http.served import ENGINES, Client, chunked, echo, get, post, serving
from tests.peers import need

LARGE = random.Random(7).randbytes(20 << 20)


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def files(authority, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    (folder / "large").write_bytes(LARGE)
    return folder


@pytest.fixture(scope="module")
def tls(files):
    return ServerTLS(certificate=files / "server.pem", key=files / "server.pem")


@pytest.fixture(params=ENGINES)
def engine(request):
    return request.param


def work(files):
    def answer(exchange):
        if exchange.path == "/file":
            exchange.start(200, [("Content-Length", str(len(LARGE)))])
            exchange.send_file(open(files / "large", "rb"), 0, len(LARGE))  # noqa: SIM115
        elif exchange.path == "/parts":
            exchange.start(200, [])
            for at in range(0, len(LARGE), 100_000):
                exchange.write(LARGE[at : at + 100_000])
        elif exchange.path == "/digest":
            exchange.respond(200, [], hashlib.sha256(exchange.body.read()).hexdigest().encode())
        else:
            echo(exchange)

    return answer


def secure(gateway, tls, engine="threads", **options):
    return serving(gateway, address="https://127.0.0.1:0", tls=tls, engine=engine, **options)


def connected(server, authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return Client(server, wrap=lambda sock: context.wrap_socket(sock, server_hostname="localhost"))


def curl(server, files, path, *options):
    done = subprocess.run(
        [
            need("curl"),
            "-sS",
            "--max-time",
            "30",
            "--cacert",
            files / "ca.pem",
            *options,
            f"https://127.0.0.1:{server.addresses[0].port}{path}",
        ],
        capture_output=True,
        timeout=40,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("streams", [False, True])
def test_curl_moves_large_bodies_both_ways(engine, tls, files, streams):
    digest = hashlib.sha256(LARGE).hexdigest().encode()
    with secure(work(files), tls, engine, streams=streams) as server:
        assert curl(server, files, "/hello") == b"GET /hello "
        assert curl(server, files, "/file") == LARGE
        assert curl(server, files, "/parts") == LARGE
        assert curl(server, files, "/digest", "-T", files / "large") == digest
        assert (
            curl(server, files, "/digest", "-T", files / "large", "-H", "Transfer-Encoding: chunked")
            == digest
        )
        assert curl(server, files, "/digest", "-T", files / "large", "-H", "Expect:") == digest
        assert curl(server, files, "/a", "-I").startswith(b"HTTP/1.1 200 OK\r\n")


def test_keep_alive_pipelining_and_the_proper_end(engine, tls, files, authority):
    with secure(work(files), tls, engine) as server, connected(server, authority) as client:
        client.send(get("/a"), post(b"b", "/b"), chunked([b"c", b"d"], "/c"), get("/e", "Connection: close"))
        assert [client.answer().body for _ in range(4)] == [
            b"GET /a ",
            b"POST /b b",
            b"POST /c cd",
            b"GET /e ",
        ]
        assert client.is_closed()  # with close_notify: a cut would be an error


def test_many_pipelined_requests_over_tls(tls, authority):
    with secure(echo, tls, limits={"pipelined": 10}) as server, connected(server, authority) as client:
        client.send(*(get(f"/{number}") for number in range(500)))
        for number in range(500):
            assert client.answer().body == b"GET /%d " % number


def test_an_early_error_reaches_a_client_that_still_sends(engine, tls, authority):
    with secure(echo, tls, engine, limits={"body": 1000}) as server, connected(server, authority) as client:
        client.send(get("/", f"Content-Length: {len(LARGE)}", method="POST"))
        for at in range(0, 2 << 20, 65536):
            client.send(LARGE[at : at + 65536])
        assert client.answer().status == 413


def test_an_application_knows_that_it_is_secure(tls, files):
    def app(environ, start_response):
        start_response("200 OK", [])
        wanted = ("wsgi.url_scheme", "HTTPS", "SERVER_PORT")
        return [json.dumps([environ[key] for key in wanted]).encode()]

    with secure(WSGI(app), tls) as server:
        assert json.loads(curl(server, files, "/")) == ["https", "on", str(server.addresses[0].port)]


def test_a_raw_request_by_openssl(tls, files):
    with secure(work(files), tls) as server:
        done = subprocess.run(
            [
                need("openssl"),
                "s_client",
                "-quiet",
                "-no_ign_eof",
                "-verify_return_error",
                "-CAfile",
                files / "ca.pem",
                "-connect",
                f"127.0.0.1:{server.addresses[0].port}",
                "-servername",
                "localhost",
                "-ign_eof",
            ],
            input=get("/raw", "Connection: close"),
            capture_output=True,
            timeout=20,
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"HTTP/1.1 200 OK\r\n")
    assert done.stdout.endswith(b"\r\n\r\nGET /raw ")


def test_plain_http_on_a_secure_port_and_silence_are_closed(engine, tls):
    with secure(echo, tls, engine, limits={"handshake": 0.3}) as server:
        with Client(server) as client:
            client.send(get())
            assert b"HTTP/1.1 200" not in client.rest()
        with Client(server) as client:
            began = time.monotonic()
            assert client.is_closed()
            assert time.monotonic() - began < 5


def test_a_slow_reader_over_tls_holds_its_producer_back(tls, authority):
    made = 0

    def produce(exchange):
        nonlocal made
        exchange.start(200, [])
        for _ in range(800):
            exchange.write(b"x" * 65536)
            made += 65536

    with secure(produce, tls) as server, connected(server, authority) as client:
        client.send(get("/", "Connection: close"))
        client._head()
        before = -1
        while before != made:
            before = made
            time.sleep(0.1)
        assert made < 32 << 20
        assert client.rest().endswith(b"\r\n0\r\n\r\n")
