"""What an outcome must be like, beyond its error or its content."""

from __future__ import annotations

from typing import Any

from portico.errors import ProtocolError
from tests.client.hostile_case import Outcome

__all__ = [
    "SECRET",
    "as_text",
    "few_cookies",
    "folded",
    "keeps_secrets",
    "keeps_secrets_back",
    "methods",
    "never_evil",
    "no_authorization",
    "no_cookie",
    "no_cookie_of_trailers",
    "no_evil_line",
    "no_proxy_credentials",
    "no_script",
    "nobody_else",
    "none_elsewhere",
    "not_json",
    "not_sent",
    "partial",
    "says",
    "surplus_of_head",
]

SECRET = b"s3cret"


def partial(content: bytes) -> Any:
    def check(outcome: Outcome) -> None:
        assert outcome.error is not None
        assert outcome.error.partial == content, outcome.error.partial

    return check


def no_cookie_of_trailers(outcome: Outcome) -> None:
    assert len(outcome.session.cookies) == 0
    assert "set-cookie" not in outcome.responses[0].headers


def folded(outcome: Outcome) -> None:
    assert outcome.responses[0].headers["x-a"].split() == ["a", "b"]
    assert not set("\r\n\t") & set(outcome.responses[0].headers["x-a"])


def surplus_of_head(outcome: Outcome) -> None:
    assert outcome.contents == [b"", b""]
    assert outcome.connections == 2


def never_evil(outcome: Outcome) -> None:
    assert b"evil" not in b"".join(outcome.contents)
    assert outcome.contents[-1] == b"good"


def nobody_else(outcome: Outcome) -> None:
    assert outcome.elsewhere == []
    assert len(outcome.seen) == 1


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


def keeps_secrets_back(outcome: Outcome) -> None:
    """On the way back from elsewhere, nothing is told again either."""
    assert SECRET in outcome.seen[0] or b"dXNlcjpzM2NyZXQ" in outcome.seen[0]
    assert SECRET not in outcome.seen[-1], outcome.seen[-1]
    assert b"dXNlcjpzM2NyZXQ" not in outcome.seen[-1]


def no_authorization(outcome: Outcome) -> None:
    assert not any(b"authorization" in head.lower() for head in outcome.seen)


def methods(outcome: Outcome, *wanted: bytes) -> None:
    assert [head.split(b" ")[0] for head in outcome.seen] == [*wanted]
    if wanted[-1] == b"GET":
        for name in (b"content-length", b"content-type", b"transfer-encoding"):
            assert name not in outcome.seen[-1].lower()


def no_cookie(outcome: Outcome) -> None:
    assert b"\r\ncookie:" not in outcome.seen[-1].lower(), outcome.seen[-1]
    assert len(outcome.session.cookies) == 0


def not_sent(outcome: Outcome) -> None:
    assert b"\r\ncookie:" not in outcome.seen[-1].lower(), outcome.seen[-1]


def few_cookies(outcome: Outcome) -> None:
    assert len(outcome.session.cookies) <= 180


def no_proxy_credentials(outcome: Outcome) -> None:
    assert not any(b"proxy-authorization" in head.lower() for head in outcome.seen)
    assert len(outcome.seen) == 1


def as_text(outcome: Outcome) -> None:
    assert isinstance(outcome.responses[0].text, str)


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
