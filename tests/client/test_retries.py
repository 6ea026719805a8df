"""When a request is tried again, and when it is not."""

from __future__ import annotations

from time import monotonic

import pytest

from portico.client import retrying as retrying_module
from portico.client.request import Request
from portico.client.retries import Retry, as_retry
from portico.client.retrying import retrying
from portico.deadline import timeout
from portico.errors import (
    CertificateError,
    ConfigError,
    ConnectError,
    ConnectionLost,
    EndOfStream,
    LocalProtocolError,
    ProtocolError,
    ResolveError,
    Timeout,
    TLSError,
)
from portico.http.dates import format_date
from tests.client.caching import Server, get, reply

AGAIN, NEVER = True, False


class Once:
    """A body that can be sent ``replayable`` times."""

    length, content_type = 3, None

    def __init__(self, replayable: bool) -> None:
        self.replayable = replayable

    def chunks(self):
        yield b"abc"


def failure(kind, reached="", **facts):
    error = kind("x")
    error.reached = reached
    for name, value in facts.items():
        setattr(error, name, value)
    return error


def asking(method="GET", headers=None, body=None):
    request = get(headers, method=method)
    return Request(method, request.url, request.headers, body)


@pytest.fixture
def slept(monkeypatch) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr(retrying_module, "sleep", found.append)
    return found


STATUSES = [
    (429, AGAIN),
    (502, AGAIN),
    (503, AGAIN),
    (504, AGAIN),
    (500, NEVER),
    (501, NEVER),
    (404, NEVER),
    (200, NEVER),
    (408, NEVER),
]


@pytest.mark.parametrize(("status", "outcome"), STATUSES)
def test_which_answers_are_tried_again(status, outcome):
    response = reply(status)(get())
    assert (Retry().delay(get(), 1, response) is not None) == outcome


@pytest.mark.parametrize(
    ("method", "outcome"),
    [
        ("GET", AGAIN),
        ("HEAD", AGAIN),
        ("PUT", AGAIN),
        ("DELETE", AGAIN),
        ("OPTIONS", AGAIN),
        ("TRACE", AGAIN),
        ("PROPFIND", AGAIN),
        ("POST", NEVER),
        ("PATCH", NEVER),
        ("MKCOL", NEVER),
        ("get", NEVER),
    ],
)
def test_which_methods_are_repeated_when_they_may_have_been_acted_upon(method, outcome):
    request = get()
    request.method = method
    assert (Retry().delay(request, 1, reply(503)(request)) is not None) == outcome
    assert (Retry().delay(request, 1, error=failure(ConnectionLost, "wait")) is not None) == outcome


def test_others_are_repeated_when_allowed_by_name_or_with_a_key_against_doubles():
    lost = failure(ConnectionLost, "wait")
    keyed = asking("POST", {"Idempotency-Key": "8e03978e"})
    assert Retry().delay(keyed, 1, error=lost) is not None
    assert Retry(methods={"POST"}).delay(asking("POST"), 1, error=lost) is not None
    assert Retry(methods=["post"]).delay(asking("POST"), 1, error=lost) is not None
    assert Retry(methods={"POST"}).delay(asking("PATCH"), 1, error=lost) is None


FAILURES = [
    (failure(ConnectError), AGAIN, AGAIN),
    (failure(ResolveError), NEVER, NEVER),
    (failure(ResolveError, temporary=True), AGAIN, AGAIN),
    (failure(ConnectionLost, "tls"), AGAIN, AGAIN),
    (failure(ConnectionLost, "proxy"), AGAIN, AGAIN),
    (failure(ConnectionLost, "send"), AGAIN, NEVER),
    (failure(ConnectionLost, "wait"), AGAIN, NEVER),
    (failure(ConnectionLost, "head"), AGAIN, NEVER),
    (failure(EndOfStream, "body"), AGAIN, NEVER),
    (failure(ConnectionLost), AGAIN, NEVER),
    (failure(Timeout, "connect"), AGAIN, AGAIN),
    (failure(Timeout, "resolve"), AGAIN, AGAIN),
    (failure(Timeout, "tls"), AGAIN, AGAIN),
    (failure(Timeout, "pool"), NEVER, NEVER),
    (failure(Timeout, "wait"), NEVER, NEVER),
    (failure(Timeout), NEVER, NEVER),
    (failure(TLSError, "tls"), NEVER, NEVER),
    (failure(CertificateError, "tls"), NEVER, NEVER),
    (failure(ProtocolError, "head"), NEVER, NEVER),
    (failure(LocalProtocolError), NEVER, NEVER),
]


