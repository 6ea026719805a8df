"""Programs written for ``http.server``, with their import changed, and its handlers served by ``Server``."""

from __future__ import annotations

import http.client
import http.server
import threading
import urllib.request
from functools import partial

import pytest

from portico import Server, ServerTLS, connect
from portico.compat.http.server import (
    BaseHTTPRequestHandler,
    HTTPServer,
    SimpleHTTPRequestHandler,
    ThreadingHTTPServer,
)
from portico.errors import ConfigError
from portico.sockets.tls import ClientTLS
from portico.web.kinds import as_gateway


class Quiet:
    def log_message(self, *args):
        pass


class Hello(Quiet, BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        said = f"{self.path} {self.headers['Host'] is not None} {self.server.server_port > -1}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(201)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.upper())


class Files(Quiet, SimpleHTTPRequestHandler):
    pass


@pytest.mark.parametrize("kind", [HTTPServer, ThreadingHTTPServer])
def test_the_example_of_the_documentation(kind):
    with kind(("127.0.0.1", 0), Hello) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        connection = http.client.HTTPConnection(*server.server_address, timeout=20)
        for _ in range(3):  # on one connection
            connection.request("GET", "/x?y")
            assert connection.getresponse().read() == b"/x?y True True"
        connection.request("POST", "/", b"data")
        assert connection.getresponse().read() == b"DATA"
        connection.close()
        server.shutdown()
        thread.join()


def test_a_folder_is_served(tmp_path):
    (tmp_path / "a.txt").write_text("the text")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=str(tmp_path))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        base = f"http://127.0.0.1:{server.server_port}"
        assert urllib.request.urlopen(f"{base}/a.txt", timeout=20).read() == b"the text"
        assert b"a.txt" in urllib.request.urlopen(base, timeout=20).read()
        server.shutdown()
        thread.join()


ENGINES = ["inline", "threads", "events", "forks:2", "workers:1/threads"]


@pytest.mark.parametrize(
    ("engine", "scheme"), [*((engine, "http") for engine in ENGINES), ("threads", "tcp"), ("events", "tcp")]
)
def test_a_handler_is_known_by_itself_on_every_engine(engine, scheme):
    with Server(Hello, f"{scheme}://127.0.0.1:0", engine=engine, grace=0.2) as server:
        address = server.addresses[0]
        connection = http.client.HTTPConnection(address.host, address.port, timeout=20)
        for _ in range(2):
            connection.request("GET", "/x")
            assert connection.getresponse().read() == b"/x True True"
        connection.close()


def test_over_tls_and_in_memory():
    tls = ServerTLS.self_signed(directory=None)
    for address, options in (("https://127.0.0.1:0", {"tls": tls}), ("memory:old", {})):
        with Server(Hello, address, grace=2, **options) as server:
            trust = ClientTLS(ca=tls.certificate_pem) if options else None
            with connect(server.addresses[0], tls=trust) as stream:
                stream.write(b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert stream.read_all().endswith(b"/x True True")


def test_it_is_no_gateway():
    with pytest.raises(ConfigError, match="handler of streams"):
        as_gateway(Hello)


def test_the_handlers_are_those_of_the_standard_library():
    assert BaseHTTPRequestHandler is http.server.BaseHTTPRequestHandler
    assert issubclass(HTTPServer, http.server.HTTPServer)


@pytest.mark.skipif(not hasattr(http.server, "CGIHTTPRequestHandler"), reason="Python 3.15 has it no more")
def test_what_a_version_still_has_is_there():
    from portico.compat.http.server import CGIHTTPRequestHandler

    assert CGIHTTPRequestHandler is http.server.CGIHTTPRequestHandler
