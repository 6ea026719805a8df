"""Listening: every address form, what is refused, and what is given back."""

from __future__ import annotations

import errno
import os
import pwd
import select
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from portico import Server, Stream, connect, timeout
from portico.address import Address
from portico.engines.contract import Listening
from portico.errors import BindError, ConfigError, ConnectError
from portico.sockets import listen as module
from portico.sockets.listen import inherited, listen
from portico.sockets.memory import pair
from portico.sockets.names import Found
from tests.engines.serving import SECONDS, until
from tests.ports import free_port

pytestmark = pytest.mark.usefixtures("no_leaks")


@contextmanager
def listening(text: str, backlog: int = 16) -> Iterator[list[Listening]]:
    listeners = listen(Address.parse(text), backlog)
    try:
        yield listeners
    finally:
        for listener in listeners:
            listener.close()


def reached(listener: Listening, host: str, port: int) -> bool:
    """Whether a connection to there arrives at this listener."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(SECONDS)
        client.connect((host, port))
        accepted = []
        until(lambda: accepted.append(listener.accept()) or accepted[-1])
        transport = accepted[-1]
        assert transport is not None
        assert transport.peer is not None
        assert transport.peer.port == client.getsockname()[1]
        assert transport.local is listener.address
        transport.close()
        return True


has_ipv6 = pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")

# -- TCP


def test_a_backlog_that_is_no_c_int_is_as_much_as_the_system_takes() -> None:
    with listening("tcp://127.0.0.1:0", backlog=1 << 40) as (listener,):
        assert listener.address.port


def test_port_zero_picks_one_and_shows_it() -> None:
    with listening("tcp://127.0.0.1:0") as [listener]:
        port = listener.address.port
        assert port
        assert str(listener.address) == f"tcp://127.0.0.1:{port}"
        assert reached(listener, "127.0.0.1", port)
        assert listener.accept() is None
        assert "closed" not in repr(listener)
    assert "closed" in repr(listener)


@has_ipv6
def test_a_name_with_two_addresses_is_bound_at_both_on_one_port() -> None:
    with listening("tcp://localhost:0") as listeners:
        hosts = {listener.address.host for listener in listeners}
        if hosts != {"127.0.0.1", "::1"}:
            pytest.skip("localhost has one address here")
        assert len({listener.address.port for listener in listeners}) == 1
        for listener in listeners:
            assert reached(listener, listener.address.host, listener.address.port or 0)


@has_ipv6
@pytest.mark.parametrize("text", ["tcp://:0", "tcp://[::]:0"])
def test_an_empty_host_is_every_interface_of_both_families(text: str) -> None:
    with listening(text) as [listener]:
        port = listener.address.port or 0
        assert reached(listener, "127.0.0.1", port)
        assert reached(listener, "::1", port)


@has_ipv6
def test_an_ipv6_literal_is_ipv6_only() -> None:
    port = free_port("127.0.0.1", "::1")
    with listening(f"tcp://[::1]:{port}") as [listener]:
        assert str(listener.address) == f"tcp://[::1]:{port}"
        assert reached(listener, "::1", port)
        with listening(f"tcp://127.0.0.1:{port}") as [other]:
            assert reached(other, "127.0.0.1", port)


def test_a_peer_over_a_dual_stack_socket_is_shown_as_what_it_is() -> None:
    with (
        listening("tcp://:0") as [listener],
        socket.create_connection(("127.0.0.1", listener.address.port or 0)),
    ):
        accepted = []
        until(lambda: accepted.append(listener.accept()) or accepted[-1])
        transport = accepted[-1]
        assert transport is not None
        assert str(transport.peer).startswith(("tcp://127.0.0.1:", "tcp://[::ffff:127.0.0.1]:"))
        transport.close()


def test_without_ipv6_an_empty_host_is_every_interface_of_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    bound = module._bound

    def without_ipv6(family: int, *rest: object) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        return bound(family, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_bound", without_ipv6)
    with listening("tcp://:0") as [listener]:
        assert reached(listener, "127.0.0.1", listener.address.port or 0)
    found = [Found(socket.AF_INET6, ("::1", 0, 0, 0)), Found(socket.AF_INET, ("127.0.0.1", 0))]
    monkeypatch.setattr(module, "resolve", lambda host, port: found)
    with listening("tcp://localhost:0") as [listener]:
        assert listener.address.host == "127.0.0.1"
    del found[1]
    with pytest.raises(BindError, match="no such address"):
        listen(Address.parse("tcp://localhost:0"), 1)


def test_an_address_in_use_is_refused_with_advice() -> None:
    with (
        listening("tcp://127.0.0.1:0") as [listener],
        pytest.raises(BindError, match="in use; stop the program that has it, or choose another port"),
    ):
        listen(listener.address, 1)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(BindError, match="no such address"):
        listen(Address.parse("tcp://192.0.2.1:0"), 1)


def test_when_one_of_several_addresses_is_taken_the_others_are_released(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = free_port("127.0.0.1", "127.0.0.2")
    with socket.create_server(("127.0.0.2", port)):
        found = [Found(socket.AF_INET, (f"127.0.0.{n}", 0)) for n in (1, 2)]
        monkeypatch.setattr(module, "resolve", lambda host, port: found)
        with pytest.raises(BindError, match="in use"):
            listen(Address.parse(f"tcp://name.test:{port}"), 1)
        socket.create_server(("127.0.0.1", port)).close()


def test_a_picked_port_that_is_taken_at_the_second_address_is_picked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = [Found(socket.AF_INET, (f"127.0.0.{n}", 0)) for n in (1, 2)]
    monkeypatch.setattr(module, "resolve", lambda host, port: found)
    bound, refusals = module._bound, [True, True]

    def sometimes(family: int, name: tuple[object, ...], *rest: object) -> socket.socket:
        if name[0] == "127.0.0.2" and refusals and refusals.pop():
            raise OSError(errno.EADDRINUSE, "Address already in use")
        return bound(family, name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_bound", sometimes)
    with listening("tcp://name.test:0") as listeners:
        assert len(listeners) == 2
        assert len({listener.address.port for listener in listeners}) == 1
    assert not refusals


def test_a_closed_port_can_be_bound_again_at_once() -> None:
    with listening("tcp://127.0.0.1:0") as [listener]:
        address = listener.address
        client = socket.create_connection((address.host, address.port or 0))
        accepted = []
        until(lambda: accepted.append(listener.accept()) or accepted[-1])
        assert accepted[-1] is not None
        accepted[-1].close()  # our side closes first: the port stays in TIME_WAIT
        client.close()
    with listening(str(address)):
        pass


def test_connections_that_are_gone_before_they_are_accepted_are_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with listening("tcp://127.0.0.1:0") as [listener]:
        sock = listener.sock  # type: ignore[attr-defined]

        class Gone:
            trouble = [errno.ECONNABORTED, errno.EPROTO, errno.EHOSTUNREACH]  # noqa: RUF012

            def accept(self) -> object:
                if self.trouble:
                    raise OSError(self.trouble.pop(), "gone")
                return sock.accept()

            def close(self) -> None:
                sock.close()

        monkeypatch.setattr(listener, "sock", Gone())
        assert listener.accept() is None
        assert not Gone.trouble
        Gone.trouble.append(errno.EMFILE)
        with pytest.raises(OSError, match="gone"):
            listener.accept()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("udp://127.0.0.1:0", r"use datagrams\("),
        ("unixgram:/tmp/x", r"use datagrams\("),
        ("packet://eth0", "a stream server cannot listen"),
    ],
)
def test_what_makes_no_streams_cannot_be_listened_on(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        listen(Address.parse(text), 1)


def test_answers_leave_at_once() -> None:
    """No Nagle on what is accepted."""
    with (
        listening("tcp://127.0.0.1:0") as [listener],
        socket.create_connection(("127.0.0.1", listener.address.port or 0)),
    ):
        accepted = []
        until(lambda: accepted.append(listener.accept()) or accepted[-1])
        sock = accepted[-1].sock  # type: ignore[union-attr]
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert not sock.getblocking()
        assert not os.get_inheritable(sock.fileno())
        sock.close()


# -- Unix sockets


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.parametrize(("options", "mode"), [("", 0o600), ("?mode=660", 0o660), ("?mode=666", 0o666)])
def test_a_socket_file_is_its_owner_s_until_told_otherwise(tmp_path: Path, options: str, mode: int) -> None:
    path = tmp_path / "x.sock"
    before = os.umask(0)
    try:
        with listening(f"unix:{path}{options}"):
            assert stat.S_ISSOCK(path.lstat().st_mode)
            assert mode_of(path) == mode
    finally:
        assert os.umask(before) == 0, "the umask of the process is left alone"
    assert not path.exists()


def test_a_socket_file_never_has_more_rights_than_it_shall_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = tmp_path / "x.sock", []
    chmod = os.chmod

    def looking(where: str, mode: int) -> None:
        seen.append(mode_of(path))
        chmod(where, mode)

    monkeypatch.setattr(os, "chmod", looking)
    before = os.umask(0)
    try:
        with listening(f"unix:{path}?mode=660"):
            assert seen == [0o600]
    finally:
        os.umask(before)


def test_making_a_socket_file_touches_no_other_thread_s_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sys.platform != "linux":
        pytest.skip("elsewhere only the umask can do it")
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("the umask is that of all threads"))
    with listening(f"unix:{tmp_path}/x.sock"):
        pass


def test_a_stale_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    dead.bind(str(path))
    dead.close()
    with listening(f"unix:{path}") as [listener], connect(f"unix:{path}"):
        transport = listener.accept()
        assert transport is not None
        transport.close()
    assert not path.exists()


def test_a_live_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    with listening(f"unix:{path}") as [listener]:
        with pytest.raises(BindError, match="another program is listening there"):
            listen(Address.parse(f"unix:{path}"), 1)
        with connect(f"unix:{path}"):
            pass
        for _ in range(2):  # the probe, then us
            transport = listener.accept()
            assert transport is not None
            transport.close()


def test_a_live_file_whose_queue_is_full_is_still_alive(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    with full_queue(path), pytest.raises(BindError, match="another program"):
        listen(Address.parse(f"unix:{path}"), 1)


@contextmanager
def full_queue(path: Path) -> Iterator[socket.socket]:
    clients: list[socket.socket] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as busy:
        busy.bind(str(path))
        busy.listen(0)
        try:
            while True:
                clients.append(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
                clients[-1].setblocking(False)
                clients[-1].connect(str(path))
        except BlockingIOError:
            yield busy
        finally:
            for client in clients:
                client.close()


@pytest.mark.parametrize("kind", ["file", "folder", "link", "fifo"])
def test_what_is_no_socket_is_refused_and_left_alone(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "precious"
    if kind == "file":
        path.write_text("data")
    elif kind == "folder":
        path.mkdir()
    elif kind == "link":
        (tmp_path / "target").write_text("data")
        path.symlink_to("target")
    else:
        os.mkfifo(path)
    before = path.lstat()
    with pytest.raises(BindError, match="is not a socket"):
        listen(Address.parse(f"unix:{path}"), 1)
    assert path.lstat() == before


def test_a_successor_s_file_is_left_alone_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    with listening(f"unix:{path}"):
        path.unlink()
        with listening(f"unix:{path}") as [successor]:
            listeners = listen(Address.parse(f"unix:{tmp_path}/other"), 1)
            listeners[0].close()
            assert path.exists()
            # The first one's end comes while its successor serves.
            _end_first(path)
            assert path.exists()
            with connect(f"unix:{path}"):
                transport = successor.accept()
                assert transport is not None
                transport.close()
    assert not path.exists()


def _end_first(path: Path) -> None:
    with listening(f"unix:{path}.first") as [first]:
        first._unlink = (str(path), first._unlink[1])  # type: ignore[attr-defined]


def test_a_file_that_somebody_removed_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    with listening(f"unix:{path}"):
        path.unlink()


def test_a_file_is_removed_when_listening_fails_after_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "chmod", refuse)
    with pytest.raises(BindError, match="not permitted"):
        listen(Address.parse(f"unix:{tmp_path}/x.sock"), 1)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(BindError, match="missing does not exist"):
        listen(Address.parse(f"unix:{tmp_path}/missing/x.sock"), 1)


def test_a_path_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises((BindError, ValueError), match="long"):
        listen(Address.parse(f"unix:{tmp_path}/{'x' * 200}"), 1)


@pytest.mark.skipif(sys.platform != "linux", reason="abstract names are Linux's")
def test_an_abstract_name_needs_no_file() -> None:
    name = f"unix:@portico-test-{os.getpid()}"
    with listening(name) as [listener]:
        with connect(name):
            transport = listener.accept()
            assert transport is not None
            transport.close()
        with pytest.raises(BindError, match="in use"):
            listen(Address.parse(name), 1)
    with pytest.raises(ConnectError):
        connect(name)


def test_a_client_with_an_odd_name_of_its_own_is_served(tmp_path: Path) -> None:
    with listening(f"unix:{tmp_path}/x.sock") as [listener]:
        for name in (os.fsencode(tmp_path) + b"/\xff\xfe?x", b"\0\xff abstract"):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                client.bind(name)
                client.connect(f"{tmp_path}/x.sock")
                transport = listener.accept()
                assert transport is not None
                assert str(transport.peer).startswith("unix:")
                assert repr(transport.peer)
                transport.close()


# -- credentials


def test_a_unix_peer_is_known_by_its_process(tmp_path: Path) -> None:
    seen = []

    def look(stream: Stream) -> None:
        seen.append(stream.peer_credentials)

    with Server(look, f"unix:{tmp_path}/x.sock") as server, timeout(SECONDS):
        with connect(server.addresses[0]) as stream:
            assert stream.peer_credentials.uid == os.getuid()
            assert stream.read_all() == b""
        program = (
            f"import socket; socket.socket(socket.AF_UNIX).connect({server.addresses[0].path!r}); input()"
        )
        with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE) as child:
            until(lambda: len(seen) == 2)
            child.communicate(b"\n")
    assert seen[0] == (os.getpid(), os.getuid(), os.getgid())
    assert seen[1] == (child.pid, os.getuid(), os.getgid())
    assert pwd.getpwuid(seen[1].uid)


def test_other_streams_do_not_tell_who_their_peer_is() -> None:
    with (
        Server(lambda stream: stream.read_all(), "tcp://127.0.0.1:0") as server,
        connect(server.addresses[0]) as stream,
        pytest.raises(ConfigError, match="a Unix socket does"),
    ):
        _ = stream.peer_credentials
    near, far = pair()
    with Stream(near) as stream, Stream(far), pytest.raises(ConfigError, match="no socket"):
        _ = stream.peer_credentials


def test_a_system_that_does_not_tell_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "SO_PEERCRED")
    near, far = socket.socketpair()
    with Stream.from_socket(near) as stream, far, pytest.raises(ConfigError, match="this platform"):
        _ = stream.peer_credentials


# -- inherited descriptors


def test_an_inherited_listener_serves_and_stays_open_for_who_passed_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as passed:
        with Server(lambda stream: stream.write(b"hi"), f"fd://{passed.fileno()}") as server:
            assert server.addresses[0].port == passed.getsockname()[1]
            with timeout(SECONDS), connect(("127.0.0.1", passed.getsockname()[1])) as stream:
                assert stream.options.nodelay
                assert stream.read_all() == b"hi"
        with socket.create_connection(passed.getsockname()) as client:
            passed.accept()[0].close()
            assert client.recv(1) == b""


def test_an_engine_that_has_stopped_leaves_an_inherited_listener_alone() -> None:
    """Its poller must not go on telling about connections that are somebody else's now."""
    with socket.create_server(("127.0.0.1", 0)) as passed:
        server = Server(lambda stream: stream.read_all(), f"fd://{passed.fileno()}").start()
        with timeout(SECONDS), connect(("127.0.0.1", passed.getsockname()[1])) as stream:
            until(lambda: server.connections == 1)
            stopper = threading.Thread(target=server.stop)
            stopper.start()
            until(lambda: server.listeners[0].closed)
            with socket.create_connection(passed.getsockname()) as later:
                polls = _count_polls(server)
                stream.shutdown_write()
                stopper.join(SECONDS)
                assert len(polls) < 100
                passed.accept()[0].close()
                assert later.recv(1) == b""


