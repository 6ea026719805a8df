"""TLS as a transport over any other transport: sockets, memory, and TLS itself.

OpenSSL works on two memory BIOs, and the ciphertext between them and the transport below is moved here,
so one implementation serves everything and nothing in it waits. One short lock guards the SSL object
together with the ciphertext that waits to go out: a reader and a writer may be at work at once (OpenSSL
allows one call at a time), and records leave in the order in which they were made.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from portico.errors import (
    CertificateError,
    ConnectionLost,
    LocalProtocolError,
    PorticoError,
    StreamClosed,
    TLSError,
    Truncated,
)
from portico.sockets.pins import Pins
from portico.sockets.transport import READ, WRITE, Bytes, Transport

__all__ = ["NamedSSLObject", "TLSInfo", "TLSTransport"]

_RECORD = 16384
"""The most plaintext that one record carries (RFC 8446, 5.1), and so that one OpenSSL read returns."""
_CHUNK = 65536
"""Ciphertext of one read below, and plaintext of one ``send``: four records."""
_HELD = 65536
"""With so much ciphertext waiting, ``send`` takes no more: a slow peer slows its writer down."""
_ANSWERS = 4 * _HELD
"""With so much waiting, nothing is read either: only a peer that provokes answers (key updates,
renegotiations) and never reads them gets there."""


@dataclass(frozen=True, slots=True)
class TLSInfo:
    """The facts of a secure channel, after its handshake.

    ``version``: ``"TLSv1.3"``; ``alpn``: the protocol agreed on, or ``None``; ``server_name``: the name
    asked for (SNI) or verified; ``peer_certificate``: as ``ssl.SSLSocket.getpeercert()`` has it, when it
    was verified; ``peer_certificate_der``: also when it was not.
    """

    version: str
    cipher: str
    alpn: str | None
    server_name: str | None
    peer_certificate: dict[str, Any] | None
    peer_certificate_der: bytes | None


class NamedSSLObject(ssl.SSLObject):
    """An ``SSLObject`` that remembers what its client asked for: the standard one does not tell."""

    asked_name: str | None = None


class TLSTransport(Transport):
    """One end of a TLS channel over ``lower``, which it owns.

    ``context`` is used as it is: ``ClientTLS`` and ``ServerTLS`` make safe ones. ``server_name`` is
    what a client asks for and verifies; ``pins``: the certificates it takes. ``handshake()`` comes first;
    reading and writing go on with it when it is not done. Raises ``TLSError``, ``CertificateError``,
    ``Truncated``, ``ConnectionLost``.
    """

    __slots__ = (
        "_ended",
        "_failed",
        "_finished",
        "_given_back",
        "_incoming",
        "_lock",
        "_outgoing",
        "_pins",
        "_plain",
        "_server_name",
        "_server_side",
        "_ssl",
        "_unsent",
        "_wants",
        "lower",
    )

    def __init__(
        self,
        lower: Transport,
        context: ssl.SSLContext,
        *,
        server_side: bool,
        server_name: str | None = None,
        pins: Pins | None = None,
    ) -> None:
        super().__init__(lower.peer, lower.local)
        self.lower = lower
        # Closing either wakes the waiters of both: whoever waits here is woken by what happens below.
        self.waiters = lower.waiters
        self.handshaking = True
        self._server_side = server_side
        self._server_name = server_name
        self._pins = pins
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._ssl = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=server_name
        )
        self._lock = threading.Lock()
        self._unsent = bytearray()
        self._plain = bytearray()
        self._wants = READ if server_side else WRITE
        self._finished = False  # the peer ended its direction
        self._ended = False  # we ended ours
        # Not the exception itself: it would keep its traceback, and with it every frame, alive.
        self._failed: tuple[type[PorticoError], str] | None = None
        self._given_back = False

    # -- waiting

    def wake(self) -> None:
        """Wake whoever waits for this, and what watches the descriptor below it."""
        super().wake()
        self.lower.wake()

    def fileno(self) -> int:
        return self.lower.fileno()

    # An engine may ask these two while it holds a lock of its own, which the waking of its waiters takes
    # as well, below our lock: so they never wait for ours.

    def interest(self, events: int) -> int:
        return self.lower.interest(self._needs(events))

    def ready(self, events: int) -> int:
        if not self._lock.acquire(blocking=False):
            return events  # somebody is moving bytes right now: trying is the way to know
        try:
            got = events & self._ready_here()
        finally:
            self._lock.release()
        needs = self._needs(events)
        if got == events or self.lower.fileno() >= 0:
            return got
        below = self.lower.ready(needs)
        # What was not asked for is ready: reading has to write first, or writing to read. Try again.
        return events if below & ~events else got | below

    def _needs(self, events: int) -> int:
        if self.handshaking:
            return self._wants
        if not self._unsent:
            return events
        return WRITE if len(self._unsent) >= _ANSWERS else events | WRITE

    def _ready_here(self) -> int:
        if self._failed is not None:
            return READ | WRITE
        if self.handshaking:
            return 0
        readable = self._plain or self._finished or self._incoming.pending or self._ssl.pending()
        # With something held back it is for the transport below to say: who flushes waits for nothing else.
        return (READ if readable else 0) | (0 if self._unsent else WRITE)

    # -- the handshake

    def handshake(self) -> int:
        with self._lock:
            self._check_usable()
            return self._shake() if self.handshaking else 0

    def _shake(self) -> int:
        try:
            self._wants = self._step()
        except ConnectionLost as error:
            self._fail(TLSError(f"{self._whom()} closed the connection during the TLS handshake"), error)
        except CertificateError as error:  # of a pin: what waits to go out would show it our own certificate
            self._fail(CertificateError(f"{self._whom()}: {error}"), error)
        except ssl.SSLError as error:
            self._try_push()
            self._fail(self._refusal(error, "the TLS handshake"), error)
        return self._wants

    def _step(self) -> int:
        while True:
            try:
                self._ssl.do_handshake()
            except ssl.SSLWantReadError:
                failure = self._try_push()  # the peer's last words, an alert, may still be readable
                if not self._fill():
                    if failure is not None:
                        raise failure from None
                    return READ | WRITE if self._unsent else READ
            else:
                facts = self._facts()
                if self._pins is not None:
                    self._pins.check(facts.peer_certificate_der)
                self.tls = facts
                self.peer = self.lower.peer  # what is below may have been told meanwhile who is there
                self.handshaking = False
                # A server's session tickets may find no room. Nobody has to wait for them: they go out
                # with what is written next, or while somebody waits to read.
                self._push()
                return 0

    def _facts(self) -> TLSInfo:
        name, channel = self._server_name, self._ssl
        if self._server_side:
            name = getattr(channel, "asked_name", None)
        cipher = channel.cipher()
        return TLSInfo(
            version=channel.version() or "",
            cipher=cipher[0] if cipher else "",
            alpn=channel.selected_alpn_protocol(),
            server_name=name,
            peer_certificate=channel.getpeercert() or None,
            peer_certificate_der=channel.getpeercert(binary_form=True),
        )

    # -- reading

    def recv(self, size: int) -> bytes | None:
        with self._lock:
            if self._plain:
                data = bytes(self._plain[:size])
                del self._plain[:size]
                return data
            got: bytes | int | None = self._read(lambda: self._ssl.read(min(size, _RECORD)))
            return b"" if isinstance(got, int) else got

    def recv_into(self, buffer: memoryview) -> int | None:
        if self._plain:  # only after shutdown_write
            return super().recv_into(buffer)
        with self._lock:
            got: int | None = self._read(lambda: self._ssl.read(len(buffer), buffer))
            return got

    def _read(self, attempt: Callable[[], Any]) -> Any:
        """``attempt`` to take plaintext, with as much ciphertext as it needs; its result.

        ``None``: would block; 0: the end.
        """
        if self._finished:
            return 0
        self._check_usable()
        if self.handshaking and self._shake():
            return None
        while True:
            # Asking OpenSSL in vain costs an exception, so ask only when it has something to look at.
            if self._incoming.pending or self._ssl.pending():
                got = self._open(attempt)
                if got is not None:
                    return got
            if not self._fill_stream():
                return None

    def _open(self, attempt: Callable[[], Any]) -> Any:
        try:
            got = attempt()
        except ssl.SSLWantReadError:
            return None
        except ssl.SSLZeroReturnError:
            got = 0
        except ssl.SSLError as error:
            self._try_push()
            self._fail(self._refusal(error, "reading"), error)
        if not got:
            self._finished = True
            return 0
        if self._outgoing.pending:
            self._push()  # an answer to a key update
        return got

    def _fill_stream(self) -> bool:
        try:
            return self._fill()
        except Truncated as error:
            self._fail(error, None)

    def _fill(self) -> bool:
        """Take ciphertext from below. ``False``: would block."""
        if not self._push() and len(self._unsent) >= _ANSWERS:
            return False
        data = self.lower.recv(_CHUNK)
        if data is None:
            return False
        if not data:
            raise Truncated(
                f"{self._whom()} closed the connection without ending TLS: what came may have been cut short"
            )
        self._incoming.write(data)
        return True

    # -- writing

    def send(self, data: Bytes) -> int:
        with self._lock:
            self._check_usable()
            if self._ended:
                raise LocalProtocolError("this direction was ended by shutdown_write()")
            if self.handshaking and self._shake():
                return 0
            self._push_stream()
            if len(self._unsent) >= _HELD or not len(data):
                return 0
            try:
                taken = self._ssl.write(memoryview(data).cast("B")[:_CHUNK])
            except ssl.SSLError as error:
                self._fail(self._refusal(error, "writing"), error)
            self._push_stream()
            return taken

    def send_parts(self, parts: Sequence[Bytes]) -> int:
        # No more than one send takes: joining all of a long list each time would make it quadratic.
        some, size = [], 0
        for part in parts:
            if size >= _CHUNK:
                break
            some.append(memoryview(part).cast("B")[: _CHUNK - size])
            size += len(some[-1])
        return self.send(some[0] if len(some) == 1 else b"".join(some))

    def peer_ended(self) -> bool:
        return self._finished or self.lower.peer_ended()

    def flush(self) -> bool:
        with self._lock:
            self._check_usable()
            pushed = self._push_stream()
        return pushed and self.lower.flush()

    def _push_stream(self) -> bool:
        """``_push``; where the peer is gone, with the reason that it may have sent."""
        try:
            return self._push()
        except ConnectionLost as error:
            self._look_for_alert(error)
            raise

    def _push(self) -> bool:
        """Hand ciphertext down, as far as it is taken. ``True``: all of it."""
        if self._outgoing.pending:
            data = self._outgoing.read()
            taken = 0 if self._unsent else self.lower.send(data)
            if taken == len(data):
                return True
            self._unsent += memoryview(data)[taken:]
        while self._unsent:
            taken = self.lower.send(self._unsent)
            if not taken:
                return False
            del self._unsent[:taken]
        return True

    def _try_push(self) -> PorticoError | None:
        """``_push`` where something else matters more than its failure, which is returned."""
        try:
            self._push()
        except PorticoError as error:
            self._unsent.clear()
            return error
        return None

    def _look_for_alert(self, error: ConnectionLost) -> None:
        # In TLS 1.3 a client is done before the server has judged its certificate: the refusal comes as
        # an alert while the client already writes, and would be lost behind a bare "connection reset".
        self._unsent.clear()
        try:
            while data := self.lower.recv(_CHUNK):
                self._incoming.write(data)
                self._drain()
        except ConnectionLost:
            return
        except ssl.SSLError as alert:
            self._fail(self._refusal(alert, "writing"), error)

    def _drain(self) -> None:
        """Move plaintext that is complete out of OpenSSL: at most what one read below brought."""
        try:
            while data := self._ssl.read(_RECORD):
                self._plain += data
            self._finished = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._finished = True

    # -- the end

    def shutdown_write(self) -> bool:
        """Send ``close_notify``. The transport below stays open both ways: the peer may go on writing,
        and some of its messages are answered."""
        with self._lock:
            self._check_usable()
            if self.handshaking and self._shake():
                return False
            self._end()
            pushed = self._push_stream()
        return pushed and self.lower.flush()

    def _end(self) -> None:
        if self._ended:
            return
        self._ended = True
        # Python's unwrap() also looks for the peer's close_notify, and takes application data that it
        # finds instead for an error. So OpenSSL must hold none.
        try:
            if not self._finished:
                self._drain()
            self._ssl.unwrap()
            self._finished = True  # it found the peer's end as well
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self._fail(self._refusal(error, "ending the stream"), error)

    def close(self) -> None:
        """Close, with ``close_notify`` as far as the transport below takes it at once."""
        self._close(self.lower.close, polite=True)

    def abort(self) -> None:
        self._close(self.lower.abort, polite=False)

    def _close(self, close_lower: Callable[[], None], *, polite: bool) -> None:
        self.closed = True
        with self._lock:
            if self._given_back:
                return
            self._given_back = True
            if polite and not self.handshaking and self._failed is None:
                self._say_goodbye()
            self._unsent.clear()
            self._plain.clear()
            self._failed = (StreamClosed, f"the stream to {self._whom()} is closed")
        self.wake()
        close_lower()

    def _say_goodbye(self) -> None:
        try:
            self._end()
            self._push()
            # A socket closed with bytes unread resets the connection, and what we wrote last may be lost
            # with it. A server's session tickets are such bytes, which nobody ever asks for.
            self.lower.recv(_CHUNK)
        except PorticoError:
            pass  # the peer is gone, or has broken the channel: nobody is left to tell

    # -- errors

    def _whom(self) -> str:
        return "the peer" if self.peer is None else str(self.peer)

    def _check_usable(self) -> None:
        if self._failed is not None:
            kind, message = self._failed
            raise kind(message)

    def _fail(self, error: PorticoError, cause: BaseException | None) -> NoReturn:
        self._failed = (type(error), str(error))
        raise error from cause

    def _refusal(self, error: ssl.SSLError, doing: str) -> TLSError:
        if isinstance(error, ssl.SSLCertVerificationError):
            whose = "client" if self._server_side else "server"
            verdict = _verdict(error)
            return CertificateError(f"{self._whom()}: the {whose}'s certificate was refused: {verdict}")
        return TLSError(f"{self._whom()}: {doing} failed: {_reason(error)}")

    def __repr__(self) -> str:
        state = "closed" if self._given_back else "handshaking" if self.handshaking else "open"
        if state == "open" and self._failed is not None:
            state = "broken"
        facts = f" {self.tls.version}" if self.tls is not None else ""
        return f"<TLSTransport{facts}, {state}, over {self.lower!r}>"


_AS_CA = "as ca= (of a session: verify=)"
_UNKNOWN = (
    f"its issuer is not trusted: pass that one's certificate {_AS_CA}, or let the peer send its whole chain"
)
_VERDICTS = {
    9: "its validity has not begun; check the clocks of both sides",
    10: "renew it, or check this computer's clock",
    18: f"to trust just this one, pass it {_AS_CA}",
    19: f"its chain ends in a root that is not trusted; pass that root {_AS_CA}",
    20: _UNKNOWN,
    21: _UNKNOWN,
    23: "it was revoked",
    26: "it was issued for another purpose",
    62: "use a name that the certificate covers, or give the right one as server_name=",
    64: "use a name that the certificate covers, or give the right one as server_name=",
}
"""What to do, by ``X509_V_ERR_*``."""


def _verdict(error: ssl.SSLCertVerificationError) -> str:
    reason = (error.verify_message or str(error)).rstrip(".")
    advice = _VERDICTS.get(error.verify_code)
    return f"{reason} ({advice})" if advice else reason


_NO_TLS = "the peer does not speak TLS here"
_NO_VERSION = "no version of TLS in common"
_REASONS = {
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "HTTP_REQUEST": f"{_NO_TLS}: it sent a plain HTTP request",
    "HTTPS_PROXY_REQUEST": f"{_NO_TLS}: it sent a plain HTTP proxy request",
    "PACKET_LENGTH_TOO_LONG": _NO_TLS,
    "RECORD_LAYER_FAILURE": _NO_TLS,
    "UNSUPPORTED_PROTOCOL": _NO_VERSION,
    "VERSION_TOO_LOW": _NO_VERSION,
    "NO_PROTOCOLS_AVAILABLE": _NO_VERSION,
    "NO_SHARED_CIPHER": "no cipher in common",
    "NO_SUITABLE_SIGNATURE_ALGORITHM": "no signature algorithm in common",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "a client certificate is required, and the client sent none",
    "NO_RENEGOTIATION": "renegotiation is refused",
}
"""By OpenSSL's reason, for errors found on this side."""

