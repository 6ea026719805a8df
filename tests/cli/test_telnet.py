"""Telnet: negotiation that cannot loop, text in both directions, hostile peers, and real ones."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import ioctl
from itertools import pairwise
from typing import Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.cli.telnet import Telnet
from portico.cli.telnet_options import BINARY, ECHO, NAWS, SUPPRESS_GO_AHEAD, TERMINAL_TYPE, Side, State
from portico.errors import LimitExceeded, ProtocolError
from portico.limits import Limits
from tests.cli.talking import ENOUGH, PORTICO, accepting, talking, until
from tests.peers import need

IAC, DONT, DO, WONT, WILL, SB, SE = (bytes((n,)) for n in (255, 254, 253, 252, 251, 250, 240))
STRANGE = b"\x63"


def client(**limits: int) -> Telnet:
    return Telnet(
        (TERMINAL_TYPE, NAWS, SUPPRESS_GO_AHEAD, BINARY),
        (ECHO, SUPPRESS_GO_AHEAD, BINARY),
        terminal="xterm",
        limits=Limits().but(**limits),
    )


# -- the Q method (RFC 1143)

NO, YES = State.NO, State.YES
WN, WNO, WY, WYO = State.WANT_NO, State.WANT_NO_OPPOSITE, State.WANT_YES, State.WANT_YES_OPPOSITE


def side(state: State, *agreeable: int) -> Side:
    made = Side(agreeable)
    made._states[ECHO] = state
    return made


@pytest.mark.parametrize(
    ("state", "on", "then", "answer"),
    [
        (NO, True, YES, True),
        (NO, False, NO, None),
        (YES, True, YES, None),
        (YES, False, NO, False),
        (WN, True, NO, None),
        (WN, False, NO, None),
        (WNO, True, YES, None),
        (WNO, False, WY, True),
        (WY, True, YES, None),
        (WY, False, NO, None),
        (WYO, True, WN, False),
        (WYO, False, NO, None),
    ],
)
def test_what_the_peer_says_moves_an_option_as_rfc_1143_has_it(
    state: State, on: bool, then: State, answer: bool | None
) -> None:
    one = side(state, ECHO)
    assert one.received(ECHO, on) is answer
    assert one.state(ECHO) is then


@pytest.mark.parametrize(
    ("state", "on", "then", "say"),
    [
        (NO, True, WY, True),
        (NO, False, NO, None),
        (YES, True, YES, None),
        (YES, False, WN, False),
        (WN, True, WNO, None),
        (WN, False, WN, None),
        (WNO, True, WNO, None),
        (WNO, False, WN, None),
        (WY, True, WY, None),
        (WY, False, WYO, None),
        (WYO, True, WY, None),
        (WYO, False, WYO, None),
    ],
)
def test_what_we_want_moves_an_option_as_rfc_1143_has_it(
    state: State, on: bool, then: State, say: bool | None
) -> None:
    one = side(state, ECHO)
    assert one.ask(ECHO, on) is say
    assert one.state(ECHO) is then


def test_what_is_not_agreeable_is_refused_and_stays_off() -> None:
    one = Side(())
    assert one.received(ECHO, True) is False
    assert not one.on(ECHO)


@given(
    st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), max_size=30),
    st.booleans(),
    st.booleans(),
)
def test_two_sides_always_come_to_rest_and_agree(
    asks: list[tuple[bool, bool, bool]], one_agrees: bool, other_agrees: bool
) -> None:
    """Whoever wants what, in whatever order messages pass: no endless exchange, and one truth."""
    one, other = (Side((ECHO,) if agrees else ()) for agrees in (one_agrees, other_agrees))
    to_other: list[bool] = []
    to_one: list[bool] = []

    def post(box: list[bool], say: bool | None) -> None:
        if say is not None:
            box.append(say)

    def deliver(first: bool) -> None:
        box, reader, back = (to_other, other, to_one) if first else (to_one, one, to_other)
        if box:
            post(back, reader.received(ECHO, box.pop(0)))

    for by_one, on, deliver_now in asks:
        post(to_other if by_one else to_one, (one if by_one else other).ask(ECHO, on))
        if deliver_now:
            deliver(by_one)
    for _ in range(200):
        if not to_one and not to_other:
            break
        deliver(bool(to_other))
    assert not to_one
    assert not to_other
    assert one.on(ECHO) == other.on(ECHO)


# -- text and commands

DIALOGUE = [
    (b"login: ", b"login: ", b""),
    (b"a" + IAC + IAC + b"b", b"a\xffb", b""),
    (b"one\r\ntwo\r\0three", b"one\r\ntwo\rthree", b""),
    (b"\r\0\0", b"\r\0", b""),
    (b"\r" + IAC + b"\xf1" + b"\0x", b"\rx", b""),
    (b"\r" + IAC + IAC + b"\0", b"\r\xff\0", b""),
    (IAC + b"\xf1" + b"x" + IAC + b"\xf9", b"x", b""),
    (IAC + WILL + b"\x01", b"", IAC + DO + b"\x01"),
    (IAC + WILL + b"\x01" + IAC + WILL + b"\x01", b"", IAC + DO + b"\x01"),
    (IAC + WILL + b"\x01" + IAC + WONT + b"\x01", b"", IAC + DO + b"\x01" + IAC + DONT + b"\x01"),
    (IAC + WILL + STRANGE, b"", IAC + DONT + STRANGE),
    (IAC + DO + STRANGE, b"", IAC + WONT + STRANGE),
    (IAC + WONT + STRANGE + IAC + DONT + STRANGE, b"", b""),
    (IAC + DO + b"\x18", b"", IAC + WILL + b"\x18"),
    (
        IAC + DO + b"\x18" + IAC + SB + b"\x18\x01" + IAC + SE,
        b"",
        IAC + WILL + b"\x18" + IAC + SB + b"\x18\x00XTERM" + IAC + SE,
    ),
    (IAC + SB + b"\x18\x01" + IAC + SE + b"x", b"x", b""),  # nobody agreed to that
    (IAC + SB + b"\x18\x07" + IAC + SE + b"x", b"x", b""),
    (IAC + SB + b"\x00" + IAC + IAC + IAC + SE + b"x", b"x", b""),
    (IAC + SB + IAC + SE + b"x", b"x", b""),
    (IAC + WILL + b"\x00" + b"\r\0\xff\xff", b"\r\0\xff", IAC + DO + b"\x00"),
]


@pytest.mark.parametrize(("came", "text", "answer"), DIALOGUE)
@pytest.mark.parametrize("piece", [1, 2, 3, 1000])
def test_what_comes_is_text_or_answered(came: bytes, text: bytes, answer: bytes, piece: int) -> None:
    """The same, however it is cut."""
    telnet, got, said = client(), b"", b""
    for at in range(0, len(came), piece):
        got += telnet.receive(came[at : at + piece])
        said += telnet.output()
    assert (got, said) == (text, answer)


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=8))
def test_cutting_never_changes_what_was_meant(came: bytes, cuts: list[int]) -> None:
    def outcome(pieces: list[bytes]) -> tuple[bytes, bytes, str]:
        telnet, text, error = client(telnet_subnegotiation=20), b"", ""
        try:
            for piece in pieces:
                text += telnet.receive(piece)
        except (ProtocolError, LimitExceeded) as problem:
            return b"", b"", type(problem).__name__
        return text, telnet.output(), error

    places = [0, *sorted(cuts), len(came)]
    pieces = [came[a:b] for a, b in pairwise(places)]
    whole = outcome([came])
    assert outcome(pieces) == whole
    assert outcome([bytes((byte,)) for byte in came]) == whole


@given(st.lists(st.binary(max_size=20), max_size=8), st.booleans())
def test_what_one_end_sends_the_other_receives(pieces: list[bytes], binary: bool) -> None:
    one, other = client(), client()
    if binary:
        one.receive(IAC + DO + b"\0")
        other.receive(IAC + WILL + b"\0")
    wire = b"".join([*(one.send(piece, hold=True) for piece in pieces), one.end()])
    sent = b"".join(pieces)
    lines = sent if binary else re.sub(rb"\r?\n", b"\r\n", sent)
    assert other.receive(wire) == lines


@pytest.mark.parametrize(
    ("pieces", "wire"),
    [
        ([b"ls\n"], b"ls\r\n"),
        ([b"ls\r\n"], b"ls\r\n"),
        ([b"ls\r", b"\n"], b"ls\r\n"),
        ([b"a\rb"], b"a\r\0b"),
        ([b"a\r", b"b"], b"a\r\0b"),
        ([b"a\r"], b"a\r\0"),
        ([b"\xff"], b"\xff\xff"),
    ],
)
def test_line_ends_are_sent_as_telnet_has_them(pieces: list[bytes], wire: bytes) -> None:
    telnet = client()
    assert b"".join(telnet.send(piece, hold=True) for piece in pieces) + telnet.end() == wire


def test_a_key_is_never_held_back() -> None:
    assert client().send(b"\r") == b"\r\0"


def test_the_window_is_told_when_asked_for_and_when_it_changes() -> None:
    telnet = client()
    telnet.resize(80, 24)
    assert telnet.output() == b""
    telnet.receive(IAC + DO + b"\x1f")
    assert telnet.output() == IAC + WILL + b"\x1f" + IAC + SB + b"\x1f\0\x50\0\x18" + IAC + SE
    telnet.resize(80, 24)
    assert telnet.output() == b""
    telnet.resize(255, 70000)
    assert telnet.output() == IAC + SB + b"\x1f\0\xff\xff\xff\xff\xff\xff" + IAC + SE


@pytest.mark.parametrize("name", ["", "x" * 41, "caf\u00e9", "a\nb"])
def test_a_strange_terminal_is_unknown(name: str) -> None:
    telnet = Telnet((TERMINAL_TYPE,), (), terminal=name)
    telnet.receive(IAC + DO + b"\x18" + IAC + SB + b"\x18\x01" + IAC + SE)
    assert telnet.output().endswith(b"\0UNKNOWN" + IAC + SE)


# -- hostile peers


def test_a_subnegotiation_without_end_is_cut() -> None:
    telnet = client(telnet_subnegotiation=100)
    telnet.receive(IAC + SB + b"\x18" + bytes(99))
    with pytest.raises(LimitExceeded, match="subnegotiation of more than 100 bytes"):
        telnet.receive(bytes(100))


def test_escaped_bytes_count_in_a_subnegotiation_too() -> None:
    with pytest.raises(LimitExceeded):
        client(telnet_subnegotiation=100).receive(IAC + SB + (IAC + IAC) * 60)


def test_a_command_inside_a_subnegotiation_is_refused() -> None:
    with pytest.raises(ProtocolError, match="command 241 inside"):
        client().receive(IAC + SB + b"\x18" + IAC + b"\xf1")


@pytest.mark.parametrize(
    "again",
    [IAC + WILL + STRANGE, IAC + DO + b"\x18" + IAC + DONT + b"\x18", IAC + SB + b"\x18\x01" + IAC + SE],
)
def test_a_storm_of_options_is_cut(again: bytes) -> None:
    telnet = client(telnet_negotiations=50)
    with pytest.raises(LimitExceeded, match="more than 50 telnet negotiations"):
        telnet.receive(again * 60)
    assert len(telnet.output()) <= 50 * 12


def test_a_storm_ends_the_command_with_one_line() -> None:
    with accepting() as (listener, at), talking("connect", "--telnet", at) as running:
        peer, _ = listener.accept()
        with peer:
            threading.Thread(target=_flood, args=(peer, IAC + WILL + STRANGE), daemon=True).start()
            running.process.wait(ENOUGH)
            running.end(63)
        assert running.stderr == "portico: more than 10000 telnet negotiations on one connection\n"


def _flood(peer: socket.socket, data: bytes) -> None:
    try:
        while True:
            peer.sendall(data * 1000)
            peer.recv(65536)
    except OSError:
        pass


# -- real peers


@contextmanager
def telnetd(program: str) -> Iterator[str]:
    """A real telnet server that runs ``program`` for whoever comes; its address."""
    server, running = need("telnetd"), []

    def serve(listener: socket.socket) -> None:
        try:
            while True:
                peer, _ = listener.accept()
                with peer:
                    running.append(subprocess.Popen([server, "-h", "-E", program], stdin=peer, stdout=peer))
        except OSError:
            pass  # the test is over

    with accepting() as (listener, at):
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        try:
            yield at
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(ENOUGH)
            for each in running:
                each.kill()
                each.wait(ENOUGH)


class OnTerminal:
    """The command on a pseudo-terminal of 100 columns and 30 rows."""

    def __init__(self, *args: str) -> None:
        self.master, slave = pty.openpty()
        self.resize(100, 30)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.process = subprocess.Popen(
            [*PORTICO, *args], stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            env={**os.environ, "TERM": "xterm"},
        )  # fmt: skip
        self.shown = b""

    def resize(self, columns: int, rows: int) -> None:
        ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def until(self, pattern: bytes) -> re.Match[bytes]:
        while not (found := re.search(pattern, self.shown)):
            ready, _, _ = select.select([self.master], [], [], ENOUGH)
            assert ready, f"{pattern!r} never came: {self.shown!r}"
            self.shown += os.read(self.master, 65536)
        self.shown = self.shown[found.end() :]
        return found

    @property
    def raw(self) -> bool:
        return not termios.tcgetattr(self.slave)[3] & termios.ICANON

    def wait(self) -> int:
        """Its exit code; the terminal has to be as it was."""
        end = time.monotonic() + ENOUGH
        while self.process.poll() is None and time.monotonic() < end:
            if select.select([self.master], [], [], 0.05)[0]:
                self.shown += os.read(self.master, 65536)
        assert self.process.returncode is not None, self.shown
        assert termios.tcgetattr(self.slave) == self.before
        return self.process.returncode

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.kill()
        self.process.wait(ENOUGH)
        os.close(self.master)
        os.close(self.slave)


def test_a_session_on_a_real_telnet_server() -> None:
    """It echoes, so the terminal is raw; it knows the terminal's name and size, and new sizes."""
    with telnetd("/bin/sh") as at, OnTerminal("connect", f"telnet://{at}") as terminal:
        terminal.until(rb"[#$] ")
        until(lambda: terminal.raw, "the terminal is raw")
        terminal.type(b"echo term=$TERM size=$(stty size)\r")
        terminal.until(rb"term=xterm size=30 100\r\n")
        terminal.resize(120, 40)
        terminal.process.send_signal(signal.SIGWINCH)
        terminal.until(rb"[#$] ")
        terminal.type(b"while test \"$(stty size)\" != '40 120'; do sleep 0.05; done; echo 'it' knows\r")
        terminal.until(rb"\r\nit knows\r\n")
        terminal.type(b"sh -c \"echo slee'p'ing; exec sleep 100\"\r")  # a shell starts it, so it is in front
        terminal.until(rb"\r\nsleeping\r\n")
        terminal.type(b"\x03")  # ends the sleep over there, not the command here
        terminal.until(rb"[#$] ")
        terminal.type(b"exit 3\r")
        assert terminal.wait() == 0


