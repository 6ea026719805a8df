"""The ``Address`` value."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import quote

from portico.address.hosts import is_literal
from portico.address.reader import port_number, read, socket_file
from portico.address.schemes import SCHEMES
from portico.errors import AddressError

__all__ = ["Address"]

_READABLE = "/@:~+=,!$&'()*;"
"""What stays as it is in the written form of a path; ``%``, ``?``, ``#``, spaces and bytes do not."""


@dataclass(frozen=True, slots=True, repr=False)
class Address:
    """One endpoint. Make it with ``Address.parse``; equal addresses mean the same place.

    ``scheme``: one of ``tcp tls udp unix unixgram http https telnet ftp smtp rpc memory fd packet``.
    ``host``: an IP literal without brackets or a lower-case ASCII name; empty is every interface.
    ``port``: ``0`` lets the system pick one; ``None`` where there are no ports.
    ``path``: the URL path (``""`` for the root), the socket file (``@name`` in the abstract
    namespace), the name in memory, the descriptor's number or the interface.
    ``options``: what stood after ``?``, sorted.
    """

    scheme: str
    host: str = ""
    port: int | None = None
    path: str = ""
    options: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(
        cls,
        value: str | tuple[Any, ...] | os.PathLike[str] | os.PathLike[bytes] | Address,
        *,
        scheme: str = "tcp",
    ) -> Address:
        """Read an address from any of its forms.

        A URL (``tcp://[::1]:80``, ``https://example.org``, ``unix:/run/x.sock?mode=660``, ``fd://3``);
        ``host:port`` or ``:port``, which get ``scheme``; a path with a slash or a ``PathLike``, which is
        a Unix socket, taken literally; a tuple ``(host, port)`` or one of four as IPv6 sockets have
        them. A port may be a service name; it becomes its number. Raises ``AddressError`` saying which
        part is wrong, with an example of a right one; never with the secrets of a ``user:password@``.
        """
        if isinstance(value, Address):
            return value
        return cls(*read(value, scheme))

    @classmethod
    def of_socket(cls, scheme: str, sockaddr: Any) -> Address:
        """The address that a socket reports (``getpeername``, ``accept``). Trusts it; parses nothing.

        An unnamed Unix socket has the path ``""`` and is written ``unix:``, which cannot be parsed.
        """
        new = _new(cls)
        _set_scheme(new, scheme)
        _set_options(new, ())
        if type(sockaddr) is tuple and scheme != "packet":
            host = sockaddr[0]
            _set_host(new, host if len(sockaddr) == 2 else _ipv6_host(host, sockaddr[3]))
            _set_port(new, sockaddr[1])
            _set_path(new, "")
        else:
            _set_host(new, "")
            _set_port(new, None)
            _set_path(new, _reported_path(sockaddr))
        return new

    @property
    def wire(self) -> str:
        """What the bytes look like: ``stream datagram packet http ftp smtp rpc``."""
        return SCHEMES[self.scheme].wire

    @property
    def transport(self) -> str:
        """What carries them: ``tcp tls udp unix unixgram memory fd packet``."""
        return SCHEMES[self.scheme].transport

    @property
    def secure(self) -> bool:
        """Whether TLS is on from the first byte."""
        return self.transport == "tls" or ("tls", "yes") in self.options

    @property
    def is_ip(self) -> bool:
        """Whether the host is an IP literal, so that nobody has to be asked for it."""
        return is_literal(self.host)

    @property
    def family(self) -> Literal[4, 6] | None:
        """The IP version, where the host is a literal."""
        if ":" in self.host:
            return 6
        return 4 if self.is_ip else None

    @property
    def mode(self) -> int | None:
        """The permissions asked for a socket file (``?mode=660``)."""
        text = dict(self.options).get("mode")
        return None if text is None else int(text, 8)

    @property
    def interface(self) -> str | None:
        """The network interface asked for datagrams (``?interface=eth0``)."""
        return dict(self.options).get("interface")

    @property
    def fd(self) -> int | None:
        """The descriptor's number of an ``fd://`` address."""
        return int(self.path) if self.scheme == "fd" else None

    @property
    def authority(self) -> str:
        """``host:port`` as URLs and ``Host`` fields write it: IPv6 in brackets, no default port."""
        host = self.host
        if ":" in host:
            # A zone that begins with 25 needs the long form, or it would be read as one.
            host = f"[{host.replace('%25', '%2525')}]"
        if host and self.port == SCHEMES[self.scheme].port:
            return host
        return f"{host}:{self.port}"

    def with_port(self, port: int) -> Address:
        """The same place with another port. Raises ``AddressError`` where there are no ports."""
        if SCHEMES[self.scheme].place != "host":
            raise AddressError(f"{self} has no port that could become {port!r}")
        return replace(self, port=port_number(port))

    def __str__(self) -> str:
        place = SCHEMES[self.scheme].place
        if place == "host":
            query = f"?{self._query}" if self.options else ""
            return f"{self.scheme}://{self.authority}{self.path}{query}"
        mark = "//" if place in ("descriptor", "interface") else ""
        query = f"?{self._query}" if self.options else ""
        path = quote(self.path.encode("utf-8", "surrogateescape"), safe=_READABLE)
        return f"{self.scheme}:{mark}{path}{query}"

    @property
    def _query(self) -> str:
        return "&".join(f"{name}={value}" for name, value in self.options)

    def __repr__(self) -> str:
        return f"<Address {self}>"


# A frozen dataclass sets its fields through object.__setattr__; straight to the slots takes half the
# time, and a server makes two addresses for every connection it accepts.
_new: Callable[[type[Address]], Address] = object.__new__
_set_scheme, _set_host, _set_port, _set_path, _set_options = (
    Address.__dict__[name].__set__ for name in ("scheme", "host", "port", "path", "options")
)


def _ipv6_host(host: str, scope: int) -> str:
    if host.startswith("::ffff:") and "." in host:
        return host[7:]
    return f"{host}%{scope}" if scope and "%" not in host else host


def _reported_path(sockaddr: Any) -> str:
    if isinstance(sockaddr, bytes):  # how Python reports the abstract namespace
        return "@" + sockaddr[1:].decode("utf-8", "surrogateescape") if sockaddr else ""
    if isinstance(sockaddr, tuple):
        return str(sockaddr[0])
    return socket_file(sockaddr) if sockaddr.startswith("@") else str(sockaddr)