_OUR_CERTIFICATE = "the peer refused our certificate"
_ALERTS = {
    "CERTIFICATE_REQUIRED": "the server wants a client certificate: give certificate= (of a session: cert=)",
    "UNKNOWN_CA": f"{_OUR_CERTIFICATE}: it does not trust the authority that issued it",
    "BAD_CERTIFICATE": f"{_OUR_CERTIFICATE}",
    "UNSUPPORTED_CERTIFICATE": f"{_OUR_CERTIFICATE}: wrong kind or purpose",
    "CERTIFICATE_REVOKED": f"{_OUR_CERTIFICATE}: revoked",
    "CERTIFICATE_EXPIRED": f"{_OUR_CERTIFICATE}: expired",
    "CERTIFICATE_UNKNOWN": f"{_OUR_CERTIFICATE}",
    "ACCESS_DENIED": f"{_OUR_CERTIFICATE}: access denied",
    "PROTOCOL_VERSION": _NO_VERSION,
    "HANDSHAKE_FAILURE": "the peer found no cipher or setting in common (or wants a client certificate)",
    "INSUFFICIENT_SECURITY": "the peer demands stronger ciphers",
    "NO_APPLICATION_PROTOCOL": "no application protocol (ALPN) in common",
    "UNRECOGNIZED_NAME": "the server does not know the name that was asked for",
}
"""By the name of the alert that the peer sent (RFC 8446, 6.2)."""


def _reason(error: ssl.SSLError) -> str:
    reason = error.reason or str(error)
    alert = reason.replace(" ", "_").upper().rpartition("ALERT_")[2]
    if "ALERT" in reason.upper() and alert in _ALERTS:
        return _ALERTS[alert]
    return _REASONS.get(reason) or reason.replace("_", " ").lower()