def _count_polls(server: Server) -> list[float]:
    calls: list[float] = []
    engine = server._engine
    poll = engine._poller.poll  # type: ignore[attr-defined]
    engine._poller.poll = lambda seconds: (calls.append(seconds), poll(seconds))[1]  # type: ignore[attr-defined]
    return calls


def test_an_inherited_unix_listener_is_known_as_one(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as passed:
        passed.bind(f"{tmp_path}/x.sock")
        passed.listen()
        with listening(f"fd://{passed.fileno()}") as [listener]:
            assert listener.address.scheme == "unix"
            assert listener.address.path == f"{tmp_path}/x.sock"
        assert (tmp_path / "x.sock").exists(), "it is not ours to remove"


def test_only_listening_stream_sockets_are_taken_over(tmp_path: Path) -> None:
    near, far = socket.socketpair()
    with (
        near,
        far,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram,
        open(tmp_path / "f", "w") as file,
    ):
        for wrong in (near, datagram):
            with pytest.raises(BindError, match="not a listening stream socket"):
                listen(Address.parse(f"fd://{wrong.fileno()}"), 1)
        for number in (file.fileno(), 9999):
            with pytest.raises(BindError, match="no socket was passed"):
                listen(Address.parse(f"fd://{number}"), 1)


def test_a_service_manager_s_sockets_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_FDS", "2")
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    assert list(map(str, inherited())) == ["fd://3", "fd://4"]
    monkeypatch.setenv("LISTEN_PID", "1")
    assert inherited() == []
    monkeypatch.delenv("LISTEN_PID")
    assert inherited() == []


@pytest.mark.parametrize("count", ["", "x", "-1", "²", "1.5"])
def test_a_count_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, count: str) -> None:
    monkeypatch.setenv("LISTEN_FDS", count)
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    with pytest.raises(ConfigError, match="LISTEN_FDS"):
        inherited()


