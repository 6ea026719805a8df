"""Listening: from an address to sockets that can be accepted from.

One address may need several sockets (a name with an IPv4 and an IPv6 address); an empty host is every
interface, by one dual-stack socket where the system has IPv6. Port 0 picks one port for all of them.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import sys
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

from portico.address import Address
from portico.engines.contract import Listening
from portico.errors import BindError, ConfigError
from portico.limits import Limits
from portico.sockets import memory
from portico.sockets.names import resolve
from portico.sockets.socket_files import Made, bind_file, unlink_same
from portico.sockets.transport import SocketTransport, Transport, adopt

__all__ = ["SocketListener", "bind_all", "bind_error", "inherited", "listen", "named", "named_inherited"]

Bound = Callable[[int, tuple[Any, ...]], socket.socket]

_NAMED = re.compile(r"fd://([A-Za-z_][^?/]*)(\?.*)?")
_FIRST_INHERITED = 3  # sd_listen_fds(3)
_PORT_TRIES = 16
_MOST = 2**31 - 1  # a C int; the system takes less anyway
_FAMILIES = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)


class SocketListener(Listening):
    """A listening stream socket, TCP or Unix. ``address`` has the real port. Owns the socket."""

    __slots__ = ("_descriptor", "_queue", "_scheme", "_unlink", "sock")

    def __init__(
        self, sock: socket.socket, address: Address, unlink: Made | None = None, *, queue: int = 0
    ) -> None:
        super().__init__()
        sock.setblocking(False)
        self.sock = sock
        self.address = address
        self._scheme = address.scheme
        self._descriptor = sock.fileno()
        self._unlink = unlink
        self._queue = queue  # the backlog of others at this place, where there may be such

    def fileno(self) -> int:
        return self._descriptor

    def accept(self) -> Transport | None:
        while True:
            try:
                sock, name = self.sock.accept()
            except (BlockingIOError, InterruptedError):
                return None
            except OSError as error:
                if error.errno in _GONE_BEFORE_ACCEPT:
                    continue
                raise
            return SocketTransport(sock, Address.of_socket(self._scheme, name), self.address)

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self.wake()
        if self._unlink is not None:
            # While it is open nobody else's file can have the same number.
            unlink_same(*self._unlink)
        self._descriptor = -1
        self.sock.close()

    def again(self) -> Listening:
        if not self._queue:
            return self
        name = self.sock.getsockname()
        sock = _bound(self.sock.family, name, self._queue, _Place.BESIDE_OURS)
        return SocketListener(sock, self.address, queue=self._queue)

    def disown(self) -> Listening:
        self._unlink = None
        return self

    def __repr__(self) -> str:
        return f"<SocketListener {self.address}{' closed' if self.closed else ''}>"


# accept(2): errors of the connection, not of the listener; the next one may be well.
_GONE_BEFORE_ACCEPT = frozenset(
    getattr(errno, name)
    for name in "ECONNABORTED EPROTO ENETDOWN ENOPROTOOPT EHOSTDOWN ENONET EHOSTUNREACH ENETUNREACH".split()
    if hasattr(errno, name)
)


class _Place(Enum):
    """What else may listen where we do."""

    ALONE = 0
    FIRST_OF_OURS = 1
    BESIDE_OURS = 2


# Elsewhere connections are not spread over the sockets of one port: processes share one socket.
_SPREADS = sys.platform == "linux"


def listen(
    address: Address, backlog: int, limits: Limits | None = None, *, processes: bool = False
) -> list[Listening]:
    """Listeners for an address (``tcp tls http https unix memory fd``; with ``limits`` ``udp unixgram``).

    ``processes``: they are for processes of ours, one or more (see ``Listening.again``).
    Raises ``BindError`` saying what to do, ``ConfigError`` for an address that cannot be listened on.
    """
    transport = address.transport
    if transport == "memory":
        return [(memory.listen_for_others if processes else memory.listen)(address, backlog=backlog)]
    if transport == "fd":
        return [_adopt(address, limits)]
    if transport == "unix":
        return [_listen_unix(address, backlog)]
    if transport in ("tcp", "tls"):
        return _listen_tcp(address, backlog, processes and _SPREADS)
    if transport not in ("udp", "unixgram"):
        raise ConfigError(f"{address}: a stream server cannot listen on {transport} addresses")
    if limits is None:
        raise ConfigError(f"{address}: datagrams make no streams; use datagrams(local=…) or serve()")
    from portico.sockets.datagram_listener import listen_datagrams  # which builds on this module

    return [*listen_datagrams(address, limits)]


def inherited(name: str | None = None) -> list[Address]:
    """The sockets passed by a service manager (``LISTEN_FDS``, ``LISTEN_PID``), as ``fd:`` addresses; with
    ``name``, those that are called so (``LISTEN_FDNAMES``; ``FileDescriptorName=`` in systemd's units).

    Raises ``ConfigError``, also where none has the name.
    """
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return _called(name, []) if name is not None else []
    count = os.environ.get("LISTEN_FDS", "")
    if not (count.isascii() and count.isdigit()):
        raise ConfigError(f"LISTEN_FDS={count!r}: expected the number of inherited sockets")
    found = [Address.parse(f"fd://{_FIRST_INHERITED + index}") for index in range(int(count))]
    return found if name is None else _called(name, found)


def named_inherited(text: str, *, pretend: bool = False) -> list[str] | None:
    """The addresses of the inherited sockets that ``fd://NAME[?…]`` stands for; ``None``: it is no such text.

    ``pretend``: there is one of each name. Raises ``ConfigError``.
    """
    match = _NAMED.fullmatch(text)
    if match is None:
        return None
    found = ["fd://3"] if pretend else inherited(match[1])
    return [f"{address}{match[2] or ''}" for address in found]


def _called(name: str, found: Sequence[Address]) -> list[Address]:
    names = os.environ.get("LISTEN_FDNAMES", "").split(":") if found else []
    chosen = [address for address, called in zip(found, names, strict=False) if called == name]
    if not chosen:
        known = f"there are: {', '.join(dict.fromkeys(names))}" if names else "none was passed"
        raise ConfigError(f"no inherited socket is called {name!r}; {known}")
    return chosen


def _listen_tcp(address: Address, backlog: int, spread: bool) -> list[Listening]:
    place = _Place.FIRST_OF_OURS if spread else _Place.ALONE
    sockets = bind_all(address, lambda family, name: _bound(family, name, backlog, place))
    return [SocketListener(sock, named(address, sock), queue=backlog if spread else 0) for sock in sockets]


def bind_all(address: Address, bound: Bound) -> list[socket.socket]:
    """A socket, made by ``bound(family, name)``, for each place of an address, all on one port.

    Raises ``BindError``; then every socket has been closed.
    """
    for _ in range(_PORT_TRIES):
        sockets = _bind_once(address, bound)
        if sockets is not None:
            return sockets
    raise BindError(f"cannot listen on {address}: no port was free on all of its addresses")


def _bind_once(address: Address, bound: Bound) -> list[socket.socket] | None:
    """``None``: the port that the system picked for the first place is not free at another."""
    sockets: list[socket.socket] = []
    port, missing = address.port or 0, None
    try:
        for family, name in _places(address):
            try:
                sock = bound(family, (name[0], port, *name[2:]))
            except OSError as error:
                if sockets and address.port == 0 and error.errno == errno.EADDRINUSE:
                    _close_all(sockets)
                    return None
                if error.errno not in _MISSING:
                    raise bind_error(error, address) from error
                missing = error  # such as ::1 of localhost where IPv6 is off: the others will do
                continue
            sockets.append(sock)
            port = sock.getsockname()[1]
            if not address.host:
                break
        if not sockets and missing is not None:
            raise bind_error(missing, address) from missing
    except BaseException:
        _close_all(sockets)
        raise
    return sockets


_MISSING = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def _places(address: Address) -> Sequence[tuple[int, tuple[str, int, *tuple[int, ...]]]]:
    """Where to bind: every address of a name; without one, the first of these that can be had."""
    if not address.host:
        both = [(socket.AF_INET6, ("::", 0, 0, 0))] if socket.has_dualstack_ipv6() else []
        return [*both, (socket.AF_INET, ("0.0.0.0", 0))]
    return [(found.family, found.sockaddr) for found in resolve(address.host, 0)]


def bind_error(error: OSError, address: Address) -> BindError:
    """The Portico error for an address that could not be bound, with advice."""
    return BindError(f"cannot listen on {address}: {_advice(error)}")


def _bound(family: int, name: tuple[object, ...], backlog: int, place: _Place) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted connections inherit it: answers leave at once.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if name[0] == "::" else 1)
        if place is _Place.BESIDE_OURS:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(name)
        if place is _Place.FIRST_OF_OURS:
            # Not before: the same server, started twice, would quietly share its connections.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.listen(min(backlog, _MOST))
    except BaseException:
        sock.close()
        raise
    return sock


def _close_all(sockets: Sequence[socket.socket]) -> None:
    for sock in sockets:
        sock.close()


def named(address: Address, sock: socket.socket) -> Address:
    """The address as given, with the port that it really got (and the numeric host for each family)."""
    name = sock.getsockname()
    if not address.host or address.is_ip:
        return address.with_port(name[1])
    return Address.of_socket(address.scheme, name)


def _advice(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the address is in use; stop the program that has it, or choose another port (0 picks one)"
    if error.errno == errno.EACCES:
        return "not permitted; ports below 1024 need privileges, choose a higher one"
    if error.errno == errno.EADDRNOTAVAIL:
        return "this machine has no such address"
    return error.strerror or str(error)


# -- Unix sockets


def _listen_unix(address: Address, backlog: int) -> Listening:
    sock, made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), None
    try:
        made = bind_file(sock, address)
        sock.listen(min(backlog, _MOST))
    except BaseException as error:
        if made is not None:
            unlink_same(*made)
        sock.close()
        if isinstance(error, OSError) and not isinstance(error, BindError):
            raise bind_error(error, address) from error
        raise
    return SocketListener(sock, address, made)


# -- inherited descriptors


def _adopt(address: Address, limits: Limits | None) -> Listening:
    """A listener over an inherited descriptor: a listening stream socket; with ``limits``, a datagram one."""
    number = address.fd or 0
    try:
        sock = adopt(number)
    except OSError as error:
        raise BindError(f"cannot listen on {address}: no socket was passed under this number") from error
    try:
        if sock.type == socket.SOCK_DGRAM and sock.family in _FAMILIES and limits is not None:
            from portico.sockets.datagram_listener import adopted  # as above

            return adopted(sock, limits)
        listening = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        if sock.type != socket.SOCK_STREAM or sock.family not in _FAMILIES or not listening:
            raise BindError(f"cannot listen on {address}: it is not a listening stream socket")
        if sock.family == socket.AF_UNIX:
            if address.secure:
                raise BindError(f"cannot listen on {address}: it is a Unix socket, which needs no TLS")
            return SocketListener(sock, Address.of_socket("unix", sock.getsockname()))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return SocketListener(sock, Address.of_socket("tls" if address.secure else "tcp", sock.getsockname()))
    except BaseException:
        sock.close()
        raise
