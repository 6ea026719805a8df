"""Handler classes of ``socketserver`` served by ``Server``, and what they find there."""

from __future__ import annotations

import errno
import logging
import os
import pickle
import socket
import socketserver
import subprocess
import sys
import threading
from ast import literal_eval
from functools import partial

import pytest

from portico import Server, ServerTLS, connect, datagrams, serve
from portico.compat import handler
from portico.errors import ConfigError
from portico.sockets.tls import ClientTLS

ENGINES = ["inline", "threads", "events"]
TLS = ServerTLS.self_signed(directory=None)


def talk(kind, address, data, engine="threads", **options):
    """Send, end, and read what comes."""
    secure = address.startswith("tls")
    with Server(kind, address, engine=engine, tls=TLS if secure else None, grace=2, **options) as server:
        trust = ClientTLS(ca=TLS.certificate_pem) if secure else None
        with connect(server.addresses[0], tls=trust) as stream:
            stream.write(data)
            stream.shutdown_write()
            return stream.read_all()


class Upper(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line.upper())


class Facts(socketserver.BaseRequestHandler):
    def setup(self):
        self.said = [type(self.server).__mro__[1].__name__]

    def handle(self):
        host, port = self.client_address[:2]
        self.said += [host, port, self.server.server_address[0], self.request.getpeername()]

    def finish(self):
        self.request.sendall(repr(self.said).encode())


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:0", "tcp://[::1]:0", "tls://127.0.0.1:0", "memory:old", "unix"]
)
def test_on_every_engine_and_address(engine, address, tmp_path):
    address = f"unix:{tmp_path}/s" if address == "unix" else address
    assert talk(Upper, address, b"a\nb", engine) == b"A\nB"
    assert talk(handler(Upper), address, b"a\nb", engine) == b"A\nB"


class Prefixed(Upper):
    def __init__(self, *arguments, prefix):
        self.prefix = prefix
        super().__init__(*arguments)

    def setup(self):
        super().setup()
        self.wfile.write(self.prefix)


@pytest.mark.parametrize("make", [partial, lambda *kind, **options: handler(partial(*kind, **options))])
@pytest.mark.parametrize("address", ["tcp://127.0.0.1:0", "http://127.0.0.1:0"])
def test_a_partial_of_a_class_is_served_too(make, address):
    assert talk(make(Prefixed, prefix=b"> "), address, b"a\n") == b"> A\n"


@pytest.mark.parametrize("engine", ["forks:2", "workers:1/threads"])
def test_in_processes(engine):
    assert talk(Upper, "tcp://127.0.0.1:0", b"a\n", engine) == b"A\n"


def test_it_finds_its_server_and_its_client():
    said = literal_eval(talk(Facts, "tcp://127.0.0.1:0", b"").decode())
    assert said[0] == "BaseServer"
    assert (said[1], said[3]) == ("127.0.0.1", "127.0.0.1")
    assert said[4] == ("127.0.0.1", said[2])
    said = literal_eval(talk(Facts, "memory:facts", b"").decode())
    assert said[1:] == ["memory:facts", 0, "memory:facts", ("memory:facts", 0)]


class UpperDatagram(socketserver.DatagramRequestHandler):
    def handle(self):
        self.wfile.write(self.rfile.read().upper())


class Back(socketserver.BaseRequestHandler):
    def handle(self):
        data, sock = self.request
        try:
            sock.sendto(data, ("127.0.0.1", 9))
        except OSError as error:
            data = b"not there" if error.errno == errno.EOPNOTSUPP else b""
        sock.sendto(data, 0, self.client_address)


@pytest.mark.parametrize("engine", ENGINES)
def test_datagrams(engine):
    for kind, answer in ((UpperDatagram, b"HELLO"), (handler(Back), b"not there")):
        server = Server(kind, "udp://127.0.0.1:0", engine=engine, grace=2)
        with server, datagrams(server.addresses[0]) as port:
            port.send(b"hello")
            assert port.receive().data == answer


def test_another_class_is_refused():
    for thing in (object, 5, Upper.handle):
        with pytest.raises(ConfigError, match="no handler class"):
            handler(thing)


def test_what_it_raises_is_logged_and_costs_only_its_connection(caplog):
    class Broken(socketserver.BaseRequestHandler):
        def handle(self):
            raise ValueError("broken on purpose")

    with Server(Broken, "tcp://127.0.0.1:0", grace=2) as server:
        for _ in range(2):
            with connect(server.addresses[0]) as stream:
                assert stream.read_all() == b""
    assert caplog.text.count("Broken with ('127.0.0.1', ") == 2


def test_a_peer_that_has_gone_is_no_fault(caplog):
    begun, gone = threading.Event(), threading.Event()

    class Late(socketserver.BaseRequestHandler):
        def handle(self):
            begun.set()
            gone.wait(20)
            try:
                for _ in range(100):
                    self.request.sendall(b"x" * 100_000)
            finally:
                gone.clear()

    caplog.set_level(logging.INFO)
    with Server(Late, "tcp://127.0.0.1:0", grace=5) as server:
        with connect(server.addresses[0]) as stream:
            assert begun.wait(20)
            stream.abort()
        gone.set()
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []
    assert "Late with" in caplog.text


