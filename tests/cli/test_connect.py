"""``portico connect``: both directions, every kind of stdin and stdout, real peers, ends of all kinds."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import random
import re
import select
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import trustme

from tests.cli.talking import ENOUGH, PORTICO, accepting, received, talk, talking, until
from tests.peers import need
from tests.ports import free_port

pytestmark = pytest.mark.usefixtures("no_leaks")

BIG = random.Random(11).randbytes(8 << 20)


@contextmanager
def answering(converse: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server of the standard library for one peer; its address."""

    def serve() -> None:
        peer, _ = listener.accept()
        with peer:
            peer.settimeout(ENOUGH)
            converse(peer)

    with accepting() as (listener, at):
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield at
        thread.join(ENOUGH)
        assert not thread.is_alive()


def echo_at_the_end(peer: socket.socket) -> None:
    peer.sendall(received(peer).upper())


def reset(peer: socket.socket) -> None:
    peer.recv(1)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


# -- both directions


def test_stdin_goes_to_the_peer_and_its_answer_after_the_end_to_stdout() -> None:
    with answering(echo_at_the_end) as at:
        assert talk("connect", at, data=b"hello\0\xff\n") == (b"HELLO\0\xff\n", "")


def test_host_and_port_may_stand_apart() -> None:
    with answering(echo_at_the_end) as at:
        assert talk("connect", *at.split(":"), data=b"hello")[0] == b"HELLO"


def test_both_directions_flow_at_once() -> None:
    """More than all buffers hold in each direction: whoever would wait for the end would wait for ever."""

    def converse(peer: socket.socket) -> None:
        sending = threading.Thread(target=peer.sendall, args=(BIG[::-1],))
        sending.start()
        taken = b""
        while len(taken) < len(BIG):
            taken += peer.recv(1 << 16)
        sending.join(ENOUGH)
        peer.sendall(b"same" if taken == BIG else b"not the same")

    with answering(converse) as at:
        out, err = talk("connect", at, data=BIG)
    assert out == BIG[::-1] + b"same"
    assert err == ""


def test_a_slow_reader_of_stdout_slows_the_peer_down() -> None:
    sent, done = 0, threading.Event()

    def converse(peer: socket.socket) -> None:
        nonlocal sent
        peer.setblocking(False)
        while select.select([], [peer], [], 1.0)[1] and sent < 256 << 20:
            sent += peer.send(bytes(1 << 16))

        done.set()

    with answering(converse) as at, talking("connect", at) as running:
        assert done.wait(ENOUGH)
        assert 0 < sent < 64 << 20
        assert psutil.Process(running.process.pid).memory_info().rss < 128 << 20
        assert len(running.end()) == sent


@pytest.mark.parametrize("flag", ["--half-close", "--no-half-close"])
def test_the_end_of_stdin_is_told_or_not(flag: str) -> None:
    ended = None

    def converse(peer: socket.socket) -> None:
        nonlocal ended
        assert peer.recv(100) == b"hello"
        ended = bool(select.select([peer], [], [], 0.5)[0])

    with answering(converse) as at:
        talk("connect", at, flag, data=b"hello")
    assert ended is (flag == "--half-close")


def test_quit_after_the_end_of_stdin() -> None:
    """The peer would go on for ever."""

    def converse(peer: socket.socket) -> None:
        peer.sendall(b"hello")
        assert received(peer) == b"x"
        assert peer.recv(1) == b""

    with answering(converse) as at:
        assert talk("connect", at, "-q", "0.2", data=b"x")[0] == b"hello"


def test_a_pipe_that_nobody_writes_to_does_not_keep_a_conversation_that_the_peer_has_ended() -> None:
    with answering(lambda peer: peer.sendall(b"bye")) as at, talking("connect", at) as running:
        assert running.read(100) == b"bye"  # the end of stdout follows at once
        running.process.wait(ENOUGH)
        running.end(0)


