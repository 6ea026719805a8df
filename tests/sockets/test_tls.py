"""TLS over every kind of transport, at the level of transports: nothing here waits inside them."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import subprocess
import time

import pytest

from portico.errors import (
    AddressError,
    CertificateError,
    ConfigError,
    ConnectionLost,
    LocalProtocolError,
    StreamClosed,
    TLSError,
    Truncated,
)
from portico.sockets.memory import Faults, pair
from portico.sockets.tls import ClientTLS, ServerTLS, TLSTransport
from portico.sockets.transport import READ, WRITE, SocketTransport
from tests.peers import need
from tests.sockets.tls_pairs import (
    KINDS,
    authority,
    both,
    channel,
    connected,
    end_all,
    issued,
    lowers,
    read_all,
    shake,
    trusting,
    try_shake,
    write_all,
)

kinds = pytest.mark.parametrize("kind", KINDS)
BIG = bytes(range(256)) * 8192  # 2 MiB


def closed(*ends):
    for end in ends:
        end.close()


def drive(end):
    """Go on with one end's handshake, while its peer does nothing any more."""
    while end.handshake():
        pass


# -- the channel


@kinds
def test_bytes_go_both_ways_and_end_cleanly(kind, no_leaks):
    client, server = connected(kind)
    write_all_at_once = b"question" * 10
    results = both((write_then_read, client, write_all_at_once), (read_then_write, server, b"answer"))
    assert results == [b"answer", write_all_at_once]
    closed(client, server)


def write_then_read(end, data):
    write_all(end, data)
    end_all(end)
    return read_all(end)


def read_then_write(end, data):
    got = read_all(end)
    write_all(end, data)
    end_all(end)
    return got


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "trickle"])
def test_big_transfers_both_ways_at_once_from_two_threads_each(kind, no_leaks):
    client, server = connected(kind)
    size = len(BIG) if kind != "narrow" else 100_000
    there, back = BIG[:size], BIG[:size][::-1]
    results = both(
        (send_and_end, client, there), (read_all, client), (send_and_end, server, back), (read_all, server)
    )
    assert results[1] == back
    assert results[3] == there
    closed(client, server)


def send_and_end(end, data):
    write_all(end, data)
    end_all(end)


def test_byte_by_byte_below_is_the_same_above():
    client, server = connected("trickle")
    results = both(
        (send_and_end, client, BIG[:20_000]),
        (read_all, client),
        (send_and_end, server, BIG[:20_000]),
        (read_all, server),
    )
    assert results[1] == results[3] == BIG[:20_000]
    closed(client, server)


@pytest.mark.parametrize("minimum", ["1.2", "1.3"])
def test_facts_after_the_handshake(minimum):
    ends = channel(
        lowers("memory"),
        trusting(alpn=("h2", "http/1.1"), minimum=minimum),
        ServerTLS(issued("peer.test"), alpn=("http/1.1",), minimum=minimum),
        "Peer.Test.",
    )
    assert ends[0].tls is None
    assert ends[0].handshaking
    client, server = shake(ends)
    assert not client.handshaking
    assert client.tls.version == server.tls.version == "TLSv1.3"
    assert client.tls.cipher.startswith("TLS_")
    assert client.tls.alpn == server.tls.alpn == "http/1.1"
    assert client.tls.server_name == server.tls.server_name == "peer.test"
    assert ("DNS", "peer.test") in client.tls.peer_certificate["subjectAltName"]
    assert client.tls.peer_certificate_der
    assert server.tls.peer_certificate is None
    assert "TLSv1.3, open" in repr(client)
    closed(client, server)
    assert "closed" in repr(client)


@pytest.mark.parametrize("tickets", [True, False])
def test_without_tickets_nothing_lies_unread_at_a_client_that_only_writes(tickets):
    ends = lowers("memory")
    client, server = shake(
        channel(ends, trusting(), ServerTLS(issued("peer.test"), tickets=tickets), "peer.test")
    )
    assert bool(ends[0].recv(65536)) is tickets
    closed(client, server)


