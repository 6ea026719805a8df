"""The public corpus of raw requests against a running server: what reached the gateway, what came back."""

from __future__ import annotations

import base64
import re
import threading

import pytest

from portico import sleep, timeout
from tests.engines.serving import SECONDS
from tests.http.dialogue import Outcome, Request
from tests.http.served import ENGINES, Client, get, serving
from tests.http.test_corpus import cases, verdict

LIMITS = {"linger": 0.2, "head": 0.5, "body_grace": 0.5}
_STATUS = re.compile(rb"HTTP/1\.1 ([0-9]{3}) ")


class Recorder:
    """Answers everything, and remembers what it was asked."""

    name = "test:recorder"

    def __init__(self):
        self.seen: list[Request] = []
        self.lock = threading.Lock()

    def streams(self, request):
        return False

    def __call__(self, exchange):
        request = Request(
            exchange.method, exchange.raw_path, exchange.target, exchange.body.read(), exchange.headers
        )
        with self.lock:
            self.seen.append(request)
        exchange.respond(200, [("X-Seen", "1")])

    def take(self):
        with self.lock:
            seen, self.seen = self.seen, []
        return seen


@pytest.fixture(scope="module", params=ENGINES)
def running(request):
    recorder = Recorder()
    with serving(recorder, engine=request.param, limits=LIMITS) as server:
        yield server, recorder


def names():
    try:
        return [case["name"] for case in cases()]
    except pytest.skip.Exception:
        return ["corpus"]


@pytest.mark.parametrize("at", range(len(names())), ids=names())
def test_the_server_meets_the_verdict_of(running, at):
    case = cases()[at]
    server, recorder = running
    raw = base64.b64decode(case["raw_base64"])
    with Client(server) as client:
        try:
            client.send(raw)
            if not case["must_close"]:
                client.end()
            said = client.rest()  # where it must close, it does so though we did not
        except ConnectionError:
            said = b""
    with timeout(SECONDS):
        while server.connections:  # a reset may come before what it is about has been noted
            sleep(0.001)
    outcome = Outcome(accepted=recorder.take(), closed=True)
    assert verdict(case, outcome) == ""
    statuses = [int(status) for status in _STATUS.findall(said)]
    assert statuses.count(200) == len(outcome.accepted)
    if case["expect"] == "reject":
        assert all(400 <= status < 600 for status in statuses)
    if case["expect"] == "reject" and not case["hang_ok"]:
        assert statuses, "refused without a word"


def test_the_server_is_as_well_as_before(running):
    server, _ = running
    with Client(server) as client:
        assert client.ask(get()).status == 200