def test_what_is_still_in_a_pipe_is_sent_to_a_peer_that_has_nothing_to_say() -> None:
    taken = b""

    def converse(peer: socket.socket) -> None:
        nonlocal taken
        peer.shutdown(socket.SHUT_WR)
        taken = received(peer)

    with answering(converse) as at:
        talk("connect", at, data=BIG)
    assert taken == BIG


def test_send_only_drops_what_comes_and_ends_with_stdin() -> None:
    release = threading.Event()

    def converse(peer: socket.socket) -> None:
        peer.sendall(b"noise" * 1000)
        assert received(peer) == BIG
        release.wait(ENOUGH)

    with answering(converse) as at:
        assert talk("connect", at, "--send-only", data=BIG) == (b"", "")
        release.set()


def test_recv_only_reads_no_stdin() -> None:
    def converse(peer: socket.socket) -> None:
        assert not select.select([peer], [], [], 0.3)[0]
        peer.sendall(b"hello")

    with answering(converse) as at:
        assert talk("connect", at, "--recv-only", data=b"never sent")[0] == b"hello"


# -- real peers


def test_socat_and_ncat_are_understood_and_understand(tmp_path: Path) -> None:
    """Eight megabytes through each, to a file and back."""
    for name, command in (
        ("socat", [need("socat"), "-u", "TCP-LISTEN:{port},bind=127.0.0.1", "CREATE:{file}"]),
        ("ncat", [need("ncat"), "-l", "127.0.0.1", "{port}", "--recv-only", "-o", "{file}"]),
    ):
        file, port = tmp_path / name, free_port()
        line = [part.format(port=port, file=file) for part in command]
        with subprocess.Popen(line, stdout=subprocess.DEVNULL) as peer:
            until(lambda port=port: listens(port), f"{name} listens")
            talk("connect", f"127.0.0.1:{port}", data=BIG)
            assert peer.wait(ENOUGH) == 0
        assert file.read_bytes() == BIG


def listens(port: int) -> bool:
    return any(one.laddr.port == port for one in psutil.net_connections("tcp4") if one.status == "LISTEN")


def test_datagrams_to_socat() -> None:
    port = free_port(kind=socket.SOCK_DGRAM)
    command = [need("socat"), f"UDP-RECVFROM:{port},bind=127.0.0.1,fork", "EXEC:/bin/cat"]
    with subprocess.Popen(command) as peer:
        until(lambda: any(one.laddr.port == port for one in psutil.net_connections("udp4")), "socat is bound")
        assert talk("connect", "-u", f"127.0.0.1:{port}", data=b"ping\n")[0] == b"ping\n"
        with talking("connect", f"udp://127.0.0.1:{port}") as running:
            for line in (b"one\n", b"two\n"):
                running.write(line)
                assert running.read(4) == line
            running.end()
        peer.terminate()


def test_a_datagram_that_nobody_takes_is_an_error() -> None:
    nobody = f"127.0.0.1:{free_port(kind=socket.SOCK_DGRAM)}"
    out, err = talk("connect", "-u", nobody, data=b"ping\n", code=7)
    assert out == b""
    assert err.count("\n") == 1


def test_long_input_goes_in_several_datagrams() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(ENOUGH)
        talk("connect", "-u", f"127.0.0.1:{sock.getsockname()[1]}", "--send-only", data=BIG[:20000])
        pieces = [sock.recv(65536) for _ in range(3)]
    assert b"".join(pieces) == BIG[:20000]


