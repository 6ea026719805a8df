"""A server's certificate files: mistakes in them, their replacement, and certificates for development."""

from __future__ import annotations

import datetime as dt
import logging
import os
import stat
import sys

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from portico.errors import AddressError, CertificateError, ConfigError
from portico.sockets import certificates
from portico.sockets.tls import ClientTLS, ServerTLS
from tests.sockets.tls_pairs import authority, channel, issued, lowers, shake, trusting, try_shake


def halves(pem: bytes) -> tuple[bytes, bytes]:
    """Certificate and key of a PEM text that has the key first."""
    at = pem.index(b"-----BEGIN CERTIFICATE")
    return pem[at:], pem[:at]


@pytest.fixture
def files(tmp_path):
    certificate, key = tmp_path / "site.pem", tmp_path / "site.key"
    for path, data in zip((certificate, key), halves(issued("first.test")), strict=True):
        path.write_bytes(data)
    return certificate, key


def put(files, pem: bytes) -> None:
    for path, data in zip(files, halves(pem), strict=True):
        path.write_bytes(data)


def names(server: ServerTLS) -> list[str]:
    """The names in the certificate that a new connection is shown."""
    ends = shake(channel(lowers("memory"), ClientTLS(verify=False), server, "x.test"))
    shown = x509.load_der_x509_certificate(ends[0].tls.peer_certificate_der)
    for end in ends:
        end.close()
    found = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in found]


@pytest.fixture
def eager(monkeypatch):
    """Files are looked at on every handshake."""
    monkeypatch.setattr("portico.sockets.tls._RECHECK", 0.0)


# -- what is wrong with the files


def test_certificate_and_key_in_two_files_or_one(files, tmp_path):
    certificate, key = files
    both = tmp_path / "both.pem"
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    for server in (ServerTLS(certificate, key), ServerTLS(str(certificate), str(key)), ServerTLS(both)):
        assert names(server) == ["first.test"]
    assert repr(ServerTLS(both)) == f"<ServerTLS {both}>"


def test_certificate_and_key_as_text(files):
    certificate, key = (path.read_text() for path in files)
    server = ServerTLS(certificate, key)
    assert names(server) == ["first.test"]
    assert "BEGIN" not in repr(server)


def test_text_leaves_no_key_on_disk(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ServerTLS(issued("a.test"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("which", [0, 1])
def test_a_missing_file_is_named(files, which):
    files[which].unlink()
    with pytest.raises(ConfigError, match=r"site\.(pem|key): No such file") as caught:
        ServerTLS(*files)
    assert str(files[which]) in str(caught.value)


def test_a_folder_is_no_certificate(tmp_path):
    with pytest.raises(ConfigError, match="Is a directory"):
        ServerTLS(tmp_path)


def test_a_key_that_may_not_be_read_is_named(files):
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    files[1].chmod(0)
    with pytest.raises(ConfigError, match="Permission denied"):
        ServerTLS(*files)


def test_a_key_of_another_certificate_is_refused(files):
    files[1].write_bytes(halves(issued("other.test"))[1])
    with pytest.raises(ConfigError, match=r"site\.key does not belong to the certificate in .*site\.pem"):
        ServerTLS(*files)


def test_a_file_without_a_certificate_is_refused(files):
    with pytest.raises(ConfigError, match=r"site\.key contains no certificate"):
        ServerTLS(files[1], files[1])


def test_a_file_without_a_key_is_refused(files):
    with pytest.raises(ConfigError, match=r"site\.pem contains no private key.*key="):
        ServerTLS(files[0])
    with pytest.raises(ConfigError, match=r"site\.pem contains no private key in PEM form$"):
        ServerTLS(files[0], files[0])


def test_damaged_contents_are_refused(files):
    files[0].write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    with pytest.raises(ConfigError, match=r"site\.pem or .* cannot be used"):
        ServerTLS(*files)


@pytest.fixture
def encrypted(files):
    key = serialization.load_pem_private_key(files[1].read_bytes(), None)
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"open sesame"),
        )
    )
    return files


def test_an_encrypted_key_needs_its_password(encrypted):
    with pytest.raises(ConfigError, match=r"site\.key is encrypted: give its password="):
        ServerTLS(*encrypted)
    with pytest.raises(ConfigError, match="wrong password"):
        ServerTLS(*encrypted, password="close sesame")
    for password in ("open sesame", b"open sesame"):
        server = ServerTLS(*encrypted, password=password)
        assert names(server) == ["first.test"]
        assert "sesame" not in repr(server) + repr(vars(server))


