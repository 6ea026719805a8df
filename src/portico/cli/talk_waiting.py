"""Waiting for peers at an address, and handing them to a talker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

from portico import deadline
from portico.address import Address
from portico.admission import Admission, Gate
from portico.cli.talk import OOB_INLINE, Talker
from portico.cli.talk_broker import Broker
from portico.cli.talk_notes import Facts
from portico.cli.talk_options import Talk
from portico.errors import (
    BindError,
    Cancelled,
    ConfigError,
    ConnectionLost,
    PorticoError,
    ResolveError,
    StreamClosed,
    Timeout,
    TLSError,
)
from portico.limits import Limits
from portico.server import Server
from portico.signals import Signals
from portico.sockets.datagram import Datagrams
from portico.sockets.datagram_port import Datagram
from portico.sockets.dial_datagrams import datagrams
from portico.sockets.listener import Listener, listen
from portico.sockets.stream import Stream
from portico.sockets.tls import ServerTLS
from portico.sync import spawn

__all__ = ["WaitingForDatagrams", "WaitingForStreams"]


@contextmanager
def _binding() -> Iterator[None]:
    """A name that cannot be resolved is one that cannot be listened on."""
    try:
        yield
    except ResolveError as error:
        raise BindError(f"cannot listen: {error}") from error


class WaitingForStreams:
    """Streams, one or many. TLS is made here, after admission."""

    def __init__(
        self, where: Address, talker: Talker, asked: Talk, tls: ServerTLS | None, admission: Admission
    ) -> None:
        # What the peer speaks is made of each stream by us, so it is a plain one to the listener.
        self._where = replace(where, scheme="tcp") if where.port is not None else where
        secured = tls is not None and where.transport == "tcp"
        self._shown = replace(where, scheme="tls") if secured else where
        self._talker = talker
        self._asked = asked
        self._tls = tls
        self._admission = admission
        self._limits = Limits()
        self._broker: Broker | None = None

    def one(self) -> int:
        """The first peer that is let in; the exit code."""
        gate = Gate(self._admission, self._limits)
        with self._listening() as listener:
            with deadline.timeout(self._asked.wait):
                stream = self._next(listener, gate)
            listener.close()  # nobody shall wait for an answer that will not come
            with stream:
                return self._talker.converse(stream)

    def many(self) -> int:
        """Everybody, until a signal."""
        if self._talker.command is not None:
            return self._at_once()
        gate = Gate(self._admission, self._limits)
        with self._listening() as listener:
            while True:
                with deadline.timeout(self._asked.wait):
                    stream = self._next(listener, gate)
                with stream:
                    self._served(stream)
                gate.leave(stream.peer)

    def broker(self, broker: Broker) -> int:
        """Everybody, until a signal: they hear each other, and us."""
        self._broker = broker
        near = spawn(broker.sit_in, self._talker.standard)
        try:
            return self._at_once("events")
        finally:
            near.cancel()
            with suppress(Cancelled, BrokenPipeError):
                near.join()

    def _at_once(self, engine: str = "threads") -> int:
        server = Server(self._handle, self._where, engine=engine, wire="stream", limits=self._limits,
                        grace=1.0, admission=self._admission)  # fmt: skip
        # Not Server.run, for which a signal is a regular end, and the terminal's own none at all.
        with Signals(processes=False, hangup_ends=True) as signals, _binding(), server:
            self._announce(server.addresses)
            signals.wait(server)
        return 128 + signals.first if signals.first is not None else 0

    def _handle(self, stream: Stream) -> None:
        if self._secured(stream):
            self._served(stream)

    @contextmanager
    def _listening(self) -> Iterator[Listener]:
        with _binding():
            listener = listen(self._where)
        with listener:
            self._announce(listener.addresses)
            yield listener

    def _announce(self, addresses: Sequence[Address]) -> None:
        notes = self._talker.notes
        say = notes.always if self._where.port == 0 else notes.say
        for address in addresses:
            real = address if self._where.port is None else replace(address, scheme=self._shown.scheme)
            say("listening", f"listening on {real}", address=str(real))
        if self._tls is not None and self._asked.cert is None:
            notes.always("certificate", f"certificate SHA-256 {self._tls.fingerprint}",
                         fingerprint=self._tls.fingerprint)  # fmt: skip

    def _next(self, listener: Listener, gate: Gate) -> Stream:
        while True:
            stream = listener.accept()
            if gate.enter(stream.peer) is not None:
                stream.abort()
            elif self._secured(stream):
                return stream
            else:
                gate.leave(stream.peer)

    def _secured(self, stream: Stream) -> bool:
        """Whether TLS could be made with the peer, where it is wanted; else the stream is closed."""
        try:
            if self._asked.telnet and stream.local is not None and stream.local.port is not None:
                stream.options.apply(OOB_INLINE)
            if self._tls is not None:
                with deadline.timeout(self._limits.handshake):
                    stream.start_tls(self._tls)
        except (TLSError, ConnectionLost, Timeout) as error:
            stream.abort()
            deadline.check("waiting for a peer")
            self._talker.notes.failed(error)
            return False
        except BaseException:
            stream.abort()
            raise
        return True

    def _served(self, stream: Stream) -> None:
        """A conversation that is one of several: what goes wrong in it is said, and ends only it."""
        try:
            if self._broker is not None:
                self._broker.converse(stream)
            else:
                self._talker.converse(stream)
        except StreamClosed:
            pass  # cut by the end of the server, which says so
        except PorticoError as error:
            deadline.check("talking")
            self._talker.notes.failed(error)


class WaitingForDatagrams:
    """Whoever sends first; where the talker keeps on, everybody, and the last who did is answered."""

    def __init__(self, where: Address, talker: Talker, wait: float | None, admission: Admission) -> None:
        if talker.command is not None and talker.keep:
            raise ConfigError(f"--keep with a program is for streams; {where} takes datagrams")
        self._where = where
        self._talker = talker
        self._wait = wait
        self._gate = Gate(admission, Limits())

    def one(self) -> int:
        """A conversation; the exit code. Without end, unless the rules have one."""
        with _binding():
            socket = datagrams(local=self._where)
        with socket:
            notes = self._talker.notes
            say = notes.always if self._where.port == 0 else notes.say
            say("listening", f"listening on {socket.local}", address=str(socket.local))
            with deadline.timeout(self._wait):
                first = self._first(socket)
            peer = self._talker.datagram_peer(socket, first, self._welcome)
            return self._talker.exchange(peer, Facts(first.peer, socket.local))

    def _first(self, socket: Datagrams) -> Datagram:
        while not self._welcome(first := socket.receive()):
            pass
        return first

    def _welcome(self, datagram: Datagram) -> bool:
        return self._gate.refusal(datagram.peer) is None
