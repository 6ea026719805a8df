"""What the talking commands are made of: the relay, the record, the options."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.address import Address
from portico.cli.main import run
from portico.cli.talk_address import read_address, read_local
from portico.cli.talk_ends import Peer
from portico.cli.talk_notes import Facts
from portico.cli.talk_program import read_command, start_program
from portico.cli.talk_record import RECEIVED, SENT, HexRecord, RawRecord, crlf
from portico.cli.talk_relay import End, Relay, Rules
from portico.deadline import timeout
from portico.errors import ConfigError, ConnectionLost, ProtocolError, Timeout
from portico.sockets import memory
from portico.sockets.stream import Stream
from portico.sync import Event, spawn

pytestmark = pytest.mark.usefixtures("no_leaks")
SECONDS = 20.0


class Scripted:
    """An end that gives what it is told to, and keeps what it gets."""

    patience = inf

    def __init__(self, *gives: bytes | BaseException | Event) -> None:
        self._gives = list(gives)
        self.got = b""
        self.finished = Event()
        self.gone: Callable[[], None] | None = None
        self.stopped = False

    def read(self) -> bytes:
        while self._gives:
            item = self._gives.pop(0)
            if isinstance(item, Event):
                item.wait()
            elif isinstance(item, BaseException):
                raise item
            else:
                return item
        return b""

    def write(self, data: bytes) -> None:
        self.got += data

    def finish(self) -> None:
        self.finished.set()

    def watch(self, gone: Callable[[], None]) -> None:
        self.gone = gone

    def stop(self) -> None:
        self.stopped = True


def relay(near: Scripted, far: End, **rules: object) -> Relay:
    joined = Relay(near, far, Rules(**rules))  # type: ignore[arg-type]
    with timeout(SECONDS):
        joined.run()
    return joined


# -- the relay


def test_what_each_gives_goes_to_the_other_and_so_does_the_end() -> None:
    near, far = Scripted(b"one", b"two"), Scripted(b"three")
    done = relay(near, far)
    assert (near.got, far.got) == (b"three", b"onetwo")
    assert near.finished.is_set()
    assert far.finished.is_set()
    assert (done.sent, done.received) == (6, 5)
    assert near.stopped


def test_an_end_that_is_not_told_lets_the_other_go_on() -> None:
    near, far = Scripted(b"one"), Scripted(b"two")
    relay(near, far, half_close=False)
    assert not far.finished.is_set()
    assert near.got == b"two"


def test_nothing_is_read_from_an_end_that_shall_only_receive() -> None:
    near, far = Scripted(b"one"), Scripted(b"two")
    relay(near, far, send=False)
    assert (near.got, far.got) == (b"two", b"")


def test_a_far_end_that_goes_on_without_end_is_left_after_the_silence_that_was_asked_for() -> None:
    near, far = Scripted(b"one"), Scripted(b"two", Event())
    relay(near, far, quit_after=0.05)
    assert (near.got, far.got) == (b"two", b"one")


def test_no_patience_is_none_at_all() -> None:
    near, far = Scripted(b"one"), Scripted(Event())
    relay(near, far, quit_after=0.0)
    assert far.got == b"one"


def test_a_near_end_that_falls_silent_after_the_far_end_has_ended_is_left() -> None:
    near, far = Scripted(b"one", Event()), Scripted(b"two")
    near.patience = 0.05
    relay(near, far)
    assert (near.got, far.got) == (b"two", b"one")


def test_patience_is_about_silence_not_about_a_slow_taker() -> None:
    """The far end has ended, but still takes what is sent, slower than the near end's patience lasts."""
    slow = Event()

    class Slow(Scripted):
        def write(self, data: bytes) -> None:
            with timeout(0.3):
                try:
                    slow.wait()
                except Timeout:
                    pass
            super().write(data)

    near, far = Scripted(b"one", b"two"), Slow()
    near.patience = 0.02
    relay(near, far)
    assert far.got == b"onetwo"


def test_silence_in_both_directions_is_given_up_when_that_is_asked_for() -> None:
    with pytest.raises(Timeout, match=r"after 0\.05 s while waiting for anything to flow"):
        relay(Scripted(Event()), Scripted(Event()), idle=0.05)


