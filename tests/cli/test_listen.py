"""``portico listen``: one peer or many, by stdin and stdout or by programs, and who is kept out."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import stat
import subprocess
import threading
from pathlib import Path

import psutil
import pytest
import trustme

from portico.cli.main import run
from tests.cli.talking import ENOUGH, Talking, connected, received, talk, talking, until
from tests.peers import need

pytestmark = pytest.mark.usefixtures("no_leaks")

BIG = random.Random(12).randbytes(8 << 20)
HERE = "127.0.0.1:0"


def ask(port: int, data: bytes = b"", *, host: str = "127.0.0.1") -> bytes:
    """Send ``data`` and the end, and read to the end meanwhile: who echoes does not wait for ever."""
    with socket.create_connection(("127.0.0.1", port), ENOUGH, source_address=(host, 0)) as sock:

        def send() -> None:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)

        sending = threading.Thread(target=send)
        sending.start()
        answer = received(sock)
        sending.join(ENOUGH)
        return answer


def cut_off(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a connection from ``host`` is ended at once, without a byte."""
    try:
        with socket.create_connection(("127.0.0.1", port), ENOUGH, source_address=(host, 0)) as sock:
            return sock.recv(1) == b""
    except ConnectionError:
        return True


# -- one peer


def test_one_peer_talks_with_stdin_and_stdout() -> None:
    with talking("listen", HERE) as running, connected(running.port) as sock:
        sock.sendall(b"hello")
        assert running.read(5) == b"hello"
        running.write(b"you")
        assert sock.recv(100) == b"you"
        sock.shutdown(socket.SHUT_WR)
        running.process.stdin.close()  # type: ignore[union-attr]
        assert received(sock) == b""
        assert running.process.wait(ENOUGH) == 0


def test_nobody_else_is_let_in() -> None:
    with talking("listen", HERE) as running, connected(running.port) as sock:
        sock.sendall(b"x")
        assert running.read(1) == b"x"
        with pytest.raises(ConnectionRefusedError):
            connected(running.port).__enter__()
        sock.shutdown(socket.SHUT_WR)
        running.end()


def test_a_large_file_arrives_whole(tmp_path: Path) -> None:
    with (
        open(tmp_path / "got", "wb") as got,
        talking("listen", HERE, stdout=got, stdin=subprocess.DEVNULL) as running,
    ):
        assert ask(running.port, BIG) == b""
        running.end()
    assert (tmp_path / "got").read_bytes() == BIG


def test_ncat_and_socat_send_large_files() -> None:
    for command in (
        [need("socat"), "-u", "-", "TCP:127.0.0.1:{}"],
        [need("ncat"), "--send-only", "127.0.0.1", "{}"],
    ):
        with talking("listen", HERE, "--recv-only") as running:
            line = [part.format(running.port) for part in command]
            sending = threading.Thread(target=subprocess.run, args=(line,), kwargs={"input": BIG})
            sending.start()
            assert running.end() == BIG
            sending.join(ENOUGH)


def test_the_time_to_wait_for_somebody() -> None:
    for more in ([], ["--keep"]):
        _, err = talk("listen", HERE, "--wait", "0.1", *more, code=28)
        assert "timed out after 0.1 s while accepting on" in err


@pytest.mark.parametrize(
    ("address", "there"),
    [(["0"], "tcp://:"), (["127.0.0.1", "0"], "tcp://127.0.0.1:"), (["-u", "0"], "udp://:")],
)
def test_an_address_may_be_a_port_or_a_host_and_a_port(address, there, capfd) -> None:
    assert run(["listen", *address, "--wait", "0.01"]) == 28
    assert f"listening on {there}" in capfd.readouterr().err


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_ipv6_alone() -> None:
    with talking("listen", "-6", "0") as running:
        assert cut_off(running.port)
        assert talk("connect", "::1", str(running.port), data=b"six")[0] == b""
        assert running.end() == b"six"