def test_no_protocol_in_common_leaves_alpn_open():
    ends = channel(
        lowers("memory"), trusting(alpn=("h2",)), ServerTLS(issued("peer.test"), alpn=("x",)), "peer.test"
    )
    client, server = shake(ends)
    assert client.tls.alpn is None
    closed(client, server)


def test_waiters_are_those_of_the_transport_below():
    client, server = connected("memory")
    assert client.waiters is client.lower.waiters
    assert client.fileno() == -1
    closed(client, server)


def test_ready_counts_plaintext_that_openssl_already_holds():
    client, server = connected("memory")
    client.send(b"abcdef")
    while server.recv(3) is None:
        pass
    assert server.lower.ready(READ) == 0
    assert server.ready(READ) == READ
    assert server.recv(10) == b"def"
    assert server.recv(10) is None
    assert server.ready(READ | WRITE) == WRITE
    closed(client, server)


def test_interest_follows_what_the_channel_needs():
    a, b = socket.socketpair()
    client, server = channel(
        (SocketTransport(a), SocketTransport(b)), trusting(), ServerTLS(issued("peer.test")), "peer.test"
    )
    assert client.interest(READ) == WRITE, "a client speaks first, whatever is wanted"
    assert server.interest(WRITE) == READ
    shake((client, server))
    assert client.interest(READ) == READ
    while client.send(BIG):
        pass
    assert client.interest(READ) == READ | WRITE, "ciphertext waits to go out"
    assert client.flush() is False
    closed(client, server)


def test_reading_and_writing_drive_an_unfinished_handshake():
    client, server = channel(lowers("memory"), trusting(), ServerTLS(issued("peer.test")), "peer.test")
    while not client.send(b"hello"):
        assert server.recv(10) is None
    assert server.recv(10) == b"hello"
    closed(client, server)


def test_recv_into_and_send_parts():
    client, server = connected("memory")
    assert client.send_parts([b"ab", bytearray(b"cd"), memoryview(b"ef")]) == 6
    room = bytearray(10)
    assert server.recv_into(memoryview(room)) == 6
    assert room[:6] == b"abcdef"
    assert server.recv_into(memoryview(room)) is None
    client.close()
    assert server.recv_into(memoryview(room)) == 0
    server.close()


def test_many_parts_take_linear_time():
    client, server = connected("memory")
    parts = [b"x" * 100] * 20_000
    started, first = time.process_time(), 0
    got = 0
    while first < len(parts):
        taken = client.send_parts(parts[first : first + 1024])
        assert taken % 100 == 0 or taken % 100 == 36, "cut only at 64 KiB"
        rest = taken
        while rest >= 100:
            rest -= 100
            first += 1
        if rest:
            client.send(parts[first][rest:])
            first += 1
        while data := server.recv(65536):
            got += len(data)
    while got < 2_000_000:
        client.flush()
        got += len(server.recv(65536) or b"")
    assert time.process_time() - started < 10
    closed(client, server)


def test_a_slow_reader_slows_its_writer_and_memory_stays_bounded():
    client, server = connected("memory")
    taken = 0
    for _ in range(1000):
        taken += client.send(BIG[:65536])
    assert taken <= 4 * 65536, "64 KiB below, and what is held here"
    assert client.ready(WRITE) == 0
    assert not client.flush()
    got = 0
    while data := server.recv(65536):
        got += len(data)
        client.flush()
    assert got == taken
    assert client.ready(WRITE) == WRITE
    closed(client, server)


def test_tls_carries_tls_carries_tls():
    ends = lowers("tls")
    for depth in range(2):
        server = ServerTLS(issued(f"depth{depth}.test"))
        ends = channel(ends, trusting(), server, f"depth{depth}.test")
    client, server = shake(ends)
    write_all(client, b"deep")
    assert server.recv(10) == b"deep"
    client.close()
    assert server.recv(10) == b""
    server.close()


# -- how it ends


@kinds
def test_close_is_an_end_that_can_be_trusted(kind):
    client, server = connected(kind)
    write_all(client, b"all of it")
    client.close() if kind not in ("trickle", "narrow") else end_all(client)
    assert read_all(server) == b"all of it"
    assert server.recv(10) == b""
    closed(client, server)


