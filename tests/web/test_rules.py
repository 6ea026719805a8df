"""The corpus of raw requests against programs, files and a proxy: what is refused reaches none of them.

What reaches an upstream has one meaning. And it does not matter what the connections before have sent, nor
which descriptor, strand or thread a request meets: the cases follow each other on one server.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from portico.limits import Limits
from portico.server import Server
from portico.web.proxy import Proxy
from portico.web.static import Static
from portico.web.wsgi import WSGI
from tests.http.rules import Rule, rules
from tests.http.served import Client, get
from tests.web.proxy.strict_upstream import StrictUpstream
from tests.web.proxy.upstreams import Scripted

LIMITS = Limits(linger=0.2, head=2.0, body_grace=2.0)
ENGINES = ("threads", "events")
_STATUS = re.compile(rb"HTTP/1\.1 ([2-5][0-9]{2}) ")

Seen = list[tuple[str, bytes]]
"""Methods and bodies of the requests that were complete for a program or an upstream."""


@contextmanager
def serving(gateway: object, engine: str) -> Iterator[Server]:
    with Server(gateway, "http://127.0.0.1:0", engine=engine, limits=LIMITS, grace=2.0) as server:
        yield server
        with Client(server) as client:
            assert client.ask(get()).status == 200  # it is as well as before


def talk(server: Server, rule: Rule) -> list[int]:
    """The statuses of the answers. Where the server has to close, it does so though the client has not."""
    said = b""
    with Client(server) as client:
        client.send(rule.raw)
        if not rule.closes:
            # To a proxy, a client that has ended its direction has gone.
            while len(_STATUS.findall(said)) < rule.accepted and (data := client.sock.recv(1 << 16)):
                said += data
            client.end()
        said += client.rest()
    return [int(status) for status in _STATUS.findall(said)]


def wrong(rule: Rule, statuses: list[int]) -> str:
    """What is wrong with the answers, wherever they come from; nothing when they are right."""
    refused = statuses[rule.accepted :]
    if len(statuses) < rule.accepted:
        return f"too few answers: {statuses}"
    if rule.cut and refused in ([], [400]):
        return ""
    return "" if refused == [rule.status] * (rule.status is not None) else f"answers {statuses}"


def judge(server: Server, seen: Seen | None = None, doubts: Callable[[], list[str]] = list) -> None:
    problems = []
    for rule in rules():
        if seen is not None:
            seen.clear()
        problem = wrong(rule, talk(server, rule))
        if seen is not None and len(seen) != rule.accepted:
            problem += f" {len(seen)} requests went through"
        elif seen and rule.body is not None and seen[0][1] != rule.body:
            problem += f" body {seen[0][1]!r}"
        problem += "".join(doubts())
        if problem:
            problems.append(f"{rule.name} ({rule.why}) {rule.raw!r}: {problem}")
    assert not problems, "\n".join(problems[:30])


@pytest.mark.parametrize("engine", ENGINES)
def test_every_rule_holds_for_a_program(engine: str) -> None:
    seen: Seen = []

    def app(environ, start_response):
        seen.append((environ["REQUEST_METHOD"], environ["wsgi.input"].read()))
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    with serving(WSGI(app), engine) as server:
        judge(server, seen)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_rule_holds_for_files(engine, tmp_path):
    (tmp_path / "index.html").write_text("ok")
    with serving(Static(tmp_path), engine) as server:
        judge(server)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_rule_holds_for_a_proxy_and_what_goes_across_has_one_meaning(engine):
    strict = StrictUpstream()

    def doubts() -> list[str]:
        found, strict.doubts = strict.doubts, []
        return found

    with Scripted(strict) as upstream:
        proxy = Proxy(upstream.url)
        with serving(proxy, engine) as server:
            judge(server, strict.requests, doubts)
        proxy.close()