def test_the_deadline_in_force_ends_it() -> None:
    joined = Relay(Scripted(Event()), Scripted(Event()), Rules())
    with pytest.raises(Timeout), timeout(0.05):
        joined.run()


def test_what_goes_wrong_on_one_side_ends_both() -> None:
    with pytest.raises(ProtocolError, match="nonsense"):
        relay(Scripted(Event()), Scripted(b"two", ProtocolError("nonsense")))


def test_a_peer_that_stops_reading_is_still_heard() -> None:
    """It may say why; then the loss is told."""
    said = Event()

    class Deaf(Scripted):
        def write(self, data: bytes) -> None:
            said.set()
            raise ConnectionLost("it reads no more")

    near, far = Scripted(b"one"), Deaf(said, b"go away")
    with pytest.raises(ConnectionLost, match="reads no more"):
        relay(near, far)
    assert near.got == b"go away"


def test_a_near_end_that_is_gone_ends_it_once_its_output_has() -> None:
    far = Scripted(Event())
    near = Scripted(b"last words")
    near.watch = lambda gone: gone()  # type: ignore[method-assign]
    relay(near, far)
    assert far.got == b"last words"


def test_what_is_posted_is_done_by_the_one_who_runs_it() -> None:
    near, far = Scripted(Event()), Scripted(Event())
    joined = Relay(near, far, Rules())
    joined.inbox.post(lambda: None)
    joined.inbox.post(lambda: True)
    with timeout(SECONDS):
        joined.run()


def test_streams_are_relayed_whole(no_leaks: None) -> None:
    data = random.Random(7).randbytes(3_000_000)
    ours, theirs = (Stream(end) for end in memory.pair())
    pieces = [data[at : at + 70_001] for at in range(0, len(data), 70_001)]
    with ours, theirs:
        near = Scripted(*pieces)
        echoed = Scripted()
        # Made where it runs: its news are for the one that made it.
        beside = spawn(lambda: Relay(echoed, Peer(theirs), Rules(send=False)).run())
        theirs_ended = Relay(near, Peer(ours), Rules(quit_after=0.0))
        with timeout(SECONDS):
            theirs_ended.run()
            beside.join()
        assert echoed.got == data


# -- records


def test_a_hex_dump_shows_both_directions_with_offsets_of_their_own() -> None:
    lines: list[bytes] = []
    record = HexRecord(lines.append)
    record.note(SENT, b"GET / HTTP/1.1\r\n\r\n")
    record.note(RECEIVED, b"\x00\xff")
    record.note(SENT, b"x")
    assert b"".join(lines).decode().splitlines() == [
        "> 00000000  47 45 54 20 2f 20 48 54  54 50 2f 31 2e 31 0d 0a  |GET / HTTP/1.1..|",
        "> 00000010  0d 0a                                             |..|",
        "< 00000000  00 ff                                             |..|",
        "> 00000012  78                                                |x|",
    ]


@given(st.binary(max_size=100))
def test_a_hex_dump_can_be_read_back(data: bytes) -> None:
    lines: list[bytes] = []
    HexRecord(lines.append).note(SENT, data)
    text = b"".join(lines).decode()
    assert {len(line.partition("|")[0]) for line in text.splitlines()} <= {62}
    columns = [line[12:60] for line in text.splitlines()]
    assert bytes.fromhex("".join(columns)) == data
    assert [int(found, 16) for found in re.findall(r"^> (\w+)", text, re.MULTILINE)] == list(
        range(0, len(data), 16)
    )


def test_a_raw_record_has_what_flowed_in_order() -> None:
    parts: list[bytes] = []
    record = RawRecord(parts.append)
    record.note(SENT, b"one")
    record.note(RECEIVED, b"two")
    assert parts == [b"one", b"two"]


@pytest.mark.parametrize(
    ("data", "sent"),
    [
        (b"a\nb\n", b"a\r\nb\r\n"),
        (b"a\r\n", b"a\r\n"),
        (b"\n\n", b"\r\n\r\n"),
        (b"a\rb\r\r\n", b"a\rb\r\r\n"),
    ],
)
@pytest.mark.parametrize("piece", [1, 2, 1000])
def test_line_ends_become_crlf_once(data: bytes, sent: bytes, piece: int) -> None:
    convert = crlf()
    assert b"".join(convert(data[at : at + piece]) for at in range(0, len(data), piece)) == sent