@pytest.mark.parametrize("kind", ["memory", "unix", "tcp"])
def test_an_end_without_close_notify_is_a_truncation(kind):
    client, server = connected(kind)
    write_all(client, b"part")
    client.lower.shutdown_write()
    while (data := server.recv(10)) is None:
        pass
    assert data == b"part"
    for _ in range(2):
        with pytest.raises(Truncated, match="cut short"):
            read_all(server)
    closed(client, server)


def test_a_record_cut_in_the_middle_is_a_truncation():
    for cut in (1, 3, 5, 20, 90):
        client, server = connected("memory")
        client.send(b"x" * 100)
        server._incoming.write(client.lower._other._inbox.take(cut))
        client.lower._other._inbox.clear()
        client.abort()
        with pytest.raises(ConnectionLost):
            read_all(server)
        server.close()


def test_abort_is_no_clean_end():
    client, server = connected("memory")
    client.abort()
    with pytest.raises(ConnectionLost):
        server.recv(10)
    server.close()


def test_premature_end_of_the_line_is_a_truncation():
    client, server = shake(
        channel(
            pair(faults=(Faults(end_after=6000), None)),
            trusting(),
            ServerTLS(issued("peer.test")),
            "peer.test",
        )
    )
    write_all(client, b"x" * 10_000)
    with pytest.raises(Truncated):
        read_all(server)
    closed(client, server)


@pytest.mark.parametrize("minimum", ["1.2", "1.3"])
def test_half_close_leaves_the_other_direction_open(minimum):
    context = trusting()
    if minimum == "1.2":
        context.context.maximum_version = ssl.TLSVersion.TLSv1_2
    client, server = shake(channel(lowers("memory"), context, ServerTLS(issued("peer.test")), "peer.test"))
    server.send(b"already under way ")
    assert client.shutdown_write()
    assert client.shutdown_write(), "twice is harmless"
    with pytest.raises(LocalProtocolError):
        client.send(b"x")
    assert server.recv(10) == b""
    write_all(server, b"and still coming")
    server.close()
    assert read_all(client) == b"already under way and still coming"
    client.close()


def test_plaintext_that_came_before_half_close_is_kept_whole():
    client, server = connected("memory")
    write_all(server, BIG[:50_000])
    assert client.recv(10) == BIG[:10]
    client.shutdown_write()
    assert client.ready(READ) == READ
    room = bytearray(90)
    assert client.recv_into(memoryview(room)) == 90
    server.close()
    assert bytes(BIG[:10]) + room + read_all(client) == BIG[:50_000]
    client.close()


def test_a_closed_channel_says_so():
    client, server = connected("memory")
    client.close()
    client.close()
    client.abort()
    for use in (lambda: client.recv(1), lambda: client.send(b"x"), client.flush, client.handshake):
        with pytest.raises(StreamClosed):
            use()
    server.close()


def test_closing_wakes_who_waits():
    client, server = connected("unix")
    rung = []

    class Bell:
        def wake(self):
            rung.append(client.closed)

    client.waiters.add(Bell())
    client.close()
    assert rung[0] is True
    server.close()


def test_closing_before_or_during_the_handshake_is_quiet():
    client, server = channel(lowers("memory"), trusting(), ServerTLS(issued("peer.test")), "peer.test")
    client.handshake()
    client.close()
    with pytest.raises(TLSError, match="during the TLS handshake"):
        drive(server)
    server.close()


def test_forged_ciphertext_breaks_the_channel_for_good():
    client, server = connected("memory")
    client.lower.send(b"\x17\x03\x03\x00\x20" + bytes(32))
    for _ in range(2):
        with pytest.raises(TLSError, match="bad record mac"):
            server.recv(10)
    with pytest.raises(TLSError):
        server.send(b"x")
    with pytest.raises(TLSError, match="bad record mac"):
        read_all(client)
    closed(client, server)


def test_writing_to_a_peer_that_is_gone():
    client, server = connected("tcp")
    server.abort()
    with pytest.raises(ConnectionLost):
        write_all(client, BIG)
    client.close()