def test_an_address_in_use() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        err = talk("listen", f"127.0.0.1:{sock.getsockname()[1]}", code=2)[1]
    assert "the address is in use" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("number", "options"),
    [
        (signal.SIGINT, []),
        (signal.SIGTERM, []),
        (signal.SIGINT, ["--keep", "--exec", "cat"]),
        (signal.SIGHUP, ["--keep", "--exec", "cat"]),
        (signal.SIGHUP, ["--chat"]),
    ],
)
def test_a_signal_ends_the_waiting_and_removes_the_socket_file(
    number: int, options: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "s"
    with talking("listen", "-v", str(path), *options) as running:
        running.until("listening on unix:")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        running.process.send_signal(number)
        running.end(128 + number)
    assert not path.exists()


def test_an_inherited_listening_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        number = sock.fileno()
        with talking("listen", f"fd://{number}", pass_fds=[number]) as running:
            with connected(sock.getsockname()[1]) as peer:
                peer.sendall(b"hello")
                assert running.read(5) == b"hello"
            running.end()


# -- one after the other


def test_peers_come_one_after_the_other() -> None:
    with talking("listen", HERE, "--keep") as running:
        for word in (b"one", b"two"):
            with connected(running.port) as sock:
                sock.sendall(word)
                assert running.read(3) == word
                running.write(word)
                assert sock.recv(3) == word
        running.process.terminate()
        running.end(143)


def test_what_goes_wrong_with_one_peer_is_told_and_ends_only_that() -> None:
    with talking("listen", HERE, "--keep") as running:
        with connected(running.port) as sock:
            sock.sendall(b"x")
            assert running.read(1) == b"x"
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        running.until(r"portico: tcp://127\.0\.0\.1:\d+ closed the connection while reading\n")
        with connected(running.port) as sock:
            sock.sendall(b"y")
            assert running.read(1) == b"y"
        running.process.terminate()
        running.end(143)


def test_a_stdin_that_has_ended_is_told_to_each_peer() -> None:
    with talking("listen", HERE, "-k", stdin=subprocess.DEVNULL) as running:
        for word in (b"one", b"two"):
            with connected(running.port) as sock:
                assert sock.recv(1) == b""
                sock.sendall(word)
                assert running.read(3) == word
        running.process.terminate()
        running.end(143)


# -- programs


def test_programs_talk_with_several_at_once() -> None:
    with talking("listen", HERE, "--keep", "--exec", "cat") as running:
        with connected(running.port) as one, connected(running.port) as two:
            for sock, word in ((two, b"two"), (one, b"one")):
                sock.sendall(word)
                assert sock.recv(100) == word
        assert ask(running.port, BIG) == BIG
        running.process.terminate()
        running.end(143)


def test_a_program_for_one_peer_gives_its_exit_code() -> None:
    with talking("listen", HERE, "--shell", 'echo "$PORTICO_PEER_HOST $PORTICO_PROTOCOL"; exit 4') as running:
        assert ask(running.port) == b"127.0.0.1 tcp\n"
        running.end(4)


def test_a_program_is_ended_when_its_peer_is_gone() -> None:
    with talking("listen", HERE, "--keep", "--shell", "echo $$; while echo; do sleep 0.1; done") as running:
        with connected(running.port) as sock:
            number = int(sock.recv(100).split()[0])
            assert psutil.pid_exists(number)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        until(lambda: not psutil.pid_exists(number), "the program is gone")
        running.process.terminate()
        running.end(143)


def test_stopping_ends_the_programs() -> None:
    with (
        talking("listen", HERE, "--keep", "--shell", "echo $$; cat") as running,
        connected(running.port) as sock,
    ):
        number = int(sock.recv(100))
        running.process.terminate()
        running.process.terminate()
        running.process.wait(ENOUGH)
        running.end(143)
        until(lambda: not psutil.pid_exists(number), "the program is gone")


def test_stopping_ends_programs_that_do_not_want_to() -> None:
    stubborn = "trap '' TERM; echo $$; while :; do sleep 0.1; done"
    with talking("listen", HERE, "--keep", "--shell", stubborn) as running, connected(running.port) as sock:
        number = int(sock.recv(100))
        running.process.terminate()
        running.process.wait(ENOUGH)
        running.end(143)
        until(lambda: not psutil.pid_exists(number), "the program is gone")
    assert "Traceback" not in running.stderr


def test_no_more_programs_than_allowed() -> None:
    with talking("listen", HERE, "--keep", "--max-connections", "1", "--exec", "cat") as running:
        with connected(running.port) as sock:
            sock.sendall(b"x")
            assert sock.recv(1) == b"x"
            assert cut_off(running.port)
        running.until("refused tcp://127.0.0.1")
        running.process.terminate()
        running.end(143)


def test_what_flows_through_programs_is_shown() -> None:
    with talking("listen", HERE, "--exec", "cat", "--hex", "-v") as running:
        assert ask(running.port, b"hello") == b"hello"
        out = running.end()
    assert out.decode().splitlines() == [
        "< 00000000  68 65 6c 6c 6f                                    |hello|",
        "> 00000000  68 65 6c 6c 6f                                    |hello|",
    ]
    assert "closed: 5 bytes sent, 5 received" in running.stderr


# -- who is let in


def test_denied_peers_stay_out_and_the_next_is_welcome() -> None:
    with talking("listen", HERE, "--deny", "127.0.0.2") as running:
        assert cut_off(running.port, "127.0.0.2")
        running.until("refused tcp://127.0.0.2")
        assert ask(running.port, b"hello") == b""
        assert running.end() == b"hello"


def test_only_allowed_peers_come_in() -> None:
    with talking("listen", HERE, "--keep", "--exec", "cat", "--allow", "127.0.0.8/30") as running:
        assert cut_off(running.port)
        assert ask(running.port, b"hello", host="127.0.0.9") == b"hello"
        running.process.terminate()
        running.end(143)


# -- TLS


def test_a_certificate_for_development_and_ncat() -> None:
    with talking("listen", HERE, "--tls", "self-signed", "-v") as running:
        print_of = running.until(r"certificate SHA-256 ([0-9A-F:]{95})\n")[1]
        command = [need("ncat"), "--ssl", "-v", "127.0.0.1", str(running.port)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as peer:
            assert peer.stdin is not None
            peer.stdin.write(b"hello")
            peer.stdin.flush()
            assert running.read(5) == b"hello"
            running.process.stdin.write(b"you")  # type: ignore[union-attr]
            assert peer.stdout is not None
            assert peer.stdout.read(3) == b"you"
            peer.communicate(timeout=ENOUGH)
            running.process.stdin.close()  # type: ignore[union-attr]
            assert running.process.wait(ENOUGH) in (0, 56)  # some versions of ncat end TLS by ending TCP
    assert re.fullmatch(r"(?:[0-9A-F]{2}:){31}[0-9A-F]{2}", print_of)


def test_both_commands_talk_by_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    for name in ("127.0.0.1", "me@example.org"):
        authority.issue_cert(name).private_key_and_cert_chain_pem.write_to_path(tmp_path / f"{name}.pem")
    ca, ours, mine = (str(tmp_path / name) for name in ("ca.pem", "127.0.0.1.pem", "me@example.org.pem"))
    line = ["listen", f"tls://{HERE}", "--cert", ours, "--client-ca", ca, "-k", "-e", "cat", "--alpn", "x"]
    with talking(*line) as running:
        where = f"tls://127.0.0.1:{running.port}"
        assert talk("connect", where, "--ca", ca, data=b"hello", code=None)[0] == b""  # type: ignore[arg-type]
        running.until("certificate")
        out, err = talk("connect", where, "--ca", ca, "--cert", mine, "--alpn", "x", "-v", data=BIG[:300_000])
        assert out == BIG[:300_000]
        assert "ALPN x" in err
        running.process.terminate()
        running.end(143)


def test_a_peer_that_does_not_speak_tls_does_not_use_up_the_one_conversation() -> None:
    with talking("listen", HERE, "--tls", "self-signed") as running:
        with connected(running.port) as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            running.until("does not speak TLS")
        assert talk("connect", "--tls", "--insecure", "127.0.0.1", str(running.port), data=b"hello")[0] == b""
        assert running.end() == b"hello"


# -- datagrams


def send(port: int, *data: bytes, host: str = "127.0.0.1") -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(ENOUGH)
    sock.bind((host, 0))
    for piece in data:
        sock.sendto(piece, ("127.0.0.1", port))
    return sock


def test_the_first_sender_of_datagrams_is_the_peer() -> None:
    with talking("listen", "-u", HERE) as running, send(running.port, b"hello", b"") as sock:
        assert running.read(5) == b"hello"
        running.write(b"you\n")
        assert sock.recv(100) == b"you\n"
        with send(running.port, b"not me"):
            pass
        sock.sendto(b"again", ("127.0.0.1", running.port))
        assert running.read(5) == b"again"
        running.process.terminate()
        running.end(143)


def test_everybody_is_heard_with_keep_and_the_last_is_answered() -> None:
    with talking("listen", "-u", HERE, "--keep", "--deny", "127.0.0.2") as running:
        with send(running.port, b"one") as one:
            assert running.read(3) == b"one"
            with send(running.port, b"bad", host="127.0.0.2"), send(running.port, b"two") as two:
                assert running.read(3) == b"two"
                running.write(b"you\n")
                assert two.recv(100) == b"you\n"
            one.sendto(b"three", ("127.0.0.1", running.port))
            assert running.read(5) == b"three"
        running.process.terminate()
        running.end(143)


def test_datagrams_end_by_silence_where_that_is_asked_for() -> None:
    with talking("listen", "-u", HERE, "--idle", "0.3", stdin=subprocess.DEVNULL) as running:
        with send(running.port, b"hello"):
            assert running.read(5) == b"hello"
        running.end(28)


def test_a_log_socket(tmp_path: Path) -> None:
    with talking("listen", f"unixgram:{tmp_path}/log", "-k", "-v") as running:
        running.until("listening on unixgram:")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"<13>hello", str(tmp_path / "log"))
        assert running.read(9) == b"<13>hello"
        running.process.terminate()
        running.end(143)
    assert not os.path.exists(tmp_path / "log")


def test_port_zero_is_told_to_machines_too() -> None:
    with talking("listen", HERE, "--json") as running:
        running.until(r'\{"event": "listening", "address": "tcp://127\.0\.0\.1:\d+"\}\n')
        assert isinstance(running, Talking)
        running.process.terminate()
        running.end(143)
