"""TLS with programs that are not ours: openssl's client and server, and curl, on loopback."""

from __future__ import annotations

import re
import socket
import subprocess
from contextlib import contextmanager

import pytest

from portico.deadline import timeout
from portico.engines import door
from portico.errors import CertificateError, ConnectionLost, TLSError, Truncated
from portico.sockets.tls import ServerTLS
from portico.sockets.transport import READ, WRITE, SocketTransport
from tests.peers import need
from tests.sockets.tls_pairs import (
    LIMIT,
    accept_tls,
    authority,
    end_all,
    finish,
    issued,
    read_all,
    run,
    trusting,
    write_all,
)

BODY = bytes(range(256)) * 12_000  # 3 MB


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


@pytest.fixture
def ca(tmp_path):
    path = tmp_path / "ca.pem"
    path.write_bytes(authority().cert_pem.bytes())
    return path


@pytest.fixture
def me(tmp_path):
    path = tmp_path / "me.pem"
    path.write_bytes(issued("me@example.test", ca="clients"))
    return path


def port(listener):
    return listener.getsockname()[1]


def answer(listener, server, body=b"hello"):
    """One HTTP exchange, by hand: what was asked for and the facts of the channel."""
    end = accept_tls(listener, server)
    try:
        head = b""
        with timeout(LIMIT):
            while b"\r\n\r\n" not in head:
                data = end.recv(65536)
                if data is None:
                    door.wait(end, READ, "reading a head")
                elif not data:
                    raise EOFError(head)
                else:
                    head += data
        write_all(
            end, b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        end_all(end)
        return head, end.tls
    finally:
        end.close()


def curl(listener, *options, name="peer.test"):
    where = f"{name}:{port(listener)}"
    command = [
        need("curl"),
        "-sS",
        "--noproxy",
        "*",
        "--max-time",
        "20",
        "--resolve",
        f"{where}:127.0.0.1",
        *options,
    ]
    return subprocess.run([*command, f"https://{where}/"], capture_output=True, timeout=60)


def s_client(listener, *options, stdin=b"", timeout=30):
    command = [
        need("openssl"),
        "s_client",
        "-connect",
        f"127.0.0.1:{port(listener)}",
        "-servername",
        "peer.test",
    ]
    return subprocess.run([*command, *options], input=stdin, capture_output=True, timeout=timeout)


# -- servers of ours


def test_curl_fetches_three_megabytes(listener, ca):
    serving = run(answer, listener, ServerTLS(issued("peer.test"), alpn=("http/1.1",)), BODY)
    done = curl(listener, "--cacert", str(ca))
    assert done.stderr == b""
    assert done.stdout == BODY
    head, facts = serving()
    assert head.startswith(b"GET / HTTP/1.1\r\n")
    assert (facts.server_name, facts.alpn, facts.version) == ("peer.test", "http/1.1", "TLSv1.3")


def test_curl_speaks_tls_1_2_too(listener, ca):
    serving = run(answer, listener, ServerTLS(issued("peer.test")))
    assert curl(listener, "--cacert", str(ca), "--tls-max", "1.2").stdout == b"hello"
    assert serving()[1].version == "TLSv1.2"


def test_curl_refuses_what_it_does_not_trust_and_we_hear_of_it(listener, ca):
    for name, options in (("other.test", ["--cacert", str(ca)]), ("peer.test", [])):
        serving = run(answer, listener, ServerTLS(issued("peer.test")))
        assert curl(listener, *options, name=name).returncode == 60
        with pytest.raises((TLSError, ConnectionLost, EOFError)):
            serving()


def test_curl_trusts_a_self_signed_certificate_it_was_given(listener, tmp_path):
    server = ServerTLS.self_signed(["peer.test"], directory=None)
    (tmp_path / "trusted.pem").write_bytes(server.certificate_pem)
    serving = run(answer, listener, server)
    assert curl(listener, "--cacert", str(tmp_path / "trusted.pem")).stdout == b"hello"
    serving()


def test_curl_shows_its_certificate_or_is_refused(listener, ca, me):
    server = ServerTLS(
        issued("peer.test"), client_ca=authority("clients").cert_pem.bytes(), require_client_certificate=True
    )
    serving = run(answer, listener, server)
    assert curl(listener, "--cacert", str(ca), "--cert", str(me)).stdout == b"hello"
    assert serving()[1].peer_certificate["subjectAltName"] == (("email", "me@example.test"),)
    serving = run(answer, listener, server)
    refused = curl(listener, "--cacert", str(ca))
    assert refused.returncode
    assert b"certificate required" in refused.stderr
    with pytest.raises(TLSError, match="sent none"):
        serving()


def test_curl_gets_the_certificate_of_the_name_it_asks_for(listener, ca):
    server = ServerTLS(issued("default.test"), sni={"peer.test": ServerTLS(issued("peer.test"))})
    for name in ("peer.test", "default.test"):
        serving = run(answer, listener, server)
        assert curl(listener, "--cacert", str(ca), name=name).stdout == b"hello"
        assert serving()[1].server_name == name


def test_curl_sees_a_reloaded_certificate(listener, ca, tmp_path):
    path = tmp_path / "site.pem"
    path.write_bytes(issued("before.test"))
    server = ServerTLS(path)
    path.write_bytes(issued("peer.test"))
    server.reload()
    serving = run(answer, listener, server)
    assert curl(listener, "--cacert", str(ca)).stdout == b"hello"
    serving()


def renegotiations(listener, server):
    """Echo what comes over one connection; the error that ends it, if any."""
    end = accept_tls(listener, server)
    try:
        write_all(end, b"welcome\n")
        return read_all(end)
    finally:
        end.close()


def test_renegotiation_is_refused(listener):
    serving = run(renegotiations, listener, ServerTLS(issued("peer.test")))
    command = [need("openssl"), "s_client", "-connect", f"127.0.0.1:{port(listener)}", "-tls1_2"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as client:
        shown = b""
        while b"welcome" not in shown:  # the handshake is over, and it reads its commands
            shown += client.stdout.readline()
        client.stdin.write(b"R\n")
        client.stdin.flush()
        shown += client.communicate(timeout=30)[0]
    assert b"RENEGOTIATING" in shown
    assert re.search(rb"no renegotiation", shown)
    # It gives up without close_notify, or politely, depending on its version.
    try:
        assert serving() == b""
    except (Truncated, TLSError, ConnectionLost):
        pass


@pytest.mark.parametrize("option", ["-tls1", "-tls1_1"])
def test_openssl_with_an_old_version_is_refused(listener, option):
    serving = run(accept_tls, listener, ServerTLS(issued("peer.test")))
    done = s_client(listener, option, "-cipher", "ALL:@SECLEVEL=0")
    assert done.returncode
    with pytest.raises(TLSError, match="no version of TLS in common"):
        serving()


def test_openssl_verifies_the_chain_and_finds_compression_and_renegotiation_off(listener, ca):
    serving = run(answer, listener, ServerTLS(issued("peer.test")))
    done = s_client(
        listener,
        *("-CAfile", str(ca), "-verify_hostname", "peer.test", "-verify_return_error", "-ign_eof"),
        stdin=b"GET / HTTP/1.1\r\n\r\n",
    )
    assert done.returncode == 0
    assert b"Verify return code: 0 (ok)" in done.stdout
    assert b"Compression: NONE" in done.stdout
    assert b"hello" in done.stdout
    serving()


def test_a_plain_http_request_from_curl_is_recognised(listener):
    serving = run(accept_tls, listener, ServerTLS(issued("peer.test")))
    address = f"http://127.0.0.1:{port(listener)}/"
    subprocess.run([need("curl"), "-s", "--noproxy", "*", "--max-time", "20", address], timeout=60)
    with pytest.raises(TLSError, match="plain HTTP request"):
        serving()


# -- clients of ours


@contextmanager
def s_server(tmp_path, *options):
    """openssl's server on a free port: the port."""
    with started(tmp_path, *options) as (_, number):
        yield number


@contextmanager
def started(tmp_path, *options):
    path = tmp_path / "server.pem"
    path.write_bytes(issued("peer.test"))
    command = [need("openssl"), "s_server", "-accept", "127.0.0.1:0", "-cert", str(path), *options]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as server:
        try:
            while not (found := re.match(rb"ACCEPT \S+:(\d+)", server.stdout.readline())):
                assert server.poll() is None, "s_server did not start"
            yield server, int(found[1])
        finally:
            server.kill()
            server.communicate()


@contextmanager
def dialled(number, client, name="peer.test"):
    end = client.wrap(SocketTransport(socket.create_connection(("127.0.0.1", number))), name)
    try:
        yield end
    finally:
        end.close()


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_page_from_openssl(tmp_path, version):
    client = trusting(alpn=("h2", "http/1.1"))
    with s_server(tmp_path, "-www", version, "-alpn", "http/1.1") as number, dialled(number, client) as end:
        finish(end)
        write_all(end, b"GET / HTTP/1.0\r\n\r\n")
        assert read_all(end).startswith(b"HTTP/1.0 200 ok")
        assert end.tls.version == {"-tls1_2": "TLSv1.2", "-tls1_3": "TLSv1.3"}[version]
        assert end.tls.alpn == "http/1.1"


def test_a_file_from_openssl_while_we_send_one(tmp_path, monkeypatch):
    """``-rev`` echoes lines backwards: both directions flow at once."""
    lines = b"".join(b"%d abc\n" % number for number in range(20_000))
    with s_server(tmp_path, "-rev") as number, dialled(number, trusting()) as end:
        finish(end)
        writing = run(write_all, end, lines)
        got = bytearray()
        with timeout(LIMIT):
            while got.count(b"\n") < 20_000:
                data = end.recv(65536)
                assert data != b""
                got += data or b""
                if data is None:
                    door.wait(end, READ, "reading")
        writing()
        assert b"".join(line[::-1] + b"\n" for line in got.splitlines()) == lines


def test_an_untrusted_or_misnamed_openssl_server_is_refused(tmp_path):
    for client, name in ((trusting("another"), "peer.test"), (trusting(), "other.test")):
        with (
            s_server(tmp_path, "-www") as number,
            dialled(number, client, name) as end,
            pytest.raises(CertificateError),
        ):
            finish(end)


def test_openssl_demands_a_client_certificate(tmp_path, me):
    clients = tmp_path / "clients.pem"
    clients.write_bytes(authority("clients").cert_pem.bytes())
    options = ("-www", "-Verify", "1", "-verify_return_error", "-CAfile", str(clients))
    with s_server(tmp_path, *options) as number:
        with dialled(number, trusting(certificate=me)) as end:
            finish(end)
            write_all(end, b"GET / HTTP/1.0\r\n\r\n")
            assert b"200 ok" in read_all(end)
        with dialled(number, trusting()) as end:
            finish(end)
            with pytest.raises(TLSError, match="give certificate="):
                read_all(end)


def test_openssl_with_sni(tmp_path):
    second = tmp_path / "second.pem"
    second.write_bytes(issued("second.test"))
    options = ("-www", "-servername", "second.test", "-cert2", str(second), "-key2", str(second))
    with s_server(tmp_path, *options) as number:
        for name in ("second.test", "peer.test"):
            with dialled(number, trusting(), name) as end:
                finish(end)
                assert end.tls.server_name == name


def test_openssl_killed_in_mid_stream_is_a_truncation(tmp_path):
    with started(tmp_path) as (server, number), dialled(number, trusting()) as end:
        finish(end)
        server.kill()
        with pytest.raises(ConnectionLost):
            read_all(end)


def test_openssl_asks_for_new_keys_in_mid_stream(tmp_path):
    """``K`` at s_client: a key update that wants an answer (RFC 8446, 4.6.3)."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = run(key_updates, listener, ServerTLS(issued("peer.test")))
        command = [need("openssl"), "s_client", "-connect", f"127.0.0.1:{port(listener)}"]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as client:
            shown = b""
            for say, expect in ((b"", b"welcome"), (b"K\n", b"KEYUPDATE"), (b"after\n", b"got after")):
                client.stdin.write(say)
                client.stdin.flush()
                while expect not in shown:
                    line = client.stdout.readline()
                    assert line, shown
                    shown += line
            client.communicate(timeout=30)
        serving()


def key_updates(listener, server):
    end = accept_tls(listener, server)
    try:
        write_all(end, b"welcome\n")
        with timeout(LIMIT):
            while (data := end.recv(1000)) != b"":
                if data is None:
                    door.wait(end, READ, "reading")
                else:
                    write_all(end, b"got " + data)
        end_all(end)
    finally:
        end.close()


def test_the_kernel_is_asked_for_what_a_slow_peer_allows(listener):
    """Back-pressure over a real socket: the writer waits, and holds a bounded amount."""
    accepting = run(accept_tls, listener, ServerTLS(issued("peer.test")))
    with dialled(port(listener), trusting()) as end:
        finish(end)
        server = accepting()
        taken = 0
        while some := server.send(BODY[: 1 << 16]):
            taken += some
            assert taken < 1 << 26
        assert len(server._unsent) < 3 << 16
        assert server.interest(WRITE) == WRITE
        reading = run(read_all, end)
        write_all(server, b"the end")
        server.shutdown_write()
        assert len(reading()) == taken + 7
        server.close()
