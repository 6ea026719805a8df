"""Redirects to others, who must not learn what was meant for the first."""

from __future__ import annotations

from typing import Any

from portico.errors import RedirectError
from tests.client.hostile import answer, by_path, read, read_chunks, redirect
from tests.client.hostile_case import Case
from tests.client.hostile_checks import keeps_secrets, keeps_secrets_back, methods, no_authorization

__all__ = ["CASES"]

OK = b"HTTP/1.1 200 OK\r\n"

LOADED: dict[str, Any] = {
    "headers": {
        "Authorization": "Bearer s3cret",
        "X-Key": "s3cret",
        "X-Api-Key": "s3cret",
        "Cookie": "own=s3cret",
        "Proxy-Authorization": "Basic s3cret",
    }
}


def bearer(request: Any) -> None:
    request.headers["Authorization"] = "Bearer s3cret"


def digest() -> Any:
    from portico.client.digest import Digest

    return Digest("user", "s3cret")


CASES = [
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
        check=no_authorization,
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
        use={"auth": digest},
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
