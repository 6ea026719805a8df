"""A proxy that asks a thousand slow servers at once, in one thread, with plain blocking code.

    python examples/gather.py [SERVERS [SECONDS]]

Everything runs in one thread: the slow servers (each takes SECONDS to answer), the proxy that asks them all
for each question and adds up their answers, and the client that asks the proxy. No function below knows of
that; with engine="threads" instead of "events" the same program needs two thousand threads.
"""

from __future__ import annotations

import resource
import sys
import threading
from collections.abc import Callable
from functools import partial
from time import monotonic

from portico import Listener, Stream, TaskGroup, connect, listen, run, sleep, timeout


def slow_server(seconds: float, stream: Stream) -> None:
    number = int(stream.read_line())
    sleep(seconds)
    stream.write(b"%d\n" % (number * number))


def ask(address: object, number: int) -> int:
    with connect(str(address)) as stream:
        stream.write(b"%d\n" % number)
        return int(stream.read_line())


def proxy(servers: object, stream: Stream) -> None:
    for line in stream:
        with timeout(60), TaskGroup() as group:  # the first failure ends them all; nothing is left running
            answers = group.map(partial(ask, servers), range(int(line)))
        stream.write(b"%d\n" % sum(answers))


def accept(group: TaskGroup, listener: Listener, handler: Callable[[Stream], None]) -> None:
    for stream in listener:
        group.start(converse, handler, stream)


def converse(handler: Callable[[Stream], None], stream: Stream) -> None:
    with stream:
        handler(stream)


def main(count: int, seconds: float) -> None:
    with listen("tcp://127.0.0.1:0") as servers, listen("tcp://127.0.0.1:0") as front, TaskGroup() as group:
        group.start(accept, group, servers, partial(slow_server, seconds))
        group.start(accept, group, front, partial(proxy, servers.addresses[0]))
        began = monotonic()
        total = ask(front.addresses[0], count)
        took = monotonic() - began
        print(f"{count} servers answered, {seconds:g} s each, in {took:.1f} s: {total}")
        print(f"threads: {threading.active_count()}")
        servers.close()
        front.close()


if __name__ == "__main__":
    # Two descriptors for each question, in one process; many systems allow 1024 unless asked.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    run(main, int(sys.argv[1]) if sys.argv[1:] else 1000, float(sys.argv[2]) if sys.argv[2:] else 1.0)