def test_the_way_out_of_a_raw_terminal() -> None:
    with telnetd("/bin/sh") as at, OnTerminal("connect", f"telnet://{at}", "-v") as terminal:
        terminal.until(rb"Ctrl-\] ends the connection")
        terminal.until(rb"[#$] ")
        until(lambda: terminal.raw, "the terminal is raw")
        terminal.type(b"\x1d")
        assert terminal.wait() == 0


def test_a_signal_leaves_the_terminal_as_it_was() -> None:
    with telnetd("/bin/sh") as at, OnTerminal("connect", f"telnet://{at}") as terminal:
        terminal.until(rb"[#$] ")
        until(lambda: terminal.raw, "the terminal is raw")
        terminal.process.terminate()
        assert terminal.wait() == 143


def test_commands_piped_into_a_real_telnet_server() -> None:
    with telnetd("/bin/sh") as at, talking("connect", f"telnet://{at}", "--no-half-close") as running:
        assert running.read(2) in (b"# ", b"$ ")  # what comes before its shell is ready, telnetd forgets
        running.write(b"echo $((6*7)) $TERM\n")
        out = b""  # to be read before the shell exits: telnetd drops what it has not yet passed on
        while not re.search(rb"\n(# |\$ )?42 ", out):
            more = running.read(1)
            assert more, out
            out += more
        out += running.end(0, b"exit\n")
    assert b"\xff" not in out


def test_a_real_telnet_client_talks_with_listen() -> None:
    client_program = need("telnet")
    with talking("listen", "telnet://127.0.0.1:0") as running:
        command = [client_program, "127.0.0.1", str(running.port)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as peer:
            assert peer.stdin is not None
            assert peer.stdout is not None
            peer.stdin.write(b"hello\n")
            peer.stdin.flush()
            assert running.read(7) == b"hello\r\n"
            running.write(b"caf\xff\n")
            shown = b""
            while not re.search(rb"caf\xff\r?\n", shown):
                more = os.read(peer.stdout.fileno(), 4096)
                assert more, shown
                shown += more
            peer.kill()
        running.end(None)
