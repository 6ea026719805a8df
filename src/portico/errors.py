"""Everything that Portico raises, in one tree.

::

    PorticoError                      whatever went wrong in the network stack
    ├── AddressError                  (ValueError) an address that cannot be read; says which part
    ├── ConfigError                   (ValueError) a setting, target or option that cannot work
    ├── ResolveError                  (OSError) a name without an address
    ├── ConnectError                  (ConnectionError) nobody answered; .failures lists every attempt
    ├── BindError                     (OSError) an address that cannot be listened on
    ├── TLSError                      the secure channel could not be made or was broken
    │   └── CertificateError          the peer's certificate was refused
    ├── Timeout                       (TimeoutError) a deadline passed; .doing says what was waited for
    ├── ConnectionLost                (ConnectionError) the peer went away
    │   ├── EndOfStream               (EOFError) the bytes ended early; .partial holds what came
    │   └── Truncated                 TLS ended without its closing alert: the end cannot be trusted
    ├── StreamClosed                  this side closed the stream (maybe in another thread)
    ├── StreamBusy                    a second reader, or a second writer, on one stream
    ├── ProtocolError                 the peer broke the protocol; .status is the answer it gets
    │   ├── DataError                 (ValueError) data that is not what it should be; .line, .column, .path
    │   └── FormError                 a form that cannot be read
    │       └── FormTooLarge          (LimitExceeded too) a form that is more than a limit allows
    ├── LocalProtocolError            our own side tried an illegal move (a bug in the caller)
    ├── LimitExceeded                 more than a limit allows; .limit names it, .status is the answer
    │   └── DatagramTooLong           a datagram of which only the beginning was taken, .partial
    ├── HTTPError                     an HTTP answer that says no; .response
    ├── ChecksumError                 what came is not what was announced
    ├── RedirectError                 a redirect that is not followed; .response
    ├── AuthenticationError           who is there could not be proved
    └── RemoteError                   code on the other side raised; .traceback

    Cancelled                         (BaseException) apart: the wait was called off from outside

Each message says what was attempted, with which peer, and where it helps, what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

__all__ = [
    "AddressError",
    "AuthenticationError",
    "BindError",
    "Cancelled",
    "CertificateError",
    "ChecksumError",
    "ConfigError",
    "ConnectError",
    "ConnectionLost",
    "DataError",
    "DatagramTooLong",
    "EndOfStream",
    "FormError",
    "FormTooLarge",
    "HTTPError",
    "LimitExceeded",
    "LocalProtocolError",
    "PorticoError",
    "ProtocolError",
    "RedirectError",
    "RemoteError",
    "ResolveError",
    "StreamBusy",
    "StreamClosed",
    "TLSError",
    "Timeout",
    "Truncated",
]


class PorticoError(Exception):
    """Root of everything that Portico raises on its own account.

    Where a client's request failed, ``request`` is that request and ``reached`` how far it got: ``"pool"``
    (waiting for a connection), ``"resolve"``, ``"connect"``, ``"proxy"``, ``"tls"``, ``"send"``, ``"wait"``
    (it has been sent), ``"head"`` (the answer began to come) or ``"body"``. ``partial`` is what had come of a
    body that ended early.
    """

    request: Any = None
    reached: str = ""
    partial: bytes = b""


class AddressError(PorticoError, ValueError):
    """An address that cannot be read; the message names the part that is wrong."""


class ConfigError(PorticoError, ValueError):
    """A setting, target or option that cannot work; the message says what to change."""


class ResolveError(PorticoError, OSError):
    """A name for which no address was found. ``temporary``: the same question may be answered later."""

    temporary = False


class ConnectError(PorticoError, ConnectionError):
    """No address of the peer could be reached.

    ``failures`` lists each attempt as ``(address text, reason)`` in the order they were made.
    """

    def __init__(self, message: str, failures: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(message)
        self.failures = tuple(failures)


class BindError(PorticoError, OSError):
    """An address that cannot be listened on (in use, not ours, not permitted)."""


class TLSError(PorticoError):
    """The secure channel could not be made, or broke."""


class CertificateError(TLSError):
    """The peer's certificate was refused; the message says why."""


