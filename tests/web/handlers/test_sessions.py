"""Sessions in a signed cookie."""

from __future__ import annotations

import time

import pytest

from portico.errors import ConfigError, LimitExceeded
from portico.web.handlers import sessions as module
from portico.web.handlers.sessions import Session, Sessions

KEY = "a key that is long enough"


def test_a_session_comes_back_as_it_was():
    sessions = Sessions(KEY)
    session = sessions.load(None)
    assert session.new
    session["user"] = {"name": "Jörg", "roles": ["a", "b"]}
    cookie = sessions.save(session)
    assert cookie is not None
    again = sessions.load(cookie.value)
    assert dict(again) == {"user": {"name": "Jörg", "roles": ["a", "b"]}}
    assert not again.new
    assert not again.changed
    assert sessions.save(again) is None


def test_its_cookie_is_http_only_lax_and_secure_under_https():
    cookie = Sessions(KEY).save(Session({"a": 1}))
    assert cookie is not None
    line = cookie.line(https=True)
    assert line.endswith("; Max-Age=1209600; Path=/; Secure; HttpOnly; SameSite=Lax")


def test_a_change_in_the_depth_is_saved():
    sessions = Sessions(KEY)
    cookie = sessions.save(Session({"cart": {"apples": 1}}))
    assert cookie is not None
    session = sessions.load(cookie.value)
    session["cart"]["apples"] += 1
    assert session.changed
    saved = sessions.save(session)
    assert saved is not None
    assert sessions.load(saved.value)["cart"] == {"apples": 2}


def test_a_cleared_session_deletes_its_cookie_and_an_empty_new_one_sets_none():
    sessions = Sessions(KEY)
    cookie = sessions.save(Session({"a": 1}))
    assert cookie is not None
    session = sessions.load(cookie.value)
    session.clear()
    deleted = sessions.save(session)
    assert deleted is not None
    assert (deleted.value, deleted.max_age) == ("", 0)
    assert sessions.save(sessions.load(None)) is None


def test_what_was_changed_cut_or_replayed_too_late_is_a_new_session(monkeypatch):
    sessions = Sessions(KEY, seconds=60)
    cookie = sessions.save(Session({"admin": False}))
    assert cookie is not None
    payload, expiry, signature = cookie.value.split(".")
    for forged in (
        f"{payload[:-1]}.{expiry}.{signature}",
        f"{payload}.{int(expiry) + 1000}.{signature}",
        cookie.value[:-1],
        cookie.value[: len(cookie.value) // 2],
        "",
    ):
        assert sessions.load(forged).new
    now = time.time()
    monkeypatch.setattr("portico.web.handlers.signing.time", lambda: now + 61)
    assert sessions.load(cookie.value).new


def test_the_expiry_is_renewed_when_half_of_the_time_is_over(monkeypatch):
    sessions = Sessions(KEY, seconds=1000)
    cookie = sessions.save(Session({"a": 1}))
    assert cookie is not None
    session = sessions.load(cookie.value)
    now = time.time()
    monkeypatch.setattr(module, "time", lambda: now + 400)
    assert sessions.save(session) is None
    monkeypatch.setattr(module, "time", lambda: now + 600)
    assert sessions.save(session) is not None


def test_two_applications_may_share_a_key_but_not_a_session():
    cookie = Sessions(KEY, cookie="one").save(Session({"a": 1}))
    assert cookie is not None
    assert Sessions(KEY, cookie="two").load(cookie.value).new


def test_a_session_that_browsers_would_drop_is_an_error():
    with pytest.raises(LimitExceeded, match="browsers keep 4096") as caught:
        Sessions(KEY).save(Session({"a": "x" * 4000}))
    assert caught.value.status == 500


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", float("nan")])
def test_only_json_can_be_kept(value):
    session = Session()
    session["a"] = value
    with pytest.raises(ConfigError, match="JSON"):
        Sessions(KEY).save(session)


def test_keys_are_text():
    with pytest.raises(ConfigError, match="text"):
        Session()[1] = 2  # type: ignore[index]


@pytest.mark.parametrize(
    "options", [{"seconds": 0}, {"cookie": "a b"}, {"cookie": "__Host-s", "path": "/app"}, {"same_site": "x"}]
)
def test_settings_that_cannot_work_are_refused_at_the_start(options):
    with pytest.raises(ConfigError):
        Sessions(KEY, **options)
