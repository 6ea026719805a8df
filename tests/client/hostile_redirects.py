"""Redirects that lead astray, and to others."""

from __future__ import annotations

from itertools import count

from portico.errors import ProtocolError, RedirectError
from tests.client.hostile import answer, by_path, every, read, redirect
from tests.client.hostile_case import Case, Outcome
from tests.client.hostile_checks import (
    no_evil_line,
    nobody_else,
    none_elsewhere,
)

__all__ = ["CASES"]


def refused_redirect(place: bytes, status: bytes = b"302 Found") -> Case:
    return Case(
        f"redirect to {place[:40]!r}",
        [by_path(start=redirect(place, status))],
        RedirectError,
        check=nobody_else,
    )


def followed(place: bytes, path: bytes) -> Case:
    def check(outcome: Outcome) -> None:
        assert outcome.seen[-1].split(b" ")[1] == path, outcome.seen[-1]

    return Case(
        f"redirect to {place[:40]!r} leads to {path[:40]!r}",
        [by_path(start=redirect(place))],
        content=b"end",
        check=check,
    )


numbers = count()


CASES = [
    *map(
        refused_redirect,
        [
            b"file:///etc/passwd",
            b"file://localhost/etc/passwd",
            b"FILE:///etc/passwd",
            b"data:text/html,evil",
            b"ftp://{other}/",
            b"javascript:alert(1)",
            b"JaVaScRiPt:alert(1)",
            b"gopher://127.0.0.1/",
            b"dict://127.0.0.1:11211/stats",
            b"mailto:me@example.org",
            b"about:blank",
            b"blob:http://a/b",
            b"jar:http://a!/b",
            b"ws://127.0.0.1/",
            b"view-source:http://127.0.0.1/",
            b"http+unix://%2Frun%2Fdocker.sock/v1/containers",
            b"unix:/run/docker.sock",
            b"ldap://127.0.0.1/",
            b"http://",
            b"http:///path",
            b"http:path",
            b"http:/path",
            b"http://:80/",
            b"http://[::1/",
            b"http://127.0.0.1:99999/",
            b"http://127.0.0.1:-1/",
            b"http://127.0.0.1:0/",
            b"http://127.0.0.1:8x/",
            b"http://a b/",
            b"http://a\\@127.0.0.1/",
            b"\\\\127.0.0.1\\x",
            b"//",
            b"///",
            b"http://a@b@c/",
            b"http://%00/",
            b"http://a%2fb/",
            b"http://256.256.256.256/",
            b"http://0x100000000/",
            b"/\\127.0.0.1/x",
            b"http://127.0.0.1\t/x",
            b"http://" + b"a." * 200 + b"/",
        ],
    ),
    *[
        Case(
            f"redirect {name}",
            [[read, b"HTTP/1.1 302 Found\r\nLocation: " + value + b"\r\nContent-Length: 0\r\n\r\n"]],
            (RedirectError, ProtocolError),
            check=nobody_else,
        )
        for name, value in [
            ("with CR", b"/a\rSet-Cookie: a=b"),
            ("with NUL", b"/a\x00b"),
            ("with LF", b"/a\nX: y"),
            ("with a control character", b"/a\x01b"),
        ]
    ],
    Case(
        "redirect with CR LF as percent codes",
        [by_path(start=redirect(b"/next%0d%0aX-Evil:%20y"))],
        content=b"end",
        check=no_evil_line,
    ),
    Case("redirect to the same place", [[every(redirect(b"/"))]], RedirectError, "20|21"),
    Case(
        "redirect from A to B and back",
        [by_path(a=redirect(b"/b"), b=redirect(b"/a"))],
        RedirectError,
        paths=["/a"],
    ),
    Case("redirect to a fragment of itself", [[every(redirect(b"#x"))]], RedirectError),
    Case("redirect to an empty place", [[every(redirect(b""))]], RedirectError),
    Case("redirect to a query", [[every(redirect(b"?x"))]], RedirectError),
    Case(
        "redirects that grow",
        [[every(lambda head: redirect(head.split(b" ")[1] + b"a" * 500))]],
        RedirectError,
    ),
    Case(
        "10,000 redirects",
        [[every(lambda head: redirect(b"/%d" % next(numbers)))]],
        RedirectError,
        requests=21,
    ),
    Case(
        "redirects, none allowed",
        [by_path(start=redirect(b"/x"))],
        status=302,
        use={"allow_redirects": False},
        requests=1,
    ),
    Case(
        "redirect without a place", [[every(answer(b"no", status=b"302 Found"))]], status=302, content=b"no"
    ),
    Case(
        "redirect to two places",
        [by_path(start=answer(b"", b"Location: /a", b"Location: /b", status=b"302 Found"))],
        RedirectError,
        "places",
    ),
    Case(
        "redirect twice to the same place",
        [by_path(start=answer(b"", b"Location: /a", b"Location: /a", status=b"302 Found"))],
        content=b"end",
    ),
    Case(
        "200 with a place",
        [by_path(start=answer(b"stay", b"Location: {other}/"))],
        content=b"stay",
        check=nobody_else,
    ),
    Case(
        "201 with a place",
        [by_path(start=answer(b"stay", b"Location: {other}/", status=b"201 Created"))],
        status=201,
        check=nobody_else,
    ),
    Case(
        "300 with a place",
        [by_path(start=answer(b"stay", b"Location: {other}/", status=b"300 Many"))],
        status=300,
        check=nobody_else,
    ),
    Case(
        "304 with a place",
        [by_path(start=b"HTTP/1.1 304 Not Modified\r\nLocation: {other}/\r\n\r\n")],
        status=304,
        check=nobody_else,
    ),
    Case(
        "305 with a place",
        [by_path(start=answer(b"stay", b"Location: {other}/", status=b"305 Use Proxy"))],
        status=305,
        check=nobody_else,
    ),
    Case(
        "306 with a place",
        [by_path(start=answer(b"stay", b"Location: {other}/", status=b"306 Switch Proxy"))],
        status=306,
        check=nobody_else,
    ),
    Case(
        "Refresh",
        [by_path(start=answer(b"stay", b"Refresh: 0; url={other}/"))],
        content=b"stay",
        check=nobody_else,
    ),
    Case(
        "Alt-Svc",
        [by_path(start=answer(b"stay", b'Alt-Svc: h2="127.0.0.1:{otherport}"; ma=99999, h3=":443"'))],
        content=b"stay",
        paths=["/", "/"],
        check=none_elsewhere,
    ),
    Case(
        "Content-Location",
        [by_path(start=answer(b"stay", b"Content-Location: {other}/"))],
        content=b"stay",
        check=nobody_else,
    ),
    Case(
        "Link: preload",
        [by_path(start=answer(b"stay", b"Link: <{other}/x>; rel=preload"))],
        content=b"stay",
        check=nobody_else,
    ),
    Case(
        "Strict-Transport-Security without TLS",
        [by_path(start=answer(b"stay", b"Strict-Transport-Security: max-age=99999999"))],
        content=b"stay",
        paths=["/", "/"],
        requests=2,
    ),
    Case(
        "Retry-After of a redirect is not waited for",
        [by_path(start=redirect(b"/x", b"302 Found", b"Retry-After: 100"))],
        content=b"end",
    ),
    followed(b"/a/../../b", b"/b"),
    followed(b"x?y=z", b"/x?y=z"),
    followed("/ü ö".encode(), b"/%C3%BC%20%C3%B6"),
    followed(b"/\xff", b"/%FF"),
    followed(b"/a%09b", b"/a%09b"),
    followed(b"  /b  ", b"/b"),
    followed(b"http://127.0.0.1:{port}/\x85x", b"/%85x"),
    followed(b"/%zz", b"/%25zz"),
    followed(b"/a#frag", b"/a"),
    followed(b"http://127.0.0.1:{port}/x", b"/x"),
    followed(b"//127.0.0.1:{port}/x", b"/x"),
    followed(b"HTTP://127.0.0.1:{port}/x", b"/x"),
    followed(b"./././x", b"/x"),
]
