"""Pins: which public key or certificate a server must have."""

from __future__ import annotations

import base64
import hashlib
import re
import ssl
import subprocess

import pytest

import portico
from portico import ClientTLS, Server, ServerTLS, connect
from portico.errors import CertificateError, ConfigError
from portico.sockets.pins import Pins, public_key_pin
from tests.peers import need
from tests.sockets.tls_pairs import authority, issued, trusting

OTHER_KEY = "sha256//" + "A" * 43 + "="


def openssl(*command: str, data: bytes = b"") -> bytes:
    return subprocess.run(
        [need("openssl"), *command], input=data, capture_output=True, check=True, timeout=30
    ).stdout


def made_by_openssl(tmp_path, *kind: str) -> tuple[str, bytes, str, str]:
    """A certificate of a kind of key: PEM, DER, and what OpenSSL says: its key's pin, its fingerprint."""
    key, pem = tmp_path / "key.pem", tmp_path / "cert.pem"
    whose = ("-subj", "/CN=Zoë/O=x", "-utf8", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "30")
    openssl("req", "-x509", "-nodes", *kind, *whose, "-keyout", str(key), "-out", str(pem))
    text = pem.read_text()
    public = openssl("x509", "-pubkey", "-noout", data=text.encode())
    digest = openssl(
        "dgst", "-sha256", "-binary", data=openssl("pkey", "-pubin", "-outform", "DER", data=public)
    )
    pin = "sha256//" + openssl("base64", "-A", data=digest).decode().strip()
    printed = openssl("x509", "-noout", "-fingerprint", "-sha256", data=text.encode()).decode()
    return text + key.read_text(), ssl.PEM_cert_to_DER_cert(text), pin, printed.strip().partition("=")[2]


KINDS = {
    "rsa": ("-newkey", "rsa:2048"),
    "rsa, long": ("-newkey", "rsa:4096"),
    "ec": ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
    "ed25519": ("-newkey", "ed25519"),
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_pins_are_those_of_openssl_and_curl(tmp_path, kind):
    pem, der, pin, fingerprint = made_by_openssl(tmp_path, *KINDS[kind])
    assert public_key_pin(der) == pin
    with_one_slash = pin.replace("//", "/", 1)
    for given in (pin, with_one_slash, [OTHER_KEY, pin], fingerprint, fingerprint.lower().replace(":", "")):
        Pins(given).check(der)
    with pytest.raises(CertificateError, match=re.escape(pin)):
        Pins([OTHER_KEY, "00" * 32]).check(der)
    with Server(
        lambda stream: stream.write(b"here"), "tls://127.0.0.1:0", tls=ServerTLS(pem.encode())
    ) as server:
        port = server.addresses[0].port
        with connect(server.addresses[0], tls=ClientTLS(verify=False, pins=pin)) as stream:
            assert stream.read() == b"here"
        curl = [need("curl"), "-sk", "--http0.9", "--pinnedpubkey", pin, f"https://127.0.0.1:{port}/"]
        assert subprocess.run(curl, capture_output=True, timeout=30, check=False).stdout == b"here"


def test_a_certificate_of_version_1_has_its_pin(tmp_path):
    key, request = str(tmp_path / "k.pem"), str(tmp_path / "r.pem")
    openssl(
        "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", request, "-subj", "/CN=old"
    )
    pem = openssl("x509", "-req", "-in", request, "-key", key, "-days", "3").decode()
    if "Version: 1 " not in openssl("x509", "-noout", "-text", data=pem.encode()).decode():
        pem = openssl("x509", "-req", "-in", request, "-key", key, "-days", "3", "-x509v1").decode()
    public = openssl(
        "pkey", "-pubin", "-outform", "DER", data=openssl("x509", "-pubkey", "-noout", data=pem.encode())
    )
    expected = "sha256//" + base64.b64encode(hashlib.sha256(public).digest()).decode()
    assert public_key_pin(ssl.PEM_cert_to_DER_cert(pem)) == expected


def served(*names: str):
    return Server(lambda stream: stream.write(b"here"), "tls://127.0.0.1:0", tls=ServerTLS(issued(*names)))


def shown(server) -> str:
    with connect(server.addresses[0], tls=ClientTLS(verify=False)) as stream:
        return public_key_pin(stream.tls.peer_certificate_der)


def test_a_pin_is_wanted_beside_trust(no_leaks):
    with served("127.0.0.1") as server:
        pin = shown(server)
        with connect(server.addresses[0], tls=trusting(pins=pin)) as stream:
            assert stream.read() == b"here"
        with pytest.raises(
            CertificateError, match="not one of those pinned: its public key is " + re.escape(pin)
        ):
            connect(server.addresses[0], tls=trusting(pins=OTHER_KEY))
        with pytest.raises(CertificateError, match="refused"):  # the pin fits, but nobody vouches for it
            connect(server.addresses[0], tls=ClientTLS(authority("other").cert_pem.bytes(), pins=pin))


def test_nothing_is_asked_of_a_server_that_is_not_pinned(no_leaks):
    asked = []

    def app(environ, start_response):
        asked.append(environ["PATH_INFO"])
        start_response("200 OK", [])
        return [b"yes"]

    with Server(app, "https://127.0.0.1:0", tls=ServerTLS(issued("127.0.0.1"))) as server:
        url = f"https://127.0.0.1:{server.addresses[0].port}"
        with portico.Session(verify=False) as session:
            pin = public_key_pin(session.get(f"{url}/free").tls.peer_certificate_der)
            # A connection that is kept was made for other pins, and is not taken.
            with pytest.raises(CertificateError, match="pinned"):
                session.get(f"{url}/pinned", verify=ClientTLS(verify=False, pins=OTHER_KEY))
            assert session.get(f"{url}/right", verify=trusting(pins=[OTHER_KEY, pin])).text == "yes"
    assert asked == ["/free", "/right"]


def test_one_slash_is_as_good_as_two_also_before_a_third():
    digest = base64.b64encode(b"\xff" + b"a" * 31).decode()
    assert digest.startswith("/")
    assert Pins(f"sha256/{digest}")._keys == Pins(f"sha256//{digest}")._keys == {b"\xff" + b"a" * 31}


@pytest.mark.parametrize(
    "pins",
    [
        "",
        [],
        "sha256//abc=",
        "sha1//" + "A" * 43 + "=",
        "sha256:" + "A" * 43 + "=",
        "sha256///" + "A" * 43 + "=",
        "ab" * 31,
        "ab" * 33,
        "zz" * 32,
        [OTHER_KEY, "x"],
    ],
)
def test_what_is_no_pin_is_refused(pins):
    with pytest.raises(ConfigError, match="pins"):
        ClientTLS(pins=pins)


@pytest.mark.parametrize("cut", [0, 1, 2, 4, 5, 30, 60, 100])
def test_a_certificate_that_is_none_is_refused(cut):
    der = ssl.PEM_cert_to_DER_cert(authority().cert_pem.bytes().decode())
    with pytest.raises(CertificateError, match="no public key"):
        Pins(OTHER_KEY).check(der[:cut])
    with pytest.raises(CertificateError, match="no certificate"):
        Pins(OTHER_KEY).check(None)


def test_settings_that_pin_say_so():
    assert repr(ClientTLS(verify=False, pins=OTHER_KEY)) == "<ClientTLS verify=False, pinned>"