ACTIVATED = """
import os, sys
import portico
os.environ["LISTEN_PID"] = str(os.getpid())
with portico.Server(lambda stream: stream.write(b"activated")) as server:
    print(server.addresses[0], flush=True)
    sys.stdin.read()
"""


def test_a_program_started_by_a_service_manager_serves_what_it_was_given() -> None:
    with socket.create_server(("127.0.0.1", 0)) as passed:
        number = passed.fileno()
        environment = os.environ | {"LISTEN_FDS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
        # The shell puts the socket at number 3, as the convention has it.
        command = f'exec 3<&{number}; exec "$0" -c "$1"'
        with subprocess.Popen(
            ["bash", "-c", command, sys.executable, ACTIVATED],
            pass_fds=[number],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline().strip() == f"tcp://127.0.0.1:{passed.getsockname()[1]}"
            with socket.create_connection(passed.getsockname(), SECONDS) as client:
                assert client.makefile("rb").read() == b"activated"
            child.communicate("")
        assert child.returncode == 0


# -- for several processes


def test_each_process_gets_a_queue_of_its_own_at_the_same_port() -> None:
    [first] = module.listen(Address.parse("tcp://127.0.0.1:0"), 16, processes=True)
    second = first.again()
    try:
        assert second is not first
        assert second.address == first.address
        served = set()
        for _ in range(200):
            with socket.create_connection(("127.0.0.1", first.address.port or 0)):
                select.select([first.fileno(), second.fileno()], [], [], 10)
                for number, listener in enumerate((first, second)):
                    transport = listener.accept()
                    if transport is not None:
                        transport.close()
                        served.add(number)
            if len(served) == 2:
                break
        assert served == {0, 1}
    finally:
        second.close()
        first.close()


def test_a_port_of_several_processes_is_not_shared_with_another_server() -> None:
    [first] = module.listen(Address.parse("tcp://127.0.0.1:0"), 16, processes=True)
    second = first.again()
    for processes in (True, False):
        with pytest.raises(BindError, match="in use"):
            module.listen(first.address, 16, processes=processes)
    second.close()
    first.close()


def test_a_borrowed_listener_leaves_its_file(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    [listener] = module.listen(Address.parse(f"unix:{path}"), 16, processes=True)
    assert listener.again() is listener
    listener.disown().close()
    assert path.is_socket()