class Timeout(PorticoError, TimeoutError):
    """A deadline passed.

    ``doing`` says what was being waited for; ``sent`` is set when a write was cut: so many of
    its bytes had been handed over.
    """

    def __init__(self, doing: str, *, seconds: float | None = None, sent: int | None = None) -> None:
        within = "" if seconds is None else f" after {seconds:g} s"
        went = "" if sent is None else f" ({sent} bytes had gone out)"
        super().__init__(f"timed out{within} while {doing}{went}")
        self.doing = doing
        self.seconds = seconds
        self.sent = sent

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), self.doing, seconds=self.seconds, sent=self.sent), ()


class ConnectionLost(PorticoError, ConnectionError):
    """The peer went away in the middle."""


class EndOfStream(ConnectionLost, EOFError):
    """The bytes ended before what was asked for was complete; ``partial`` holds what came."""

    def __init__(self, message: str, partial: bytes = b"") -> None:
        super().__init__(message)
        self.partial = partial


class Truncated(ConnectionLost):
    """A TLS stream ended without ``close_notify``: somebody may have cut it (RFC 8446, 6.1)."""


class StreamClosed(PorticoError):
    """The stream was closed on this side, perhaps by another thread."""


class StreamBusy(PorticoError):
    """One reader and one writer may use a stream at a time; this was a second."""


class ProtocolError(PorticoError):
    """The peer broke the protocol. ``status`` is the answer a server should give."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class DataError(ProtocolError, ValueError):
    """Data that is not what it should be.

    ``source``: where it comes from; ``line`` and ``column`` from 1, or ``path`` (such as ``$.items[3]``):
    where it is in there, as far as that is known; ``reason``: what is wrong. All of it stands in the text.
    """

    def __init__(
        self,
        reason: str,
        source: str = "",
        *,
        line: int | None = None,
        column: int | None = None,
        path: str = "",
    ) -> None:
        self.reason = reason
        self.source = source
        self.line = line
        self.column = column
        self.path = path
        places = [source, line and f"line {line}", column and f"column {column}", path]
        place = ", ".join(str(each) for each in places if each)
        super().__init__(f"{place}: {reason}" if place else reason, 422)


class LocalProtocolError(PorticoError):
    """Our own side tried a move that the protocol does not allow at this point."""


class LimitExceeded(PorticoError):
    """More than a limit allows. ``limit`` is the field of ``Limits``; ``status`` the answer."""

    def __init__(self, message: str, limit: str = "", status: int = 400) -> None:
        super().__init__(message)
        self.limit = limit
        self.status = status


class FormError(ProtocolError):
    """A form that cannot be read. Let it pass, and the request is answered with ``status`` and this text."""


class FormTooLarge(FormError, LimitExceeded):
    """More in a form than a limit allows. ``limit`` is the field of ``Limits``; ``status`` the answer."""

    def __init__(self, message: str, limit: str = "", status: int = 413) -> None:
        LimitExceeded.__init__(self, message, limit, status)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (*self.args, self.limit, self.status)


class DatagramTooLong(LimitExceeded):
    """A datagram was longer than the limit: ``partial`` is its beginning, ``size`` its whole length.

    The rest is gone. Where the system does not tell the length, ``size`` is that of the beginning.
    """

    def __init__(self, message: str, partial: bytes = b"", size: int = 0) -> None:
        super().__init__(message, "datagram", 413)
        self.partial = partial
        self.size = size

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (*self.args, self.partial, self.size)


class HTTPError(PorticoError):
    """An HTTP answer that says no; ``response`` is that answer."""

    def __init__(self, message: str, response: object = None) -> None:
        super().__init__(message)
        self.response = response


class ChecksumError(PorticoError):
    """What came is not what was announced: it is damaged, or somebody else's."""


class RedirectError(PorticoError):
    """A redirect that is not followed: too many, to where it must not lead, or of a body that is gone.

    ``response`` is the answer that asked for it.
    """

    def __init__(self, message: str, response: object = None) -> None:
        super().__init__(message)
        self.response = response


class AuthenticationError(PorticoError):
    """A peer did not prove who it is, or refused our proof."""


class RemoteError(PorticoError):
    """Code on the other side raised; ``traceback`` is its text, when it was sent."""

    def __init__(self, message: str, traceback: str = "") -> None:
        super().__init__(message)
        self.traceback = traceback


class Cancelled(BaseException):
    """The wait was called off from outside. Not an ``Exception``, so that it is not swallowed."""