@pytest.mark.parametrize(
    ("error", "of_get", "of_post"), FAILURES, ids=lambda each: getattr(each, "reached", None)
)
def test_which_failures_are_tried_again(error, of_get, of_post):
    assert (Retry().delay(asking("GET"), 1, error=error) is not None) == of_get
    assert (Retry().delay(asking("POST", body=Once(True)), 1, error=error) is not None) == of_post


def test_a_body_that_is_gone_is_not_sent_again_unless_it_never_was():
    put, lost, refused = (
        asking("PUT", body=Once(False)),
        failure(ConnectionLost, "send"),
        failure(ConnectError),
    )
    assert Retry().delay(put, 1, error=lost) is None
    assert Retry().delay(put, 1, reply(503)(put)) is None
    assert Retry().delay(put, 1, error=refused) is not None
    assert Retry().delay(asking("PUT", body=Once(True)), 1, error=lost) is not None


def test_waits_are_random_up_to_a_bound_that_grows_and_is_capped():
    retry, lost = Retry(attempts=10_000, base=1, factor=2, cap=5), failure(ConnectionLost)
    for attempt, most in ((1, 1), (2, 2), (3, 4), (4, 5), (9999, 5)):
        waits = [retry.delay(get(), attempt, error=lost) for _ in range(300)]
        assert all(0 <= wait <= most for wait in waits)
        assert max(waits) > most * 0.8
        assert min(waits) < most * 0.2


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": " 7 "}, 7),
        ({"Retry-After": "120"}, 120),
        ({"Retry-After": "121"}, None),
        ({"Retry-After": "9" * 400}, None),
        ({"Retry-After": "{+9}", "Date": "{+0}"}, 9),
        ({"Retry-After": "{-9}", "Date": "{+0}"}, 0),
        ({"Retry-After": "{+9999}", "Date": "{+0}"}, None),
        ({"Retry-After": "Tuesday, 14-Nov-23 22:13:29 GMT", "Date": "{+0}"}, 9),
        ({"Retry-After": "Tue Nov 14 22:13:29 2023", "Date": "{+0}"}, 9),
    ],
)
def test_retry_after_in_all_its_forms(fields, seconds):
    assert Retry().delay(get(), 1, reply(503, fields)(get())) == seconds


def test_a_date_counts_from_now_where_the_server_does_not_tell_its_own():
    from time import time

    response = reply(503, {"Retry-After": format_date(int(time()) + 60)})(get())
    assert 50 < Retry().delay(get(), 1, response) <= 60


@pytest.mark.parametrize("value", ["-1", "1.5", "soon", "", "1, 2", "\xb2"])
def test_a_retry_after_that_cannot_be_read_is_passed_over(value):
    retry = Retry(base=0.001)
    assert retry.delay(get(), 1, reply(503, {"Retry-After": value})(get())) <= 0.001


def test_retry_after_can_be_ignored():
    retry = Retry(base=0.001, retry_after=False)
    assert retry.delay(get(), 1, reply(503, {"Retry-After": "9"})(get())) <= 0.001


def test_it_tries_until_an_answer_stands_and_lets_the_others_go(slept):
    server = Server(reply(503, {"Retry-After": "2"}), ConnectError("refused"), reply(200, {}, b"done"))
    response = retrying(Retry(), get(), server)
    assert response.content == b"done"
    assert len(server.asked) == 3
    assert slept[0] == 2
    assert 0 <= slept[1] <= 1
    assert server.sent[0]._source.closed


def test_the_last_answer_stands(slept):
    server = Server(*[reply(503, {}, b"busy")] * 3)
    response = retrying(Retry(), get(), server)
    assert (response.status, response.content, len(slept)) == (503, b"busy", 2)


def test_the_last_error_tells_of_those_before(slept):
    server = Server(reply(502), ConnectionLost("went away"), ConnectError("refused"))
    with pytest.raises(ConnectError, match="refused") as caught:
        retrying(Retry(), get(), server)
    assert caught.value.__notes__ == ["try 1: 502 Said", "try 2: ConnectionLost: went away"]