def test_being_cut_by_the_end_of_the_server_is_no_fault(caplog):
    begun = threading.Event()

    class Waiting(socketserver.StreamRequestHandler):
        def handle(self):
            begun.set()
            self.rfile.readline()

    with Server(Waiting, "tcp://127.0.0.1:0", grace=0) as server, connect(server.addresses[0]):
        assert begun.wait(20)
        server.stop()
    assert caplog.text == ""


def test_it_may_end_its_server():
    class Last(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.sendall(b"bye")
            self.server.shutdown()

    def ready(server):
        def client():
            with connect(server.addresses[0]) as stream:
                heard.append(stream.read_all())

        threading.Thread(target=client).start()

    heard = []
    serve(Last, "tcp://127.0.0.1:0", ready=ready, grace=5)
    for thread in threading.enumerate():
        if thread.name.endswith("(client)"):
            thread.join(20)
    assert heard == [b"bye"]


def test_nothing_of_the_standard_library_is_imported_to_find_out():
    program = "import sys, portico; sys.exit('socketserver' in sys.modules or 'http.server' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def in_handler(work, data=b"", address="tcp://127.0.0.1:0"):
    """What ``work(request)`` gives where a handler would be, after a client has sent ``data``."""
    kept = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            kept.append(work(self.request))

    kept.append(talk(Handler, address, data))
    return kept


def test_receiving_as_from_a_socket():
    def work(request):
        buffer = bytearray(4)
        peeked = request.recv(3, socket.MSG_PEEK)
        return [
            peeked,
            request.recv(3),
            request.recv_into(buffer),
            bytes(buffer),
            request.recv_into(buffer, 2),
            request.recv(5, socket.MSG_WAITALL),
            request.recvfrom(1),
            request.recv(0),
            request.recv(100),
            request.recv(100),
        ]

    got, _ = in_handler(work, b"0123456789ABCDEFG")
    assert got == [b"012", b"012", 4, b"3456", 2, b"9ABCD", (b"E", None), b"", b"FG", b""]


def test_sending_as_to_a_socket(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"from a file")

    def work(request):
        sent = [request.send(b"one "), request.sendall(b"two ")]
        with path.open("rb") as file:
            sent += [request.sendfile(file, 5), file.tell()]
        with request.makefile("w", encoding="utf-8") as text:
            text.write(" ü")
        sent.append(request.sendmsg([b" in", bytearray(b" parts")]))
        request.shutdown(socket.SHUT_WR)
        try:
            request.sendall(b"x")
        except OSError as error:
            sent.append(type(error))
        return sent

    assert in_handler(work) == [[4, None, 6, 11, 9, BrokenPipeError], "one two a file ü in parts".encode()]


def test_time_outs_and_not_waiting():
    def work(request):
        errors = []
        for seconds in (0.01, 0.0):
            request.settimeout(seconds)
            assert request.gettimeout() == request.timeout == seconds
            try:
                request.recv(1)
            except OSError as error:
                errors.append(type(error))
        request.setblocking(True)
        assert request.getblocking()
        request.sendall(b"go")
        errors.append(request.recv(1))
        with pytest.raises(ValueError, match="range"):
            request.settimeout(-1)
        return errors

    kept = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            kept.append(work(self.request))

    with Server(Handler, "tcp://127.0.0.1:0", grace=2) as server, connect(server.addresses[0]) as stream:
        assert stream.read_exactly(2) == b"go"
        stream.write(b"x")
        assert stream.read_all() == b""
    (errors,) = kept
    assert issubclass(errors[0], TimeoutError)
    assert errors[1:] == [BlockingIOError, b"x"]


def test_options_names_and_descriptor():
    def work(request):
        request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return [
            request.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0,
            request.family,
            request.type,
            os.fstat(request.fileno()) is not None,
            request.getsockname()[0],
            request.version(),
        ]

    assert in_handler(work)[0] == [True, socket.AF_INET, socket.SOCK_STREAM, True, "127.0.0.1", None]


def test_where_there_is_no_socket():
    def work(request):
        request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # nothing to set
        try:
            request.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        except OSError as error:
            return [type(error).__name__, request.fileno()]

    assert in_handler(work, address="memory:nothing")[0] == ["OSError", -1]


def test_a_file_outlives_the_socket_that_it_was_made_of():
    def work(request):
        file = request.makefile("rb")
        request.close()
        with file:
            line = file.readline()
        assert request.closed.is_set()
        try:
            request.recv(1)
        except OSError as error:
            return [line, error.errno, request.fileno()]

    assert in_handler(work, b"line\n")[0] == [b"line\n", errno.EBADF, -1]


def test_a_socket_may_be_detached():
    def work(request):
        with socket.socket(fileno=request.detach()) as plain:
            plain.setblocking(True)
            plain.sendall(b"plain")

    assert in_handler(work)[1] == b"plain"


def test_under_tls_it_says_so_and_cannot_be_detached():
    def work(request):
        with pytest.raises(OSError, match="TLS"):
            request.detach()
        return request.version()

    assert in_handler(work, address="tls://127.0.0.1:0")[0] == "TLSv1.3"


def test_unknown_flags_and_pickling_are_refused():
    def work(request):
        with pytest.raises(OSError, match="flags"):
            request.recv(1, socket.MSG_OOB)
        with pytest.raises(TypeError):
            pickle.dumps(request)
        return repr(request).startswith("<StreamSocket <Stream tcp://")

    assert in_handler(work)[0] is True
