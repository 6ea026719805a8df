"""Answers that are whole, and mean harm: redirects, cookies, challenges, compression, misleading fields."""

from __future__ import annotations

import gzip
import zlib
from itertools import chain, count
from typing import Any

from portico.errors import (
    EndOfStream,
    LimitExceeded,
    ProtocolError,
    RedirectError,
)
from portico.limits import Limits
from tests.client.hostile import Script, Step, answer, every, flood, read, read_chunks, redirect
from tests.client.hostile_case import Case, Outcome

__all__ = ["CASES", "bombs"]

SECRET = b"s3cret"
OK = b"HTTP/1.1 200 OK\r\n"


def by_path(**answers: bytes) -> Script:
    """Answers by the first segment of the path; ``end`` says where it should end."""

    def choose(head: bytes) -> bytes:
        path = head.split(b" ", 2)[1].strip(b"/").split(b"/")[0].split(b"?")[0].decode()
        return answers.get(path or "start", answer(b"end"))

    return [every(choose)]


def nobody_else(outcome: Outcome) -> None:
    assert outcome.elsewhere == []
    assert len(outcome.seen) == 1


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

REDIRECTS = [
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
        check=lambda outcome: no_evil_line(outcome),
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
        check=lambda outcome: none_elsewhere(outcome),
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


def no_evil_line(outcome: Outcome) -> None:
    assert not any(line.startswith(b"X-Evil") for head in outcome.seen for line in head.split(b"\r\n"))
    assert outcome.seen[-1].startswith(b"GET /next%0d%0aX-Evil:%20y ")


def none_elsewhere(outcome: Outcome) -> None:
    assert outcome.elsewhere == []


def keeps_secrets(outcome: Outcome) -> None:
    """The bystander was asked, and told nothing."""
    assert outcome.elsewhere, "nobody came"
    for head in outcome.elsewhere:
        assert SECRET not in head, head
        assert b"dXNlcjpzM2NyZXQ" not in head  # user:s3cret
        for name in (
            b"authorization",
            b"cookie",
            b"x-key",
            b"proxy-authorization",
            b"x-api-key",
            b"referer",
            b"origin",
        ):
            assert b"\r\n" + name + b":" not in head.lower(), head


LOADED: dict[str, Any] = {
    "headers": {
        "Authorization": "Bearer s3cret",
        "X-Key": "s3cret",
        "X-Api-Key": "s3cret",
        "Cookie": "own=s3cret",
        "Proxy-Authorization": "Basic s3cret",
    }
}


def keeps_secrets_back(outcome: Outcome) -> None:
    """On the way back from elsewhere, nothing is told again either."""
    assert SECRET in outcome.seen[0] or b"dXNlcjpzM2NyZXQ" in outcome.seen[0]
    assert SECRET not in outcome.seen[-1], outcome.seen[-1]
    assert b"dXNlcjpzM2NyZXQ" not in outcome.seen[-1]


ORIGINS = [
    *[
        Case(
            f"{status[:3].decode()} to another port, {name}",
            [by_path(start=redirect(b"{other}/", status))],
            content=b"bystander",
            check=keeps_secrets,
            use=use,
            session=session,
        )
        for status in (b"301 M", b"302 F", b"303 S", b"307 T", b"308 P")
        for name, use, session in [
            ("own fields", LOADED, {}),
            ("auth=", {"auth": ("user", "s3cret")}, {}),
            ("auth of the session", {}, {"auth": ("user", "s3cret")}),
            ("fields of the session", {}, LOADED),
            ("a function", {"auth": lambda: bearer}, {}),
        ]
    ],
    Case(
        "a POST with fields and 307 to another port",
        [by_path(start=redirect(b"{other}/", b"307 T"))],
        content=b"bystander",
        check=keeps_secrets,
        method="POST",
        use={**LOADED, "data": b"abc"},
    ),
    Case(
        "user and password of the URL stay here",
        [by_path(start=redirect(b"{other}/"))],
        content=b"bystander",
        check=keeps_secrets,
        paths=["/"],
        host="user:s3cret@127.0.0.1",
    ),
    Case(
        "user and password of a redirect are not used",
        [by_path(start=redirect(b"http://evil:pw@127.0.0.1:{otherport}/"))],
        content=b"bystander",
        check=keeps_secrets,
    ),
    Case(
        "user and password of a redirect to the same origin are not used",
        [by_path(start=redirect(b"http://evil:pw@127.0.0.1:{port}/x"))],
        content=b"end",
        check=lambda outcome: no_authorization(outcome),
    ),
    Case(
        "another spelling of the host is another origin",
        [by_path(start=redirect(b"http://localhost:{port}/x"))],
        content=b"end",
        use=LOADED,
        check=keeps_secrets_back,
    ),
    Case(
        "own fields do not come back",
        [
            by_path(
                start=redirect(b"http://localhost:{port}/back"), back=redirect(b"http://127.0.0.1:{port}/x")
            )
        ],
        content=b"end",
        use=LOADED,
        check=keeps_secrets_back,
    ),
    Case(
        "auth= does not come back",
        [
            by_path(
                start=redirect(b"http://localhost:{port}/back"), back=redirect(b"http://127.0.0.1:{port}/x")
            )
        ],
        content=b"end",
        use={"auth": ("user", "s3cret")},
        check=keeps_secrets_back,
    ),
    Case(
        "cookies of here are not told there",
        [by_path(start=redirect(b"http://localhost:{otherport}/", b"302 F", b"Set-Cookie: a=s3cret"))],
        content=b"bystander",
        check=keeps_secrets,
    ),
    Case(
        "a challenge elsewhere gets no credentials",
        [
            by_path(
                start=redirect(b"http://localhost:{port}/there"),
                there=answer(b"who", b'WWW-Authenticate: Basic realm="x"', status=b"401 Who"),
            )
        ],
        status=401,
        use={"auth": ("user", "s3cret")},
        check=keeps_secrets_back,
    ),
    Case(
        "a Digest challenge elsewhere gets nothing",
        [
            by_path(
                start=redirect(b"http://localhost:{port}/there"),
                there=answer(
                    b"who", b'WWW-Authenticate: Digest realm="x", nonce="n", qop="auth"', status=b"401 Who"
                ),
            )
        ],
        status=401,
        use={"auth": lambda: digest()},
        requests=2,
    ),
    Case(
        "307 wants a body again that is gone",
        [[read_chunks, redirect(b"/x", b"307 T")]],
        RedirectError,
        "twice",
        method="POST",
        use={"data": lambda: iter([b"abc"])},
        requests=1,
    ),
    Case(
        "308 of a body that can be sent again",
        [by_path(start=redirect(b"/x", b"308 P"))],
        content=b"end",
        method="POST",
        use={"data": b"abc"},
        check=lambda outcome: methods(outcome, b"POST", b"POST"),
    ),
    Case(
        "303 after POST",
        [by_path(start=redirect(b"/x", b"303 S"))],
        content=b"end",
        method="POST",
        use={"data": b"abc"},
        check=lambda outcome: methods(outcome, b"POST", b"GET"),
    ),
    Case(
        "303 after HEAD",
        [[read, redirect(b"/x", b"303 S"), read, OK + b"Content-Length: 3\r\n\r\n"]],
        method="HEAD",
        content=b"",
        check=lambda outcome: methods(outcome, b"HEAD", b"HEAD"),
    ),
    Case(
        "302 after POST",
        [by_path(start=redirect(b"/x"))],
        content=b"end",
        method="POST",
        use={"data": b"abc"},
        check=lambda outcome: methods(outcome, b"POST", b"GET"),
    ),
    Case(
        "302 after PUT stays PUT",
        [by_path(start=redirect(b"/x"))],
        content=b"end",
        method="PUT",
        use={"data": b"abc"},
        check=lambda outcome: methods(outcome, b"PUT", b"PUT"),
    ),
]


def bearer(request: Any) -> None:
    request.headers["Authorization"] = "Bearer s3cret"


def digest() -> Any:
    from portico.client.digest import Digest

    return Digest("user", "s3cret")


def no_authorization(outcome: Outcome) -> None:
    assert not any(b"authorization" in head.lower() for head in outcome.seen)


def methods(outcome: Outcome, *wanted: bytes) -> None:
    assert [head.split(b" ")[0] for head in outcome.seen] == [*wanted]
    if wanted[-1] == b"GET":
        for name in (b"content-length", b"content-type", b"transfer-encoding"):
            assert name not in outcome.seen[-1].lower()


def refused_cookie(value: bytes, host: str = "127.0.0.1") -> Case:
    return Case(
        f"cookie {value[:50]!r}",
        [[every(answer(b"x", b"Set-Cookie: " + value))]],
        content=b"x",
        paths=["/", "/"],
        host=host,
        check=no_cookie,
    )


def no_cookie(outcome: Outcome) -> None:
    assert b"\r\ncookie:" not in outcome.seen[-1].lower(), outcome.seen[-1]
    assert len(outcome.session.cookies) == 0


def not_sent(outcome: Outcome) -> None:
    assert b"\r\ncookie:" not in outcome.seen[-1].lower(), outcome.seen[-1]


def few_cookies(outcome: Outcome) -> None:
    assert len(outcome.session.cookies) <= 180


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
        check=lambda outcome: not_sent(outcome),
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

CHALLENGE = b"WWW-Authenticate: "


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
        check=lambda outcome: no_proxy_credentials(outcome),
    ),
]


