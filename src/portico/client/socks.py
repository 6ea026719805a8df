"""SOCKS: having a proxy connect (RFC 1928, its login RFC 1929; and SOCKS 4 and 4a)."""

from __future__ import annotations

from ipaddress import ip_address

from portico.errors import AuthenticationError, ConfigError, ConnectError, ProtocolError
from portico.sockets.stream import Stream

__all__ = ["check_socks4", "check_socks5", "lead_socks4", "lead_socks5"]

_LONGEST = 255  # bytes of a name, a user, a password
_REPLIES = {
    1: "it failed",
    2: "its rules do not allow that",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "it took too long",
    7: "it does not do that",
    8: "it does not know such addresses",
}
_REPLIES_4 = {
    91: "it refused or failed",
    92: "it cannot ask who you are",
    93: "you are not who you say",
}


def check_socks5(user: str, password: str) -> None:
    """Raise ``ConfigError`` for a login that SOCKS 5 cannot carry (RFC 1929)."""
    if not all(0 < len(part.encode()) <= _LONGEST for part in (user, password)):
        raise ConfigError(f"SOCKS wants a user and a password of 1 to {_LONGEST} bytes")


def check_socks4(user: str, password: str) -> None:
    """The same for SOCKS 4, which ends the user with NUL, and has no password."""
    if "\0" in user or len(user.encode()) > _LONGEST:
        raise ConfigError(f"SOCKS4 wants a user of at most {_LONGEST} bytes, without NUL")
    if password:
        raise ConfigError("SOCKS4 has no passwords; use socks5:// or leave the password out")


def lead_socks5(stream: Stream, host: str, port: int, login: tuple[str, str] | None) -> None:
    """Have the proxy at the other end of ``stream`` connect to ``host``, a name or an IP address.

    Raises ``ConnectError``, ``AuthenticationError``, ``ProtocolError``.
    """
    target = _address(host)
    stream.write(b"\5\1\0" if login is None else b"\5\2\0\2")
    version, method = stream.read_exactly(2)
    if version != 5:
        raise ProtocolError("it does not speak SOCKS5")
    if method == 2 and login is not None:
        _log_in(stream, *login)
    elif method:
        raise AuthenticationError("it wants a login of another kind" if login else "it wants a login")
    stream.write(b"\5\1\0" + target + port.to_bytes(2))
    version, reply, _ = stream.read_exactly(3)
    if version != 5:
        raise ProtocolError("its answer is not SOCKS5")
    if reply:
        raise ConnectError(_REPLIES.get(reply, f"reply {reply}"))
    _skip_address(stream)


def _log_in(stream: Stream, *login: str) -> None:
    user, password = (part.encode() for part in login)
    stream.write(bytes([1, len(user)]) + user + bytes([len(password)]) + password)
    if stream.read_exactly(2)[1] != 0:
        raise AuthenticationError("it does not accept this login")


def lead_socks4(stream: Stream, host: str, port: int, user: str) -> None:
    """The same by SOCKS 4, for an IPv4 address, or 4a, for a name."""
    try:
        ip = ip_address(host)
    except ValueError:
        packed, name = b"\0\0\0\1", host.encode("ascii") + b"\0"
        if len(name) > _LONGEST:
            raise ConfigError(f"a name for SOCKS has at most {_LONGEST} characters") from None
    else:
        if ip.version != 4:
            raise ConnectError("SOCKS4 knows no IPv6 addresses; use socks5://")
        packed, name = ip.packed, b""
    stream.write(b"\4\1" + port.to_bytes(2) + packed + user.encode() + b"\0" + name)
    version, reply = stream.read_exactly(2)
    if version != 0:
        raise ProtocolError("it does not speak SOCKS4")
    if reply != 90:
        raise ConnectError(_REPLIES_4.get(reply, f"reply {reply}"))
    stream.read_exactly(6)  # from where it has connected


def _address(host: str) -> bytes:
    try:
        ip = ip_address(host)
    except ValueError:
        name = host.encode("ascii")
        if len(name) > _LONGEST:
            raise ConfigError(f"a name for SOCKS has at most {_LONGEST} characters") from None
        return bytes([3, len(name)]) + name
    return (b"\1" if ip.version == 4 else b"\4") + ip.packed


def _skip_address(stream: Stream) -> None:
    """From where the proxy has connected, which says nothing to us."""
    kind = stream.read_exactly(1)[0]
    length = stream.read_exactly(1)[0] if kind == 3 else {1: 4, 4: 16}.get(kind)
    if length is None:
        raise ProtocolError(f"its answer has an address of an unknown kind, {kind}")
    stream.read_exactly(length + 2)
