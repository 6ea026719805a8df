"""Names and numbers: hosts to addresses, addresses to hosts, services to ports.

``getaddrinfo`` cannot be interrupted and may take a minute, so it runs in a few daemon threads: a
deadline abandons a look-up instead of waiting for it, and one that hangs never delays the interpreter's
exit. A name is looked up once at a time; whoever else asks for it meanwhile shares the answer. Literals
and a map given by the caller never reach a thread.
"""

from __future__ import annotations

import os
import socket
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, zip_longest
from typing import Any, NamedTuple, cast

from portico import deadline
from portico.address import canonical_host, is_literal, port_services
from portico.address import service_port as known_service_port
from portico.engines import door
from portico.errors import AddressError, ResolveError
from portico.sockets.transport import Waiter

__all__ = [
    "Found",
    "Resolver",
    "Sockaddr",
    "host_name",
    "interleave",
    "local_addresses",
    "port_service",
    "resolve",
    "reverse",
    "send_idle_threads_home",
    "service_port",
]

THREADS = 8
"""Look-ups at once. A name server answers in milliseconds, so only hanging ones keep others waiting."""
IDLE = 2.0
"""Seconds that a thread stays for the next look-up."""

Addresses = str | Sequence[str] | None
Resolver = Mapping[Any, Addresses] | Callable[[str, int], Addresses]
"""A resolver of the caller's own: a mapping from a host in any spelling, or ``(host, port)``, to one IP
address or several; or a function of both. ``None``, or a name that is not in it, is looked up as usual."""


Sockaddr = tuple[str, int] | tuple[str, int, int, int]
"""Host, port, and for IPv6 flow and scope, as sockets take them."""


class Found(NamedTuple):
    """Where to connect, or what to bind: the socket's family and its address."""

    family: socket.AddressFamily
    sockaddr: Sockaddr

    @property
    def ip(self) -> str:
        """The IP address as a host of ``Address`` is written, with its zone."""
        host, scope = self.sockaddr[0], self.sockaddr[3] if len(self.sockaddr) == 4 else 0
        return f"{host}%{scope}" if scope and "%" not in host else host


def host_name() -> str:
    """This machine's name, as it calls itself."""
    return socket.gethostname()


def resolve(
    host: str,
    port: int,
    *,
    family: socket.AddressFamily | None = None,
    passive: bool = False,
    resolver: Resolver | None = None,
) -> list[Found]:
    """Every address of ``host``, in the order in which to connect to them, each with ``port``.

    The system sorts them (RFC 6724); families then take turns (RFC 8305, 4). ``family`` keeps one only.
    An empty host is this machine, or with ``passive`` every interface, for binding. ``resolver`` is asked
    first. Raises ``AddressError`` for a host that cannot be one, ``ResolveError`` naming the host and the
    reason, ``Timeout`` when the deadline in force passes; the look-up is then left to itself.
    """
    doing = f"looking up {host!r}"
    deadline.check(doing)
    if host:
        found = _found(canonical_host(host), port, family, resolver, doing)
    else:
        found = [_literal(text) for text in (_EVERY if passive else _LOOPBACK)]
    kept = [one for one in found if family in (None, one.family)]
    if not kept:
        raise ResolveError(f"could not resolve {host!r}: it has no {_family_name(family)} address")
    return [_with_port(one, port) for one in interleave(kept)]


def interleave(found: Sequence[Found]) -> list[Found]:
    """Families in turn, beginning with the first one's, each in its own order (RFC 8305, 4)."""
    first = [one for one in found if one.family == found[0].family]
    others = [one for one in found if one.family != found[0].family]
    return [one for one in chain.from_iterable(zip_longest(first, others)) if one is not None]


def reverse(ip: str) -> str:
    """The host name of an IP address, whatever its owner says: never proof of who that is.

    Raises ``ResolveError`` when there is none, or one that is no host name; ``AddressError`` when ``ip``
    is no IP address; ``Timeout``.
    """
    doing = f"looking up the name of {ip}"
    deadline.check(doing)
    sockaddr = _literal(canonical_host(ip)).sockaddr
    key = ("reverse", sockaddr)
    name: str = _shared(key, lambda: socket.getnameinfo(sockaddr, socket.NI_NAMEREQD)[0], ip, doing)
    try:
        return canonical_host(name)
    except AddressError:
        raise ResolveError(f"could not resolve {ip}: the answer {name!r} is no host name") from None


def service_port(name: str, protocol: str = "tcp") -> int:
    """The port of a service such as ``http``. Raises ``ResolveError`` when nobody knows it."""
    port = known_service_port(name, protocol)
    if port is None:
        raise ResolveError(f"could not resolve the service {name!r}: no such name in /etc/services")
    return port


