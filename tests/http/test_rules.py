"""Every rule of the corpus of our own, fed in every way: to the codec, and to a running server."""

from __future__ import annotations

import re

import pytest

from tests.http.dialogue import WAYS, Outcome, converse, pieces
from tests.http.rules import Rule, rules
from tests.http.served import Client, serving
from tests.http.test_server_corpus import LIMITS, Recorder

_STATUS = re.compile(rb"HTTP/1\.1 ([0-9]{3}) ")


def wrong(rule: Rule, outcome: Outcome, before: int = 0) -> str:
    """What is wrong with an outcome, after so many other requests; nothing when it is right."""
    count = len(outcome.accepted) - before
    if count != rule.accepted:
        return f"{count} requests accepted instead of {rule.accepted} (status {outcome.status})"
    # A tunnel is refused by the server, not by the codec.
    if rule.status not in (outcome.status, 501):
        return f"status {outcome.status}"
    if outcome.cut != rule.cut:
        return "incomplete" if outcome.cut else "complete"
    if rule.body is not None and outcome.accepted[before].body != rule.body:
        return f"body {outcome.accepted[before].body!r}"
    return ""


def judged(cases, judge):
    found = [(rule, judge(rule)) for rule in cases]
    problems = [f"{rule.name} ({rule.why}) {rule.raw!r}: {problem}" for rule, problem in found if problem]
    assert not problems, "\n".join(problems[:30])


# What CONNECT gets is the server's decision.
FOR_CODEC = [rule for rule in rules() if not (rule.raw.startswith(b"CONNECT") and rule.status == 501)]


def test_there_are_rules_of_both_kinds():
    assert len(rules()) > 500
    accepted = sum(rule.accepted > 0 for rule in rules())
    assert accepted > 150
    assert len(rules()) - accepted > 300


@pytest.mark.parametrize("memo", [True, False], ids=["memo", "fresh"])
@pytest.mark.parametrize("way", WAYS)
def test_every_rule_holds(way, memo):
    judged(FOR_CODEC, lambda rule: wrong(rule, converse(pieces(rule.raw, way), memo=memo)))


@pytest.mark.parametrize("way", WAYS)
def test_every_rule_holds_after_a_request_that_is_almost_the_same(way):
    """The connection has kept the shape of that head."""
    cases = [rule for rule in FOR_CODEC if rule.base]
    judged(
        cases, lambda rule: wrong(rule, converse(pieces(rule.base * 2 + rule.raw, way)), _requests(rule) * 2)
    )


def _requests(rule: Rule) -> int:
    return next(each.accepted for each in rules() if each.raw == rule.base)


def test_what_is_incomplete_is_waited_for_and_what_is_hopeless_is_not():
    def judge(rule):
        outcome = converse([rule.raw], ended=False)
        if rule.cut:
            return "does not wait" if outcome.status or outcome.closed else ""
        return "waits for more" if rule.status and not outcome.status else ""

    judged(FOR_CODEC, judge)


# A server


@pytest.fixture(scope="module")
def running():
    recorder = Recorder()
    with serving(recorder, limits=LIMITS) as server:
        yield server, recorder


def test_every_rule_holds_for_a_server(running):
    server, recorder = running

    def judge(rule):
        with Client(server) as client:
            client.send(rule.raw)
            if not rule.closes:
                client.end()
            said = client.rest()  # where it has to close, it does so though we did not
        statuses = [int(status) for status in _STATUS.findall(said)]
        seen = recorder.take()
        if len(seen) != rule.accepted or statuses.count(200) != rule.accepted:
            return f"{len(seen)} requests reached the gateway: {statuses}"
        if rule.body is not None and seen[0].body != rule.body:
            return f"body {seen[0].body!r}"
        refused = [status for status in statuses if status not in (100, 200)]
        if rule.cut:
            return "" if refused in ([], [400]) else f"statuses {statuses}"
        return "" if refused == [rule.status] * (rule.status is not None) else f"statuses {statuses}"

    judged(rules(), judge)
