"""Programs written for ``socketserver``, with their import changed."""

from __future__ import annotations

import os
import queue
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from portico.compat import socketserver
from portico.sockets.certificates import make_self_signed


class Upper(socketserver.BaseRequestHandler):
    def handle(self):
        self.data = self.request.recv(1024).strip()
        self.request.sendall(self.data.upper())


class UpperLines(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line.upper())


class UpperDatagram(socketserver.BaseRequestHandler):
    def handle(self):
        data, sock = self.request
        sock.sendto(data.strip().upper(), self.client_address)


class Served:
    """``serve_forever`` in a thread, as the documentation does it."""

    def __init__(self, server):
        self.server = server

    def __enter__(self):
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        return self.server

    def __exit__(self, *exc):
        self.server.shutdown()
        self.thread.join(20)
        assert not self.thread.is_alive()
        self.server.server_close()


def connected(server):
    return socket.create_connection(server.server_address, timeout=20)


def ask(address, data=b"hello\n"):
    with socket.create_connection(address, timeout=20) as client:
        client.sendall(data)
        return client.recv(1024)


@pytest.mark.parametrize("engine", ["inline", "threads", "events"])
def test_the_tcp_example(engine, no_leaks):
    class Server(socketserver.TCPServer):
        pass

    Server.engine = engine
    with Served(Server(("127.0.0.1", 0), Upper)) as server:
        assert ask(server.server_address) == b"HELLO"
        assert ask(server.server_address) == b"HELLO"


@pytest.mark.parametrize("engine", ["inline", "threads", "events"])
def test_the_udp_example(engine, no_leaks):
    server = socketserver.UDPServer(("127.0.0.1", 0), UpperDatagram)
    server.engine = engine
    with Served(server), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(20)
        client.sendto(b"hello", server.server_address)
        assert client.recv(100) == b"HELLO"


def test_a_datagram_may_be_sent_elsewhere_and_is_cut_at_its_packet_size():
    class Forward(socketserver.BaseRequestHandler):
        def handle(self):
            data, sock = self.request
            sock.sendto(data, other.getsockname())

    class Server(socketserver.ThreadingUDPServer):
        max_packet_size = 4

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        other.settimeout(20)
        with Served(Server(("127.0.0.1", 0), Forward)) as server:
            other.sendto(b"hello", server.server_address)
            assert other.recv(100) == b"hell"


def test_the_threaded_example():
    names = []

    class Threaded(socketserver.ThreadingMixIn, socketserver.TCPServer):
        pass

    barrier = threading.Barrier(3)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            names.append(threading.get_ident())
            barrier.wait(20)  # all of them are inside at once
            self.request.sendall(self.request.recv(10))

    with Served(Threaded(("127.0.0.1", 0), Handler)) as server, ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda _: ask(server.server_address), range(3))) == [b"hello\n"] * 3
    assert len(set(names)) == 3


def test_the_unix_example(tmp_path):
    path = str(tmp_path / "s")
    with Served(socketserver.UnixStreamServer(path, UpperLines)), socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        client.sendall(b"a\nb\n")
        client.shutdown(socket.SHUT_WR)
        assert client.makefile("rb").read() == b"A\nB\n"


def test_a_forking_server_forks_as_it_did():
    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.sendall(str(os.getpid()).encode())

    with Served(socketserver.ForkingTCPServer(("127.0.0.1", 0), Handler)) as server:
        assert int(ask(server.server_address)) != os.getpid()


def test_what_a_program_overrides_is_called():
    called = []

    class Server(socketserver.TCPServer):
        allow_reuse_address = True

        def server_bind(self):
            called.append("server_bind")
            super().server_bind()

        def server_activate(self):
            called.append("server_activate")
            super().server_activate()

        def verify_request(self, request, client_address):
            called.append("verify_request")
            return len(called) < 8

        def process_request(self, request, client_address):
            called.append("process_request")
            super().process_request(request, client_address)

        def finish_request(self, request, client_address):
            called.append("finish_request")
            super().finish_request(request, client_address)

        def shutdown_request(self, request):
            called.append("shutdown_request")
            super().shutdown_request(request)

        def close_request(self, request):
            called.append("close_request")
            super().close_request(request)

        def server_close(self):
            called.append("server_close")
            super().server_close()

    once = "verify_request process_request finish_request shutdown_request close_request".split()
    with Served(Server(("127.0.0.1", 0), Upper)) as server:
        assert ask(server.server_address) == b"HELLO"
        while len(called) < 7:
            time.sleep(0.01)
        called.append("and once more")
        assert ask(server.server_address, b"") == b""  # verify_request says no
    refused = ["verify_request", "shutdown_request", "close_request"]
    assert called == ["server_bind", "server_activate", *once, "and once more", *refused, "server_close"]


