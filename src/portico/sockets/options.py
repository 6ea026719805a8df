"""Socket options: the useful ones by name, every other by level and number (or its name in C).

``stream.options.nodelay = True`` reads and sets by name; ``options.set("IPPROTO_TCP", "TCP_USER_TIMEOUT",
5000)`` reaches the rest. What this platform lacks, or this kind of socket has none of, is a ``ConfigError``
that says so, never a silent nothing.
"""

from __future__ import annotations

import errno
import math
import socket
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar, overload

from portico.errors import ConfigError, StreamClosed

__all__ = ["Credentials", "KeepAlive", "Options"]

V = TypeVar("V")

_LEVELS = ("SOL_", "IPPROTO_")
_NAMES = ("SO_", "TCP_", "IP_", "IPV6_", "UDP_", "MCAST_", "LOCAL_", "SCTP_", "CAN_", "ALG_", "PACKET_")
_ANY = ("tcp", "udp", "unix", "raw")
_IP = ("tcp", "udp", "raw")
_TCP = ("tcp",)
_LINGER = struct.Struct("ii")


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """Probes on a silent connection, each in whole seconds; ``None`` keeps the system's value.

    ``idle``: silence before the first probe; ``interval``: between probes; ``count``: unanswered
    probes after which the connection is lost.
    """

    idle: int | None = None
    interval: int | None = None
    count: int | None = None

    def __post_init__(self) -> None:
        for name in ("idle", "interval", "count"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ConfigError(f"KeepAlive({name}={value!r}): expected a whole number above zero")


class _Option(Generic[V]):
    """A named option as an attribute. ``kinds``: the sockets on which it means something."""

    def __init__(
        self, level: str, option: str, doc: str, kinds: tuple[str, ...] = _ANY, size: int = 0
    ) -> None:
        self.level, self.option, self.kinds, self.size = level, option, kinds, size
        self.__doc__ = doc

    def __set_name__(self, owner: type[Options], name: str) -> None:
        self.name = name
        owner.named[name] = self

    @overload
    def __get__(self, options: None, owner: type) -> _Option[V]: ...
    @overload
    def __get__(self, options: Options, owner: type) -> V: ...
    def __get__(self, options: Options | None, owner: type) -> _Option[V] | V:
        if options is None:
            return self
        self.check_kind(options)
        return self.read(options)

    def __set__(self, options: Options, value: V) -> None:
        self.check_kind(options)
        self.write(options, value)

    def check_kind(self, options: Options) -> None:
        if options.kind not in self.kinds:
            raise ConfigError(f"a {options.kind} socket has no option {self.name}")

    def read(self, options: Options) -> V:
        return self.decode(options.get(self.level, self.option, self.size))

    def write(self, options: Options, value: V) -> None:
        options.set(self.level, self.option, self.encode(value))

    def decode(self, raw: Any) -> V:
        raise NotImplementedError

    def encode(self, value: Any) -> int | bytes:
        raise NotImplementedError

    def refuse(self, value: object, wanted: str) -> ConfigError:
        return ConfigError(f"socket option {self.name}={value!r}: expected {wanted}")


class _Flag(_Option[bool]):
    def decode(self, raw: Any) -> bool:
        return bool(raw)

    def encode(self, value: Any) -> int:
        if not isinstance(value, bool) and value not in (0, 1):
            raise self.refuse(value, "True or False")
        return int(value)


class _Number(_Option[int]):
    def decode(self, raw: Any) -> int:
        return int(raw)

    def encode(self, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self.refuse(value, "a whole number, zero or more")
        return value


class _PerFamily(_Number):
    """One thing that IPv4 and IPv6 call differently: ``option`` holds both names."""

    def read(self, options: Options) -> int:
        return self.decode(options.get(*self._place(options)))

    def write(self, options: Options, value: int) -> None:
        options.set(*self._place(options), self.encode(value))

    def _place(self, options: Options) -> tuple[str, str]:
        four, six = self.option.split("/")
        return ("IPPROTO_IPV6", six) if options.ipv6 else ("IPPROTO_IP", four)


class _Milliseconds(_Option[float]):
    def decode(self, raw: Any) -> float:
        return int(raw) / 1000

    def encode(self, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
            raise self.refuse(value, "seconds, zero or more")
        return math.ceil(value * 1000)


class _Text(_Option[str]):
    def decode(self, raw: Any) -> str:
        return bytes(raw).partition(b"\0")[0].decode("ascii", "replace")

    def encode(self, value: Any) -> bytes:
        if not isinstance(value, str) or not value.isascii() or "\0" in value:
            raise self.refuse(value, "an ASCII name")
        return value.encode("ascii") + b"\0"


class _Linger(_Option["int | None"]):
    def decode(self, raw: Any) -> int | None:
        on, seconds = _LINGER.unpack(raw)
        return seconds if on else None

    def encode(self, value: Any) -> bytes:
        if value is None:
            return _LINGER.pack(0, 0)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 15:
            raise self.refuse(value, "whole seconds or None")
        return _LINGER.pack(1, value)


class _KeepAlives(_Option["KeepAlive | bool | None"]):
    """Switch and three numbers, which macOS and Linux name differently."""

    parts: ClassVar[dict[str, str]] = {
        "idle": "TCP_KEEPIDLE" if hasattr(socket, "TCP_KEEPIDLE") else "TCP_KEEPALIVE",
        "interval": "TCP_KEEPINTVL",
        "count": "TCP_KEEPCNT",
    }

    def read(self, options: Options) -> KeepAlive | None:
        if not options.get(self.level, self.option):
            return None
        return KeepAlive(**{part: options.get("IPPROTO_TCP", name) for part, name in self.parts.items()})

    def write(self, options: Options, value: Any) -> None:
        if value is not None and not isinstance(value, (KeepAlive, bool)):
            raise self.refuse(value, "KeepAlive(...), True, False or None")
        # The numbers first: one that is refused must not leave probes on with the system's two hours.
        if isinstance(value, KeepAlive):
            for part, name in self.parts.items():
                if (number := getattr(value, part)) is not None:
                    options.set("IPPROTO_TCP", name, number)
        options.set(self.level, self.option, int(bool(value)))


class Credentials(NamedTuple):
    """A process, the user and the group that it ran as."""

    pid: int
    uid: int
    gid: int


_CREDENTIALS = struct.Struct("iII")


class Options:
    """The options of one socket, as attributes to read and to set.

    Reading or setting raises ``ConfigError`` (not on this platform, not on this kind of socket, a value
    that is refused, a right that is missing) and ``StreamClosed`` when the socket is closed.
    """

    named: ClassVar[dict[str, _Option[Any]]] = {}

    nodelay = _Flag("IPPROTO_TCP", "TCP_NODELAY", "Send small writes at once (no Nagle).", _TCP)
    cork = _Flag("IPPROTO_TCP", "TCP_CORK", "Hold partial segments back until it is off (Linux).", _TCP)
    quick_ack = _Flag("IPPROTO_TCP", "TCP_QUICKACK", "Acknowledge at once; not permanent (Linux).", _TCP)
    keepalive = _KeepAlives("SOL_SOCKET", "SO_KEEPALIVE", "Probes on silence: KeepAlive or None.", _TCP)
    user_timeout = _Milliseconds(
        "IPPROTO_TCP", "TCP_USER_TIMEOUT", "Seconds that sent bytes may stay unacknowledged (Linux).", _TCP
    )
    max_segment = _Number("IPPROTO_TCP", "TCP_MAXSEG", "Largest TCP segment, bytes.", _TCP)
    not_sent_low_water = _Number(
        "IPPROTO_TCP", "TCP_NOTSENT_LOWAT", "Writable only below so many unsent bytes.", _TCP
    )
    congestion = _Text("IPPROTO_TCP", "TCP_CONGESTION", "Name of the congestion control (Linux).", _TCP, 16)
    linger = _Linger(
        "SOL_SOCKET", "SO_LINGER", "Seconds close() may wait; 0: reset; None: none.", _ANY, _LINGER.size
    )
    receive_buffer = _Number(
        "SOL_SOCKET", "SO_RCVBUF", "Bytes; Linux grants, and then shows, twice what was asked for."
    )
    send_buffer = _Number("SOL_SOCKET", "SO_SNDBUF", "Bytes; as receive_buffer.")
    reuse_address = _Flag("SOL_SOCKET", "SO_REUSEADDR", "Bind while old connections linger.", _IP)
    reuse_port = _Flag("SOL_SOCKET", "SO_REUSEPORT", "Several sockets on one port share its load.", _IP)
    broadcast = _Flag("SOL_SOCKET", "SO_BROADCAST", "Permit broadcast addresses.", ("udp", "raw"))
    hops = _PerFamily("", "IP_TTL/IPV6_UNICAST_HOPS", "Routers a packet may pass (TTL).", _IP)
    traffic_class = _PerFamily("", "IP_TOS/IPV6_TCLASS", "Traffic class: DSCP and ECN bits.", _IP)
    only_ipv6 = _Flag("IPPROTO_IPV6", "IPV6_V6ONLY", "An IPv6 socket refuses IPv4.", _IP)
    priority = _Number("SOL_SOCKET", "SO_PRIORITY", "Queueing priority of this machine (Linux).")
    mark = _Number("SOL_SOCKET", "SO_MARK", "Mark for routing and firewall; needs CAP_NET_ADMIN (Linux).")
    device = _Text("SOL_SOCKET", "SO_BINDTODEVICE", "Only through this interface (Linux).", _IP, 16)

    __slots__ = ("_sock",)

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    @property
    def kind(self) -> str:
        """``tcp``, ``udp``, ``unix`` or ``raw``."""
        if self._sock.family not in (socket.AF_INET, socket.AF_INET6):
            return "unix" if self._sock.family == socket.AF_UNIX else "raw"
        return {socket.SOCK_STREAM: "tcp", socket.SOCK_DGRAM: "udp"}.get(self._sock.type, "raw")

    @property
    def ipv6(self) -> bool:
        """Whether this is an IPv6 socket."""
        return self._sock.family == socket.AF_INET6

    @overload
    def get(self, level: int | str, name: int | str) -> int: ...
    @overload
    def get(self, level: int | str, name: int | str, size: int) -> int | bytes: ...
    def get(self, level: int | str, name: int | str, size: int = 0) -> int | bytes:
        """Any option, by number or by its name in C (``"IPPROTO_TCP", "TCP_INFO"``).

        ``size`` 0 gives an ``int``; else at most so many bytes, as the system lays them out.
        """
        place = _number(level, _LEVELS, "level"), _number(name, _NAMES, "option")
        try:
            return self._sock.getsockopt(*place, size) if size else self._sock.getsockopt(*place)
        except OSError as error:
            raise self._refused(error, name, f"reading {name}") from error

    def set(self, level: int | str, name: int | str, value: int | bytes) -> None:
        """Set any option, by number or by its name in C, to an ``int`` or to bytes as the system wants."""
        place = _number(level, _LEVELS, "level"), _number(name, _NAMES, "option")
        try:
            self._sock.setsockopt(*place, value)
        except OSError as error:
            raise self._refused(error, name, f"setting {name} to {value!r}") from error
        except (OverflowError, TypeError) as error:
            raise ConfigError(f"socket option {name}={value!r}: expected a C int, or bytes") from error

    def apply(self, settings: Mapping[str | tuple[int | str, int | str], Any]) -> None:
        """Set several, by name or by ``(level, name)``. An unknown name is refused before any is set."""
        for key in settings:
            if isinstance(key, str) and key not in self.named:
                known = ", ".join(sorted(self.named))
                raise ConfigError(f"no socket option is called {key!r}; there are: {known}")
        for key, value in settings.items():
            if isinstance(key, str):
                setattr(self, key, value)
            else:
                self.set(*key, value)

    @property
    def peer_credentials(self) -> Credentials:
        """Who is at the other end of a Unix socket, as the kernel noted when it connected (unix(7))."""
        if self.kind != "unix":
            raise ConfigError(f"a {self.kind} socket does not tell who its peer is; a Unix socket does")
        raw = self.get("SOL_SOCKET", "SO_PEERCRED", _CREDENTIALS.size)
        assert isinstance(raw, bytes)
        return Credentials(*_CREDENTIALS.unpack(raw))

    def as_dict(self) -> dict[str, Any]:
        """What this socket has, by name."""
        found = {}
        for name in self.named:
            try:
                found[name] = getattr(self, name)
            except ConfigError:
                continue  # neither this platform nor this kind of socket has all of them
        return found

    def __repr__(self) -> str:
        if self._sock.fileno() < 0:
            return "<Options of a closed socket>"
        return f"<Options {', '.join(f'{name}={value!r}' for name, value in self.as_dict().items())}>"

    def _refused(self, error: OSError, name: int | str, doing: str) -> ConfigError | StreamClosed:
        if error.errno == errno.EBADF:
            return StreamClosed(f"{doing}: the socket is closed")
        if error.errno in (errno.ENOPROTOOPT, errno.EOPNOTSUPP, errno.ENOTSUP):
            return ConfigError(f"{doing}: a {self.kind} socket has no option {name} here")
        if error.errno in (errno.EPERM, errno.EACCES):
            return ConfigError(f"{doing}: not permitted for this user")
        return ConfigError(f"{doing}: the system refused ({error.strerror or error})")


def _number(name: int | str, prefixes: tuple[str, ...], what: str) -> int:
    if isinstance(name, int):
        return name
    if not name.startswith(prefixes):
        raise ConfigError(f"{name!r} is no socket {what}; those begin with {', '.join(prefixes)}")
    number = getattr(socket, name, None)
    if not isinstance(number, int):
        where = f"this platform ({sys.platform})"
        raise ConfigError(f"{where} has no socket {what} {name}, or none that Python names")
    return number
