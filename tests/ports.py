"""Ports for what must know its own before it listens."""

import random
import socket
from contextlib import ExitStack
from pathlib import Path

# Below those the system gives to whoever asks for any: a client's end keeps one of these for a minute
# after it has closed, and where a suite has made thousands, one "free" a moment ago is often one of them.
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_END = min(32768, int(_RANGE.read_text().split()[0])) if _RANGE.exists() else 32768
_START = min(20000, _END - 4096)

# Not the shared generator: a plugin seeds that alike in every process.
_random = random.SystemRandom()


def free_port(*hosts: str, kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port that nobody has at any of the hosts (127.0.0.1), nor is given without asking for it."""
    while True:
        port = _random.randrange(_START, _END)
        with ExitStack() as stack:
            try:
                for host in hosts or ["127.0.0.1"]:
                    family = socket.AF_INET6 if ":" in host else socket.AF_INET
                    stack.enter_context(socket.socket(family, kind)).bind((host, port))
            except OSError:
                continue
            return port