def test_a_unix_socket_and_one_of_datagrams(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        with talking("connect", "-U", "s", cwd=tmp_path) as running:
            peer, _ = listener.accept()
            with peer:
                running.write(b"hello")
                assert peer.recv(100) == b"hello"
                peer.sendall(b"you")
            assert running.end() == b"you"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(str(tmp_path / "d"))
        talk("connect", f"unixgram:{tmp_path}/d", "--send-only", data=b"<13>hello")
        bound.settimeout(ENOUGH)
        assert bound.recv(100) == b"<13>hello"


def test_an_inherited_socket() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        number = theirs.fileno()
        with talking("connect", f"fd://{number}", pass_fds=[number]) as running:
            running.write(b"hello")
            assert ours.recv(100) == b"hello"
            ours.sendall(b"you")
            theirs.close()
            ours.shutdown(socket.SHUT_WR)
            assert running.end() == b"you"


# -- every kind of stdin and stdout


@pytest.mark.parametrize("redirect", ["< file > out", "< file | cat > out", "< /dev/null > out", "<&- > out"])
def test_input_and_output_of_every_kind(redirect: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"from a file")
    with answering(echo_at_the_end) as at:
        line = f"{sys.executable} -m portico connect {at} {redirect}"
        done = subprocess.run(["sh", "-c", line], cwd=tmp_path, stderr=subprocess.PIPE, timeout=ENOUGH)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "out").read_bytes() == (b"FROM A FILE" if "file" in redirect else b"")


def test_without_a_stdout_what_comes_is_dropped() -> None:
    with answering(echo_at_the_end) as at:
        line = f"echo hello | {sys.executable} -m portico connect {at} >&-"
        done = subprocess.run(["sh", "-c", line], stderr=subprocess.PIPE, timeout=ENOUGH)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_socket_as_stdin_and_stdout() -> None:
    ours, theirs = socket.socketpair()
    sockets = {"stdin": theirs, "stdout": theirs}
    with ours, theirs, answering(echo_at_the_end) as at, talking("connect", at, **sockets) as running:
        theirs.close()
        ours.sendall(b"hello" * 3000)
        ours.shutdown(socket.SHUT_WR)
        assert received(ours) == b"HELLO" * 3000
        running.end()


def test_a_full_disk_is_told() -> None:
    with answering(lambda peer: peer.sendall(b"hello")) as at, open("/dev/full", "wb") as full:
        _, err = talk("connect", at, stdout=full, code=1)
    assert err == "portico: cannot write to stdout: No space left on device\n"


def test_a_reader_that_has_gone_ends_it_without_words() -> None:
    def converse(peer: socket.socket) -> None:
        try:
            while True:
                peer.sendall(bytes(65536))
        except OSError:
            pass

    with answering(converse) as at:
        line = f"{sys.executable} -m portico connect {at} | head -c 5; echo ${{PIPESTATUS[0]}}"
        done = subprocess.run(
            ["bash", "-c", line], stdin=subprocess.DEVNULL, capture_output=True, timeout=ENOUGH
        )
    assert (done.stdout, done.stderr) == (bytes(5) + b"141\n", b"")


def test_what_the_shell_shares_with_it_stays_blocking() -> None:
    """A pipe and a terminal are the same open file for everybody who inherited them."""
    reading, writing = os.pipe()
    master, slave = pty.openpty()
    try:
        with answering(echo_at_the_end) as at, talking("connect", at, stdin=slave, stdout=writing) as running:
            os.write(master, b"hello\n")
            until(lambda: listening_to(running.process.pid), "it has connected")
            assert not fcntl.fcntl(slave, fcntl.F_GETFL) & os.O_NONBLOCK
            assert not fcntl.fcntl(writing, fcntl.F_GETFL) & os.O_NONBLOCK
            os.write(master, b"\x04")
            running.end()
        assert os.read(reading, 100) == b"HELLO\n"
    finally:
        for number in (reading, writing, master, slave):
            os.close(number)


def listening_to(pid: int) -> bool:
    return any(one.status == "ESTABLISHED" for one in psutil.Process(pid).net_connections("tcp"))


def test_by_hand_at_a_terminal() -> None:
    """Lines as they are typed, answers as they come, and an end as soon as the peer's."""
    master, slave = pty.openpty()

    def converse(peer: socket.socket) -> None:
        while (line := peer.recv(100)) != b"quit\n":
            peer.sendall(line.upper())

    try:
        with answering(converse) as at, talking("connect", at, stdin=slave) as running:
            for line in (b"one\n", b"two\n"):
                os.write(master, line)
                assert running.read(4) == line.upper()
            os.write(master, b"quit\n")
            running.process.wait(ENOUGH)
            running.end(0)
    finally:
        os.close(master)
        os.close(slave)