def test_an_error_that_is_not_tried_again_comes_at_once_as_it_was(slept):
    with pytest.raises(ProtocolError) as caught:
        retrying(Retry(), get(), Server(ProtocolError("noise")))
    assert not slept
    assert not hasattr(caught.value, "__notes__")


def test_a_body_that_breaks_off_is_asked_for_again(slept):
    server = Server(reply(200, {}, b"some", EndOfStream("cut", b"x")), reply(200, {}, b"some ", b"body"))
    assert retrying(Retry(), get(), server, whole=True).content == b"some body"
    assert len(slept) == 1
    assert server.sent[0]._source._source.closed


def test_a_body_that_breaks_off_each_time_gives_what_came_of_it(slept):
    server = Server(*[reply(200, {}, b"some", EndOfStream("cut"))] * 3)
    response = retrying(Retry(), get(), server, whole=True)
    with pytest.raises(EndOfStream, match="cut") as caught:
        response.read()
    assert caught.value.partial == b"some"
    assert caught.value.__notes__ == ["try 1: EndOfStream: cut", "try 2: EndOfStream: cut"]


def test_a_body_that_breaks_off_is_its_readers_where_it_may_not_be_asked_for_again(slept):
    for request, whole in ((asking("POST", body=Once(True)), True), (get(), False)):
        response = retrying(
            Retry(), request, Server(reply(200, {}, b"some", EndOfStream("cut"))), whole=whole
        )
        with pytest.raises(EndOfStream):
            response.read()
    assert not slept


def test_no_more_than_the_beginning_of_a_long_body_is_read_ahead(slept):
    megabyte = bytes(1 << 20)
    server = Server(reply(200, {}, *[megabyte] * 6, EndOfStream("cut")))
    response = retrying(Retry(), get(), server, whole=True)
    assert len(server.sent[0]._source._source.left) == 3
    assert response.read(6 << 20) == megabyte * 6
    with pytest.raises(EndOfStream):
        response.read(1)


def test_no_wait_outlasts_the_deadline():
    began = monotonic()
    with timeout(30):
        response = retrying(Retry(), get(), Server(reply(503, {"Retry-After": "31"})))
        with pytest.raises(ConnectError) as caught:
            retrying(Retry(base=1e9, cap=1e9), get(), Server(ConnectError("refused")))
    assert response.status == 503
    assert "would outlast the deadline" in caught.value.__notes__[-1]
    assert monotonic() - began < 20


def test_a_trace_hears_of_each_further_try(slept):
    heard = []
    layer = Retry().layer(lambda what, facts: heard.append((what, facts)))
    assert layer(get(), Server(ConnectError("x"), reply(200))).status == 200
    assert [what for what, _ in heard] == ["retry"]
    assert heard[0][1]["seconds"] == slept[0]
    assert isinstance(heard[0][1]["error"], ConnectError)


def test_an_answer_is_let_go_though_the_trace_raises(slept):
    def trace(what, facts):
        raise RuntimeError("heard enough")

    server = Server(reply(503))
    with pytest.raises(RuntimeError, match="heard enough"):
        retrying(Retry(), get(), server, trace)
    assert server.sent[0]._source.closed


def test_what_can_be_given_as_a_policy():
    mine = Retry(attempts=7)
    assert as_retry(mine) is mine
    assert as_retry(True) == Retry()
    assert as_retry(2).attempts == 3
    assert [as_retry(value) for value in (None, False, 0)] == [None] * 3
    assert Retry(statuses=[500]).statuses == {500}


@pytest.mark.parametrize("wrong", [-1, "3", 1.5, [1]])
def test_what_is_no_policy_is_refused(wrong):
    with pytest.raises(ConfigError, match="retry="):
        as_retry(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 0},
        {"attempts": 1.5},
        {"attempts": True},
        {"base": -1},
        {"cap": float("nan")},
        {"factor": "2"},
        {"longest": float("inf")},
        {"methods": "POST"},
        {"statuses": 500},
    ],
)
def test_values_that_cannot_be_are_refused(wrong):
    with pytest.raises(ConfigError, match=f"retry: {next(iter(wrong))}="):
        Retry(**wrong)
