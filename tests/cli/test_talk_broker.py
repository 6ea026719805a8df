"""``portico listen --broker`` and ``--chat``: who hears whom, and who is let go."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.cli.talking import ENOUGH, Talking, connected, received, talk, talking
from tests.peers import need

pytestmark = pytest.mark.usefixtures("no_leaks")

HERE = "127.0.0.1:0"


@contextmanager
def brokering(*options: str) -> Iterator[Talking]:
    with talking("listen", HERE, *options) as running:
        yield running
        if running.process.poll() is None:
            running.process.send_signal(signal.SIGTERM)
            running.end(None)


def heard(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := sock.recv(size - len(data))):
        data += more
    return data


def test_all_others_hear_what_one_says_and_so_does_stdout() -> None:
    with brokering("--broker", "-v") as here, ExitStack() as stack:
        one, two, three = (stack.enter_context(connected(here.port)) for _ in range(3))
        here.until("user3 has come")
        here.write(b"to all")
        for each in (one, two, three):
            assert heard(each, 6) == b"to all"
        one.sendall(b"\0\xffbinary\n")
        for hearer in (two, three):
            assert heard(hearer, 9) == b"\0\xffbinary\n"
        assert here.read(9) == b"\0\xffbinary\n"
        two.sendall(b"back")
        assert heard(one, 4) == heard(three, 4) == b"back"
        one.shutdown(socket.SHUT_WR)
        three.sendall(b"who is left")
        assert heard(two, 11) == b"who is left"
        assert received(one) in (b"", b"who is left")


def test_the_end_of_stdin_ends_nothing() -> None:
    with brokering("--broker", "-v") as here, connected(here.port) as one:
        here.until("user1 has come")
        here.write(b"last words")
        here.process.stdin.close()
        assert heard(one, 10) == b"last words"
        one.sendall(b"still there")
        assert here.read(11) == b"still there"
        here.process.stdin = None


def test_a_chat_says_who_says_what_and_harms_no_terminal() -> None:
    with brokering("--chat") as here, connected(here.port) as one:
        assert here.read(6) == b"* user"
        one.sendall(b"hello \xc3\xbc\x1b[2J\r\nsecond\nhalf")
        one.shutdown(socket.SHUT_WR)
        text = b""
        while b"has gone" not in text:
            text += here.read(1)
        assert b"1 has come: tcp://127.0.0.1:" in text
        assert "<user1> hello ü\\x1b[2J\n<user1> second\n<user1> half\n* user1 has gone".encode() in text
        here.write(b"to nobody\n")


def test_ncat_and_socat_chat_with_each_other() -> None:
    with brokering("--chat") as here:
        at = here.port
        ncat = subprocess.Popen([need("ncat"), "127.0.0.1", str(at)], stdin=-1, stdout=-1)
        socat = subprocess.Popen([need("socat"), "-", f"TCP:127.0.0.1:{at}"], stdin=-1, stdout=-1)
        with ncat, socat:
            seen = b""
            while seen.count(b"has come") < 2:
                seen += here.read(1)
            assert ncat.stdin
            assert socat.stdout
            ncat.stdin.write(b"hello socat\n")
            ncat.stdin.flush()
            lines = iter(socat.stdout.readline, b"")
            assert any(line.endswith(b"> hello socat\n") for line in lines)
            ncat.kill()
            socat.kill()


def test_who_reads_too_slowly_is_let_go_and_nobody_waits_for_it() -> None:
    with brokering("--broker", "-v") as here, ExitStack() as stack:
        deaf, loud, good = (stack.enter_context(connected(here.port)) for _ in range(3))
        here.until("user3 has come")
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        here.process.stdin.close()
        here.process.stdin = None
        many, got = 64 << 20, 0
        chunk = bytes(1 << 16)
        # stdout is not read either: what does not fit there is dropped.
        good.setblocking(False)
        sent = 0
        while sent < many:
            loud.sendall(chunk)
            sent += len(chunk)
            try:
                while True:
                    got += len(good.recv(1 << 20))
            except BlockingIOError:
                pass
        here.until("reads too slowly, and was let go")
        good.settimeout(ENOUGH)
        assert got > 0
        deaf.settimeout(ENOUGH)
        with pytest.raises(ConnectionResetError):
            received(deaf)


@pytest.mark.parametrize(
    "option", [["--exec", "cat"], ["--telnet"], ["--crlf"], ["--hex"], ["--output", "x"]]
)
def test_what_is_for_one_conversation_is_refused(option: list[str]) -> None:
    _, said = talk("listen", HERE, "--broker", *option, code=2)
    assert f"{option[0]} is for one conversation, not for a broker" in said


def test_a_broker_is_for_streams() -> None:
    _, said = talk("listen", "-u", HERE, "--chat", code=2)
    assert "--broker is for streams" in said