# -- ends of all kinds


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_it_without_words(number: int, code: int) -> None:
    with accepting() as (listener, at), talking("connect", at) as running:
        peer, _ = listener.accept()
        with peer:
            running.write(b"x")
            assert peer.recv(1) == b"x"
            running.process.send_signal(number)
            running.process.wait(ENOUGH)
            running.end(code)
        assert running.stderr.strip() == ""


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["127.0.0.1:{closed}"], 7, "Connection refused"),
        (["nosuch.invalid:1"], 6, "could not resolve 'nosuch.invalid'"),
        (["unix:/nonesuch"], 7, "No such file"),
        (["127.0.0.1:{silent}", "--idle", "0.1"], 28, "after 0.1 s while waiting for anything to flow"),
        (["127.0.0.1:{silent}", "--timeout", "0.5"], 28, "timed out after 0.5 s"),
        (["127.0.0.1:{silent}", "--wait", "0.3", "--tls", "--insecure"], 28, "timed out after 0.3 s while"),
        (["127.0.0.1:{closed}", "-6"], 6, "127.0.0.1 has no IPv6 address"),
        (["127.0.0.1:{silent}", "--tls"], 28, "timed out"),
    ],
)
def test_what_goes_wrong_is_a_line_and_a_code(args: list[str], code: int, said: str) -> None:
    with accepting() as (_, at):
        ports = {"closed": free_port(), "silent": at.rpartition(":")[2]}
        with talking(
            "connect", *[arg.format(**ports) for arg in args], env={"PORTICO_CONNECT_TIMEOUT": "3"}
        ) as running:
            running.process.wait(ENOUGH)
            running.end(code)
    lines = [line for line in running.stderr.splitlines() if "--insecure" not in line]
    assert len(lines) == 1, lines
    assert said in lines[0]


def test_a_reset_is_told() -> None:
    with answering(reset) as at, talking("connect", at) as running:
        running.write(b"x")
        running.process.wait(ENOUGH)
        running.end(56)
    assert re.fullmatch(r"portico: tcp://127\.0\.0\.1:\d+ closed the connection while \w+\n", running.stderr)


def test_check_only_connects() -> None:
    with accepting() as (_, at):
        assert talk("connect", "--check", at) == (b"", "")
        assert "connected to tcp://127.0.0.1:" in talk("connect", "-zv", at)[1]
    assert "Connection refused" in talk("connect", "--check", f"127.0.0.1:{free_port()}", code=7)[1]


def test_the_address_to_connect_from() -> None:
    with accepting() as (listener, at), talking("connect", at, "--bind", "127.0.0.2") as running:
        peer, name = listener.accept()
        peer.close()
        assert name[0] == "127.0.0.2"
        running.end()


def test_an_ip_version_can_be_asked_for() -> None:
    with accepting() as (_, at):
        port = at.rpartition(":")[2]
        assert talk("connect", "-4z", "localhost", port)[1] == ""


# -- what is seen


def test_a_hex_dump_stands_in_for_what_comes() -> None:
    with answering(echo_at_the_end) as at:
        out, _ = talk("connect", at, "--hex", data=b"hello\n")
    assert out.decode().splitlines() == [
        "> 00000000  68 65 6c 6c 6f 0a                                 |hello.|",
        "< 00000000  48 45 4c 4c 4f 0a                                 |HELLO.|",
    ]


def test_the_record_of_a_session(tmp_path: Path) -> None:
    file = tmp_path / "record"
    with answering(echo_at_the_end) as at:
        assert talk("connect", at, "-o", str(file), data=b"one")[0] == b"ONE"
    with answering(echo_at_the_end) as at:
        talk("connect", at, "-o", str(file), "--append", data=b"two")
    assert file.read_bytes() == b"oneONEtwoTWO"
    with answering(echo_at_the_end) as at:
        assert talk("connect", at, "-xo", str(file), data=b"one")[0] == b"ONE"
    assert file.read_text().splitlines()[0].endswith("|one|")


