"""Hashed passwords: ours, other people's, and hashes that would do harm."""

from __future__ import annotations

import subprocess
import sys

import pytest

from portico.errors import ConfigError
from portico.web import passwords
from portico.web.passwords import hash_password, read_hash
from tests.peers import need, need_module

CHEAP = {"ln": 4, "r": 1, "p": 1}
# RFC 7914, 12: scrypt("password", "NaCl", N=1024, r=8, p=16).
VECTOR = (
    "$scrypt$ln=10,r=8,p=16$TmFDbA$"
    "/bq+HJ00cgB4VucZDQHp/nxq18vII3gw53N2Y0s3MWIurzDZLiKjiG/xCSedmDDaxyevuUqD7m2DYMvfoswGQA"
)


def test_a_password_is_known_again_and_others_are_not():
    text = hash_password("grüße 1", **CHEAP)
    assert text.startswith("$scrypt$ln=4,r=1,p=1$")
    known = read_hash(text)
    assert known.check("grüße 1".encode())
    assert not known.check(b"gr\xc3\xbc\xc3\x9fe 2")
    assert not known.check(b"")
    assert not known.dummy("grüße 1".encode())


def test_accents_are_the_same_however_they_were_typed():
    assert read_hash(hash_password("gru\u0308n", **CHEAP)).check("gr\xfcn".encode())


@pytest.mark.parametrize("password", ["", "a\0", "a\tb", "\x7f"])
def test_a_password_that_nobody_could_send_is_refused(password):
    with pytest.raises(ConfigError):
        hash_password(password, **CHEAP)


def test_each_hash_has_a_salt_of_its_own():
    assert hash_password("x", **CHEAP) != hash_password("x", **CHEAP)


def test_the_test_vector_of_the_rfc():
    digest = passwords._scrypt(b"password", b"NaCl", 10, 8, 16, 64)
    assert passwords._encode(digest) == VECTOR.rpartition("$")[2]


def test_the_usual_cost_is_what_owasp_asks_for():
    assert hash_password("x").startswith("$scrypt$ln=14,r=8,p=5$")


def test_a_hash_of_passlibs_form_made_elsewhere():
    # hashlib.scrypt(b"secret", salt=b"0123456789abcdef", n=16, r=1, p=1, dklen=32), put together by hand.
    import base64
    import hashlib

    salt = b"0123456789abcdef"
    digest = hashlib.scrypt(b"secret", salt=salt, n=16, r=1, p=1, dklen=32)
    parts = [base64.b64encode(each).decode().rstrip("=") for each in (salt, digest)]
    assert read_hash(f"$scrypt$ln=4,r=1,p=1${'$'.join(parts)}").check(b"secret")


def test_a_bcrypt_hash_of_htpasswd():
    need_module("bcrypt")
    done = subprocess.run(
        [need("htpasswd"), "-nbB", "-C", "4", "ada", "secret"], capture_output=True, text=True, check=True
    )
    known = read_hash(done.stdout.strip().partition(":")[2])
    assert known.check(b"secret")
    assert not known.check(b"Secret")
    assert not known.dummy(b"secret")


def test_a_password_longer_than_bcrypt_knows_is_no_error():
    library = need_module("bcrypt")
    known = read_hash(library.hashpw(b"x" * 72, library.gensalt(4)).decode())
    assert known.check(b"x" * 100)
    assert not known.check(b"x\0x")


def test_without_the_library_bcrypt_says_what_to_install(monkeypatch):
    library = need_module("bcrypt")
    text = library.hashpw(b"x", library.gensalt(4)).decode()
    monkeypatch.setitem(sys.modules, "bcrypt", None)
    with pytest.raises(ConfigError, match=r"portico\[auth\]"):
        read_hash(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not a hash"),
        ("secret", "not a hash"),
        ("$apr1$abc$def", "not a hash"),
        ("{SHA}abc", "not a hash"),
        ("$2b$12$tooshort", "60 characters"),
        ("$2b$31$" + "a" * 53, "31 rounds"),
        ("$scrypt$ln=14,r=8$a$b", "cannot be read"),
        ("$scrypt$ln=-1,r=8,p=1$aaaaaaaaaaa$bbb", "cannot be read"),
        ("$scrypt$ln=0,r=8,p=1$" + "a" * 22 + "$" + "b" * 43, "cannot be"),
        ("$scrypt$ln=99,r=8,p=1$" + "a" * 22 + "$" + "b" * 43, "cannot be"),
        ("$scrypt$ln=20,r=8,p=1$" + "a" * 22 + "$" + "b" * 43, "1024 MiB"),
        ("$scrypt$ln=14,r=8,p=99$" + "a" * 22 + "$" + "b" * 43, "takes seconds"),
        ("$scrypt$ln=14,r=8,p=5$aa$" + "b" * 43, "too short"),
        ("$scrypt$ln=14,r=8,p=5$" + "a" * 22 + "$b", "not Base64"),
        (VECTOR, "8 bytes of salt"),
    ],
)
def test_a_hash_that_cannot_be_used_is_refused_without_being_shown(text, says):
    with pytest.raises(ConfigError) as caught:
        read_hash(text)
    assert says in str(caught.value)
    assert not text or text not in str(caught.value)


def test_an_empty_password_is_refused():
    with pytest.raises(ConfigError, match="empty"):
        hash_password("")
