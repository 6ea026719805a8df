"""PROXY headers: what is read, what is refused, and that not a byte too many is taken."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.address import Address
from portico.errors import ConfigError, ProtocolError
from portico.sockets.proxy_protocol import LONGEST, HeaderReader, ProxyProtocol, crc32c

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
V4 = bytes([192, 0, 2, 1, 203, 0, 113, 7]) + struct.pack("!HH", 56324, 443)
V6 = bytes.fromhex("20010db8000000000000000000000001" * 2) + struct.pack("!HH", 56324, 443)


def v2(command: int, family: int, addresses: bytes, tlvs: bytes = b"") -> bytes:
    return SIGNATURE + bytes([command, family]) + struct.pack("!H", len(addresses + tlvs)) + addresses + tlvs


def tlv(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


def checked(header: bytes) -> bytes:
    """With the right checksum in its last TLV."""
    return header[:-4] + crc32c(header[:-4] + b"\0\0\0\0").to_bytes(4, "big")


READ: dict[str, tuple[bytes, str | None]] = {
    "v1 TCP4": (b"PROXY TCP4 192.0.2.1 203.0.113.7 56324 443\r\n", "tcp://192.0.2.1:56324"),
    "v1 TCP6": (b"PROXY TCP6 2001:db8::1 ::1 56324 443\r\n", "tcp://[2001:db8::1]:56324"),
    "v1 TCP6 with IPv4 within": (b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", "tcp://192.0.2.1:1"),
    "v1 UNKNOWN": (b"PROXY UNKNOWN\r\n", None),
    "v1 UNKNOWN with more": (b"PROXY UNKNOWN " + b"f" * 91 + b"\r\n", None),
    "v2 TCP4": (v2(0x21, 0x11, V4), "tcp://192.0.2.1:56324"),
    "v2 TCP6": (v2(0x21, 0x21, V6), "tcp://[2001:db8::1]:56324"),
    "v2 UNIX": (v2(0x21, 0x31, b"/run/x".ljust(108, b"\0") * 2), "unix:/run/x"),
    "v2 UNIX, abstract": (v2(0x21, 0x31, b"\0x".ljust(108, b"\0") * 2), "unix:@x"),
    "v2 LOCAL": (v2(0x20, 0x00, b""), None),
    "v2 LOCAL with addresses": (v2(0x20, 0x11, V4), None),
    "v2 LOCAL with garbage": (v2(0x20, 0xFF, b"x" * 7), None),
    "v2 UNSPEC": (v2(0x21, 0x00, b"anything"), None),
    "v2 TLVs": (
        v2(0x21, 0x11, V4, tlv(1, b"h2") + tlv(0xE0, b"") + tlv(4, b"\0" * 300)),
        "tcp://192.0.2.1:56324",
    ),
    "v2 checksum": (checked(v2(0x21, 0x11, V4, tlv(5, b"id") + tlv(3, b"\0" * 4))), "tcp://192.0.2.1:56324"),
}

REFUSED: dict[str, bytes] = {
    "no header": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a TLS hello": b"\x16\x03\x01\x02\x00",
    "small letters": b"proxy TCP4 192.0.2.1 203.0.113.7 1 2\r\n",
    "v1 unknown family": b"PROXY UDP4 192.0.2.1 203.0.113.7 1 2\r\n",
    "v1 wrong family": b"PROXY TCP4 ::1 ::1 1 2\r\n",
    "v1 wrong family, the other way": b"PROXY TCP6 192.0.2.1 203.0.113.7 1 2\r\n",
    "v1 no address": b"PROXY TCP4 192.0.2.256 203.0.113.7 1 2\r\n",
    "v1 zeros in front": b"PROXY TCP4 192.0.2.01 203.0.113.7 1 2\r\n",
    "v1 a name": b"PROXY TCP4 localhost 203.0.113.7 1 2\r\n",
    "v1 port": b"PROXY TCP4 192.0.2.1 203.0.113.7 65536 2\r\n",
    "v1 signed port": b"PROXY TCP4 192.0.2.1 203.0.113.7 +1 2\r\n",
    "v1 port with zeros in front": b"PROXY TCP4 192.0.2.1 203.0.113.7 01 2\r\n",
    "v1 two blanks": b"PROXY  TCP4 192.0.2.1 203.0.113.7 1 2\r\n",
    "v1 without CR": b"PROXY TCP4 192.0.2.1 203.0.113.7 1 2\n\r\n",
    "v1 too long": b"PROXY UNKNOWN " + b"f" * 92 + b"\r\n",
    "v1 control character": b"PROXY UNKNOWN \x00\r\n",
    "v2 version": v2(0x11, 0x11, V4),
    "v2 command": v2(0x22, 0x11, V4),
    "v2 datagrams": v2(0x21, 0x12, V4),
    "v2 family": v2(0x21, 0x41, V4),
    "v2 short": v2(0x21, 0x11, V4[:-1]),
    "v2 short UNIX": v2(0x21, 0x31, b"\0" * 215),
    "v2 too long": v2(0x21, 0x11, V4, tlv(4, b"\0" * LONGEST)),
    "v2 half a TLV": v2(0x21, 0x11, V4, b"\x01\x00"),
    "v2 a TLV that is too long": v2(0x21, 0x11, V4, b"\x01\x00\x05abcd"),
    "v2 wrong checksum": v2(0x21, 0x11, V4, tlv(3, b"\0" * 4)),
    "v2 short checksum": v2(0x21, 0x11, V4, tlv(3, b"\0" * 3)),
}


@pytest.mark.parametrize(("raw", "peer"), READ.values(), ids=READ)
@pytest.mark.parametrize("step", [1, 5, 16, 1 << 20])
def test_a_header_is_read_and_not_a_byte_more(raw: bytes, peer: str | None, step: int) -> None:
    reader, taken, stream = HeaderReader(), 0, raw + b"PROXY the rest\r\n"
    while not reader.done:
        piece = stream[taken : taken + step]
        count = reader.feed(piece)
        assert count == len(piece) or reader.done
        taken += count
    assert stream[taken:] == b"PROXY the rest\r\n"
    assert (None if reader.peer is None else str(reader.peer)) == peer


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("step", [1, 1 << 20])
def test_what_is_no_header_is_refused(raw: bytes, step: int) -> None:
    with pytest.raises(ProtocolError):
        read_all(raw, step)


def read_all(raw: bytes, step: int) -> None:
    reader = HeaderReader()
    for at in range(0, len(raw), step):
        reader.feed(raw[at : at + step])
        assert not reader.done


def test_the_checksum_is_that_of_the_standard() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # RFC 3720, B.4 has others of its kind
    assert crc32c(b"\0" * 32) == 0x8A9136AA


@given(st.binary(max_size=300), st.integers(1, 20))
def test_no_bytes_make_it_fail_otherwise(raw: bytes, step: int) -> None:
    for begin in (b"", SIGNATURE, SIGNATURE + b"\x21\x11", b"PROXY TCP4 "):
        reader, data = HeaderReader(), begin + raw
        try:
            for at in range(0, len(data), step):
                if reader.done:
                    break
                assert 0 <= reader.feed(data[at : at + step]) <= step
        except ProtocolError:
            pass


@pytest.mark.parametrize("trusted", [[], "10.0.0.0/8", ["10.0.0.1/8"], ["proxy"]])
def test_networks_that_cannot_be_are_refused(trusted: list[str]) -> None:
    with pytest.raises(ConfigError, match="proxy_protocol"):
        ProxyProtocol(trusted)


def test_it_may_be_on_at_some_addresses_only() -> None:
    some = ProxyProtocol(["unix"], on=["tcp://127.0.0.1:0", "unix:/run/x", "http://:80"])
    assert some.covers(Address.parse("tcp://127.0.0.1:1234"))
    assert some.covers(Address.parse("unix:/run/x"))
    assert some.covers(Address.parse("http://:80"))
    assert not some.covers(Address.parse("http://:81"))
    assert not some.covers(Address.parse("unix:/run/y"))
    assert ProxyProtocol(["unix"]).covers(Address.parse("unix:/run/y"))
