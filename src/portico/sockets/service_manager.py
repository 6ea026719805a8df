"""What a service manager such as systemd is told about us (sd_notify(3)): ready, reloading, stopping, alive.

::

    READY=1                        serving, or serving again after a reload
    RELOADING=1 MONOTONIC_USEC=…   (Type=notify-reload counts from there)
    STOPPING=1
    WATCHDOG=1                     twice in each WATCHDOG_USEC, while Python runs and we serve
    STATUS=…                       a line for people
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic_ns
from typing import Self

__all__ = ["ServiceManager"]

log = logging.getLogger("portico.server")

_LONGEST = 500  # characters of a status


class ServiceManager:
    """Who started us and wants to know. Without an ``address`` there is nobody, and nothing is sent.

    ``watchdog``: seconds within which a sign of life is expected.
    """

    def __init__(self, address: str = "", watchdog: float | None = None) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._watchdog = watchdog
        self._over = threading.Event()
        self._stopping = False

    @classmethod
    def from_environ(cls) -> Self:
        """As ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID`` say, which are taken away: programs
        that we start are not the service."""
        address = os.environ.pop("NOTIFY_SOCKET", "")
        seconds, pid = os.environ.pop("WATCHDOG_USEC", ""), os.environ.pop("WATCHDOG_PID", "")
        if not address.startswith(("/", "@")):
            if address:
                log.warning(
                    "NOTIFY_SOCKET=%s is neither a path nor an abstract name: nobody is told", address
                )
            return cls()
        ours = seconds.isascii() and seconds.isdigit() and int(seconds) > 0 and pid in ("", str(os.getpid()))
        return cls(address, int(seconds) / 1e6 if ours else None)

    def ready(self, status: str = "") -> None:
        """We serve. After the end has begun, nothing is said."""
        if not self._stopping:
            self._tell("READY=1", f"STATUS={status or 'Serving'}")

    def reloading(self) -> None:
        """We read our configuration anew; ``ready`` follows, in any case."""
        if not self._stopping:
            self._tell("RELOADING=1", f"MONOTONIC_USEC={monotonic_ns() // 1000}", "STATUS=Reloading")

    def stopping(self) -> None:
        """We have begun to end. Said once."""
        if not self._stopping:
            self._stopping = True
            self._tell("STOPPING=1", "STATUS=Finishing what was begun")

    @contextmanager
    def told(self) -> Iterator[None]:
        """Say that we are ready, and inside the block that we are alive."""
        self.ready()
        if self._address and self._watchdog is not None:
            threading.Thread(target=self._beat, name="portico sign of life", daemon=True).start()
        try:
            yield
        finally:
            self._over.set()

    def _beat(self) -> None:
        assert self._watchdog is not None
        self._tell("WATCHDOG=1")
        while not self._over.wait(self._watchdog / 2):
            self._tell("WATCHDOG=1")

    def _tell(self, *lines: str) -> None:
        """One datagram: systemd reads what belongs together from one."""
        if not self._address:
            return
        message = "\n".join(line[:_LONGEST].replace("\n", " ") for line in lines)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.settimeout(1.0)  # a manager that does not read must not hold us
                sock.connect(self._address)
                sock.send(message.encode())
        except OSError as error:
            log.warning("the service manager cannot be told %s: %s", lines[0], error)

    def __repr__(self) -> str:
        where = self._address.replace("\0", "@")
        return f"<ServiceManager {where or 'nobody'}>"