# -- who is trusted


def refused(client, server, name="peer.test", kind="memory"):
    return try_shake(channel(lowers(kind), client, server, name))


def test_another_host_name_is_refused():
    ours, theirs = refused(trusting(), ServerTLS(issued("other.test")))
    assert isinstance(ours, CertificateError)
    assert "Hostname mismatch" in str(ours)
    assert "server_name=" in str(ours)
    assert isinstance(theirs, TLSError)
    assert "refused our certificate" in str(theirs)


@pytest.mark.parametrize(("asked", "covered"), [("127.0.0.1", "127.0.0.2"), ("::1", "127.0.0.1")])
def test_another_ip_address_is_refused(asked, covered):
    ours, _ = refused(trusting(), ServerTLS(issued(covered)), asked)
    assert isinstance(ours, CertificateError)
    assert "IP address mismatch" in str(ours)


@pytest.mark.parametrize(
    ("asked", "covered"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("[::1]", "::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("sub.wild.test", "*.wild.test"),
        ("UPPER.test.", "upper.test"),
        ("bücher.test", "xn--bcher-kva.test"),
        ("faß.test", "xn--fa-hia.test"),
    ],
)
def test_names_are_matched_as_certificates_have_them(asked, covered):
    ours, theirs = refused(trusting(), ServerTLS(issued(covered)), asked)
    assert (ours, theirs) == (None, None)


@pytest.mark.parametrize("asked", ["a.b.wild.test", "wild.test"])
def test_a_wildcard_covers_one_label(asked):
    ours, _ = refused(trusting(), ServerTLS(issued("*.wild.test")), asked)
    assert isinstance(ours, CertificateError)


def test_a_common_name_alone_is_not_a_name():
    certificate = authority().issue_cert(common_name="peer.test")
    ours, _ = refused(trusting(), ServerTLS(certificate.private_key_and_cert_chain_pem.bytes()))
    assert isinstance(ours, CertificateError)


def test_an_expired_certificate_is_refused():
    past = dt.datetime.now(dt.UTC) - dt.timedelta(days=2)
    ours, _ = refused(trusting(), ServerTLS(issued("peer.test", not_after=past)))
    assert isinstance(ours, CertificateError)
    assert "expired" in str(ours)
    assert "clock" in str(ours)


def test_a_certificate_from_the_future_is_refused():
    future = dt.datetime.now(dt.UTC) + dt.timedelta(days=2)
    ours, _ = refused(trusting(), ServerTLS(issued("peer.test", not_before=future)))
    assert isinstance(ours, CertificateError)
    assert "not yet valid" in str(ours)


def test_a_self_signed_certificate_is_refused():
    ours, _ = refused(trusting(), ServerTLS.self_signed(["peer.test"], directory=None))
    assert isinstance(ours, CertificateError)
    assert "self-signed" in str(ours)
    assert "ca=" in str(ours)


def test_an_unknown_authority_is_refused():
    ours, _ = refused(trusting("another"), ServerTLS(issued("peer.test")))
    assert isinstance(ours, CertificateError)
    assert "ca=" in str(ours)


def test_the_system_does_not_know_our_authority():
    ours, _ = refused(ClientTLS(), ServerTLS(issued("peer.test")))
    assert isinstance(ours, CertificateError)


def test_the_system_trust_store_is_used_by_default():
    if ssl.get_default_verify_paths().cafile is None:
        pytest.skip("no trust store here")
    assert ClientTLS().context.get_ca_certs()
    assert not trusting().context.get_ca_certs()[1:]


def test_truststore_serves_where_openssl_finds_nothing(monkeypatch, tmp_path):
    nothing = ssl.get_default_verify_paths()._replace(cafile=None, capath=None)
    monkeypatch.setattr("portico.sockets.tls.ssl.get_default_verify_paths", lambda: nothing)
    client = ClientTLS()
    assert type(client.context).__module__.startswith("truststore")
    monkeypatch.undo()
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(authority().cert_pem.bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    assert refused(client, ServerTLS(issued("peer.test"))) == (None, None)
    ours, _ = refused(client, ServerTLS(issued("other.test")))
    assert isinstance(ours, CertificateError)


def test_the_default_settings_are_made_once():
    assert ClientTLS.default() is ClientTLS.default()
    assert repr(ClientTLS.default()) == "<ClientTLS trust=system>"


def test_no_verification_is_a_choice_that_shows():
    client = ClientTLS(verify=False)
    assert repr(client) == "<ClientTLS verify=False>"
    assert repr(trusting()) == "<ClientTLS trust=own CA>"
    assert repr(ClientTLS()) == "<ClientTLS trust=system>"
    ends = shake(channel(lowers("memory"), client, ServerTLS.self_signed(directory=None), None))
    assert ends[0].tls.peer_certificate is None
    assert ends[0].tls.peer_certificate_der
    closed(*ends)


def test_one_cannot_trust_somebody_and_anybody():
    with pytest.raises(ConfigError, match="verify=False"):
        trusting(verify=False)


def test_verifying_needs_a_name():
    with pytest.raises(ConfigError, match="server_name="):
        trusting().wrap(pair()[0])


def test_server_name_of_the_settings_is_expected_instead_of_the_host():
    client = trusting(server_name="peer.test")
    assert refused(client, ServerTLS(issued("peer.test")), "10.0.0.1") == (None, None)
    assert "server_name=peer.test" in repr(client)


def test_a_server_name_that_is_none_is_refused():
    with pytest.raises(AddressError):
        trusting(server_name="not a host")


def test_trust_as_file_folder_text_or_context(tmp_path):
    path = tmp_path / "ca.pem"
    path.write_bytes("Größe, a note in UTF-8\n".encode() + authority().cert_pem.bytes())
    context = ssl.create_default_context(cafile=str(path))
    for ca in (path, str(path), path.read_text(), path.read_bytes(), context):
        assert refused(ClientTLS(ca), ServerTLS(issued("peer.test"))) == (None, None)
    with pytest.raises(ConfigError, match="openssl rehash"):
        ClientTLS(tmp_path)
    subprocess.run([need("openssl"), "rehash", tmp_path], check=True, timeout=20)
    assert refused(ClientTLS(tmp_path), ServerTLS(issued("peer.test"))) == (None, None)
    assert repr(ClientTLS(context)) == "<ClientTLS trust=own context>"
    with pytest.raises(ConfigError, match="as it is"):
        ClientTLS(context, alpn=("h2",))


def test_a_leaf_may_be_trusted_itself():
    leaf = authority("pinned").issue_cert("peer.test")
    client = ClientTLS(leaf.cert_chain_pems[0].bytes())
    server = ServerTLS(leaf.private_key_and_cert_chain_pem.bytes())
    assert refused(client, server) == (None, None)


@pytest.mark.parametrize(
    "text", ["no such file", b"text without certificates", b"-----BEGIN CERTIFICATE-----\nAAAA\n"]
)
def test_a_ca_that_cannot_be_used_is_a_clear_error(text, tmp_path):
    ca = tmp_path / "missing.pem" if isinstance(text, str) else text
    with pytest.raises(ConfigError, match=r"CA file|no certificate|cannot be used"):
        ClientTLS(ca)


# -- client certificates


def requiring(**options):
    return ServerTLS(issued("peer.test"), client_ca=authority("clients").cert_pem.bytes(), **options)


def test_a_required_client_certificate_is_verified_and_known():
    client = trusting(certificate=issued("me@example.test", ca="clients"))
    server = requiring(require_client_certificate=True)
    ends = shake(channel(lowers("memory"), client, server, "peer.test"))
    names = ends[1].tls.peer_certificate["subjectAltName"]
    assert names == (("email", "me@example.test"),)
    closed(*ends)


@pytest.mark.parametrize("kind", ["memory", "tcp"])
def test_a_client_without_the_required_certificate_is_refused_and_told(kind):
    ours, theirs = refused(trusting(), requiring(require_client_certificate=True), kind=kind)
    assert isinstance(theirs, TLSError)
    assert "sent none" in str(theirs)
    assert isinstance(ours, TLSError)
    assert "give certificate=" in str(ours)


def test_a_client_certificate_of_a_stranger_is_refused_and_told():
    client = trusting(certificate=issued("me", ca="strangers"))
    for required in (True, False):
        ours, theirs = refused(client, requiring(require_client_certificate=required))
        assert isinstance(theirs, CertificateError)
        assert "the client's certificate was refused" in str(theirs)
        assert isinstance(ours, TLSError)
        assert not isinstance(ours, CertificateError)
        assert "does not trust the authority" in str(ours)


def test_an_expired_client_certificate_is_refused_and_told():
    past = dt.datetime.now(dt.UTC) - dt.timedelta(days=2)
    client = trusting(certificate=issued("me", ca="clients", not_after=past))
    ours, theirs = refused(client, requiring())
    assert isinstance(theirs, CertificateError)
    assert "our certificate: expired" in str(ours)


def test_a_refused_client_that_only_writes_learns_why():
    client, server = channel(
        lowers("memory"), trusting(), requiring(require_client_certificate=True), "peer.test"
    )
    with pytest.raises(TLSError, match="sent none"):
        shake((client, server))
    server.close()
    with pytest.raises(TLSError, match="give certificate="):
        write_all(client, b"request")
    client.close()


def test_an_optional_client_certificate_may_be_missing():
    assert refused(trusting(), requiring()) == (None, None)
    assert "client certificates asked for" in repr(requiring())


def test_requiring_needs_an_authority():
    with pytest.raises(ConfigError, match="client_ca="):
        ServerTLS(issued("peer.test"), require_client_certificate=True)


# -- SNI


def many_names(**options):
    return ServerTLS(
        issued("default.test"),
        sni={"One.test": ServerTLS(issued("one.test")), "*.wild.test": ServerTLS(issued("*.wild.test"))},
        **options,
    )


@pytest.mark.parametrize(
    ("asked", "covered"),
    [("one.test", "one.test"), ("x.wild.test", "*.wild.test"), ("default.test", "default.test")],
)
def test_sni_selects_the_certificate(asked, covered):
    ends = shake(channel(lowers("memory"), trusting(alpn=("a", "b")), many_names(alpn=("b",)), asked))
    assert ends[0].tls.peer_certificate["subjectAltName"] == (("DNS", covered),)
    assert ends[1].tls.server_name == asked
    assert ends[0].tls.alpn == "b", "the rest is as the outer settings say"
    closed(*ends)


def test_an_unknown_name_gets_the_default_certificate_which_does_not_fit():
    ours, _ = refused(trusting(), many_names(), "stranger.test")
    assert isinstance(ours, CertificateError)


def test_a_client_certificate_is_demanded_under_every_name():
    server = many_names(client_ca=authority("clients").cert_pem.bytes(), require_client_certificate=True)
    for name in ("one.test", "default.test", "x.wild.test"):
        _, theirs = refused(trusting(), server, name)
        assert "sent none" in str(theirs)


def test_demands_of_an_inner_setting_are_not_silently_dropped():
    with pytest.raises(ConfigError, match="outer"):
        ServerTLS(issued("a.test"), sni={"b.test": requiring(require_client_certificate=True)})


# -- versions and what is not TLS


def old_context(version):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=authority().cert_pem.bytes().decode())
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    return context


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tls_below_1_2_is_refused():
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        ours, theirs = refused(ClientTLS(old_context(version)), ServerTLS(issued("peer.test")))
        assert isinstance(theirs, TLSError)
        assert isinstance(ours, TLSError)
        assert "no version of TLS in common" in str(theirs)


def test_a_minimum_of_1_3_refuses_1_2():
    client = ClientTLS(old_context(ssl.TLSVersion.TLSv1_2))
    assert refused(client, ServerTLS(issued("peer.test"))) == (None, None)
    ours, theirs = refused(client, ServerTLS(issued("peer.test"), minimum="1.3"))
    assert "no version of TLS in common" in str(theirs)
    assert "no version of TLS in common" in str(ours)


def test_an_unknown_minimum_is_refused():
    for make in (lambda: ClientTLS(minimum="1.1"), lambda: ServerTLS(issued("a.test"), minimum="3")):
        with pytest.raises(ConfigError, match="minimum"):
            make()


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"EHLO me\r\n" * 20,
        bytes(200),
        b"\xff" * 5000,
    ],
)
def test_plaintext_sent_to_a_tls_server(garbage):
    plain, lower = lowers("memory")
    server = ServerTLS(issued("peer.test")).wrap(lower)
    plain.send(garbage)
    with pytest.raises(TLSError, match=r"does not speak TLS|handshake failed"):
        drive(server)
    server.close()
    plain.close()