def no_proxy_credentials(outcome: Outcome) -> None:
    assert not any(b"proxy-authorization" in head.lower() for head in outcome.seen)
    assert len(outcome.seen) == 1


def packed(name: str, coding: bytes, body: bytes, error: Any = None, **more: Any) -> Case:
    return Case(f"coding: {name}", [[read, answer(body, b"Content-Encoding: " + coding)]], error, **more)


PLAIN = b"hello world " * 100
ZIPPED = gzip.compress(PLAIN)

CODINGS = [
    packed("gzip cut", b"gzip", ZIPPED[:-10], EndOfStream),
    packed("gzip without its sum", b"gzip", ZIPPED[:-8], EndOfStream),
    packed("gzip with a wrong sum", b"gzip", ZIPPED[:-8] + b"\0" * 8, ProtocolError),
    packed("gzip and garbage", b"gzip", ZIPPED + b"garbage", ProtocolError),
    packed("gzip twice in a row", b"gzip", ZIPPED * 2, content=PLAIN * 2),
    packed("no gzip at all", b"gzip", PLAIN, ProtocolError),
    packed("gzip of nothing", b"gzip", b"", content=b""),
    packed("only a header of gzip", b"gzip", ZIPPED[:5], EndOfStream),
    packed("gzip of an unknown method", b"gzip", b"\x1f\x8b\x07" + ZIPPED[3:], ProtocolError),
    packed("deflate with zlib's frame", b"deflate", zlib.compress(PLAIN), content=PLAIN),
    packed("bare deflate", b"deflate", zlib.compress(PLAIN)[2:-4], content=PLAIN),
    packed("deflate that is garbage", b"deflate", b"\xff" * 100, ProtocolError),
    packed("br that is garbage", b"br", b"\xff" * 100, ProtocolError),
    packed("zstd that is garbage", b"zstd", b"\xff" * 100, ProtocolError),
    packed("zstd cut", b"zstd", b"\x28\xb5\x2f\xfd\x04", (EndOfStream, ProtocolError)),
    packed("unknown", b"rot13", PLAIN, ProtocolError, says="rot13"),
    packed("identity", b"identity", PLAIN, content=PLAIN),
    packed("gzip called x-gzip", b"x-gzip", ZIPPED, content=PLAIN),
    packed("gzip in capitals", b"GZIP", ZIPPED, content=PLAIN),
    packed("gzip in gzip", b"gzip, gzip", gzip.compress(ZIPPED), content=PLAIN),
    packed("deflate in gzip", b"deflate, gzip", gzip.compress(zlib.compress(PLAIN)), content=PLAIN),
    packed("a hundred of them", b", ".join([b"gzip"] * 100), ZIPPED, ProtocolError),
    packed("garbage", b"gzip;q=1, \xff", ZIPPED, ProtocolError),
    Case(
        "coding: HEAD",
        [[read, b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 100\r\n\r\n"]],
        method="HEAD",
        content=b"",
    ),
    Case(
        "coding: 204", [[read, b"HTTP/1.1 204 No\r\nContent-Encoding: gzip\r\n\r\n"]], content=b"", status=204
    ),
    Case(
        "coding: 304",
        [[read, b"HTTP/1.1 304 No\r\nContent-Encoding: gzip\r\nContent-Length: 100\r\n\r\n"]],
        content=b"",
        status=304,
    ),
    Case(
        "coding: gzip cut by the connection",
        [[read, b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 999\r\n\r\n" + ZIPPED[:20]]],
        EndOfStream,
    ),
]

BOMB = gzip.compress(bytes(64 << 20), 9)


def gzip_for_ever() -> list[Step]:
    machine = zlib.compressobj(9, zlib.DEFLATED, 31)
    first = machine.compress(bytes(8 << 20)) + machine.flush(zlib.Z_FULL_FLUSH)
    again = machine.compress(bytes(8 << 20)) + machine.flush(zlib.Z_FULL_FLUSH)
    return [read, OK + b"Content-Encoding: gzip\r\n\r\n", first, flood(again)]


def chosen(coding: str) -> bytes:
    if coding == "br":
        import brotli

        return brotli.compress(bytes(256 << 20), quality=5)
    import zstandard

    return zstandard.compress(bytes(256 << 20), 3)


def bombs() -> list[Case]:
    """Made when they are wanted: they take a second to compress."""
    nested = gzip.compress(gzip.compress(BOMB))
    return [
        Case("bomb: gzip without end", [gzip_for_ever()], LimitExceeded, within=20),
        packed("bomb of gzip", b"gzip", BOMB, LimitExceeded),
        packed("bomb of gzip, many streams", b"gzip", BOMB * 100, LimitExceeded),
        packed("bomb of gzip in gzip in gzip", b"gzip, gzip, gzip", nested, LimitExceeded),
        packed("bomb of br", b"br", chosen("br"), LimitExceeded),
        packed("bomb of zstd", b"zstd", chosen("zstd"), LimitExceeded),
        packed("bomb of deflate", b"deflate", zlib.compress(bytes(64 << 20), 9), LimitExceeded),
        Case(
            "a body without end",
            [[read, OK + b"\r\n", flood(bytes(65536))]],
            LimitExceeded,
            session={"limits": Limits(answer=32 << 20)},
            within=20,
        ),
        Case("an endless header", [[read, OK + b"A: ", flood(b"a" * 65536)]], LimitExceeded),
        Case("endless headers", [[read, OK, flood(b"A: b\r\n" * 1000)]], LimitExceeded),
        Case(
            "endless 103",
            [[read, flood(b"HTTP/1.1 103 E\r\nA: " + b"a" * 60000 + b"\r\n\r\n")]],
            (ProtocolError, LimitExceeded),
        ),
        Case(
            "a million chunks of a byte",
            [
                [
                    read,
                    OK + b"Transfer-Encoding: chunked\r\n\r\n",
                    *[b"1\r\na\r\n" * 100_000] * 10,
                    b"0\r\n\r\n",
                ]
            ],
            content=b"a" * 1_000_000,
            within=60,
            session={"timeout": 60},
        ),
    ]


def harmless(name: str, *fields: bytes, body: bytes = b"x", check: Any = None) -> Case:
    """Fields that nobody asked about: the answer is what it is."""
    return Case(f"field: {name}", [[read, answer(body, *fields)]], content=body, check=check)


def as_text(outcome: Outcome) -> None:
    assert isinstance(outcome.responses[0].text, str)


FIELDS = [
    harmless(
        "charset utf-7",
        b"Content-Type: text/html; charset=utf-7",
        body=b"+ADw-script+AD4-",
        check=lambda outcome: no_script(outcome),
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
            use={"retry": 2, "timeout": 2},
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
            check=lambda outcome: not_json(outcome),
        )
        for name, body in [
            ("cut", b'{"a": '),
            ("nothing", b""),
            ("deep", b"[" * 100_000),
            ("bytes", b"\xff\xfe\xfa"),
        ]
    ],
]


def not_json(outcome: Outcome) -> None:
    try:
        outcome.responses[0].json()
    except ProtocolError:
        return
    raise AssertionError("it was read")


def no_script(outcome: Outcome) -> None:
    assert "<script" not in outcome.responses[0].text


def says(outcome: Outcome, text: str) -> None:
    assert outcome.responses[0].text == text


CASES = list(chain(REDIRECTS, ORIGINS, COOKIES, AUTH, CODINGS, FIELDS))
