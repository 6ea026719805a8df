"""``portico connect --proxy``: real proxies, and proxies that answer anything."""

from __future__ import annotations

import socket
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from portico import Stream
from portico.cli.talk_proxy import Proxy
from portico.errors import (
    AddressError,
    AuthenticationError,
    ConfigError,
    ConnectError,
    LimitExceeded,
    PorticoError,
    ProtocolError,
)
from tests.cli.talking import ENOUGH, accepting, talk, talking, until
from tests.engines.serving import authority, issue
from tests.peers import need
from tests.ports import free_port

pytestmark = pytest.mark.usefixtures("no_leaks")

LOGIN = "joe", "secret: ü"
QUOTED = "joe:secret%3A%20%C3%BC"


# -- against programs


@contextmanager
def running(*command: str, port: int) -> Iterator[str]:
    """A proxy that listens at a port, which is given back."""

    def listens() -> bool:
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", port)) == 0

    with subprocess.Popen([need(command[0]), *command[1:]], stderr=subprocess.DEVNULL) as process:
        try:
            until(listens, f"{command[0]} to listen")
            yield f"127.0.0.1:{port}"
        finally:
            process.kill()


@contextmanager
def socks(*login: str) -> Iterator[str]:
    port = free_port()
    options = ("-u", login[0], "-P", login[1]) if login else ()
    with running("microsocks", "-i", "127.0.0.1", "-p", str(port), *options, port=port) as at:
        yield at


@contextmanager
def http(*login: str) -> Iterator[str]:
    port = free_port()
    options = ("--proxy-auth", ":".join(login)) if login else ()
    with running("ncat", "-lk", "127.0.0.1", str(port), "--proxy-type", "http", *options, port=port) as at:
        yield at


@pytest.mark.parametrize("kind", ["http", "socks5"])
@pytest.mark.parametrize("login", [(), LOGIN])
def test_a_conversation_by_way_of_a_real_proxy(kind: str, login: tuple[str, ...]) -> None:
    proxy = {"http": http, "socks5": socks}[kind]
    with proxy(*login) as at, accepting() as (listener, target):
        url = f"{kind}://{f'{QUOTED}@' if login else ''}{at}"
        with talking("connect", "--proxy", url, target.replace("127.0.0.1", "localhost")) as one:
            peer, _ = listener.accept()
            with peer:
                one.write(b"there")
                assert peer.recv(5) == b"there"
                peer.sendall(b"and back")
                assert one.read(8) == b"and back"
            one.end()
        if login:
            for wrong in (f"{kind}://{at}", f"{kind}://joe:wrong@{at}"):
                _, said = talk("connect", "--proxy", wrong, target, code=67)
                assert "login" in said
                assert "wrong" not in said
                assert "Traceback" not in said


def test_tls_to_the_target_through_a_proxy_is_verified_by_the_target_s_name(tmp_path: Path) -> None:
    both, ca = tmp_path / "both.pem", tmp_path / "ca.pem"
    both.write_bytes(issue())
    authority().cert_pem.write_to_path(str(ca))
    with socks() as at, talking("listen", "tls://127.0.0.1:0", "--cert", str(both), "--keep") as far:
        through = ("connect", "--proxy", f"socks5h://{at}", f"tls://localhost:{far.port}")
        _, said = talk(*through, code=60)
        assert "certificate" in said
        _, said = talk(*through, "--ca", str(ca), "--name", "other.example", code=60)
        assert "other.example" in said
        with talking(*through, "--ca", str(ca)) as near:
            near.write(b"secret")
            assert far.read(6) == b"secret"
            near.process.terminate()
            near.end(143)
        far.process.terminate()
        far.end(143)


def test_who_cannot_be_reached_is_told_as_the_proxy_says_it() -> None:
    with socks() as at:
        _, said = talk("connect", "--proxy", f"socks5h://{at}", f"127.0.0.1:{free_port()}", code=7)
        assert "cannot connect to 127.0.0.1: connection refused" in said
        _, said = talk("connect", "--proxy", f"http://{at}", "127.0.0.1:1", code=8)
        assert "the proxy" in said
        assert said.count("\n") == 1
    _, said = talk("connect", "--proxy", f"socks5h://127.0.0.1:{free_port()}", "127.0.0.1:1", code=7)
    assert "Connection refused" in said


# -- against any answer


def asked(url: str, answer: bytes, host: str = "example.org") -> tuple[bytes, bytes]:
    """What a proxy is sent, and what follows its answer on the stream."""
    near, far = socket.socketpair()
    with far, Stream.from_socket(near) as stream:
        far.settimeout(ENOUGH)
        far.sendall(answer)
        far.shutdown(socket.SHUT_WR)
        try:
            Proxy.parse(url).lead(stream, host, 25, lambda: stream)
            rest = stream.read_all()
        finally:
            stream.close()
            sent = far.recv(65536)
        return sent, rest