def port_service(port: int, protocol: str = "tcp") -> str:
    """The service of a port such as 80. Raises ``ResolveError`` when nobody knows one."""
    for name, of in port_services(port):
        if of == protocol:
            return name
    raise ResolveError(f"could not resolve the port {port}/{protocol}: no service has it")


def local_addresses() -> list[str]:
    """This machine's IP addresses: those of its own name, and those it would use towards the world."""
    found = [ip for family, target in _WORLD for ip in _towards(family, target)]
    try:
        found += [one.ip for one in resolve(host_name(), 0)]
    except (AddressError, ResolveError):
        pass  # many a container's own name is in no table
    return list(dict.fromkeys(found))


# -- literals, maps, ports

_LOOPBACK = ("::1", "127.0.0.1") if socket.has_ipv6 else ("127.0.0.1",)
_EVERY = ("::", "0.0.0.0") if socket.has_ipv6 else ("0.0.0.0",)
# Documentation addresses (RFC 5737, RFC 3849): connecting a datagram socket sends nothing, it only asks
# the routing table.
_WORLD = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))


def _found(
    host: str, port: int, family: socket.AddressFamily | None, own: Resolver | None, doing: str
) -> list[Found]:
    mapped = _from_map(own, host, port)
    if mapped is not None:
        return mapped
    if is_literal(host):
        return [_literal(host)]
    wanted = socket.AF_UNSPEC if family is None else family
    found: list[Found] = _shared((host, wanted), lambda: _ask_system(host, wanted), host, doing)
    return found


def _from_map(own: Resolver | None, host: str, port: int) -> list[Found] | None:
    if own is None:
        return None
    answer = _asked(own, host, port) if isinstance(own, Mapping) else own(host, port)
    if answer is None:
        return None
    texts = [canonical_host(text) for text in ([answer] if isinstance(answer, str) else answer)]
    wrong = [text for text in texts if not is_literal(text)]
    if wrong:
        raise ResolveError(f"could not resolve {host!r}: {wrong[0]!r}, from resolver, is no IP address")
    return [_literal(text) for text in texts]


def _asked(own: Mapping[Any, Addresses], host: str, port: int) -> Addresses:
    """What a map says about a host, however its keys are spelt: one that is overlooked would be looked up,
    and the connection go elsewhere."""
    answer = own.get((host, port), own.get(host))
    if answer is None:
        spelt = {_spelt(key): answer for key, answer in own.items()}
        answer = spelt.get((host, port), spelt.get(host))
    return answer


def _spelt(key: Any) -> Any:
    name, *port = key if isinstance(key, tuple) else (key,)
    try:
        host = canonical_host(name[1:-1] if name[:1] == "[" else name)
    except (AddressError, TypeError):
        return key  # no host, so that it never fits
    return (host, *port) if port else host


def _literal(host: str) -> Found:
    if ":" not in host:
        if not is_literal(host):
            raise AddressError(f"{host!r} is no IP address")
        return Found(socket.AF_INET, (host, 0))
    bare, _, zone = host.partition("%")
    return Found(socket.AF_INET6, (bare, 0, 0, _zone_number(host, zone)))


def _zone_number(host: str, zone: str) -> int:
    if not zone or zone.isdigit():
        return int(zone or 0)
    try:
        return socket.if_nametoindex(zone)
    except OSError:
        raise ResolveError(f"could not resolve {host!r}: this machine has no interface {zone!r}") from None


def _with_port(found: Found, port: int) -> Found:
    host, _, *flow_and_scope = found.sockaddr
    return Found(found.family, cast(Sockaddr, (host, port, *flow_and_scope)))


def _family_name(family: socket.AddressFamily | None) -> str:
    return {socket.AF_INET: "IPv4", socket.AF_INET6: "IPv6"}.get(family or socket.AF_UNSPEC, "IP")


def _ask_system(host: str, family: int) -> list[Found]:
    # One kind of socket, or every address would come once for each kind.
    answers = socket.getaddrinfo(host, 0, family, socket.SOCK_STREAM)
    return [Found(one[0], cast(Sockaddr, one[4])) for one in answers]


def _towards(family: socket.AddressFamily, target: str) -> list[str]:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((target, 9))
            return [str(probe.getsockname()[0])]
    except OSError:
        return []  # no route in this family


# -- the threads that wait for the system


