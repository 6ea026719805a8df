"""Cookies, challenges and other fields that mean harm."""

from __future__ import annotations

from itertools import count
from typing import Any

from portico.client.digest import Digest
from portico.client.retries import Retry
from portico.errors import LimitExceeded, ProtocolError
from tests.client.hostile import answer, every, read
from tests.client.hostile_case import Case, Outcome
from tests.client.hostile_checks import (
    as_text,
    few_cookies,
    no_cookie,
    no_proxy_credentials,
    no_script,
    not_json,
    not_sent,
    says,
)

__all__ = ["CASES"]

CHALLENGE = b"WWW-Authenticate: "


numbers = count()


def digest() -> Any:

    return Digest("user", "s3cret")


def refused_cookie(value: bytes, host: str = "127.0.0.1") -> Case:
    return Case(
        f"cookie {value[:50]!r}",
        [[every(answer(b"x", b"Set-Cookie: " + value))]],
        content=b"x",
        paths=["/", "/"],
        host=host,
        check=no_cookie,
    )


def challenged(name: str, *values: bytes, most: int = 6, error: Any = None, use: Any = None) -> Case:
    def check(outcome: Outcome) -> None:
        assert len(outcome.seen) <= most, len(outcome.seen)

    script = [[every(answer(b"who", *[CHALLENGE + value for value in values], status=b"401 Who"))]]
    return Case(
        f"challenge: {name}",
        script,
        error,
        status=None if error else 401,
        use=use or {"auth": digest},
        check=check,
    )


def harmless(name: str, *fields: bytes, body: bytes = b"x", check: Any = None) -> Case:
    """Fields that nobody asked about: the answer is what it is."""
    return Case(f"field: {name}", [[read, answer(body, *fields)]], content=body, check=check)


COOKIES = [
    *map(
        refused_cookie,
        [
            b"a=b; Domain=example.org",
            b"a=b; Domain=com",
            b"a=b; Domain=co.uk",
            b"a=b; Domain=0.0.1",
            b"a=b; Domain=.1",
            b"a=b; Domain=127.0.0.2",
            b"a=b; Secure",
            b"__Host-a=b; Path=/",
            b"__Host-a=b; Secure; Path=/; Domain=127.0.0.1",
            b"__Secure-a=b",
            b"__host-a=b",
            b"a=b; Max-Age=0",
            b"a=b; Max-Age=-1",
            b"a=b; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            b"",
            b"=",
            b"; Path=/",
            b"a=" + b"x" * 5000,
            b"x" * 5000 + b"=b",
            b"a=b; Domain=[::1]",
            b"a=b; Domain=xn--a",
        ],
    ),
    Case(
        "a cookie for another path is not sent here",
        [[every(answer(b"x", b"Set-Cookie: a=b; Path=/other"))]],
        content=b"x",
        paths=["/", "/"],
        check=not_sent,
    ),
    Case(
        "a cookie for localhost's parent",
        [[every(answer(b"x", b"Set-Cookie: a=b; Domain=local"))]],
        host="localhost",
        paths=["/", "/"],
        check=no_cookie,
    ),
    Case(
        "a megabyte of one cookie",
        [[every(answer(b"x", b"Set-Cookie: a=" + b"x" * (1 << 20)))]],
        LimitExceeded,
        paths=["/", "/"],
        check=no_cookie,
    ),
    Case(
        "100,000 cookies",
        [[every(answer(b"x", *[b"Set-Cookie: a%d=b" % n for n in range(100_000)]))]],
        LimitExceeded,
        paths=["/", "/"],
        check=no_cookie,
    ),
    Case(
        "80 cookies with each of 20 answers",
        [
            [
                every(
                    lambda head: answer(
                        b"x", *[b"Set-Cookie: a%d=%s" % (next(numbers), b"y" * 500) for n in range(80)]
                    )
                )
            ]
        ],
        content=b"x",
        paths=["/"] * 20,
        check=few_cookies,
    ),
    Case(
        "a cookie with CR",
        [[every(answer(b"x", b"Set-Cookie: a=b\rX-Evil: y"))]],
        ProtocolError,
        paths=["/", "/"],
        check=no_cookie,
    ),
    Case(
        "a cookie with a control character",
        [[every(answer(b"x", b"Set-Cookie: a=b\x01c"))]],
        ProtocolError,
        paths=["/", "/"],
        check=no_cookie,
    ),
    Case(
        "a cookie in Latin-1", [[every(answer(b"x", b"Set-Cookie: a=\xe4"))]], content=b"x", paths=["/", "/"]
    ),
    Case(
        "a cookie of an interim answer is not kept",
        [[every(b"HTTP/1.1 103 E\r\nSet-Cookie: a=b\r\n\r\n" + answer(b"x"))]],
        content=b"x",
        paths=["/", "/"],
        check=no_cookie,
    ),
]