def test_a_request_may_be_given_to_a_pool_of_the_programs_own():
    with ThreadPoolExecutor(2) as pool:

        class Server(socketserver.ThreadingTCPServer):
            def process_request(self, request, client_address):
                pool.submit(self.process_request_thread, request, client_address)

        with Served(Server(("127.0.0.1", 0), UpperLines)) as server, connected(server) as client:
            client.sendall(b"one\n")
            assert client.recv(10) == b"ONE\n"
            client.sendall(b"two\n")
            assert client.recv(10) == b"TWO\n"


def test_a_request_that_nobody_closes_ends_when_it_is_let_go():
    class Server(socketserver.TCPServer):
        def process_request(self, request, client_address):
            self.finish_request(request, client_address)

    with Served(Server(("127.0.0.1", 0), Upper)) as server, connected(server) as client:
        client.sendall(b"x")
        assert client.makefile("rb").read() == b"X"


def test_what_a_handler_raises_goes_to_handle_error_and_costs_only_its_connection(capsys):
    class Broken(socketserver.BaseRequestHandler):
        def handle(self):
            raise ValueError("broken on purpose")

    with Served(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Broken)) as server:
        assert ask(server.server_address) == b""
        assert ask(server.server_address) == b""
    assert capsys.readouterr().err.count("ValueError: broken on purpose") == 2


def test_one_request_at_a_time_without_a_loop():
    with socketserver.TCPServer(("127.0.0.1", 0), Upper) as server:
        server.timeout = 20
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert ask(server.server_address) == b"HELLO"
        thread.join()
        timed_out = []
        server.timeout = 0.01
        server.handle_timeout = lambda: timed_out.append(True)
        server.handle_request()
        assert timed_out == [True]


def test_service_actions_are_called_while_it_serves():
    counted = threading.Event()

    class Server(socketserver.TCPServer):
        def service_actions(self):
            counted.set()

    server = Server(("127.0.0.1", 0), Upper)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    assert counted.wait(20)
    server.shutdown()
    thread.join()
    server.server_close()


def test_it_may_serve_a_second_time():
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Upper)
    for _ in range(2):
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        assert ask(server.server_address) == b"HELLO"
        server.shutdown()
        thread.join()
    server.server_close()


def test_the_time_out_of_a_handler_is_a_timeout_error(capsys):
    caught = []

    class Handler(socketserver.StreamRequestHandler):
        timeout = 0.05

        def handle(self):
            try:
                self.rfile.readline()
            except TimeoutError as error:
                caught.append(error)
                raise

    with (
        Served(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)) as server,
        connected(server) as client,
    ):
        assert client.recv(1) == b""
    assert len(caught) == 1
    assert "timed out" in capsys.readouterr().err


def tls_contexts(folder):
    """For a server, and for a client that trusts it."""
    pem = folder / "both.pem"
    pem.write_bytes(make_self_signed(["localhost"]))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context, ssl.create_default_context(cafile=str(pem))


def test_a_listening_socket_that_was_wrapped_for_tls_stays_wrapped(tmp_path):
    context, trusting = tls_contexts(tmp_path)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            self.wfile.write(f"{self.request.version()} {self.rfile.readline().decode()}".encode())

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with Served(server), trusting.wrap_socket(connected(server), server_hostname="localhost") as client:
        client.sendall(b"hello\n")
        assert client.makefile("rb").read() == b"TLSv1.3 hello\n"


@pytest.mark.parametrize(
    "read",
    [
        lambda request: request.makefile("rb").read(),
        lambda request: b"".join(iter(lambda: request.recv(100), b"")),
        lambda request: request.recv(100, socket.MSG_WAITALL),
    ],
    ids=["makefile", "recv", "all"],
)
def test_a_tls_client_that_just_closes_is_at_its_end(tmp_path, capsys, read):
    context, trusting = tls_contexts(tmp_path)
    context.num_tickets = 0  # what a client has not read when it closes would make it a reset
    seen = queue.Queue()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            seen.put(read(self.request))

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with Served(server):
        # As http.client does: closed without close_notify.
        with trusting.wrap_socket(connected(server), server_hostname="localhost") as client:
            client.sendall(b"hello\n")
        assert seen.get(timeout=10) == b"hello\n"
    assert capsys.readouterr().err == ""


def test_shutdown_leaves_what_has_begun_to_finish_and_closing_waits_for_it():
    inside, go_on, done = threading.Event(), threading.Event(), []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            inside.set()
            go_on.wait(20)
            done.append(True)
            self.request.sendall(b"done")

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with socket.create_connection(server.server_address, timeout=20) as client:
        assert inside.wait(20)
        server.shutdown()
        assert done == []
        threading.Timer(0.05, go_on.set).start()
        server.server_close()
        assert done == [True]
        assert client.recv(10) == b"done"
    thread.join()
