"""The public corpus of raw requests, at the level of the codec."""

from __future__ import annotations

import base64
import json
from functools import cache
from typing import Any

import pytest

from tests.http.dialogue import WAYS, Outcome, converse, pieces
from tests.peers import corpus


@cache
def cases() -> list[dict[str, Any]]:
    return json.loads((corpus("http1") / "requests.json").read_text())["cases"]


def verdict(case: dict[str, Any], outcome: Outcome) -> str:
    """What is wrong with an outcome, by the rules of the corpus; nothing when it is right."""
    got, wanted = outcome.accepted, case.get("accept")
    if len(got) > case["n_ok_max"]:
        return f"{len(got)} requests accepted, at most {case['n_ok_max']} are there"
    if got and case["must_close"] and not outcome.closed:
        return "the connection was not closed"
    if case["expect"] == "reject":
        return "accepted" if got else ""
    if case["expect"] == "accept" and len(got) != wanted["n"]:
        return f"{len(got)} requests accepted instead of {wanted['n']} (status {outcome.status})"
    if not got:
        return ""
    first = got[0]
    if first.method != wanted["method"] or first.body != base64.b64decode(wanted["body_base64"]):
        return "another method or body"
    if wanted.get("path") is not None and first.path != wanted["path"]:
        return f"path {first.path[:60]}"
    return ""


@pytest.mark.parametrize("memo", [True, False], ids=["memo", "fresh"])
@pytest.mark.parametrize("way", WAYS)
def test_every_case_of_the_corpus_meets_its_verdict(way, memo):
    wrong = []
    for case in cases():
        raw = base64.b64decode(case["raw_base64"])
        problem = verdict(case, converse(pieces(raw, way), memo=memo))
        if problem:
            wrong.append(f"{case['name']} ({case['why']}): {problem}")
    assert len(cases()) > 200
    assert not wrong, "\n".join(wrong[:20])


@pytest.mark.parametrize("way", WAYS[1:])
def test_fragmentation_changes_neither_verdict_nor_status(way):
    for case in cases():
        raw = base64.b64decode(case["raw_base64"])
        whole, split = converse([raw]), converse(pieces(raw, way))
        assert split.accepted == whole.accepted, case["name"]
        assert split.closed == whole.closed, case["name"]


def test_what_is_refused_for_its_form_is_refused_without_waiting_for_more():
    for case in cases():
        if case["expect"] != "reject" or case["hang_ok"]:
            continue
        raw = base64.b64decode(case["raw_base64"])
        outcome = converse([raw], ended=False)
        assert outcome.status is not None, case["name"]
        assert 400 <= outcome.status < 600, case["name"]