def test_a_record_that_finds_the_disk_full_is_told() -> None:
    with answering(lambda peer: peer.sendall(b"hello")) as at:
        assert "cannot write to /dev/full: No space left" in talk("connect", at, "-o", "/dev/full", code=1)[1]


def test_line_ends_are_sent_as_crlf() -> None:
    with answering(echo_at_the_end) as at:
        assert talk("connect", "-C", at, data=b"a\nb\r\n")[0] == b"A\r\nB\r\n"


def test_verbose_says_who_and_how_much() -> None:
    with answering(echo_at_the_end) as at:
        err = talk("connect", "-v", at, data=b"hello")[1].splitlines()
    assert re.fullmatch(rf"portico: connected to tcp://{at} \(we are tcp://127\.0\.0\.1:\d+\)", err[0])
    assert re.fullmatch(r"portico: closed: 5 bytes sent, 5 received, in [\d.]+ s", err[1])


def test_verbose_for_machines() -> None:
    with answering(echo_at_the_end) as at:
        lines = [json.loads(line) for line in talk("connect", "-v", "--json", at, data=b"hi")[1].splitlines()]
    assert [line["event"] for line in lines] == ["connected", "closed"]
    assert lines[0]["peer"] == f"tcp://{at}"
    assert (lines[1]["sent"], lines[1]["received"]) == (2, 2)


# -- TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(file)
    return str(file)


@contextmanager
def secure(authority: trustme.CA, *names: str, clients: bool = False) -> Iterator[str]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*names).configure_cert(context)
    if clients:
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED

    def converse(peer: socket.socket) -> None:
        try:
            with context.wrap_socket(peer, server_side=True) as channel:
                data = channel.recv(100)
                who = channel.getpeercert() or {}
                channel.sendall(data.upper() + (b" client" if who else b""))
                channel.unwrap()
        except OSError:
            pass  # the client refused

    with answering(converse) as at:
        yield at


def test_tls_is_verified(authority: trustme.CA, ca_file: str) -> None:
    with secure(authority, "127.0.0.1") as at:
        out, err = talk("connect", f"tls://{at}", "--ca", ca_file, "-v", "--no-half-close", data=b"hello")
    assert out == b"HELLO"
    assert re.search(
        r"portico: TLSv1\.3, TLS_\w+, certificate verified as 127\.0\.0\.1, SHA-256 [0-9A-F:]{95}\n", err
    )


def test_a_certificate_of_nobody_we_know_is_refused(authority: trustme.CA) -> None:
    with secure(authority, "127.0.0.1") as at:
        err = talk("connect", "--tls", at, data=b"hello", code=60)[1]
    assert err.count("\n") == 1
    assert "--ca FILE" in err
    assert "ca=" not in err


def test_another_name_is_refused_unless_it_is_asked_for(authority: trustme.CA, ca_file: str) -> None:
    with secure(authority, "other.example") as at:
        assert "--name HOST" in talk("connect", "--tls", "--ca", ca_file, at, code=60)[1]
    with secure(authority, "other.example") as at:
        args = ["--tls", "--ca", ca_file, "--name", "other.example", "--no-half-close"]
        assert talk("connect", *args, at, data=b"hello")[0] == b"HELLO"


def test_insecure_is_said_loudly(authority: trustme.CA) -> None:
    with secure(authority, "127.0.0.1") as at:
        out, err = talk("connect", "--tls", "--insecure", "--no-half-close", "-v", at, data=b"hello")
    assert out == b"HELLO"
    assert err.startswith("portico: warning: --insecure: anybody may be at the other end\n")
    assert "certificate NOT verified" in err