def test_an_http_request_to_a_tls_port_is_recognised():
    plain, lower = lowers("memory")
    server = ServerTLS(issued("peer.test")).wrap(lower)
    plain.send(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(TLSError, match="plain HTTP request"):
        server.handshake()
    closed(server, plain)


@pytest.mark.parametrize("greeting", [b"220 mail.test ESMTP\r\n", b"HTTP/1.0 400 Bad Request\r\n\r\n"])
@pytest.mark.parametrize("kind", ["memory", "tcp"])
def test_a_tls_client_at_a_plaintext_server(greeting, kind):
    lower, plain = lowers(kind)
    client = trusting().wrap(lower, "peer.test")
    plain.send(greeting)
    plain.shutdown_write()
    with pytest.raises(TLSError, match="does not speak TLS"):
        drive(client)
    closed(client, plain)


@pytest.mark.parametrize("kind", ["memory", "tcp", "unix"])
def test_a_peer_that_leaves_in_the_handshake(kind):
    lower, plain = lowers(kind)
    client = trusting().wrap(lower, "peer.test")
    plain.close()
    with pytest.raises(TLSError, match="during the TLS handshake"):
        drive(client)
    client.close()


def test_an_endless_stream_of_answers_is_bounded():
    """A peer that asks for key updates and never reads: we stop reading, and hold little."""
    client, server = shake(
        channel(pair(capacity=1 << 16), trusting(), ServerTLS(issued("peer.test")), "peer.test")
    )
    while server.send(BIG[:65536]):
        pass
    before = len(server._unsent)
    server._outgoing.write(b"x" * (1 << 20))  # as if OpenSSL had answered that much
    assert server.recv(10) is None
    assert len(server._unsent) >= before
    assert server.interest(READ) == WRITE, "reading has to wait for writing"
    client.abort()
    server.abort()


def test_a_connection_keeps_no_exception_alive():
    client, server = connected("memory")
    client.lower.abort()
    errors = []
    for _ in range(2):
        with pytest.raises(ConnectionLost) as caught:
            server.recv(1)
        errors.append(caught.value)
    assert errors[0] is not errors[1]
    closed(client, server)


def test_the_key_log_can_be_asked_for(monkeypatch, tmp_path):
    log = tmp_path / "keys"
    monkeypatch.setenv("SSLKEYLOGFILE", str(log))
    closed(*connected("memory"))
    assert "CLIENT_TRAFFIC_SECRET_0" in log.read_text()
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "no" / "folder"))
    with pytest.raises(ConfigError, match="SSLKEYLOGFILE"):
        ClientTLS()


def test_renegotiation_and_compression_are_off_and_versions_bounded():
    for context in (ClientTLS().context, ServerTLS(issued("a.test")).context):
        assert context.options & ssl.OP_NO_RENEGOTIATION
        assert context.options & ssl.OP_NO_COMPRESSION
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_alpn_mistakes_are_refused():
    for alpn in ("h2", ("",), ("ü",), ("x" * 256,)):
        with pytest.raises(ConfigError, match="alpn"):
            ClientTLS(alpn=alpn)


def test_a_context_of_ones_own_can_be_used_directly():
    context = ServerTLS(issued("peer.test")).context
    a, b = lowers("memory")
    client = TLSTransport(a, trusting().context, server_side=False, server_name="peer.test")
    shake((client, TLSTransport(b, context, server_side=True)))
    client.close()
    b.close()
