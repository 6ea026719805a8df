"""One answer for all."""

from __future__ import annotations

import pytest

from portico.errors import ConfigError
from portico.web.respond import Respond
from tests.http.served import Client, get, post, serving


def answered(gateway, raw, method="GET"):
    with serving(gateway) as server, Client(server) as client:
        return client.ask(raw, method)


def test_a_fixed_answer_with_its_body_and_fields():
    gateway = Respond(200, "pong\n", headers={"Cache-Control": "no-store"})
    with serving(gateway) as server, Client(server) as client:
        answer = client.ask(get("/any/where?x"))
        assert (answer.status, answer.body) == (200, b"pong\n")
        assert answer["content-type"] == "text/plain; charset=utf-8"
        assert answer["cache-control"] == "no-store"
        assert client.ask(post(b"x" * 100, "/"), "POST").body == b"pong\n"
        head = client.ask(get("/", method="HEAD"), "HEAD")
        assert head["content-length"] == "5"


@pytest.mark.parametrize(
    ("status", "kind"), [(204, None), (304, None), (200, None), (503, "text/html; charset=utf-8")]
)
def test_without_a_body_only_errors_have_a_page(status, kind):
    answer = answered(Respond(status), get("/"))
    assert (answer.status, answer["content-type"]) == (status, kind)
    head = answered(Respond(status), get("/", method="HEAD"), "HEAD")
    assert head["content-length"] == answer["content-length"]
    assert (b"503" in answer.body) is (status == 503)


def test_a_field_replaces_the_one_that_would_be_there():
    answer = answered(Respond(410, "{}", headers={"content-type": "application/json"}), get("/"))
    assert (answer.status, answer["content-type"], answer.body) == (410, "application/json", b"{}")


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (101, None, {}),
        (199, None, {}),
        (600, None, {}),
        (204, "x", {}),
        (200, "x", {"Content-Length": "3"}),
        (200, "x", {"Transfer-Encoding": "chunked"}),
        (200, "x", {"X": "a\r\nSet-Cookie: b"}),
        (200, "x", {"a b": "c"}),
    ],
)
def test_what_cannot_be_sent_is_refused(status, body, headers):
    with pytest.raises(ConfigError):
        Respond(status, body, headers=headers)