# -- programs


def test_a_command_is_split_as_by_a_shell_but_run_by_none() -> None:
    assert read_command("cat 'a b' $HOME;", None) == ["cat", "a b", "$HOME;"]
    assert read_command(None, "a | b") == ["/bin/sh", "-c", "a | b"]
    assert read_command(None, None) is None


@pytest.mark.parametrize(
    ("execute", "said"),
    [
        ("'", "No closing quotation"),
        ("", "the program is missing"),
        ("nonesuch-program -x", "there is no program"),
    ],
)
def test_a_command_that_cannot_be_run_is_refused(execute: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_command(execute, None)


def test_a_program_is_told_who_the_peer_is() -> None:
    facts = Facts(Address.parse("tcp://[::1]:9"), Address.parse("tcp://[::1]:80"))
    with start_program(["env"], facts) as process:
        told = process.output.read_all().decode().splitlines()
    assert {
        "PORTICO_PROTOCOL=tcp", "PORTICO_PEER=tcp://[::1]:9", "PORTICO_PEER_HOST=::1", "PORTICO_PEER_PORT=9",
        "PORTICO_LOCAL=tcp://[::1]:80", "PORTICO_LOCAL_HOST=::1", "PORTICO_LOCAL_PORT=80",
    } <= set(told)  # fmt: skip


def test_a_program_that_vanished_is_one_clear_error() -> None:
    with pytest.raises(ConfigError, match="cannot run '/nonesuch': No such file"):
        start_program(["/nonesuch"], Facts(None, None))


# -- options


class _Plain:
    unix = udp = ipv4 = ipv6 = False


@pytest.mark.parametrize(
    ("text", "port", "flags", "address"),
    [
        ("example.org:80", None, "", "tcp://example.org:80"),
        ("example.org", "80", "", "tcp://example.org:80"),
        ("::1", "80", "", "tcp://[::1]:80"),
        ("[::1]", "http", "", "tcp://[::1]:80"),
        ("telnet://example.org", None, "", "telnet://example.org"),
        ("https://example.org", None, "", "https://example.org"),
        ("example.org:53", None, "udp", "udp://example.org:53"),
        ("tcp://example.org:53", None, "udp", "udp://example.org:53"),
        ("/run/x", None, "", "unix:/run/x"),
        ("x.sock", None, "unix", "unix:x.sock"),
        ("unix:@x", None, "unix", "unix:@x"),
        ("/dev/log", None, "unix udp", "unixgram:/dev/log"),
    ],
)
def test_addresses_as_people_write_them(text: str, port: str | None, flags: str, address: str) -> None:
    asked = _Plain()
    for flag in flags.split():
        setattr(asked, flag, True)
    assert str(read_address(text, asked, port)) == address  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("127.0.0.1", ("127.0.0.1", 0)),
        ("127.0.0.1:99", ("127.0.0.1", 99)),
        (":99", ("", 99)),
        ("::1", ("::1", 0)),
        ("[::1]", ("::1", 0)),
        ("[::1]:99", ("::1", 99)),
        (None, None),
    ],
)
def test_where_to_connect_from(text: str | None, local: tuple[str, int] | None) -> None:
    assert read_local(text) == local


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["connect"], "Missing argument 'ADDRESS'"),
        (["connect", "localhost"], "the port is missing"),
        (["connect", "localhost", "http", "more"], "unexpected extra argument"),
        (["connect", "memory:x"], "lives inside one program"),
        (["connect", "http://localhost/path"], "the path says nothing"),
        (["connect", "packet://lo"], "this is a packet address"),
        (["connect", "-U", "x", "80"], "a Unix socket has no port"),
        (["connect", "-46", "localhost:1"], "--ipv4 and --ipv6 exclude each other"),
        (["connect", "--crlf", "--telnet", "localhost:1"], "--crlf and --telnet exclude each other"),
        (["connect", "--send-only", "--recv-only", "localhost:1"], "--send-only and --recv-only exclude"),
        (["connect", "--exec", "cat", "--send-only", "localhost:1"], "a program talks both ways"),
        (
            ["connect", "--exec", "cat", "--shell", "cat", "localhost:1"],
            "--exec and --shell both name a program",
        ),
        (["connect", "--exec", "nonesuch-program", "localhost:1"], "there is no program 'nonesuch-program'"),
        (["connect", "--append", "localhost:1"], "--append needs the file"),
        (["connect", "--output", "/nonesuch/file", "localhost:1"], "--output /nonesuch/file: No such file"),
        (
            ["connect", "--ca", "x.pem", "localhost:1"],
            "--ca is about TLS, and tcp://localhost:1 has none: add --tls",
        ),
        (["connect", "--insecure", "localhost:1"], "--insecure is about TLS"),
        (["connect", "--tls", "--ca", "x.pem", "--insecure", "localhost:1"], "--insecure trusts anybody"),
        (["connect", "--tls", "--ca", "/nonesuch.pem", "localhost:1"], "/nonesuch.pem"),
        (["connect", "--tls", "--key", "x.pem", "localhost:1"], "--key needs the certificate"),
        (
            ["connect", "--tls", "udp://localhost:1"],
            "--tls is for streams; udp://localhost:1 takes datagrams",
        ),
        (["connect", "--telnet", "-u", "localhost:1"], "--telnet is for streams"),
        (["connect", "--check", "-u", "localhost:1"], "--check is for streams"),
        (["connect", "--wait", "0", "localhost:1"], "0 is not a number above zero"),
        (["connect", "--quit-after", "-1", "localhost:1"], "-1 is not zero or more seconds"),
        (["connect", "--quit-after", "nan", "localhost:1"], "nan is not zero or more seconds"),
        (
            ["listen", "tls://127.0.0.1:0"],
            "TLS needs a certificate: --cert FILE --key FILE, or --tls self-signed",
        ),
        (["listen", "127.0.0.1:0", "--key", "x.pem", "--tls", "self-signed"], "--key needs the certificate"),
        (["listen", "127.0.0.1:0", "--cert", "/nonesuch.pem"], "/nonesuch.pem"),
        (
            ["listen", "127.0.0.1:0", "--tls", "self-signed", "--client-ca", "x"],
            "--client-ca goes with a certificate",
        ),
        (
            ["listen", "127.0.0.1:0", "--client-ca", "x.pem"],
            "--client-ca is about TLS, and tcp://127.0.0.1:0",
        ),
        (["listen", "127.0.0.1:0", "--alpn", "x"], "none: add --cert FILE, or --tls self-signed"),
        (["listen", "127.0.0.1:0", "--wait", "1", "--chat"], "--wait is about the one who comes next"),
        (
            ["listen", "127.0.0.1:0", "--wait", "1", "--keep", "-e", "cat"],
            "--wait is about the one who comes",
        ),
        (["listen", "127.0.0.1:0", "--allow", "nonsense"], "nonsense"),
        (["listen", "127.0.0.1:0", "--rate", "often"], "often"),
        (["listen", "udp://127.0.0.1:0", "--keep", "--exec", "cat"], "--keep with a program is for streams"),
        (["listen", "udp://127.0.0.1:0", "--tls", "self-signed"], "--tls is for streams"),
        (["listen", "127.0.0.1:0", "--max-connections", "0"], "0 is not in the range"),
        (["listen", "192.0.2.1:0"], "cannot listen on tcp://192.0.2.1:0"),
        (["listen", "nosuch.invalid:0"], "cannot listen: "),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(
    args: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", None)
    monkeypatch.setattr("sys.stdout", None)  # the runner's own must not be given back
    code = run([args[0], *args[1:]])
    err = capsys.readouterr().err
    assert code == 2, err
    assert said in err
    assert err.startswith("portico: ")
    assert err.count("\n") == 1


def test_options_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PORTICO_CONNECT_EXEC", "nonesuch-program")
    assert run(["connect", "localhost:1"]) == 2
    assert "nonesuch-program" in capsys.readouterr().err


def test_nothing_of_the_environment_is_lost_to_a_program() -> None:
    with start_program(["env"], Facts(None, None)) as process:
        told = process.output.read_all().decode()
    assert f"PATH={os.environ['PATH']}\n" in told
    assert "PORTICO_PEER" not in told