def test_a_client_certificate_has_the_same_checks(files):
    assert ClientTLS(certificate=files)
    with pytest.raises(ConfigError, match="no private key"):
        ClientTLS(certificate=files[0])


def test_the_certificate_and_its_fingerprint_can_be_shown(files):
    server = ServerTLS(*files)
    assert server.certificate_pem == files[0].read_bytes()
    leaf = x509.load_pem_x509_certificate(server.certificate_pem)
    from cryptography.hazmat.primitives.hashes import SHA256

    assert server.fingerprint == leaf.fingerprint(SHA256()).hex(":").upper()


# -- replacing them


def test_reload_serves_new_handshakes_while_an_old_connection_lives_on(files):
    server = ServerTLS(*files)
    client, old = shake(channel(lowers("memory"), trusting(), server, "first.test"))
    put(files, issued("second.test"))
    assert names(server) == ["first.test"], "not looked at again within a second"
    server.reload()
    assert names(server) == ["second.test"]
    client.send(b"still here")
    assert old.recv(100) == b"still here"
    client.close()
    old.close()


def test_a_broken_reload_keeps_the_old_and_says_why(files):
    server = ServerTLS(*files)
    files[1].write_bytes(b"oops")
    with pytest.raises(ConfigError, match=r"site\.key contains no private key"):
        server.reload()
    assert names(server) == ["first.test"]


def test_replaced_files_are_noticed(files, eager):
    server = ServerTLS(*files)
    for name in ("second.test", "third.test"):
        put(files, issued(name))
        assert names(server) == [name]


def test_files_replaced_by_renaming_are_noticed(files, eager, tmp_path):
    server = ServerTLS(*files)
    before = files[0].stat()
    for path, data in zip(files, halves(issued("second.test")), strict=True):
        new = tmp_path / "new"
        new.write_bytes(data)
        os.utime(new, ns=(before.st_mtime_ns, before.st_mtime_ns))
        new.rename(path)
    assert names(server) == ["second.test"], "same time stamp, another inode"


def test_a_link_that_moves_on_is_noticed(files, eager, tmp_path):
    link = tmp_path / "live.pem"
    for number in (1, 2):
        (tmp_path / f"archive{number}.pem").write_bytes(issued(f"name{number}.test"))
    link.symlink_to("archive1.pem")
    server = ServerTLS(link)
    link.unlink()
    link.symlink_to("archive2.pem")
    assert names(server) == ["name2.test"]


def test_half_a_replacement_keeps_the_old_until_it_is_whole(files, eager, caplog):
    server = ServerTLS(*files)
    certificate, key = halves(issued("second.test"))
    files[0].write_bytes(certificate)
    with caplog.at_level(logging.WARNING, "portico.tls"):
        for _ in range(3):
            assert names(server) == ["first.test"]
    assert len(caplog.records) == 1, "said once, not at each handshake"
    assert "does not belong" in caplog.text
    files[1].write_bytes(key)
    assert names(server) == ["second.test"]


def test_a_vanished_file_keeps_the_old(files, eager, caplog):
    server = ServerTLS(*files)
    files[0].unlink()
    assert names(server) == ["first.test"]
    assert "No such file" in caplog.text


def test_files_are_looked_at_once_a_second_at_most(files, monkeypatch):
    looks = []
    server = ServerTLS(*files)
    monkeypatch.setattr(
        "portico.sockets.tls.stamp", lambda found: looks.append(found) or server._loaded.stamp
    )
    now = server._checked
    for at in (0.1, 0.9, 1.1, 1.2, 2.0, 2.2, 2.3):
        monkeypatch.setattr("portico.sockets.tls.monotonic", lambda at=at: now + at)
        assert server.context
    assert len(looks) == 2


def test_certificates_chosen_by_sni_are_renewed_too(files, eager):
    server = ServerTLS(issued("default.test"), sni={"first.test": ServerTLS(*files)})
    put(files, issued("first.test", "renewed.test"))
    ends = shake(channel(lowers("memory"), trusting(), server, "first.test"))
    assert ("DNS", "renewed.test") in ends[0].tls.peer_certificate["subjectAltName"]
    for end in ends:
        end.close()


