"""What an engine serves: connections that advance, and what runs them.

A connection is a state machine that never waits. The engine calls ``advance()`` when something may have
changed, and is told what comes next:

====================  =====================================================================
``WAIT_READ``         parked until the peer sends: holds no thread and no greenlet
``WAIT_WRITE``        parked until the peer takes more
``RUN``               call ``run()``: the one step that may call user code, and may block
``AGAIN``             there is more to do at once: others first, then ``advance()`` again
``DONE``              over; the transport has been given back
====================  =====================================================================

``deadline`` says how long the present parked state may last; the engine then calls ``expire()`` and
advances again. ``run()`` never raises: what user code raises is dealt with inside.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from math import inf
from typing import Any, ClassVar, Protocol

from portico.address import Address
from portico.compiled import mypyc_attr
from portico.limits import Limits
from portico.sockets.transport import READ, WRITE, Transport, Waitable

__all__ = [
    "AGAIN",
    "DONE",
    "RUN",
    "WAIT_READ",
    "WAIT_WRITE",
    "Connection",
    "Engine",
    "Listening",
    "Load",
    "Question",
    "Serving",
]

DONE = 0
WAIT_READ = READ
WAIT_WRITE = WRITE
RUN = 8
AGAIN = 16


class Load:
    """How one kind of work (a mount, a handler) has behaved of late: does it hold its thread?

    A guess for the engine, never a fact it depends on. ``until``: so long its requests are expected to
    block. Times are ``time.monotonic`` seconds.
    """

    __slots__ = ("_last_slow", "until")

    MEMORY: ClassVar[float] = 2.0  # seconds for which a block is expected to happen again
    HABIT: ClassVar[float] = (
        0.25  # seconds within which two slow ones are a habit; one may be the machine's noise
    )

    def __init__(self) -> None:
        self.until = 0.0
        self._last_slow = 0.0

    def slow(self, now: float) -> None:
        """A request held the leader's thread for longer than a cheap one does."""
        if now - self._last_slow < self.HABIT:
            self.until = max(self.until, now + self.MEMORY)
        self._last_slow = now

    def rescued(self, now: float, waiting: bool) -> None:
        """A request held its thread for so long that others had to be rescued; ``waiting``: asleep."""
        if waiting:
            self.until = max(self.until, now + self.MEMORY)
        self.slow(now)


class Question(Protocol):
    """Whether a connection may begin at all: asked before all else, where code may wait. Never raises.

    ``until`` (``time.monotonic``): an answer is not waited for any longer; ``give_up`` says so, and why.
    In a process forked for it, it is ``silent``: its ``refused``, a reason and a detail once the answer
    is no, is to be passed to ``refuse`` of the same question in the parent, which counts and logs for all.
    """

    until: float
    silent: bool
    refused: tuple[str, str] | None

    def __call__(self) -> bool: ...

    def give_up(self, why: str) -> None: ...

    def refuse(self, reason: str, detail: str) -> None: ...


