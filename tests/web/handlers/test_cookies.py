"""Cookies: read leniently, written strictly."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from portico.errors import ConfigError
from portico.web.handlers.cookies import Cookie, read_cookies


@pytest.mark.parametrize(
    ("header", "cookies"),
    [
        (None, {}),
        ("", {}),
        ("a=1", {"a": "1"}),
        ("a=1; b=2;c=3 ;  d = 4", {"a": "1", "b": "2", "c": "3", "d": "4"}),
        ("a=1; a=2", {"a": "1"}),  # the longer path comes first
        ("a=b=c; d=", {"a": "b=c", "d": ""}),
        ("nameless; =x; ; a=1", {"a": "1"}),
        ('a="quoted"', {"a": '"quoted"'}),
        ('a="with; b=2', {"a": '"with', "b": "2"}),
        ("a={json,like:1}; b=\t2\t", {"a": "{json,like:1}", "b": "2"}),
        ("n=gr\u00c3\u00bcn", {"n": "grün"}),  # UTF-8, as latin-1 text
        ("n=\u00fc", {"n": "ü"}),
        ("$Version=1; a=1", {"$Version": "1", "a": "1"}),
    ],
)
def test_cookies_are_read_as_browsers_send_them(header, cookies):
    assert read_cookies(header) == cookies


def test_a_cookie_is_http_only_lax_and_secure_where_the_request_was():
    assert Cookie(name="a", value="1").line(https=True) == "a=1; Path=/; Secure; HttpOnly; SameSite=Lax"
    assert Cookie(name="a", value="1").line(https=False) == "a=1; Path=/; HttpOnly; SameSite=Lax"


def test_every_attribute_is_written():
    cookie = Cookie(
        name="a",
        value='"x"',
        max_age=60,
        expires=datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC),
        path="/app",
        domain=".example.org",
        secure=True,
        http_only=False,
        same_site="none",
        partitioned=True,
    )
    assert cookie.line(https=False) == (
        'a="x"; Max-Age=60; Expires=Wed, 02 Jan 2030 03:04:05 GMT; Path=/app; Domain=example.org; Secure; '
        "SameSite=None; Partitioned"
    )
    bare = Cookie(name="a", path=None, http_only=False, same_site=None, secure=False)
    assert bare.line(https=True) == "a="


def test_deleting_works_also_for_clients_that_know_only_expires():
    line = Cookie(name="a", max_age=0).line(https=False)
    assert "Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT" in line


@pytest.mark.parametrize("name", ["__Host-s", "__Secure-s", "__host-s", "__SECURE-s"])
def test_prefixed_names_are_secure_whatever_the_request_was(name):
    assert "; Secure;" in Cookie(name=name, value="1").line(https=False)


@pytest.mark.parametrize("options", [{"same_site": "None"}, {"partitioned": True}])
def test_what_browsers_take_only_when_secure_is(options):
    assert "; Secure;" in Cookie(name="a", **options).line(https=False)


@pytest.mark.parametrize(
    "options",
    [
        {"name": ""},
        {"name": "a b"},
        {"name": "a=b"},
        {"name": "a\r\nX: y"},
        {"name": "ä"},
        {"value": "a;b"},
        {"value": "a b"},
        {"value": "a,b"},
        {"value": "a\r\nSet-Cookie: x=y"},
        {"value": "ä"},
        {"value": 'a"b'},
        {"value": "\\"},
        {"value": "x" * 4096},
        {"path": "app"},
        {"path": "/a;Domain=x"},
        {"path": "/a\n"},
        {"domain": "a;b"},
        {"domain": ""},
        {"domain": "a..b\r\n"},
        {"same_site": "Sometimes"},
        {"max_age": 1.5},
        {"max_age": True},
        {"expires": datetime(2030, 1, 1)},  # noqa: DTZ001  (that is the mistake)
        {"name": "__Host-a", "domain": "example.org"},
        {"name": "__host-a", "path": "/app"},
        {"name": "__Host-a", "secure": False},
        {"name": "__Secure-a", "secure": False},
        {"same_site": "None", "secure": False},
        {"partitioned": True, "secure": False},
    ],
)
def test_what_browsers_would_refuse_or_misread_is_refused_here(options):
    with pytest.raises(ConfigError, match="cookie"):
        Cookie(**{"name": "a", **options})


def test_the_largest_cookie_is_one_that_browsers_keep():
    assert Cookie(name="a", value="x" * 4095).value
    with pytest.raises(ConfigError, match="4096 bytes are more"):
        Cookie(name="a", value="x" * 4096)