class _Lookup:
    """One question on its way: asked once, awaited by many."""

    __slots__ = ("answer", "ask", "done", "error", "key", "waiters")

    def __init__(self, key: object, ask: Callable[[], Any]) -> None:
        self.key = key
        self.ask = ask
        self.done = False
        self.answer: Any = None
        self.error: Exception | None = None
        self.waiters: set[Waiter] = set()


class _Desk:
    """Where look-ups wait for one of the threads. All fields are guarded by ``lock``."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.come = threading.Condition(self.lock)
        self.line: deque[_Lookup] = deque()
        self.under_way: dict[object, _Lookup] = {}
        self.threads = 0
        self.idle = 0
        self.dismissals = 0

    def dismiss(self) -> None:
        """Let those that have nothing to do leave now."""
        with self.lock:
            self.dismissals += 1
            self.come.notify_all()

    def join(self, key: object, ask: Callable[[], Any], waiter: Waiter) -> _Lookup:
        """The look-up under way for ``key``, or a new one; ``waiter`` is woken when it is done."""
        with self.lock:
            lookup = self.under_way.get(key)
            if lookup is None:
                self._staff()
                lookup = self.under_way[key] = _Lookup(key, ask)
                self.line.append(lookup)
            lookup.waiters.add(waiter)
            return lookup

    def _staff(self) -> None:
        """See to it that somebody takes the look-up that is about to be put in line."""
        if self.idle > len(self.line) or self.threads >= THREADS:
            self.come.notify()
            return
        try:
            threading.Thread(target=self._serve, name="portico-names", daemon=True).start()
        except RuntimeError as error:  # no more threads on this machine, or the interpreter is ending
            if not self.threads:
                raise ResolveError(f"no name can be looked up: {error}") from error
        else:
            self.threads += 1

    def leave(self, lookup: _Lookup, waiter: Waiter) -> None:
        """``waiter`` waits no longer; a look-up that nobody waits for is not begun."""
        with self.lock:
            lookup.waiters.discard(waiter)
            if not lookup.waiters and lookup in self.line:
                self.line.remove(lookup)
                del self.under_way[lookup.key]

    def _serve(self) -> None:
        try:
            while (lookup := self._next()) is not None:
                try:
                    lookup.answer = lookup.ask()
                except (OSError, UnicodeError) as error:
                    lookup.error = error
                finally:
                    self._finish(lookup)
        finally:
            with self.lock:
                self.threads -= 1

    def _next(self) -> _Lookup | None:
        with self.lock:
            self.idle += 1
            dismissals = self.dismissals
            try:
                self.come.wait_for(lambda: self.line or self.dismissals != dismissals, IDLE)
            finally:
                self.idle -= 1
            return self.line.popleft() if self.line else None

    def _finish(self, lookup: _Lookup) -> None:
        with self.lock:
            del self.under_way[lookup.key]
            lookup.done = True
            waiters = tuple(lookup.waiters)
        for waiter in waiters:
            waiter.wake()


_desk = _Desk()


def send_idle_threads_home() -> None:
    """End those that wait for a next look-up: a process with threads cannot be forked."""
    _desk.dismiss()


def _after_fork() -> None:
    """A child has none of its parent's threads, and maybe a lock that one of them held."""
    global _desk  # noqa: PLW0603  (the process itself is what is new)
    _desk = _Desk()


os.register_at_fork(after_in_child=_after_fork)


def _shared(key: object, ask: Callable[[], Any], name: str, doing: str) -> Any:
    """The answer to ``ask``, from whichever thread got it. Raises ``ResolveError``, ``Timeout``."""
    desk = _desk
    waiter = door.waiter()
    lookup = desk.join(key, ask, waiter)
    try:
        while not lookup.done:
            door.park(waiter, doing)
    finally:
        desk.leave(lookup, waiter)
    if lookup.error is not None or not lookup.answer:
        failure = ResolveError(f"could not resolve {name!r}: {_reason(lookup.error, name)}")
        failure.temporary = getattr(lookup.error, "errno", None) == socket.EAI_AGAIN
        raise failure from lookup.error
    return lookup.answer


_REASONS = {
    socket.EAI_NONAME: "there is no such name",
    socket.EAI_AGAIN: "no name server answered; try again later",
    socket.EAI_FAIL: "the name server failed",
    getattr(socket, "EAI_NODATA", None): "the name has no address",
}


def _reason(error: Exception | None, name: str) -> str:
    if error is None:
        return "the look-up gave no address"
    if isinstance(error, socket.gaierror):
        if error.errno == socket.EAI_NONAME and is_literal(name):
            return "this address has no name"
        return _REASONS.get(error.errno) or error.strerror or str(error)
    return str(error)