def test_a_client_certificate(authority: trustme.CA, ca_file: str, tmp_path: Path) -> None:
    mine = authority.issue_cert("me@example.org")
    mine.private_key_and_cert_chain_pem.write_to_path(tmp_path / "me.pem")
    with secure(authority, "127.0.0.1", clients=True) as at:
        args = ["--tls", "--ca", ca_file, "--cert", str(tmp_path / "me.pem"), "--no-half-close"]
        assert talk("connect", *args, at, data=b"hello")[0] == b"HELLO client"


def test_a_peer_without_tls_is_an_error() -> None:
    with answering(lambda peer: peer.sendall(b"220 hello\r\n")) as at:
        assert "does not speak TLS" in talk("connect", "--tls", at, code=35)[1]


def test_openssl_as_the_peer(authority: trustme.CA, ca_file: str, tmp_path: Path) -> None:
    cert = authority.issue_cert("localhost")
    cert.private_key_and_cert_chain_pem.write_to_path(tmp_path / "c.pem")
    port = free_port()
    command = [need("openssl"), "s_server", "-accept", f"127.0.0.1:{port}", "-cert", str(tmp_path / "c.pem")]
    with subprocess.Popen([*command, "-rev", "-quiet"], stderr=subprocess.DEVNULL) as peer:
        until(lambda: listens(port), "openssl listens")
        with talking("connect", "-4", f"tls://localhost:{port}", "--ca", ca_file) as running:
            running.write(b"hello\n")
            assert running.read(6) == b"olleh\n"
            running.end(None)
        peer.terminate()


# -- programs


def test_a_program_talks_and_its_exit_code_is_ours() -> None:
    def converse(peer: socket.socket) -> None:
        peer.sendall(b"what is your name?\n")
        assert received(peer) == b"asked: what is your name?\n"

    with answering(converse) as at:
        args = ["--shell", 'read line; echo "asked: $line"; exit 3']
        assert talk("connect", at, *args, code=3) == (b"", "")


def test_a_program_that_a_signal_ends() -> None:
    with answering(received) as at:
        talk("connect", at, "--shell", "kill -9 $$", code=137)


def test_what_a_program_says_after_the_end_of_its_input_is_sent() -> None:
    def converse(peer: socket.socket) -> None:
        peer.sendall(BIG[:300_000])
        peer.shutdown(socket.SHUT_WR)
        assert received(peer) == BIG[:300_000][::-1]

    reverse = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read()[::-1])"
    with answering(converse) as at:
        talk("connect", at, "--exec", f"{sys.executable} -c '{reverse}'")


def test_a_program_is_ended_when_the_peer_is_gone() -> None:
    chatter = "while echo; do sleep 0.1; done"
    with answering(reset) as at, talking("connect", at, "--shell", chatter) as running:
        running.process.wait(ENOUGH)
        running.end(56)


def test_a_program_that_reads_nothing_is_no_error() -> None:
    def converse(peer: socket.socket) -> None:
        try:
            peer.sendall(BIG)
        except OSError:
            pass

    with answering(converse) as at:
        talk("connect", at, "--exec", "sleep 0.2")


def test_what_a_program_left_behind_does_not_keep_the_conversation() -> None:
    """Something it started holds its output open, and lives on."""
    with answering(received) as at:
        talk("connect", at, "--shell", "echo begun; sleep 5 2> /dev/null & exit 0")


def test_ctrl_c_ends_the_program_too(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    with (
        accepting() as (listener, at),
        talking("connect", at, "--shell", f"echo $$ > {file}; cat") as running,
    ):
        peer, _ = listener.accept()
        with peer:
            until(lambda: file.exists() and file.read_text(), "it runs")
            running.process.send_signal(signal.SIGINT)
            running.process.wait(ENOUGH)
            running.end(130)
    assert not psutil.pid_exists(int(file.read_text()))


def test_help_is_complete() -> None:
    done = subprocess.run([*PORTICO, "connect", "--help"], capture_output=True, text=True, timeout=ENOUGH)
    assert done.returncode == 0
    for option in ("--half-close", "--exec", "--crlf", "--hex", "--telnet", "--tls", "--timeout", "--debug"):
        assert option in done.stdout
