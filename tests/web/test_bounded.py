"""So many requests of a mount run at once, so many wait, the rest are told to come again."""

from __future__ import annotations

import threading

import pytest

from portico import Mounts, timeout
from portico.errors import ConfigError, Timeout
from portico.http.exchange import Mount
from portico.web.bounded import Bounded
from tests.http.served import Client, Gate, get, serving
from tests.web.recording import RecordingExchange


class Slow:
    """A gateway that holds who is inside until it is told to let go."""

    name = "slow"

    def __init__(self):
        self.inside = self.most = 0
        self.lock = threading.Lock()
        self.entered = threading.Semaphore(0)
        self.go = threading.Semaphore(0)

    def streams(self, request):
        return False

    def __call__(self, exchange):
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        self.entered.release()
        assert self.go.acquire(timeout=20)
        with self.lock:
            self.inside -= 1
        exchange.respond(200, [], b"slow")


def test_no_more_run_than_may_and_others_are_not_held_up():
    slow = Slow()
    mounts = Mounts(
        [
            ("/slow", Mount(Bounded(slow, 2, queue=1), "/slow")),
            ("/", Gate(lambda exchange: exchange.respond(200, [], b"quick"))),
        ]
    )
    with serving(mounts, plain=True, engine="threads:8") as server:
        clients = [Client(server) for _ in range(3)]
        for client in clients:
            client.send(get("/slow"))
        for _ in range(2):
            assert slow.entered.acquire(timeout=20)
        with Client(server) as other:
            while (answer := other.ask(get("/slow"))).status != 503:
                pass
            assert answer["retry-after"] == "1"
            assert other.ask(get("/")).body == b"quick"
        slow.go.release(3)
        assert [client.answer().body for client in clients] == [b"slow"] * 3
        assert slow.most == 2
        for client in clients:
            client.sock.close()


def test_who_waits_obeys_a_deadline_and_leaves_no_place_taken():
    slow = Slow()
    bounded = Bounded(slow, 1)
    first = threading.Thread(target=lambda: RecordingExchange().run(bounded))
    first.start()
    assert slow.entered.acquire(timeout=20)
    with pytest.raises(Timeout), timeout(0.05):
        bounded(RecordingExchange())
    slow.go.release(2)
    first.join(20)
    assert RecordingExchange().run(bounded).sent == b"slow"
    assert repr(bounded).startswith("<Bounded 0 of 2")


def test_a_gateway_that_raises_gives_its_place_back():
    def fails(exchange):
        raise RuntimeError("no way")

    bounded = Bounded(Gate(fails), 1, 0)
    for _ in range(3):
        with pytest.raises(RuntimeError):
            bounded(RecordingExchange())


@pytest.mark.parametrize(("threads", "queue"), [(0, None), (-1, None), (1, -1)])
def test_impossible_bounds_are_refused(threads, queue):
    with pytest.raises(ConfigError):
        Bounded(Gate(print), threads, queue)
