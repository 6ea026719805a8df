"""Connecting: from an address to a stream.

Over TCP by Happy Eyeballs (RFC 8305): the addresses in connect order with the families interleaved, a
new attempt every 250 ms or as soon as one fails, the first success wins and the others are closed. TLS is
made on the winner; its failure does not fall through to another address.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any

from portico.address import Address
from portico.deadline import check, expired, timeout
from portico.engines import door
from portico.errors import ConfigError, ConnectError, PorticoError, Timeout
from portico.sockets import memory, names
from portico.sockets.options import Options
from portico.sockets.stream import Stream, TLSSettings
from portico.sockets.tls import ClientTLS
from portico.sockets.transport import WRITE, SocketTransport, Transport, adopt, socket_file

__all__ = ["connect"]

STAGGER = 0.25
"""Seconds before the next address is tried beside one that has not answered (RFC 8305, 5)."""


def connect(
    address: Address | str | tuple[str, int] | os.PathLike[str],
    *,
    tls: TLSSettings | bool | None = None,
    server_name: str | None = None,
    local: tuple[str, int] | None = None,
    options: Mapping[Any, Any] | None = None,
    resolve: names.Resolver | None = None,
) -> Stream:
    """Connect and return the stream; ``with`` closes it.

    ``address``: whatever ``Address.parse`` takes (``tcp tls unix memory fd``, and the stream under
    ``http https``). ``tls``: a ``ClientTLS``, or ``True`` for its defaults; ``tls://`` and ``https://``
    imply it. ``server_name``: the name to verify instead of the host. ``local``: bind to this
    ``(host, port)`` first. ``options``: socket options by name. ``resolve``: another way to look names up.

    Raises ``AddressError``, ``ResolveError``, ``ConnectError`` (with every attempt in ``failures``),
    ``TLSError``, ``Timeout``.
    """
    where = Address.parse(address)
    if tls is False and where.secure:
        raise ConfigError(
            f"connect({str(where)!r}, tls=False): the address asks for TLS; write tcp:// instead"
        )
    transport = _reach(where, local, options or {}, resolve)
    settings = ClientTLS.default() if tls is True or (not tls and where.secure) else tls or None
    if settings is None:
        return Stream(transport)
    stream = Stream(transport)
    try:
        stream.start_tls(settings, server_name or where.host or None)
    except BaseException:
        stream.abort()
        raise
    return stream


def _reach(
    where: Address, local: tuple[str, int] | None, options: Mapping[Any, Any], resolver: names.Resolver | None
) -> Transport:
    kind = where.transport
    if local is not None and kind not in ("tcp", "tls"):
        raise ConfigError(f"{where}: local= is for TCP")
    if kind == "memory":
        if options:
            raise ConfigError(f"{where} has no socket, and so no socket options")
        return memory.dial(where)
    if kind == "unix":
        return _connect_unix(where, options)
    if kind == "fd":
        return _adopt(where, options)
    if kind in ("tcp", "tls"):
        return _connect_tcp(where, local, options, resolver)
    instead = "; use datagrams()" if kind in ("udp", "unixgram") else ""
    raise ConfigError(f"{where}: connect() makes streams; this is a {kind} address{instead}")


# -- TCP


class _Attempts:
    """The race: attempts under way, and what became of those that failed."""

    def __init__(self, where: Address, local: tuple[str, int] | None, options: Mapping[Any, Any]) -> None:
        self._where = where
        self._sources = {} if local is None else _sources(*local)
        self._options = options
        self._pending: list[tuple[SocketTransport, int]] = []
        self._tried: list[str] = []
        self._failed: dict[int, str] = {}

    @property
    def failures(self) -> list[tuple[str, str]]:
        """Address and reason, in the order in which they were tried."""
        return [(self._tried[number], reason) for number, reason in sorted(self._failed.items())]

    def begin(self, family: int, name: tuple[Any, ...]) -> SocketTransport | None:
        """Start one attempt; the transport when it succeeds at once."""
        peer, number = Address.of_socket(self._where.scheme, name), len(self._tried)
        self._tried.append(str(peer))
        try:
            transport = SocketTransport(socket.socket(family, socket.SOCK_STREAM), peer)
        except OSError as error:
            self._failed[number] = error.strerror or str(error)
            return None
        try:
            self._prepare(transport.sock, family)
            transport.sock.connect(name)
        except BlockingIOError:
            self._pending.append((transport, number))
            return None
        except OSError as error:
            transport.close()
            self._failed[number] = error.strerror or str(error)
            return None
        except BaseException:
            transport.close()
            raise
        return transport

    def _prepare(self, sock: socket.socket, family: int) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        Options(sock).apply(self._options)
        if self._sources:
            if family not in self._sources:
                raise OSError(errno.EAFNOSUPPORT, "local= is of another address family")
            sock.bind(self._sources[family])

    def wait(self, seconds: float | None) -> SocketTransport | None:
        """Wait for an attempt to succeed: that one. ``None``: one failed, or the time is over."""
        wanted = [(transport, WRITE) for transport, _ in self._pending]
        try:
            with timeout(seconds):
                ready = door.wait_any(wanted, f"connecting to {self._where}")
        except Timeout:
            check(f"connecting to {self._where}")  # the caller's deadline, not the stagger
            return None
        pending, self._pending = self._pending, []
        winner = None
        for (transport, number), events in zip(pending, ready, strict=True):
            reason = _verdict(transport.sock) if events and winner is None else _UNDECIDED
            if reason == _UNDECIDED:
                self._pending.append((transport, number))
            elif reason == 0:
                winner = transport
            else:
                transport.close()
                self._failed[number] = os.strerror(reason)
        return winner

    @property
    def running(self) -> int:
        return len(self._pending)

    def close(self) -> None:
        for transport, _ in self._pending:
            transport.close()


def _connect_tcp(
    where: Address, local: tuple[str, int] | None, options: Mapping[Any, Any], resolver: names.Resolver | None
) -> Transport:
    if not where.host:
        raise ConnectError(f"cannot connect to {where}: name a host")
    if not where.port:
        raise ConnectError(f"cannot connect to {where}: name a port")
    places = names.resolve(where.host, where.port, resolver=resolver)
    race = _Attempts(where, local, options)
    try:
        winner = _race(where, race, [(found.family, found.sockaddr) for found in places])
    finally:
        race.close()
    if winner is None:
        raise _nobody(where, race.failures)
    winner.local = Address.of_socket(where.scheme, winner.sock.getsockname())
    return winner


def _race(
    where: Address, race: _Attempts, places: Sequence[tuple[int, tuple[Any, ...]]]
) -> SocketTransport | None:
    waiting = list(places)
    next_at = 0.0
    while waiting or race.running:
        check(f"connecting to {where}")
        now, failed = monotonic(), len(race.failures)
        if waiting and now >= next_at:
            winner = race.begin(*waiting.pop(0))
            next_at = now + STAGGER
        else:
            winner = race.wait(next_at - now if waiting else None)
        if winner is not None:
            return winner
        if len(race.failures) > failed:
            next_at = 0.0  # an attempt failed: the next need not wait for its turn
    return None


_UNDECIDED = -1


def _verdict(sock: socket.socket) -> int:
    """What became of an attempt: 0, an error number, or ``_UNDECIDED``."""
    number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if number:
        return number
    try:
        sock.getpeername()
    except OSError as error:
        # A woken socket without an error may still be on its way.
        return _UNDECIDED if error.errno == errno.ENOTCONN else error.errno or errno.EIO
    return 0


def _sources(host: str, port: int) -> dict[int, tuple[Any, ...]]:
    """What to bind to before connecting, by address family."""
    found = names.resolve(host, port, passive=True)
    return {each.family: each.sockaddr for each in reversed(found)}


def _nobody(where: Address, failures: Sequence[tuple[str, str]]) -> ConnectError:
    if len(failures) == 1:
        place, reason = failures[0]
        via = "" if place == str(where) else f" ({place})"
        return ConnectError(f"cannot connect to {where}{via}: {reason}", failures)
    each = "; ".join(f"{place}: {reason}" for place, reason in failures)
    return ConnectError(f"cannot connect to {where}; tried {len(failures)} addresses: {each}", failures)


# -- Unix sockets and inherited descriptors


def _connect_unix(where: Address, options: Mapping[Any, Any]) -> Transport:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    transport = SocketTransport(sock, where, Address.of_socket("unix", ""))
    try:
        Options(sock).apply(options)
        _connect_when_free(sock, where)
    except BaseException as error:
        transport.close()
        if not isinstance(error, OSError) or isinstance(error, PorticoError):  # a Timeout is an OSError
            raise
        reason = error.strerror or str(error)
        raise ConnectError(f"cannot connect to {where}: {reason}", [(str(where), reason)]) from error
    return transport


def _connect_when_free(sock: socket.socket, where: Address) -> None:
    """A Unix listener whose queue is full says EAGAIN, and nothing tells when to try again (unix(7))."""
    pause = 0.001
    while True:
        check(f"connecting to {where}")
        try:
            sock.connect(socket_file(where))
            return
        except BlockingIOError:
            pass
        try:
            door.sleep(pause)
        except Timeout:
            raise expired(f"connecting to {where}") from None
        pause = min(pause * 2, 0.05)


def _adopt(where: Address, options: Mapping[Any, Any]) -> Transport:
    try:
        sock = adopt(where.fd or 0)
    except OSError as error:
        raise ConnectError(f"cannot use {where}: no socket was passed under this number") from error
    scheme = "unix" if sock.family == socket.AF_UNIX else "tcp"
    try:
        if sock.type != socket.SOCK_STREAM:
            raise ConnectError(f"cannot use {where}: it is not a stream socket")
        peer = Address.of_socket(scheme, sock.getpeername())
        Options(sock).apply(options)
    except OSError as error:
        sock.close()
        if isinstance(error, ConnectError):
            raise
        raise ConnectError(f"cannot use {where}: it is not a connected socket") from error
    except BaseException:
        sock.close()
        raise
    return SocketTransport(sock, peer, Address.of_socket(scheme, sock.getsockname()))