@mypyc_attr(allow_interpreted_subclasses=True)
# No ABC: compiled, one and its subclasses share the memory of what is an instance, and get it wrong.
class Connection:
    """One peer's connection, as the engine sees it. Also the waiter that the transport wakes.

    ``conversation``: ``run()`` lasts as long as the connection, so that it wants a thread for itself.
    ``strand``: a hub may run it as one of its strands, because what it calls waits at Portico's door.
    """

    __slots__ = (
        "__weakref__",
        "again",
        "aside",
        "conversation",
        "deadline",
        "descriptor",
        "load",
        "notify",
        "question",
        "running",
        "strand",
        "thread",
        "transport",
        "watched",
    )

    def __init__(
        self, transport: Transport, load: Load, *, conversation: bool = False, strand: bool = False
    ) -> None:
        self.transport = transport
        self.load = load
        self.conversation = conversation
        self.strand = strand
        self.deadline = inf
        self.running = False  # some thread is inside: others only leave word in ``again``
        self.again = False
        self.thread = 0  # which one runs it, if it is not the leader
        self.watched = 0  # what the engine's poller watches ``descriptor`` for
        self.descriptor = -1
        self.notify: Callable[[Any], None] | None = None
        self.question: Question | None = None
        self.aside: Callable[[bool], bool] | None = None
        """Called inside ``run()`` with ``True`` before, and with ``False`` after a wait for the peer, if it
        said ``True`` the first time: meanwhile this thread does not count as one of those that are taken."""

    def wake(self) -> None:
        """The transport's readiness changed without the kernel knowing."""
        if self.running and self.again:
            return  # word was left already, and is read when whoever is inside is through
        if self.notify is not None:
            self.notify(self)

    @abstractmethod
    def advance(self) -> int:
        """Go as far as possible without waiting, and say what comes next: one of the steps above."""

    @abstractmethod
    def run(self) -> None:
        """Call user code. May block."""

    @abstractmethod
    def expire(self) -> None:
        """``deadline`` has passed while parked: set the next state, then ``advance()`` is called."""

    @abstractmethod
    def refuse(self) -> None:
        """There is no thread for ``run()``, and the queue is full: answer so instead."""

    @abstractmethod
    def drain(self, until: float) -> None:
        """The server is stopping: finish what is begun; an idle connection may stay until ``until``."""

    @abstractmethod
    def cut(self) -> None:
        """Close now, whatever is going on; user code inside gets ``StreamClosed`` at its next wait."""

    @property
    def state(self) -> str:
        """What it does, in a word, for who counts connections."""
        return "talking" if self.running else "waiting"

    @abstractmethod
    def describe(self) -> str:
        """What is going on, for the log: the peer and the request."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Listening(Waitable, ABC):
    """A listener: ``accept()`` never waits. ``None``: nobody there. Raises ``OSError``."""

    __slots__ = ("address",)

    address: Address

    @abstractmethod
    def accept(self) -> Transport | None: ...

    @abstractmethod
    def close(self) -> None: ...

    def again(self) -> Listening:
        """Another listener at the same place, with a queue of its own in the kernel, for another process;
        ``self`` where processes have to share one. Raises ``OSError``."""
        return self

    def count_lost_in(self, lost: Number) -> None:
        """What the kernel says that it has dropped there, of datagrams, is known by this number: processes
        that have the socket one after the other, or share it, must not count it twice."""

    def on_drop(self, tell: Callable[[int], object]) -> None:
        """Call ``tell`` with how many datagrams were dropped, each time."""

    def disown(self) -> Listening:
        """Itself, as a loan: ``close()`` gives back the descriptor, and leaves the name (a socket's file) to
        the process that made it."""
        return self


class Number(Protocol):
    """One that processes may have in common."""

    value: int


class Tally(Protocol):
    """Where a process adds up what it does for a server."""

    def answered(self) -> None:
        """Called after each answer, by protocols that have such."""
        ...

    def refused(self, reason: int, number: int) -> None:
        """So many have been refused for this reason: those of ``admission.REASONS``, then those of
        ``refusals.REASONS``, are numbered from 0."""
        ...


class Serving(Protocol):
    """What an engine needs of a server."""

    limits: Limits
    grace: float
    """Seconds that what is going on gets at an end that nobody asked for with another figure."""

    @property
    def slots(self) -> Sequence[Sequence[Listening]]:
        """The listeners of each process of an engine with ``processes``, as many as its ``slots``; one that
        processes share stands in each."""
        ...

    def prepare(self, tally: Tally | None = None) -> None:
        """In the process that runs the handler, before anything is accepted: load it, if that is still to
        be done, and see that it can be served. Raises ``ConfigError``, and what the handler's own code
        raises."""
        ...

    def finish(self) -> None:
        """Where ``prepare`` was called, when nothing is served there any more: what it began ends. An engine
        with ``processes`` calls it there; else the server does."""
        ...

    def ended(self, reason: str, cut: Sequence[str]) -> None:
        """The processes of an engine have ended: told to (by a handler, perhaps), and then ``reason`` is
        empty, or by an accident. ``cut`` is what ``stop`` would return."""
        ...

    @property
    def conversations(self) -> bool:
        """Whether connections are conversations, not requests."""
        ...

    @property
    def listeners(self) -> Sequence[Listening]: ...

    def connected(self, transport: Transport) -> Connection | None:
        """A new connection, or ``None`` when it was turned away."""
        ...

    def disconnected(self, connection: Connection) -> None: ...

    def accept_failed(self, listener: Listening, error: OSError) -> None: ...

    def stopped_accepting(self) -> None:
        """At the end: no further connection will be accepted; those that there are go on."""
        ...

    def failed(self, connection: Connection, error: BaseException) -> None:
        """An engine met a bug in a connection's own code; it has been cut."""
        ...


@mypyc_attr(allow_interpreted_subclasses=True)
class Engine(ABC):
    """Runs the connections of one server. One instance serves one server, once."""

    processes = False
    """Whether the handler runs in processes of the engine's own. Such an engine calls ``Serving.prepare``
    there; else the server does, before ``start``."""
    threaded = True
    """Whether two requests may be answered at once in one process."""
    slots = 1
    """How many sets of listeners it wants, see ``Serving.slots``."""
    accepted = 0
    """Connections accepted so far in processes of its own."""
    dropped = 0
    """Datagrams dropped so far in processes of its own."""
    refused: Sequence[int] = ()
    """How many processes of its own have refused so far, for each reason (see ``Tally.refused``)."""
    awaits = False
    """Whether it has an asyncio loop for handlers written with ``async def`` (``Awaited``)."""

    relistens = False
    """Whether ``relisten`` can be called."""

    def relisten(self, listeners: Sequence[Listening]) -> None:
        """These have come into ``Serving.listeners``, or have gone from there: accept from the ones, and from
        the others those who wait already, and close them. Returns at once; from any thread."""
        raise NotImplementedError(f"{self!r} keeps its listeners")

    def reload(self) -> str | None:
        """Begin anew with the code as it is now, without losing a connection; waits until that is done.
        ``None``: it is; else the reason why what was there goes on. Only with ``processes``."""
        return None

    def resize(self, by: int) -> None:
        """So many processes more (or, below zero, fewer). Only with ``processes``."""
        raise NotImplementedError(f"{self!r} has no processes")

    def heed(self, bell: Waitable, told: Callable[[], bool]) -> None:
        """To be said before ``start``. Where that waits for processes it raises ``Cancelled`` when ``told``,
        asked whenever ``bell`` is readable, says that the end is wanted."""
        return

    @abstractmethod
    def start(self, serving: Serving) -> None:
        """Begin to accept and to run, in threads of its own; returns at once."""

    @abstractmethod
    def stop(self, grace: float, quiet: float) -> list[str]:
        """Stop accepting, finish what is begun, within ``grace`` seconds; cut the rest and name it.

        Idle kept connections get ``quiet`` seconds for one more request. A second call with a smaller
        grace, from any thread, shortens the first.
        """

    @property
    @abstractmethod
    def inside(self) -> bool:
        """Whether the caller is user code that this engine runs, and would wait for itself in ``stop``."""

    @property
    @abstractmethod
    def connections(self) -> int:
        """How many are open."""