AUTH = [
    challenged("Basic, endlessly", b'Basic realm="x"', use={"auth": ("user", "s3cret")}),
    challenged("Digest, endlessly", b'Digest realm="x", nonce="n", qop="auth"'),
    challenged("always stale", b'Digest realm="x", nonce="n", qop="auth", stale=true'),
    challenged("no nonce", b'Digest realm="x", qop="auth"'),
    challenged("no realm", b'Digest nonce="n", qop="auth"'),
    challenged("an unknown algorithm", b'Digest realm="x", nonce="n", algorithm=ROT13'),
    challenged("an unknown qop", b'Digest realm="x", nonce="n", qop="none"'),
    challenged("an unknown scheme", b"Negotiate"),
    challenged("an open quote", b'Digest realm="x'),
    challenged("nothing", b""),
    challenged("commas", b",,,,"),
    challenged("garbage", b"\xff\xfe===;;;"),
    challenged("30 kB of nonce", b'Digest realm="x", qop="auth", nonce="' + b"n" * 30000 + b'"'),
    challenged("60 kB of commas", b"Digest " + b"," * 60000),
    challenged("60 kB of backslashes", b'Digest realm="' + b"\\" * 60000),
    challenged("90 challenges", *[b'Digest realm="x", nonce="%d", qop="auth"' % n for n in range(90)]),
    challenged("a nonce with a quote", b'Digest realm="x", nonce="n\\"; evil", qop="auth"'),
    challenged("two realms", b'Digest realm="x", realm="y", nonce="n"'),
    challenged("no challenge", use={"auth": ("user", "s3cret")}),
    Case(
        "407 of an origin",
        [[every(answer(b"pay", b'Proxy-Authenticate: Basic realm="x"', status=b"407 Proxy"))]],
        status=407,
        use={"auth": ("user", "s3cret")},
        check=no_proxy_credentials,
    ),
]


FIELDS = [
    harmless(
        "charset utf-7",
        b"Content-Type: text/html; charset=utf-7",
        body=b"+ADw-script+AD4-",
        check=no_script,
    ),
    harmless("unknown charset", b"Content-Type: text/html; charset=klingon", check=as_text),
    harmless("charset that is no text codec", b"Content-Type: text/html; charset=zlib", check=as_text),
    harmless(
        "charset rot13",
        b"Content-Type: text/html; charset=rot13",
        body=b"hello",
        check=lambda outcome: says(outcome, "hello"),
    ),
    harmless(
        "charset idna",
        b"Content-Type: text/html; charset=idna",
        body=b"hello",
        check=lambda outcome: says(outcome, "hello"),
    ),
    harmless(
        "charset unicode_escape",
        b"Content-Type: text/html; charset=unicode_escape",
        body=b"\\x41",
        check=lambda outcome: says(outcome, "\\x41"),
    ),
    harmless("charset undefined", b"Content-Type: text/html; charset=undefined", check=as_text),
    harmless(
        "charset with NUL escapes",
        b'Content-Type: text/html; charset="a\\\0b"'.replace(b"\0", b"x"),
        check=as_text,
    ),
    harmless("10 kB of charset", b"Content-Type: text/html; charset=" + b"x" * 10_000, check=as_text),
    harmless("a type with 10,000 parameters", b"Content-Type: text/html" + b";a=b" * 10_000, check=as_text),
    harmless("two types", b"Content-Type: text/html", b"Content-Type: text/plain; charset=x", check=as_text),
    harmless("no type", b"Content-Type:", check=as_text),
    harmless("a bad date", b"Date: yesterday", b"Last-Modified: \xff", b"Expires: 0"),
    harmless("Keep-Alive: timeout=0", b"Keep-Alive: timeout=0, max=0"),
    harmless("Connection names everything", b"Connection: content-type, set-cookie, host"),
    harmless("Trailer", b"Trailer: Content-Length"),
    harmless("Upgrade without 101", b"Upgrade: h2c", b"Connection: upgrade"),
    *[
        Case(
            f"Retry-After: {value[:30].decode()}",
            [[every(answer(b"busy", b"Retry-After: " + value, status=b"503 Busy"))]],
            status=503,
            use={"retry": Retry(base=0.02), "timeout": 2},
            within=4,
        )
        for value in (
            b"1000000000",
            b"99999999999999999999999",
            b"-5",
            b"1e9",
            b"Fri, 01 Jan 2100 00:00:00 GMT",
            b"Fri, 01 Jan 1999 00:00:00 GMT",
            b"soon",
            b"",
            b"0",
            b"nan",
            b"inf",
            b"1" * 5000,
        )
    ],
    *[
        Case(
            f"JSON: {name}",
            [[read, answer(body, b"Content-Type: application/json")]],
            content=body,
            check=not_json,
        )
        for name, body in [
            ("cut", b'{"a": '),
            ("nothing", b""),
            ("deep", b"[" * 100_000),
            ("bytes", b"\xff\xfe\xfa"),
        ]
    ],
]

CASES = [*COOKIES, *AUTH, *FIELDS]