def test_a_new_client_authority_counts_for_new_handshakes(eager, tmp_path):
    trusted = tmp_path / "clients.pem"
    trusted.write_bytes(authority("clients").cert_pem.bytes())
    server = ServerTLS(issued("a.test"), client_ca=trusted, require_client_certificate=True)
    client = trusting(certificate=issued("me", ca="clients"))
    assert try_shake(channel(lowers("memory"), client, server, "a.test")) == (None, None)
    trusted.write_bytes(authority("strangers").cert_pem.bytes())
    _, theirs = try_shake(channel(lowers("memory"), client, server, "a.test"))
    assert isinstance(theirs, CertificateError), "no session of before is taken up again"


# -- for development


def test_self_signed_in_memory_is_trusted_by_who_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    server = ServerTLS.self_signed(directory=None, alpn=("h2",))
    client = ClientTLS(server.certificate_pem)
    for name in ("localhost", "127.0.0.1", "::1"):
        assert try_shake(channel(lowers("memory"), client, server, name)) == (None, None)
    ours, _ = try_shake(channel(lowers("memory"), client, server, "other.test"))
    assert isinstance(ours, CertificateError)
    assert list(tmp_path.iterdir()) == []


def test_each_certificate_in_memory_is_another():
    one, two = ServerTLS.self_signed(directory=None), ServerTLS.self_signed(directory=None)
    assert one.fingerprint != two.fingerprint


def test_self_signed_is_kept_in_the_users_cache_and_reused(monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first, second = ServerTLS.self_signed(), ServerTLS.self_signed()
    assert first.fingerprint == second.fingerprint
    folder = tmp_path / "portico" / "tls"
    (file,) = folder.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert ServerTLS.self_signed(["other.test"]).fingerprint != first.fingerprint
    assert capfd.readouterr() == ("", "")


def test_self_signed_says_what_it_is(tmp_path):
    server = ServerTLS.self_signed(["bücher.test", "*.wild.test", "::1"], directory=tmp_path / "new")
    leaf = x509.load_pem_x509_certificate(server.certificate_pem)
    assert names(server) == ["xn--bcher-kva.test", "*.wild.test", "::1"]
    assert "development" in leaf.subject.rfc4514_string()
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert leaf.public_key().curve.name == "secp256r1"
    assert leaf.not_valid_before_utc < dt.datetime.now(dt.UTC) - dt.timedelta(hours=12)


def test_self_signed_is_renewed_a_week_before_it_expires(monkeypatch, tmp_path):
    monkeypatch.setattr(certificates, "_VALID", dt.timedelta(days=7, seconds=30))
    first = ServerTLS.self_signed(directory=tmp_path)
    assert ServerTLS.self_signed(directory=tmp_path).fingerprint == first.fingerprint
    monkeypatch.setattr(certificates, "_RENEW", dt.timedelta(days=8))
    assert ServerTLS.self_signed(directory=tmp_path).fingerprint != first.fingerprint


@pytest.mark.parametrize("damage", ["garbage", "no key", "readable by others", "a link"])
def test_a_kept_certificate_that_cannot_be_trusted_is_made_anew(damage, tmp_path):
    folder = tmp_path / "kept"
    first = ServerTLS.self_signed(directory=folder)
    (file,) = folder.iterdir()
    if damage == "garbage":
        file.write_bytes(b"-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n")
    elif damage == "no key":
        file.write_bytes(first.certificate_pem.partition(b"-----BEGIN PRIVATE")[0])
    elif damage == "readable by others":
        file.chmod(0o644)
    else:
        elsewhere = tmp_path / "planted.pem"
        file.rename(elsewhere)
        file.symlink_to(elsewhere)
    assert ServerTLS.self_signed(directory=folder).fingerprint != first.fingerprint
    assert stat.S_IMODE(file.lstat().st_mode) == 0o600
    assert [each.name for each in folder.iterdir()] == [file.name]


def test_a_folder_where_others_may_write_is_refused(tmp_path):
    tmp_path.chmod(0o777)
    with pytest.raises(ConfigError, match="0700"):
        ServerTLS.self_signed(directory=tmp_path)


def test_a_folder_that_cannot_be_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match="another directory="):
        ServerTLS.self_signed(directory=tmp_path / "file" / "below")


def test_self_signed_names_are_checked():
    with pytest.raises(AddressError):
        ServerTLS.self_signed(["not a host"], directory=None)
    for nobody in ([], "localhost"):
        with pytest.raises(ConfigError, match="list of host names"):
            ServerTLS.self_signed(nobody, directory=None)


def test_without_its_library_self_signed_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "cryptography", None)
    for folder in (None, tmp_path):
        with pytest.raises(ConfigError, match="pip install cryptography"):
            ServerTLS.self_signed(directory=folder)