def test_what_http_is_asked_and_what_follows_its_answer_is_the_target_s() -> None:
    sent, rest = asked(f"http://{QUOTED}@p", b"HTTP/1.0 200 OK\r\nVia: x\r\n\r\n220 hello")
    login = b64encode(":".join(LOGIN).encode())
    assert sent == (
        b"CONNECT example.org:25 HTTP/1.1\r\nHost: example.org:25\r\nProxy-Authorization: Basic %s\r\n\r\n"
        % login
    )
    assert rest == b"220 hello"
    assert asked("p", b"HTTP/1.1 200\r\n\r\n", "::1")[0].startswith(b"CONNECT [::1]:25 HTTP/1.1\r\n")
    assert asked("p", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\n")[1] == b""


def test_what_socks_is_asked() -> None:
    good = b"\5\0\5\0\0\1\x7f\0\0\1\0\x50rest"
    name = b"\3\x0bexample.org"
    assert asked("socks5h://p", good) == (b"\5\1\0" + b"\5\1\0" + name + b"\0\x19", b"rest")
    assert asked("socks5h://p", good, "127.0.0.1")[0].endswith(b"\1\x7f\0\0\1\0\x19")
    assert asked("socks5h://p", good, "::1")[0].endswith(b"\4" + bytes(15) + b"\1\0\x19")
    user, password = (part.encode() for part in LOGIN)
    login = bytes([1, len(user)]) + user + bytes([len(password)]) + password
    for kind in (b"\4" + bytes(16), b"\3\3abc"):
        answer = b"\5\2" + b"\1\0" + b"\5\0\0" + kind + b"\0\1more"
        sent, rest = asked(f"socks5h://{QUOTED}@p", answer)
        assert sent == b"\5\2\0\2" + login + b"\5\1\0" + name + b"\0\x19"
        assert rest == b"more"


@pytest.mark.parametrize(
    ("url", "answer", "error", "words"),
    [
        ("http://p", b"HTTP/1.1 403 No way\r\n\r\n", ConnectError, "403 No way"),
        ("http://p", b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", ConnectError, "302"),
        ("http://p", b"HTTP/1.1 407 Login\r\n\r\n", AuthenticationError, "wants a login"),
        ("http://a:b@p", b"HTTP/1.1 407 Login\r\n\r\n", AuthenticationError, "not accept this login"),
        ("http://p", b"", ConnectError, "ended"),
        ("http://p", b"HTTP/1.1 200 OK\r\nVia: x\r\n", ConnectError, "ended"),
        ("http://p", b"HTTP/1.1 20 OK\r\n\r\n", ProtocolError, "not a status line"),
        ("http://p", b"HTTP/1.1 200 \x1b[31m\r\n\r\n", ProtocolError, "not a status line"),
        ("http://p", b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 1000 + b"\r\n", LimitExceeded, "header fields"),
        ("http://p", b"x" * 100_000, LimitExceeded, "8192"),
        ("socks5h://p", b"", ConnectError, "ended"),
        ("socks5h://p", b"\4\0", ProtocolError, "does not speak SOCKS5"),
        ("socks5h://p", b"\5\xff", AuthenticationError, "wants a login"),
        ("socks5h://p", b"\5\2", AuthenticationError, "wants a login"),
        ("socks5h://a:b@p", b"\5\1", AuthenticationError, "of another kind"),
        ("socks5h://a:b@p", b"\5\2\1\1", AuthenticationError, "not accept this login"),
        ("socks5h://p", b"\5\0\5\2\0", ConnectError, "its rules do not allow that"),
        ("socks5h://p", b"\5\0\5\x63\0", ConnectError, "reply 99"),
        ("socks5h://p", b"\5\0\4\0\0", ProtocolError, "not SOCKS5"),
        ("socks5h://p", b"\5\0\5\0\0\7", ProtocolError, "unknown kind"),
        ("socks5h://p", b"\5\0\5\0\0\1\0", ConnectError, "ended"),
    ],
)
def test_other_answers_are_one_clear_error(
    url: str, answer: bytes, error: type[PorticoError], words: str
) -> None:
    with pytest.raises(error, match=words) as found:
        asked(url, answer)
    assert type(found.value) is error


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://p", "ftp:// is no proxy"),
        ("http://", "no host"),
        ("http://p/path", "expected"),
        ("http://p:port", "port"),
        ("http://p:99999", "port"),
        ("socks5h://:x@p", "1 to 255 bytes"),
        ("socks5h://joe@p", "1 to 255 bytes"),
        (f"socks5h://joe:{'x' * 256}@p", "1 to 255 bytes"),
        ("http://a%3Ab:c@p", "colon"),
    ],
)
def test_what_is_no_proxy_is_refused(url: str, words: str) -> None:
    with pytest.raises((ConfigError, AddressError), match=words) as error:
        Proxy.parse(url)
    assert "x" * 256 not in str(error.value)


def test_ports_that_are_not_given() -> None:
    found = {str(Proxy.parse(url).address) for url in ("p", "https://p", "socks5h://[::1]")}
    assert found == {"tcp://p:3128", "tcp://p:443", "tcp://[::1]:1080"}


def test_no_proxy_leads_to_this_machine_s_sockets_or_carries_datagrams() -> None:
    for target in ("unix:/nowhere.sock", "udp://127.0.0.1:1"):
        _, said = talk("connect", "--proxy", "http://127.0.0.1:1", target, code=2)
        assert "--proxy" in said
