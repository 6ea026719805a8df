"""Signed texts: what was changed, cut, made elsewhere or kept too long is worth nothing."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.errors import AuthenticationError, ConfigError
from portico.web.handlers import signing
from portico.web.handlers.signing import BadSignature, Signer

KEY = "an old key of enough bytes"
NEW = b"a new key of enough bytes!"


@given(st.binary(max_size=200))
def test_what_was_signed_comes_back(data):
    signer = Signer(KEY, "test")
    read, expiry = signer.read(signer.sign(data, seconds=60))
    assert read == data
    assert 50 < expiry - time.time() <= 60


@given(st.data())
def test_no_changed_token_is_good(data):
    signer = Signer(KEY, "test")
    token = signer.sign(b"payload", seconds=60)
    place = data.draw(st.integers(0, len(token) - 1))
    kind = data.draw(st.sampled_from(["replace", "insert", "cut", "drop"]))
    letter = data.draw(st.sampled_from("AZaz09-_.=/+ é\udc80"))
    changed = {
        "replace": token[:place] + letter + token[place + 1 :],
        "insert": token[:place] + letter + token[place:],
        "cut": token[:place],
        "drop": token[:place] + token[place + 1 :],
    }[kind]
    if changed != token:
        with pytest.raises(BadSignature):
            signer.read(changed)


@pytest.mark.parametrize(
    "token", ["", ".", "..", "a", "a.b", "a.1.b", "a.1.", ".1.c", "....", "ä.1.b", "a.x.b"]
)
def test_nonsense_is_no_token(token):
    with pytest.raises(AuthenticationError):
        Signer(KEY, "test").read(token)


def test_the_last_letter_of_a_signature_has_one_spelling():
    signer = Signer(KEY, "test")
    token = signer.sign(b"x", seconds=60)
    # The bits beyond the last byte: base64 decoders ignore them.
    others = [
        token[:-1] + letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    ]
    good = []
    for other in others:
        try:
            signer.read(other)
        except BadSignature:
            continue
        good.append(other)
    assert good == [token]


def test_a_token_ends_at_its_time(monkeypatch):
    signer = Signer(KEY, "test")
    token = signer.sign(b"x", seconds=60)
    now = time.time()
    monkeypatch.setattr(signing, "time", lambda: now + 58)
    assert signer.read(token)[0] == b"x"
    monkeypatch.setattr(signing, "time", lambda: now + 61)
    with pytest.raises(BadSignature, match="expired"):
        signer.read(token)


def test_keys_rotate():
    old = Signer(KEY, "test").sign(b"old", seconds=60)
    both = Signer([NEW, KEY], "test")
    assert both.read(old)[0] == b"old"
    fresh = both.sign(b"new", seconds=60)
    assert Signer(NEW, "test").read(fresh)[0] == b"new"
    for key, token in ((NEW, old), (KEY, fresh)):
        with pytest.raises(BadSignature, match="does not fit"):
            Signer(key, "test").read(token)


def test_a_token_for_one_purpose_is_worth_nothing_for_another():
    token = Signer(KEY, "session a").sign(b"x", seconds=60)
    with pytest.raises(BadSignature):
        Signer(KEY, "session b").read(token)


@pytest.mark.parametrize("keys", ["", "short", b"fifteen bytes!!", [], [NEW, "short"]])
def test_keys_that_can_be_guessed_are_refused(keys):
    with pytest.raises(ConfigError):
        Signer(keys, "test")


def test_the_keys_are_not_shown():
    assert KEY not in repr(Signer(KEY, "test"))
