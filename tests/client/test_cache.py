"""What the cache does with requests and answers, by the sections of RFC 9111."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.client.cache import Cache, as_cache
from portico.client.request import Request
from portico.errors import (
    CertificateError,
    ConfigError,
    ConnectError,
    ConnectionLost,
    EndOfStream,
    LocalProtocolError,
    ResolveError,
    Timeout,
)
from tests.client.caching import START, URL, Body, Clock, Server, fetch, get, reply

HIT, STALE, AGAIN, MISS, PASSED = "hit", "stale", "revalidated", "miss", None

FRESH = {"Cache-Control": "max-age=60", "Date": "{+0}"}
TAGGED = {**FRESH, "ETag": '"1"'}
GUESSED = {"Date": "{+0}", "Last-Modified": "{-1000}"}
TAG = {"ETag": '"1"', "Date": "{+0}"}


def control(value: str, **more: str) -> dict[str, str]:
    return {"Cache-Control": value, "Date": "{+0}", **{n.replace("_", "-"): v for n, v in more.items()}}


# What the first answer says, seconds until the second request, what that says, and what comes of it. The
# server answers 304 to the validators it has sent, and a new body to all else.
TABLE = {
    "3 max-age": (FRESH, 30, {}, HIT),
    "3 no freshness and no validator": ({"Date": "{+0}"}, 0, {}, MISS),
    "3 no-store": (control("no-store, max-age=60", ETag='"1"'), 0, {}, MISS),
    "3 no-store in another case": (control("No-Store, max-age=60"), 0, {}, MISS),
    "3 no-store in a second field": (
        [("Cache-Control", "max-age=60"), ("Cache-Control", "no-store")],
        0,
        {},
        MISS,
    ),
    "3 private is this cache": (control("private, max-age=60"), 30, {}, HIT),
    "3 private with fields": (control('private="x-a", max-age=60'), 30, {}, HIT),
    "3 s-maxage is for shared caches": (control("s-maxage=60"), 0, {}, MISS),
    "3 s-maxage is not preferred": (control("max-age=60, s-maxage=0"), 30, {}, HIT),
    "3 must-understand of a known status": (control("no-store, must-understand, max-age=60"), 30, {}, HIT),
    "3 unknown directives are ignored": (control("max-age=60, x=1, y"), 30, {}, HIT),
    "3 authorization is no hindrance, but not another's": (FRESH, 30, {"Authorization": "Basic eDp5"}, MISS),
    "3.1 Vary: *": ({**FRESH, "Vary": "*"}, 0, {}, MISS),
    "3.1 Vary: * among others": ({**FRESH, "Vary": "accept, *"}, 0, {}, MISS),
    "4.1 a named field that both lack": ({**FRESH, "Vary": "Foo"}, 30, {}, HIT),
    "4.1 a named field that is new": ({**FRESH, "Vary": "Foo"}, 30, {"Foo": "1"}, MISS),
    "4.1 a field that is not named": ({**FRESH, "Vary": "Foo"}, 30, {"Bar": "1"}, HIT),
    "4.2 one second before the end": (FRESH, 59, {}, HIT),
    "4.2 at the end": (FRESH, 60, {}, MISS),
    "4.2 after the end, with a validator": (TAGGED, 61, {}, AGAIN),
    "4.2.1 Expires": ({"Date": "{+0}", "Expires": "{+60}"}, 59, {}, HIT),
    "4.2.1 Expires has passed": ({"Date": "{+0}", "Expires": "{+60}", "ETag": '"1"'}, 60, {}, AGAIN),
    "4.2.1 Expires by a clock that is behind": ({"Date": "{-3600}", "Expires": "{-3540}"}, 0, {}, MISS),
    "4.2.1 Expires by a clock that is ahead": ({"Date": "{+3600}", "Expires": "{+3660}"}, 59, {}, HIT),
    "4.2.1 Expires without Date": ({"Expires": "{+60}"}, 59, {}, HIT),
    "4.2.1 max-age goes before Expires": ({**FRESH, "Expires": "{-60}"}, 30, {}, HIT),
    "4.2.1 max-age=0 goes before Expires": (control("max-age=0", Expires="{+60}"), 0, {}, MISS),
    "4.2.1 Expires: 0": ({**TAG, "Expires": "0"}, 0, {}, AGAIN),
    "4.2.1 Expires is no date": ({**TAG, "Expires": "tomorrow"}, 0, {}, AGAIN),
    "4.2.1 two times Expires": ([*TAG.items(), ("Expires", "{+60}"), ("Expires", "{+90}")], 0, {}, AGAIN),
    "4.2.1 max-age that is no number": (control("max-age=abc", **TAG), 0, {}, AGAIN),
    "4.2.1 max-age below zero": (control("max-age=-60", **TAG), 0, {}, AGAIN),
    "4.2.1 max-age with a fraction": (control("max-age=60.5", **TAG), 0, {}, AGAIN),
    "4.2.1 max-age without a number": (control("max-age", **TAG), 0, {}, AGAIN),
    "4.2.1 max-age with blanks": (control("max-age =60", **TAG), 0, {}, AGAIN),
    "4.2.1 max-age in single quotes": (control("max-age='60'", **TAG), 0, {}, AGAIN),
    "4.2.1 max-age in quotes": (control('max-age="60"'), 30, {}, HIT),
    "4.2.1 max-age twice, differently": (control("max-age=60, max-age=90", **TAG), 0, {}, AGAIN),
    "4.2.1 max-age twice, alike": (control("max-age=60, max-age=60"), 30, {}, HIT),
    "4.2.1 max-age beyond all numbers": (control("max-age=" + "9" * 50), 10**6, {}, HIT),
    "4.2.1 max-age with zeros before": (control("max-age=" + "0" * 40 + "60"), 59, {}, HIT),
    "4.2.1 max-age within a quoted text": (control('x="max-age=60"', **TAG), 0, {}, AGAIN),
    "4.2.1 no-store behind an open quote": (control('max-age=60, x="abc, no-store'), 0, {}, MISS),
    "4.2.2 a tenth of what it has not changed": (GUESSED, 99, {}, HIT),
    "4.2.2 no longer": (GUESSED, 100, {}, AGAIN),
    "4.2.2 a day at most": ({"Date": "{+0}", "Last-Modified": "{-99999999}"}, 86400, {}, AGAIN),
    "4.2.2 less than a day": ({"Date": "{+0}", "Last-Modified": "{-99999999}"}, 86399, {}, HIT),
    "4.2.2 changed in the future": ({"Date": "{+0}", "Last-Modified": "{+50}"}, 0, {}, AGAIN),
    "4.2.3 Age counts": ({**FRESH, "Age": "30"}, 29, {}, HIT),
    "4.2.3 Age uses it up": ({**TAGGED, "Age": "30"}, 30, {}, AGAIN),
    "4.2.3 Age that is no number": ({**FRESH, "Age": "x"}, 59, {}, HIT),
    "4.2.3 the first of several Ages": ({**FRESH, "Age": "0, 60"}, 59, {}, HIT),
    "4.2.3 Age beyond all numbers": ({**TAGGED, "Age": "9" * 40}, 0, {}, AGAIN),
    "4.2.3 Date in the past is age": ({**TAGGED, "Date": "{-60}"}, 0, {}, AGAIN),
    "4.2.3 a clock that was set back": (TAGGED, -3600, {}, AGAIN),
    "4.2.4 must-revalidate while fresh": (control("max-age=60, must-revalidate"), 59, {}, HIT),
    "4.2.4 max-stale": (FRESH, 90, {"Cache-Control": "max-stale=30"}, STALE),
    "4.2.4 more than max-stale": (TAGGED, 91, {"Cache-Control": "max-stale=30"}, AGAIN),
    "4.2.4 max-stale of any age": (FRESH, 9999, {"Cache-Control": "max-stale"}, STALE),
    "4.2.4 max-stale that is no number": (TAGGED, 61, {"Cache-Control": "max-stale=x"}, AGAIN),
    "4.2.4 max-stale against must-revalidate": (
        control("max-age=60, must-revalidate", **TAG),
        61,
        {"Cache-Control": "max-stale"},
        AGAIN,
    ),
    "4.2.4 max-stale against no-cache": (
        control("no-cache", **TAG),
        1,
        {"Cache-Control": "max-stale"},
        AGAIN,
    ),
    "4.3 Last-Modified alone": ({**FRESH, "Last-Modified": "{-10}"}, 60, {}, AGAIN),
    "4.3 a weak tag": ({**FRESH, "ETag": 'W/"1"'}, 60, {}, AGAIN),
    "5.2.1 request max-age": (FRESH, 30, {"Cache-Control": "max-age=31"}, HIT),
    "5.2.1 request max-age is less": (TAGGED, 30, {"Cache-Control": "max-age=30"}, AGAIN),
    "5.2.1 request max-age=0": (TAGGED, 0, {"Cache-Control": "max-age=0"}, AGAIN),
    "5.2.1 request max-age that is no number": (TAGGED, 0, {"Cache-Control": "max-age=x"}, AGAIN),
    "5.2.1 max-age with max-stale": (FRESH, 30, {"Cache-Control": "max-age=20, max-stale=10"}, HIT),
    "5.2.1 min-fresh": (FRESH, 30, {"Cache-Control": "min-fresh=30"}, HIT),
    "5.2.1 more than min-fresh": (TAGGED, 31, {"Cache-Control": "min-fresh=30"}, AGAIN),
    "5.2.1 request no-cache": (TAGGED, 0, {"Cache-Control": "no-cache"}, AGAIN),
    "5.2.1 request no-cache without a validator": (FRESH, 0, {"Cache-Control": "no-cache"}, MISS),
    "5.2.1 request no-store": (FRESH, 0, {"Cache-Control": "no-store"}, PASSED),
    "5.2.1 only-if-cached": (FRESH, 30, {"Cache-Control": "only-if-cached"}, HIT),
    "5.2.1 only-if-cached, too old": (TAGGED, 60, {"Cache-Control": "only-if-cached"}, 504),
    "5.2.1 only-if-cached, too old, allowed": (
        TAGGED,
        60,
        {"Cache-Control": "only-if-cached, max-stale"},
        STALE,
    ),
    "5.2.2 no-cache": (control("no-cache, max-age=60", **TAG), 0, {}, AGAIN),
    "5.2.2 no-cache with an empty list": (control('no-cache="", max-age=60', **TAG), 0, {}, AGAIN),
    "5.2.2 no-cache of a field": (control('no-cache="x-a", max-age=60'), 30, {}, HIT),
    "5.2.2 no-cache, both ways": (control('no-cache="x-a", no-cache, max-age=60', **TAG), 0, {}, AGAIN),
    "5.2.2 immutable and a reload": (
        control("max-age=60, immutable"),
        30,
        {"Cache-Control": "max-age=0"},
        HIT,
    ),
    "5.2.2 immutable and a forced reload": (
        control("max-age=60, immutable", **TAG),
        30,
        {"Cache-Control": "no-cache"},
        AGAIN,
    ),
    "5.2.2 immutable, but stale": (
        control("max-age=60, immutable", **TAG),
        60,
        {"Cache-Control": "max-age=0"},
        AGAIN,
    ),
    "5.4 Pragma in a request": (TAGGED, 0, {"Pragma": "no-cache"}, AGAIN),
    "5.4 Pragma beside Cache-Control": (FRESH, 0, {"Pragma": "no-cache", "Cache-Control": "max-age=60"}, HIT),
    "5.4 Pragma in an answer": ({**FRESH, "Pragma": "no-cache"}, 30, {}, HIT),
    "a range": (FRESH, 0, {"Range": "bytes=0-1"}, PASSED),
    "a condition of the caller's": (FRESH, 0, {"If-None-Match": '"9"'}, PASSED),
    "a date of the caller's": (FRESH, 0, {"If-Modified-Since": "{-9}"}, PASSED),
    "Digest credentials": (FRESH, 0, {"Authorization": 'Digest username="x"'}, PASSED),
}


@pytest.fixture(params=["memory", "disk"])
def cache(request, tmp_path) -> Iterator[Cache]:
    path = tmp_path / "cache.db" if request.param == "disk" else None
    with Cache(path, clock=Clock()) as cache:
        yield cache


def wait(cache: Cache, seconds: float) -> None:
    clock = cache._clock
    assert isinstance(clock, Clock)
    clock.now += seconds


def revalidating(first: dict[str, str], body: bytes = b"new"):
    """A server that says 304 to the validators of ``first``, and else has something new."""
    old = {name.lower(): value for name, value in dict(first).items()}
    fields = get(old).headers

    def answer(request: Request):
        tag, since = request.headers.get("if-none-match"), request.headers.get("if-modified-since")
        if (tag and tag == fields.get("etag")) or (
            not tag and since and since == fields.get("last-modified")
        ):
            return reply(304, {"ETag": fields["etag"]} if tag else {})(request)
        return reply(200, {}, body)(request)

    return answer


@pytest.mark.parametrize(("first", "after", "asks", "outcome"), TABLE.values(), ids=TABLE)
def test_a_second_request(first, after, asks, outcome):
    with Cache(clock=Clock()) as cache:
        server = Server(reply(200, first, b"old"), revalidating(first))
        assert fetch(cache, server, get()) == (MISS, b"old")
        wait(cache, after)
        response = cache(get(asks), server)
        if outcome == 504:
            assert (response.status, len(server.asked)) == (504, 1)
            return
        assert (response.cache_status, response.content) == (
            outcome,
            b"new" if outcome in (MISS, PASSED) else b"old",
        )
        assert len(server.asked) == (1 if outcome in (HIT, STALE) else 2)
        assert response.from_cache == (outcome in (HIT, STALE, AGAIN))
        if response.from_cache:
            assert int(response.headers["age"]) >= 0


STATUSES = [
    (200, True, True), (203, True, True), (204, True, True), (206, False, False), (300, True, True),
    (301, True, True), (302, True, False), (303, True, False), (304, False, False), (307, True, False),
    (308, True, True), (400, True, False), (404, True, True), (405, True, True), (410, True, True),
    (414, True, True), (500, True, False), (501, True, True), (503, True, False), (599, True, False),
]  # fmt: skip


@pytest.mark.parametrize(("status", "promised", "guessed"), STATUSES)
@pytest.mark.parametrize("explicit", [True, False])
def test_which_statuses_are_kept(status, promised, guessed, explicit):
    with Cache(clock=Clock()) as cache:
        server = Server(reply(status, FRESH if explicit else GUESSED, b"x"), reply(200, {}, b"new"))
        cache(get(), server).read()
        assert fetch(cache, server, get())[0] == (HIT if (promised if explicit else guessed) else MISS)


def test_an_unknown_status_that_must_be_understood_is_not_kept(cache):
    server = Server(reply(299, control("max-age=60, must-understand"), b"x"), reply(200, {}, b"new"))
    cache(get(), server).read()
    assert fetch(cache, server, get())[0] == MISS


@pytest.mark.parametrize("content", [None, b"some body"], ids=["in pieces", "with its head"])
def test_an_answer_from_the_cache_is_the_answer_that_came(cache, content):
    fields = [*FRESH.items(), ("X-A", "1"), ("X-A", "2"), ("Content-Type", "text/x"), ("X-Latin", "\xe9")]
    server = Server(reply(203, fields, b"some", b" body", content=content))
    assert cache(get(), server).read() == b"some body"
    wait(cache, 7)
    again = cache(get(), server)
    assert (again.status, again.reason, again.version, again.content) == (
        203,
        "Said",
        "HTTP/1.1",
        b"some body",
    )
    assert again.headers.all("x-a") == ["1", "2"]
    assert again.headers["x-latin"] == "\xe9"
    assert again.headers["age"] == "7"
    assert (str(again.url), again.request.method) == (URL, "GET")


def test_what_belongs_to_a_connection_is_not_kept_nor_are_cookies(cache):
    gone = {
        "Connection": "x-hop, keep-alive",
        "X-Hop": "1",
        "Keep-Alive": "5",
        "Proxy-Authenticate": "Basic",
        "Transfer-Encoding": "chunked",
        "Upgrade": "x",
        "Set-Cookie": "a=1",
        "TE": "x",
        "Trailer": "x-t",
    }
    server = Server(reply(200, {**FRESH, **gone, "X-Kept": "1"}, b"x"))
    first = cache(get(), server)
    assert first.read() == b"x"
    assert first.headers["set-cookie"] == "a=1"
    again = cache(get(), server)
    assert again.cache_status == HIT
    assert not {name.lower() for name in gone} & set(again.headers)
    assert again.headers["x-kept"] == "1"


def test_fields_listed_by_no_cache_are_not_used_again(cache):
    server = Server(reply(200, control('no-cache="X-A, x-b", max-age=60', X_A="1", X_B="1", X_C="1"), b"x"))
    cache(get(), server).read()
    again = cache(get(), server)
    assert (again.cache_status, "x-a" in again.headers, "x-b" in again.headers) == (HIT, False, False)
    assert again.headers["x-c"] == "1"


def test_an_answer_without_a_date_gets_one(cache):
    server = Server(reply(200, {"Cache-Control": "max-age=60"}, b"x"))
    cache(get(), server).read()
    assert cache(get(), server).headers["date"] == "Tue, 14 Nov 2023 22:13:20 GMT"


def test_the_time_that_the_server_took_is_age():
    with Cache(clock=Clock()) as cache:
        answer = reply(200, {**FRESH, "Age": "5"}, b"x")

        def slow(request):
            wait(cache, 10)
            return answer(request)

        cache(get(), slow).read()
        assert cache(get(), slow).headers["age"] == "15"


def test_urls_are_kept_apart_and_fragments_are_not(cache):
    server = Server(*[reply(200, FRESH, str(n).encode()) for n in range(4)])
    urls = [URL, URL + "?q", URL + "?Q", "https://example.org/a"]
    for number, url in enumerate(urls):
        assert fetch(cache, server, get(url=url)) == (MISS, str(number).encode())
    for number, url in enumerate(urls):
        assert fetch(cache, server, get(url=url + "#top")) == (HIT, str(number).encode())


# -- Vary and credentials


def test_each_variant_is_kept(cache):
    vary = {**FRESH, "Vary": "Accept-Language, Foo"}
    server = Server(reply(200, vary, b"en"), reply(200, vary, b"de"))
    english, german = {"Accept-Language": "en"}, {"Accept-Language": "de"}
    assert fetch(cache, server, get(english)) == (MISS, b"en")
    assert fetch(cache, server, get(german)) == (MISS, b"de")
    assert fetch(cache, server, get(english)) == (HIT, b"en")
    assert fetch(cache, server, get(german)) == (HIT, b"de")


def test_several_fields_of_a_name_are_one_list_whatever_the_blanks(cache):
    server = Server(reply(200, {**FRESH, "Vary": "foo"}, b"x"))
    assert fetch(cache, server, get({"Foo": "a,b"}))[0] == MISS
    request = get()
    request.headers.add("Foo", "a ")
    request.headers.add("FOO", " b")
    assert fetch(cache, server, request)[0] == HIT


def test_of_several_that_match_the_latest_is_used(cache):
    server = Server(
        reply(200, {**FRESH, "Vary": "a"}, b"1"), reply(200, control("max-age=60", Date="{+5}"), b"2")
    )
    cache(get(), server).read()
    wait(cache, 5)
    cache(get({"A": "1"}), server).read()
    assert fetch(cache, server, get()) == (HIT, b"2")


def test_credentials_see_their_own_answers_only(cache):
    server = Server(reply(200, FRESH, b"ada"), reply(200, FRESH, b"bob"), reply(200, FRESH, b"nobody"))
    ada, bob = {"Authorization": "Bearer ada"}, {"Authorization": "Bearer bob"}
    for headers, body in ((ada, b"ada"), (bob, b"bob"), ({}, b"nobody")):
        assert fetch(cache, server, get(headers)) == (MISS, body)
    for headers, body in ((ada, b"ada"), (bob, b"bob"), ({}, b"nobody")):
        assert fetch(cache, server, get(headers)) == (HIT, body)


def test_variants_of_one_url_are_bounded(cache):
    vary = {**FRESH, "Vary": "foo"}
    server = Server(*[reply(200, vary, b"x") for _ in range(51)])
    for number in range(50):
        fetch(cache, server, get({"Foo": str(number)}))
    assert fetch(cache, server, get({"Foo": "49"}))[0] == HIT
    assert fetch(cache, server, get({"Foo": "0"}))[0] == MISS


# -- validation


def test_validators_are_sent_and_the_fields_of_a_304_taken_over(cache):
    first = {
        **TAGGED,
        "Last-Modified": "{-99}",
        "X-A": "old",
        "X-B": "old",
        "Content-Length": "3",
        "Age": "5",
    }
    news = {
        "ETag": '"1"',
        "Cache-Control": "max-age=90",
        "Date": "{+100}",
        "X-A": "new",
        "Content-Length": "0",
        "Content-Encoding": "br",
        "Set-Cookie": "a=1",
    }
    server = Server(reply(200, first, b"old"), reply(304, news))
    cache(get(), server).read()
    wait(cache, 100)
    again = cache(get(), server)
    assert (again.status, again.cache_status, again.content) == (200, AGAIN, b"old")
    assert server.asked[1].headers["if-none-match"] == '"1"'
    assert server.asked[1].headers["if-modified-since"] == get({"X": "{-99}"}).headers["x"]
    assert (again.headers["x-a"], again.headers["x-b"], again.headers["content-length"]) == (
        "new",
        "old",
        "3",
    )
    assert "content-encoding" not in again.headers
    assert "set-cookie" not in again.headers
    assert "if-none-match" not in again.request.headers
    wait(cache, 89)
    third = cache(get(), server)
    assert (third.cache_status, third.headers["x-a"], third.content) == (HIT, "new", b"old")
    assert third.headers["age"] == "89"
    assert server.sent[1]._source.closed  # the 304 was let go


def test_a_304_about_another_version_is_not_believed(cache):
    server = Server(reply(200, TAGGED, b"old"), reply(304, {"ETag": '"2"'}), reply(200, TAGGED, b"new"))
    cache(get(), server).read()
    wait(cache, 61)
    assert fetch(cache, server, get()) == (MISS, b"new")
    assert "if-none-match" not in server.asked[2].headers


def test_a_304_that_forbids_keeping_is_the_last_use(cache):
    server = Server(
        reply(200, TAGGED, b"old"), reply(304, {"Cache-Control": "no-store"}), reply(200, {}, b"new")
    )
    cache(get(), server).read()
    wait(cache, 61)
    assert fetch(cache, server, get()) == (AGAIN, b"old")
    assert fetch(cache, server, get()) == (MISS, b"new")


def test_a_304_may_change_what_the_answer_depends_on(cache):
    server = Server(
        reply(200, TAGGED, b"old"),
        reply(304, {**FRESH, "Vary": "Foo", "Date": "{+61}"}),
        reply(200, {}, b"x"),
    )
    cache(get(), server).read()
    wait(cache, 61)
    assert fetch(cache, server, get({"Foo": "1"}))[0] == AGAIN
    assert fetch(cache, server, get({"Foo": "1"}))[0] == HIT
    assert fetch(cache, server, get({"Foo": "2"}))[0] == MISS


@pytest.mark.parametrize("status", [200, 404, 301])
def test_a_full_answer_takes_the_place_of_what_it_was_asked_about(cache, status):
    news = control("max-age=60", Date="{+61}")
    server = Server(reply(200, TAGGED, b"old"), reply(status, news, b"new"))
    cache(get(), server).read()
    wait(cache, 61)
    assert fetch(cache, server, get()) == (MISS, b"new")
    again = cache(get(), server)
    assert (again.status, again.cache_status, again.content) == (status, HIT, b"new")


def test_an_answer_that_is_not_kept_ends_what_was(cache):
    server = Server(reply(200, TAGGED, b"old"), reply(200, control("no-store"), b"new"), reply(200, {}, b"x"))
    cache(get(), server).read()
    wait(cache, 61)
    cache(get(), server).read()
    response = cache(get({"Cache-Control": "max-stale"}), server)
    assert (response.cache_status, response.content) == (MISS, b"x")


def test_a_server_error_does_not_end_what_was(cache):
    server = Server(reply(200, TAGGED, b"old"), reply(503, {}, b"busy"), reply(304))
    cache(get(), server).read()
    wait(cache, 61)
    assert cache(get(), server).status == 503
    assert fetch(cache, server, get()) == (AGAIN, b"old")


# -- HEAD


def test_a_head_is_answered_by_what_a_get_has_brought(cache):
    server = Server(reply(200, {**FRESH, "Content-Length": "3"}, b"old"))
    cache(get(), server).read()
    head = cache(get(method="HEAD"), server)
    assert (head.cache_status, head.content, head.headers["content-length"]) == (HIT, b"", "3")


def test_the_answer_to_a_head_is_not_kept_as_that_to_a_get(cache):
    server = Server(reply(200, FRESH), reply(200, FRESH, b"x"))
    assert fetch(cache, server, get(method="HEAD")) == (MISS, b"")
    assert fetch(cache, server, get()) == (MISS, b"x")


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"ETag": '"1"', "Content-Length": "3"}, HIT),
        ({"ETag": '"1"'}, HIT),
        ({"ETag": '"2"', "Content-Length": "3"}, MISS),
        ({"ETag": '"1"', "Content-Length": "4"}, MISS),
    ],
)
def test_a_head_tells_whether_what_is_kept_is_still_right(cache, fields, outcome):
    news = {**control("max-age=60", Date="{+61}"), **fields}
    server = Server(reply(200, TAGGED, b"old"), reply(200, news), reply(200, {}, b"new"))
    cache(get(), server).read()
    wait(cache, 61)
    assert cache(get(method="HEAD"), server).cache_status == MISS
    assert fetch(cache, server, get())[0] == outcome


# -- stale answers (RFC 5861)


def settled(cache: Cache) -> None:
    """What runs in the background has ended."""
    for task in list(cache._background._tasks.values()):
        task.join()


@pytest.mark.parametrize(
    ("news", "body"),
    [(reply(304, {"Date": "{+70}"}), b"old"), (reply(200, {**FRESH, "Date": "{+70}"}, b"new"), b"new")],
)
def test_a_stale_answer_is_used_while_the_server_is_asked(cache, news, body):
    first = control("max-age=60, stale-while-revalidate=30", ETag='"1"')
    server = Server(reply(200, first, b"old"), news)
    cache(get(), server).read()
    wait(cache, 70)
    assert fetch(cache, server, get()) == (STALE, b"old")
    settled(cache)
    assert server.asked[1].headers["if-none-match"] == '"1"'
    assert fetch(cache, server, get()) == (HIT, body)


@pytest.mark.parametrize(
    ("first", "after", "asks"),
    [
        ("max-age=60, stale-while-revalidate=30", 91, {}),
        ("max-age=60, stale-while-revalidate=x", 61, {}),
        ("max-age=60, stale-while-revalidate=30, must-revalidate", 61, {}),
        ("max-age=60, stale-while-revalidate=30, no-cache", 61, {}),
        ("max-age=60, stale-while-revalidate=30", 61, {"Cache-Control": "no-cache"}),
        ("max-age=60, stale-while-revalidate=30", 61, {"Cache-Control": "max-age=60"}),
        ("max-age=60, stale-while-revalidate=30", 61, {"Cache-Control": "min-fresh=0"}),
    ],
)
def test_where_a_stale_answer_is_not_used_meanwhile(cache, first, after, asks):
    server = Server(reply(200, control(first, ETag='"1"'), b"old"), reply(304))
    cache(get(), server).read()
    wait(cache, after)
    assert fetch(cache, server, get(asks)) == (AGAIN, b"old")


def test_a_server_is_asked_once_in_the_background_and_no_more_after_close(cache):
    first = control("max-age=60, stale-while-revalidate=30", ETag='"1"')
    begun, go = threading.Event(), threading.Event()

    def slow(request):
        begun.set()
        go.wait(10)
        raise ConnectError("nobody there")

    server = Server(reply(200, first, b"old"), slow)
    cache(get(), server).read()
    wait(cache, 70)
    for _ in range(5):
        assert fetch(cache, server, get()) == (STALE, b"old")
    assert begun.wait(10)
    tasks = list(cache._background._tasks.values())
    go.set()
    cache.close()
    assert len(tasks) == 1
    assert tasks[0].done
    assert len(server.asked) == 2


OUTAGES = [ConnectError("x"), ResolveError("x"), ConnectionLost("x"), EndOfStream("x"), Timeout("asking")]
SAVED = control("max-age=60, stale-if-error=30", ETag='"1"')


@pytest.mark.parametrize("outage", [*OUTAGES, *[reply(s, {}, b"bad") for s in (500, 502, 503, 504)]])
def test_a_stale_answer_stands_in_for_a_failure(cache, outage):
    server = Server(reply(200, SAVED, b"old"), outage)
    cache(get(), server).read()
    wait(cache, 90)
    assert fetch(cache, server, get()) == (STALE, b"old")


def test_the_request_may_allow_that_too(cache):
    server = Server(reply(200, TAGGED, b"old"), ConnectError("x"))
    cache(get(), server).read()
    wait(cache, 90)
    assert fetch(cache, server, get({"Cache-Control": "stale-if-error=30"})) == (STALE, b"old")


@pytest.mark.parametrize(
    ("says", "after", "failure"),
    [
        ("max-age=60", 61, ConnectError("x")),
        ("max-age=60, stale-if-error=30", 91, ConnectError("x")),
        ("max-age=60, stale-if-error=30, must-revalidate", 61, ConnectError("x")),
        ("max-age=60, stale-if-error=30, no-cache", 61, ConnectError("x")),
        ("max-age=60, stale-if-error=30", 61, CertificateError("x")),
        ("max-age=60, stale-if-error=30", 61, LocalProtocolError("x")),
    ],
)
def test_failures_that_no_stale_answer_hides(cache, says, after, failure):
    server = Server(reply(200, control(says, ETag='"1"'), b"old"), failure)
    cache(get(), server).read()
    wait(cache, after)
    with pytest.raises(type(failure)):
        cache(get(), server)


@pytest.mark.parametrize("status", [404, 501, 400])
def test_an_answer_that_says_no_is_no_failure(cache, status):
    server = Server(reply(200, SAVED, b"old"), reply(status, {}, b"no"))
    cache(get(), server).read()
    wait(cache, 61)
    assert cache(get(), server).status == status


# -- invalidation (4.4)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "MOVE"])
@pytest.mark.parametrize("status", [200, 204, 303])
def test_a_change_ends_what_is_kept(cache, method, status):
    server = Server(reply(200, FRESH, b"old"), reply(status), reply(200, {}, b"new"))
    cache(get(), server).read()
    assert fetch(cache, server, get(method=method)) == (PASSED, b"")
    assert fetch(cache, server, get()) == (MISS, b"new")


@pytest.mark.parametrize(
    ("method", "status"), [("POST", 400), ("POST", 500), ("OPTIONS", 200), ("PROPFIND", 207)]
)
def test_what_changes_nothing_ends_nothing(cache, method, status):
    server = Server(reply(200, FRESH, b"old"), reply(status))
    cache(get(), server).read()
    cache(get(method=method), server)
    assert fetch(cache, server, get()) == (HIT, b"old")


def test_an_answer_from_before_a_change_is_not_kept_after_it(cache):
    server = Server(reply(200, FRESH, b"old"), reply(204), reply(200, FRESH, b"new"))
    reading = cache(get(), server)
    wait(cache, 1)
    cache(get(method="PUT"), server)
    assert reading.read() == b"old"
    wait(cache, 1)
    assert fetch(cache, server, get()) == (MISS, b"new")
    assert fetch(cache, server, get()) == (HIT, b"new")


@pytest.mark.parametrize("field", ["Location", "Content-Location"])
@pytest.mark.parametrize(
    ("place", "outcome"),
    [("/b", MISS), ("http://example.org/b", MISS), ("b", MISS), ("http://[", HIT), ("/c", HIT)],
)
def test_a_change_ends_what_is_kept_of_the_places_it_names(cache, field, place, outcome):
    server = Server(reply(200, FRESH, b"old"), reply(201, {field: place}), reply(200, {}, b"new"))
    cache(get(url="http://example.org/b"), server).read()
    cache(get(method="POST"), server)
    assert fetch(cache, server, get(url="http://example.org/b"))[0] == outcome


def test_nobody_ends_what_is_kept_of_another_origin(cache):
    server = Server(reply(200, FRESH, b"old"), reply(201, {"Location": "http://victim.org/b"}))
    cache(get(url="http://victim.org/b"), server).read()
    cache(get(method="POST"), server)
    assert fetch(cache, server, get(url="http://victim.org/b"))[0] == HIT


# -- whole answers only


def test_an_answer_that_is_given_up_is_not_kept(cache):
    big = [b"x" * 300_000] * 3
    server = Server(reply(200, FRESH, *big), reply(200, FRESH, b"new"))
    with cache(get(), server) as response:
        assert len(response.read(400_000)) == 400_000
    assert fetch(cache, server, get()) == (MISS, b"new")


def test_an_answer_that_breaks_off_is_not_kept(cache):
    server = Server(reply(200, FRESH, b"x" * 300_000, EndOfStream("cut")), reply(200, FRESH, b"new"))
    with pytest.raises(EndOfStream):
        cache(get(), server).read()
    assert fetch(cache, server, get()) == (MISS, b"new")


def test_an_answer_of_known_length_is_whole_when_all_of_it_was_read(cache):
    server = Server(reply(200, {**FRESH, "Content-Length": "5"}, b"whole"))
    with cache(get(), server) as response:
        assert response.read(5) == b"whole"
    assert fetch(cache, server, get()) == (HIT, b"whole")


def test_a_redirect_is_kept_though_nobody_reads_its_body(cache):
    server = Server(reply(301, {"Location": "/b", **FRESH}, b"gone", b" there"), reply(200, {}, b"b"))
    with cache(get(), server) as response:
        assert response.status == 301
    again = cache(get(), server)
    assert (again.status, again.cache_status, again.headers["location"]) == (301, HIT, "/b")
    assert again.content == b"gone there"


def test_a_long_body_of_a_redirect_is_not_waited_for(cache):
    body = [b"x" * 9000, b"y" * 9000, LocalProtocolError("nobody asked for this")]
    server = Server(reply(301, {"Location": "/b", **FRESH}, *body))
    with cache(get(), server) as response:
        assert response.read(18000) == b"x" * 9000 + b"y" * 9000


def test_what_two_read_at_once_is_kept_once(cache):
    server = Server(reply(200, FRESH, b"one"), reply(200, FRESH, b"two"))
    first, second = cache(get(), server), cache(get(), server)
    assert (first.read(), second.read()) == (b"one", b"two")
    assert fetch(cache, server, get()) == (HIT, b"two")


def test_a_request_that_wants_no_trace_leaves_none(cache):
    server = Server(reply(200, FRESH, b"x"), reply(200, FRESH, b"y"))
    assert fetch(cache, server, get({"Cache-Control": "no-store"})) == (PASSED, b"x")
    assert fetch(cache, server, get()) == (MISS, b"y")


def test_a_body_is_kept_as_it_came_and_decoded_each_time(cache):
    import gzip

    packed = gzip.compress(b"text" * 1000)
    fields = {**FRESH, "Content-Encoding": "gzip", "Content-Length": str(len(packed))}
    server = Server(reply(200, fields, packed[:20], packed[20:]))
    assert fetch(cache, server, get()) == (MISS, b"text" * 1000)
    again = cache(get(), server)
    assert (again.cache_status, again.headers["content-length"]) == (HIT, str(len(packed)))
    assert again.content == b"text" * 1000


def test_clear_forgets_all(cache):
    server = Server(reply(200, FRESH, b"x"), reply(200, FRESH, b"y"))
    fetch(cache, server, get())
    cache.clear()
    assert fetch(cache, server, get()) == (MISS, b"y")


def test_a_cache_is_used_again_after_it_was_closed(cache):
    server = Server(reply(200, FRESH, b"x"))
    fetch(cache, server, get())
    cache.close()
    assert fetch(cache, server, get()) == (HIT, b"x")


def test_what_can_be_given_as_a_cache(tmp_path):
    mine = Cache()
    assert as_cache(mine) is mine
    assert as_cache(None) is None
    assert as_cache(False) is None
    assert repr(as_cache(True)) == "<Cache in memory>"
    assert repr(as_cache(str(tmp_path / "c"))) == f"<Cache {tmp_path}/c>"
    for wrong in ("", tmp_path, 5):
        with pytest.raises(ConfigError, match="cache="):
            as_cache(wrong)
    with pytest.raises(ConfigError, match="size"):
        Cache(size=0)


# -- the promise of the whole: nothing stale without the server's word, unless somebody allowed it

VALUES = st.sampled_from(["0", "1", "30", "60", "x", "-1", '"60"', ""])
SAID = st.lists(
    st.sampled_from(
        ["no-store", "no-cache", "must-revalidate", "immutable", "public", "private", "x", 'x="a,b"']
    )
    | st.builds("{}={}".format, st.sampled_from(["max-age", "s-maxage", "stale-if-error"]), VALUES),
    max_size=4,
)
ASKED = st.lists(
    st.sampled_from(["no-cache", "x"])
    | st.builds("{}={}".format, st.sampled_from(["max-age", "min-fresh"]), VALUES),
    max_size=2,
)


@given(
    said=SAID,
    asked=ASKED,
    after=st.integers(0, 120),
    expires=st.none() | st.integers(-60, 120),
    age=st.none() | st.integers(0, 90),
    tag=st.booleans(),
)
def test_nothing_stale_is_used_without_the_servers_word(said, asked, after, expires, age, tag):
    first = {"Date": "{+0}"}
    if said:
        first["Cache-Control"] = ", ".join(said)
    if expires is not None:
        first["Expires"] = f"{{{expires:+}}}"
    if age is not None:
        first["Age"] = str(age)
    if tag:
        first["ETag"] = '"1"'
    with Cache(clock=Clock()) as cache:
        server = Server(reply(200, first, b"old"), revalidating(first))
        cache(get(), server).read()
        wait(cache, after)
        response = cache(get({"Cache-Control": ", ".join(asked)} if asked else {}), server)
        if len(server.asked) == 1:
            ages = {each.replace('"', "") for each in said if each.startswith("max-age=")}
            assert len(ages) < 2
            named = ages.pop().partition("=")[2].strip('"') if ages else None
            lifetime = int(named) if named is not None else expires
            assert lifetime is not None
            assert after + (age or 0) < lifetime
            assert "no-store" not in said
            assert "no-cache" not in said
            assert "no-cache" not in asked
            assert response.content == b"old"


def test_the_start_of_these_tests_is_what_the_dates_say():
    assert get({"X": "{+0}"}).headers["x"] == "Tue, 14 Nov 2023 22:13:20 GMT"
    assert START == 1_700_000_000
    assert Body([b"x"]).piece() == b"x"
