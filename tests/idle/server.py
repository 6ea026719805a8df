"""A server in a process of its own: ``python -m tests.idle.server ENGINE KIND [CERTIFICATE]``.

Its first line is its address; then each line on its input is a question, answered with a line. It ends with
its input.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import threading

from portico import Limits, Server, ServerTLS, Stream
from portico.engines.strand import Strand
from tests.engines.serving import Gateway

ADDRESSES = {"http": ("http", "https"), "talk": ("tcp", "tls")}


def talk(stream: Stream) -> None:
    for line in stream:
        stream.write(line)


HANDLERS = {"http": Gateway(lambda exchange: b"hello"), "talk": talk}


def facts(server: Server) -> dict[str, int]:
    gc.collect()
    return {
        "connections": server.connections,
        "accepted": server.accepted,
        "threads": threading.active_count(),
        "strands": sum(type(each) is Strand and not each.dead for each in gc.get_objects()),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "resident": resident(),
    }


def resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def main(engine: str, kind: str, certificate: str = "") -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    tls = ServerTLS(certificate) if certificate else None
    limits = Limits().but(idle=3600, head=3600)
    address = f"{ADDRESSES[kind][bool(certificate)]}://127.0.0.1:0"
    with Server(HANDLERS[kind], address, engine=engine, limits=limits, tls=tls) as server:
        print(server.addresses[0].port, flush=True)
        for _ in sys.stdin:
            print(json.dumps(facts(server)), flush=True)
        server.stop(0.0)


if __name__ == "__main__":
    main(*sys.argv[1:])
