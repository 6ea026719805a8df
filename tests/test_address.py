"""Addresses: every form is read, equal places are equal, what could be misread is refused."""

from __future__ import annotations

import copy
import pickle
import socket
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portico.address import Address, canonical_host, port_services, service_port, services
from portico.errors import AddressError

# -- what is read

FORMS = {
    "tcp://host:80": ("tcp", "host", 80, ""),
    "TCP://Host:80": ("tcp", "host", 80, ""),
    "tcp://:9000": ("tcp", "", 9000, ""),
    "tcp://127.0.0.1:0": ("tcp", "127.0.0.1", 0, ""),
    "tcp://[::1]:80": ("tcp", "::1", 80, ""),
    "tcp://[0:0::0:1]:65535": ("tcp", "::1", 65535, ""),
    "tcp://[fe80::1%eth0]:80": ("tcp", "fe80::1%eth0", 80, ""),
    "tcp://[fe80::1%25eth0]:80": ("tcp", "fe80::1%eth0", 80, ""),
    "tcp://[FE80::1%3]:80": ("tcp", "fe80::1%3", 80, ""),
    "tcp://[::ffff:192.0.2.1]:80": ("tcp", "192.0.2.1", 80, ""),
    "tcp://localhost:http": ("tcp", "localhost", 80, ""),
    "tcp://localhost:HTTPS": ("tcp", "localhost", 443, ""),
    "tcp://a_b.example.:1": ("tcp", "a_b.example.", 1, ""),
    "tls://example.org:853": ("tls", "example.org", 853, ""),
    "udp://127.0.0.1:5353": ("udp", "127.0.0.1", 5353, ""),
    "udp://localhost:ntp": ("udp", "localhost", 123, ""),
    "http://127.0.0.1:0/base": ("http", "127.0.0.1", 0, "/base"),
    "http://example.org": ("http", "example.org", 80, ""),
    "http://example.org/": ("http", "example.org", 80, ""),
    "http://:8000": ("http", "", 8000, ""),
    "http://h/caf\u00e9/%7euser%2f": ("http", "h", 80, "/caf%C3%A9/~user%2F"),
    "http://h/a@b": ("http", "h", 80, "/a@b"),
    "https://[::1]/": ("https", "::1", 443, ""),
    "https://M\u00fcnchen.example/": ("https", "xn--mnchen-3ya.example", 443, ""),
    "ftp://example.org/pub": ("ftp", "example.org", 21, "/pub"),
    "smtp://mail.example.org": ("smtp", "mail.example.org", 25, ""),
    "rpc://127.0.0.1:7000/calculator": ("rpc", "127.0.0.1", 7000, "/calculator"),
    "localhost:80": ("tcp", "localhost", 80, ""),
    "localhost:http": ("tcp", "localhost", 80, ""),
    "[::1]:80": ("tcp", "::1", 80, ""),
    ":80": ("tcp", "", 80, ""),
    ":http": ("tcp", "", 80, ""),
    "unix:/run/x.sock": ("unix", "", None, "/run/x.sock"),
    "unix:///run/x.sock": ("unix", "", None, "/run/x.sock"),
    "unix:relative.sock": ("unix", "", None, "relative.sock"),
    "unix:./relative.sock": ("unix", "", None, "relative.sock"),
    "unix:../x.sock": ("unix", "", None, "../x.sock"),
    "unix:/run//./x.sock": ("unix", "", None, "/run/x.sock"),
    "unix:/run/a b.sock": ("unix", "", None, "/run/a b.sock"),
    "unix:/run/a%20b%3F.sock": ("unix", "", None, "/run/a b?.sock"),
    "unix:@abstract": ("unix", "", None, "@abstract"),
    "unix:./@file": ("unix", "", None, "./@file"),
    "unixgram:/run/log": ("unixgram", "", None, "/run/log"),
    "/run/x.sock": ("unix", "", None, "/run/x.sock"),
    "/run/100%/x?y#z.sock": ("unix", "", None, "/run/100%/x?y#z.sock"),
    "./x.sock": ("unix", "", None, "x.sock"),
    "../x.sock": ("unix", "", None, "../x.sock"),
    "memory:name": ("memory", "", None, "name"),
    "memory://name": ("memory", "", None, "name"),
    "fd://3": ("fd", "", None, "3"),
    "fd:3": ("fd", "", None, "3"),
    "packet://eth0": ("packet", "", None, "eth0"),
    "packet:eth0.100": ("packet", "", None, "eth0.100"),
}


@pytest.mark.parametrize(("text", "parts"), FORMS.items(), ids=FORMS)
def test_every_form_is_read_and_its_text_reads_back(text: str, parts: tuple[object, ...]) -> None:
    address = Address.parse(text)
    assert (address.scheme, address.host, address.port, address.path) == parts
    assert address.options == ()
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (("localhost", 80), "tcp://localhost:80"),
        (("LOCALHOST", "http"), "tcp://localhost:80"),
        (("", 0), "tcp://:0"),
        ((None, 80), "tcp://:80"),
        (("::1", 80), "tcp://[::1]:80"),
        (("::1", 80, 0, 0), "tcp://[::1]:80"),
        (("fe80::1", 80, 0, 2), "tcp://[fe80::1%2]:80"),
        (("fe80::1%eth0", 80, 0, 2), "tcp://[fe80::1%eth0]:80"),
        (Path("/run/x.sock"), "unix:/run/x.sock"),
        (Path("x.sock"), "unix:x.sock"),
        (PurePosixPath("@file"), "unix:./@file"),
        (Path("/run/50% off?.sock"), "unix:/run/50%25%20off%3F.sock"),
        (Path("/run/\udcff.sock"), "unix:/run/%FF.sock"),
    ],
)
def test_tuples_and_paths_are_read(value: object, text: str) -> None:
    address = Address.parse(value)  # type: ignore[arg-type]
    assert str(address) == text
    assert Address.parse(text) == address


def test_an_address_is_taken_as_it_is() -> None:
    address = Address.parse("tcp://h:1")
    assert Address.parse(address) is address


def test_without_a_scheme_the_caller_chooses_one() -> None:
    assert str(Address.parse(":8000", scheme="http")) == "http://:8000"
    assert str(Address.parse("localhost", scheme="http")) == "http://localhost"
    assert str(Address.parse(("::1", 5), scheme="udp")) == "udp://[::1]:5"
    assert str(Address.parse("tls://h:1", scheme="http")) == "tls://h:1"


def test_options_of_a_socket_file() -> None:
    address = Address.parse("unix:/run/x.sock?mode=0660")
    assert address.options == (("mode", "660"),)
    assert address.mode == 0o660
    assert str(address) == "unix:/run/x.sock?mode=660"
    assert address != Address.parse("unix:/run/x.sock")
    assert Address.parse("unix:/run/x.sock").mode is None


def test_an_interface_is_part_of_an_address_for_datagrams() -> None:
    address = Address.parse("udp://[ff15::1]:0?interface=eth0")
    assert address.interface == "eth0"
    assert str(address.with_port(9)) == "udp://[ff15::1]:9?interface=eth0"
    assert Address.parse(str(address)) == address
    assert Address.parse("udp://127.0.0.1:9").interface is None


# -- what it knows


@pytest.mark.parametrize(
    ("text", "wire", "transport", "secure"),
    [
        ("tcp://h:1", "stream", "tcp", False),
        ("tls://h:1", "stream", "tls", True),
        ("udp://h:1", "datagram", "udp", False),
        ("unix:x", "stream", "unix", False),
        ("unixgram:x", "datagram", "unixgram", False),
        ("http://h", "http", "tcp", False),
        ("https://h", "http", "tls", True),
        ("ftp://h", "ftp", "tcp", False),
        ("smtp://h", "smtp", "tcp", False),
        ("rpc://h:1", "rpc", "tcp", False),
        ("memory:x", "stream", "memory", False),
        ("fd://3", "stream", "fd", False),
        ("packet://eth0", "packet", "packet", False),
    ],
)
def test_wire_and_transport(text: str, wire: str, transport: str, secure: bool) -> None:
    address = Address.parse(text)
    assert (address.wire, address.transport, address.secure) == (wire, transport, secure)


def test_what_kind_of_host_it_is() -> None:
    kinds = {"127.0.0.1": 4, "[::1]": 6, "[fe80::1%eth0]": 6, "localhost": None, "web1": None, "": None}
    for host, family in kinds.items():
        address = Address.parse(f"tcp://{host}:1")
        assert address.family == family
        assert address.is_ip == (family is not None)


def test_the_descriptor_is_a_number() -> None:
    assert Address.parse("fd://3").fd == 3
    assert Address.parse("tcp://h:3").fd is None


def test_another_port() -> None:
    address = Address.parse("http://127.0.0.1:0/base")
    assert str(address.with_port(8080)) == "http://127.0.0.1:8080/base"
    assert address.port == 0
    for port in (-1, 65536, True, 1.5):
        with pytest.raises(AddressError, match="port"):
            address.with_port(port)  # type: ignore[arg-type]
    with pytest.raises(AddressError, match="has no port"):
        Address.parse("unix:/x").with_port(1)


def test_the_default_port_is_not_written() -> None:
    assert str(Address.parse("http://h:80/x")) == "http://h/x"
    assert str(Address.parse("https://h:80")) == "https://h:80"
    assert str(Address.parse("http://:80")) == "http://:80"  # nothing at all could not be read back
    assert Address.parse("http://[::1]:80").authority == "[::1]"


def test_it_is_a_value() -> None:
    address = Address.parse("tcp://[fe80::1%eth0]:80")
    with pytest.raises(AttributeError):
        address.port = 5  # type: ignore[misc]
    with pytest.raises((AttributeError, TypeError)):
        address.extra = 5  # type: ignore[attr-defined]
    assert len({address, Address.parse(("FE80:0::1%eth0", 80))}) == 1
    assert pickle.loads(pickle.dumps(address)) == copy.copy(address) == address
    assert repr(address) == "<Address tcp://[fe80::1%eth0]:80>"
    assert "%s" % address == str(address)  # noqa: UP031  (a tuple in disguise would fail here)


EQUAL = [
    ("tcp://LOCALHOST:80", "tcp://localhost:http"),
    ("tcp://[0::1]:80", "tcp://[::1]:80"),
    ("tcp://[::ffff:127.0.0.1]:80", "tcp://127.0.0.1:80"),
    ("https://b\u00fccher.example", "https://xn--bcher-kva.example:443/"),
    ("https://BU\u0308CHER.example", "https://b\u00fccher.example"),
    ("http://h/%7Eme", "http://h/~me"),
    ("unix:///run/x", "unix:/run/x"),
]


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_spellings_of_one_place_are_equal(one: str, other: str) -> None:
    assert Address.parse(one) == Address.parse(other)
    assert hash(Address.parse(one)) == hash(Address.parse(other))


def test_sharp_s_is_not_another_domain() -> None:
    assert Address.parse("https://fa\u00df.example").host == "xn--fa-hia.example"
    assert Address.parse("https://fa\u00df.example") != Address.parse("https://fass.example")


# -- what sockets report


def test_reported_names_are_the_addresses_that_are_read() -> None:
    reports = {
        ("127.0.0.1", 80): "tcp://127.0.0.1:80",
        ("::1", 80, 0, 0): "tcp://[::1]:80",
        ("::ffff:192.0.2.1", 80, 0, 0): "tcp://192.0.2.1:80",
        ("fe80::1", 80, 0, 2): "tcp://[fe80::1%2]:80",
        ("fe80::1%eth0", 80, 0, 2): "tcp://[fe80::1%eth0]:80",
    }
    for sockaddr, text in reports.items():
        assert Address.of_socket("tcp", sockaddr) == Address.parse(text)


def test_reported_unix_names() -> None:
    assert str(Address.of_socket("unix", "/run/x.sock")) == "unix:/run/x.sock"
    assert Address.of_socket("unix", b"\0name") == Address.parse("unix:@name")
    assert Address.of_socket("unix", b"\0a\0\xff") == Address.parse("unix:@a%00%FF")
    assert Address.of_socket("unix", "@file") == Address.parse("unix:./@file")
    assert str(Address.of_socket("unix", "")) == str(Address.of_socket("unix", b"")) == "unix:"


def test_reported_interface() -> None:
    reported = ("eth0", 3, 0, 1, b"\x02\0\0\0\0\1")
    assert Address.of_socket("packet", reported) == Address.parse("packet://eth0")


def test_what_a_real_socket_reports() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = Address.of_socket("tcp", server.getsockname())
        assert address == Address.parse(server.getsockname())
    assert address.host == "127.0.0.1"
    assert address.port


@given(st.one_of(st.integers(0, 2**128 - 1), st.integers(0, 2**34), st.integers(0xFFFF << 32, (1 << 48) - 1)))
@example(1)
@example(0x10000)
@example(0xFFFF00000000)
def test_ipv6_is_written_as_the_system_writes_it(number: int) -> None:
    text = socket.inet_ntop(socket.AF_INET6, number.to_bytes(16, "big"))
    reported = Address.of_socket("tcp", (text, 80, 0, 0))
    assert reported == Address.parse(("0" + text if text.startswith("0") else text, 80))
    assert Address.parse(str(reported)) == reported


# -- what is refused

REFUSED = {
    # nothing, or something else
    "": "empty",
    " ": "white space",
    " tcp://h:1": "white space",
    "tcp://h:1\n": "control character",
    "tcp://h\0:1": "control character",
    "tcp://h\x7f:1": "control character",
    "tcp://h:1/\u2028": "control character",
    "gopher://h:70": "scheme 'gopher' is unknown",
    "://h:1": "scheme '' is unknown",
    "t_p://h:1": "unknown",
    "tcp:h:80": "// is missing after tcp:",
    "http:8080": "// is missing",
    "h/x:1": "a path begins with",
    "tcp://": "host and the port are missing",
    "http://": "host and the port are missing",
    "http:///x": "host and the port are missing",
    # ports
    "localhost": "port is missing",
    "8080": "write :8080",
    "tcp://h": "port is missing",
    "tcp://h:": "port after the colon is missing",
    "http://h:/": "port after the colon is missing",
    "rpc://h": "port is missing",
    "tcp://h:65536": "outside 0 to 65535",
    "tcp://h:99999999999999999999": "outside 0 to 65535",
    "tcp://h:-1": "port '-1'",
    "tcp://h:+1": "port '.1'",
    "tcp://h:8_0": "port '8_0'",
    "tcp://h:0x50": "port '0x50'",
    "tcp://h:080": "begins with a zero",
    "tcp://h:8 0": "port '8 0'",
    "tcp://h:\uff18\uff10": "port '\uff18\uff10'",
    "tcp://h:\u0661": "port",
    "tcp://h:80x": "port '80x'",
    "tcp://h:no-such-service": "nor a known service",
    # hosts
    "tcp://a b:1": "no host name.*white space",
    "tcp://*:80": "leave the host empty",
    "tcp://a..b:1": "between its dots",
    "tcp://.a:1": "between its dots",
    "tcp://-a:1": "no host name",
    "tcp://a-:1": "no host name",
    "tcp://a%41:1": "no host name",
    "tcp://a\\b:1": "no host name",
    "tcp://" + "a" * 64 + ":1": "longer than 63",
    "tcp://" + "a." * 130 + "a:1": "253",
    "tcp://" + "\u00e9" * 300 + ":1": "253",
    "tcp://\u00e9" + "\u00e8" * 80 + ":1": "no host name",
    "tcp://\u202eabc:1": "no host name",
    "tcp://\ud800:1": "no host name",
    # numbers that C libraries read as addresses
    "tcp://127.1:80": "no IPv4 address",
    "tcp://0177.0.0.1:80": "no IPv4 address",
    "tcp://0x7f.0.0.1:80": "no IPv4 address",
    "tcp://0x7f000001:80": "no IPv4 address",
    "tcp://2130706433:80": "no IPv4 address",
    "tcp://1.2.3.4.5:80": "no IPv4 address",
    "tcp://256.0.0.1:80": "no IPv4 address",
    "tcp://127.0.0.1.:80": "no IPv4 address",
    "tcp://example.1:80": "no IPv4 address",
    "tcp://\uff11\uff12\uff17.0.0.1:80": "plain digits",
    # brackets
    "tcp://[::1:80": "never closed",
    "tcp://::1]:80": "wrong place",
    "tcp://a[::1]:80": "wrong place",
    "tcp://[::1]80": "not a port",
    "tcp://[::1]x:80": "not a port",
    "tcp://[::g]:80": "no IPv6 address",
    "tcp://[]:80": "no IPv6 address",
    "tcp://[127.0.0.1]:80": "no IPv6 address",
    "tcp://[localhost]:80": "no IPv6 address",
    "tcp://[::1]": "port is missing",
    "tcp://::1:80": "more than one colon",
    "::1:80": "more than one colon",
    "tcp://[fe80::1%]:80": "no interface",
    "tcp://[fe80::1%a/b]:80": "never closed",
    "tcp://[fe80::1%a%b]:80": "no interface",
    "tcp://[fe80::1%aaaaaaaaaaaaaaaa]:80": "no interface",
    "tcp://[::ffff:1.2.3.4%eth0]:80": "no interface",
    # too much
    "tcp://h:80/": "a path .* has no meaning",
    "tcp://h:80/x": "a path .* has no meaning",
    "smtp://h/x": "a path .* has no meaning",
    "tcp://h:80?x=1": "query",
    "http://h/x?y=1": "query",
    "udp://h:80?mode=600": "the option 'mode' is unknown",
    "udp://h:80?interface=": "no name of an interface",
    "udp://h:80?interface=//lo": "no name of an interface",
    "udp://h:80?interface=lo&interface=lo": "twice",
    "udp://h:80?interface=../lo": "no name of an interface",
    "http://h?y": "query",
    "http://h/#top": "fragment",
    "http://h/a b": "write as %XX",
    "http://h/%zz": "write as %XX",
    "http://h/a\\b": "write as %XX",
    "http://h/../x": "dot segment",
    "http://h/%2e%2E/x": "dot segment",
    "http://h/\ud800": "half a character",
    # Unix sockets
    "unix:": "path is missing",
    "unix://": "path is missing",
    "unixgram:": "path is missing",
    "unix:/run/": "names a folder",
    "unix:..": "names a folder",
    "/": "names a folder",
    "unix://run/x.sock": "names a host",
    "unix:/run/x%00.sock": "NUL",
    "unix:/run/x%zz": "hexadecimal",
    "unix:/" + "x" * 107: "108 bytes long",
    "unix:" + "\u00e9" * 54: "108 bytes long",
    "unix:@": "1 to 107 bytes",
    "unix:@" + "x" * 108: "1 to 107 bytes",
    "unix:/x#y": "fragment",
    "unix:/x?mode=999": "mode '999'",
    "unix:/x?mode=": "mode ''",
    "unix:/x?mode=4755": "mode '4755'",
    "unix:/x?mdoe=660": "option 'mdoe' is unknown",
    "unix:/x?": "option '' is unknown",
    "unix:/x?mode=660&mode=666": "twice",
    # the others
    "memory:": "name is missing",
    "memory:a b": "white space",
    "memory:/x": "begins with a slash",
    "memory:x?y=1": "there are none here",
    "fd://": "no descriptor",
    "fd://-1": "no descriptor",
    "fd://03": "no descriptor",
    "fd://3x": "no descriptor",
    "fd://\u0663": "no descriptor",
    "fd://2147483648": "no descriptor",
    "packet://": "no name of an interface",
    "packet://a/b": "no name of an interface",
    "packet://..": "no name of an interface",
    "packet://0123456789abcdef": "no name of an interface",
}


@pytest.mark.parametrize(("text", "reason"), REFUSED.items(), ids=map(ascii, REFUSED))
def test_a_bad_address_says_which_part_is_wrong(text: str, reason: str) -> None:
    with pytest.raises(AddressError, match=reason) as caught:
        Address.parse(text)
    assert "; right would be " in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "text", ["gopher://h", "tcp://h", "https://h:x", "unix:", "unixgram:", "memory:", "fd:x"]
)
def test_the_example_in_a_message_is_right_and_of_the_same_kind(text: str) -> None:
    with pytest.raises(AddressError) as caught:
        Address.parse(text)
    shown = Address.parse(str(caught.value).rpartition("; right would be ")[2])
    assert shown.scheme == text.partition(":")[0].replace("gopher", "tcp")


@pytest.mark.parametrize(
    "value",
    [(), ("h",), ("h", 1, 2), ("h", "")]
    + [("h", port) for port in (-1, 65536, True, 1.5, None, "-1", b"80")]
    + [(host, 80) for host in ("[::1]", "a b", "user@h", "0177.1", "h\0", 5, b"h", "h:1", "::1/64")]
    + [("::1", 80, 0, -1), ("::1", 80, 0, "1"), ("127.0.0.1", 80, 0, 0), ("h", 80, 0, 0)]
    + [None, 80, b"/run/x.sock", ["h", 80], Path("/"), Path(), Path("/a\nb"), Path("/" + "x" * 200)],
)
def test_bad_tuples_paths_and_types_are_refused(value: object) -> None:
    with pytest.raises(AddressError, match="right would be"):
        Address.parse(value)  # type: ignore[arg-type]


SECRETS = [
    "tcp://user:hunter2@h:80",
    "http://user:hunter2@h/",
    "http://user:hun/ter2@h/",
    "http://user:hun?ter2@h/",
    "http://user:hun#ter2@h/",
    "http://hunter2@h/",
    "tls://user:hunter2@@h:80",
    "user:hunter2@h:80",
    "tcp:user:hunter2@h",
    "gopher://user:hunter2@h",
    "tcp://user:hunter2@[::1]:80",
]


@pytest.mark.parametrize("text", SECRETS)
def test_credentials_are_refused_and_never_repeated(text: str) -> None:
    with pytest.raises(AddressError) as caught:
        Address.parse(text)
    said = str(caught.value)
    assert "hun" not in said
    assert "ter2" not in said
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


# -- for all

hosts = st.one_of(
    st.sampled_from(
        ["", "localhost", "Example.ORG", "xn--bcher-kva.example", "b\u00fccher.example", "a_b.c."]
    ),
    st.from_regex(r"\A[a-z]([a-z0-9-]{0,10}[a-z0-9])?(\.[a-z][a-z0-9]{0,8}){0,3}\Z"),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda ip: f"[{ip}]"),
    st.from_regex(r"\A\[fe80::[1-9a-f]%[0-9a-z._~-]{1,13}\]\Z"),
)
ports = st.integers(0, 65535)
url_paths = st.lists(
    st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters='/?#\\%"<>^`{|}[]'))
)
files = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=25)
escaped = st.binary(min_size=1, max_size=50).map(lambda raw: "".join(f"%{byte:02x}" for byte in raw))
texts = st.one_of(
    st.builds("{}://{}:{}".format, st.sampled_from(["tcp", "TLS", "udp", "smtp"]), hosts, ports),
    st.builds(
        lambda scheme, host, port, path: f"{scheme}://{host}:{port}" + "".join(f"/{part}" for part in path),
        st.sampled_from(["http", "https", "ftp", "rpc"]),
        hosts,
        ports,
        url_paths,
    ),
    st.builds("unix:/{}".format, escaped),
    st.builds("unixgram:{}".format, escaped),
    st.builds("unix:@{}".format, escaped),
    st.builds("unix:{}?mode={}".format, escaped, st.from_regex(r"\A[0-7]{3}\Z")),
    st.builds("memory:{}".format, escaped),
    st.builds("fd://{}".format, st.integers(0, 2**31 - 1)),
    st.from_regex(r"\Apacket://[a-z0-9._-]{1,15}\Z"),
    files.map("/{}".format),
)


@given(texts)
@example("memory:%2f")
def test_the_text_of_an_address_reads_back_as_that_address(text: str) -> None:
    try:
        address = Address.parse(text)
    except AddressError:
        return  # escapes may spell a folder or a NUL
    assert Address.parse(str(address)) == address
    assert str(Address.parse(str(address))) == str(address)
    assert str(address).isprintable()
    assert pickle.loads(pickle.dumps(address)) == address


@given(files)
def test_a_path_is_taken_literally(name: str) -> None:
    try:
        address = Address.parse(PurePosixPath("/run", name))
    except AddressError as error:
        assert "folder" in str(error) or "control" in str(error) or "bytes long" in str(error)  # noqa: PT017
        return
    assert PurePosixPath(address.path) == PurePosixPath("/run", name)
    assert Address.parse(str(address)) == address


noise = st.text(st.sampled_from("tcphxunix:/@[]%?#.-_0189 \0\u00e9\uff11\ud800\u202e"), max_size=30)


@given(st.one_of(st.text(), noise, noise.map("tcp://{}".format), noise.map("http://h:1/{}".format)))
def test_any_text_is_read_or_refused_and_nothing_else(text: str) -> None:
    try:
        address = Address.parse(text)
    except AddressError:
        return
    assert Address.parse(str(address)) == address


@given(st.tuples(st.one_of(st.none(), noise), st.one_of(st.integers(), st.text(max_size=5))))
def test_any_tuple_is_read_or_refused_and_nothing_else(value: tuple[object, object]) -> None:
    try:
        address = Address.parse(value)
    except AddressError:
        return
    assert Address.parse(str(address)) == address


@given(noise)
def test_a_canonical_host_stays_as_it_is(text: str) -> None:
    try:
        host = canonical_host(text)
    except AddressError:
        return
    assert canonical_host(host) == host
    assert host.isascii()


# -- services


def test_usual_services_need_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "_database", dict)
    assert service_port("http") == 80
    assert service_port("HTTPS") == 443
    assert service_port("gopher") is None
    assert port_services(80) == [("http", "tcp")]
    assert port_services(123) == [("ntp", "udp")]


def test_a_missing_services_file_is_an_empty_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(services, "_FILE", str(tmp_path / "absent"))
    assert services._database.__wrapped__() == {}


def test_the_services_file_is_read_with_aliases_and_protocols(monkeypatch: pytest.MonkeyPatch) -> None:
    text = """
# comment
gopher      70/tcp                      # with a comment
shell       514/tcp   cmd syslog        # an alias never hides a service
syslog      514/udp
only-udp    7777/udp  Other
no-port     x/tcp
big         70000/tcp
sctp-only   9/sctp
"""
    read = services.read_database(text)
    monkeypatch.setattr(services, "_database", lambda: read)
    assert service_port("gopher") == 70
    assert service_port("cmd") == 514
    assert service_port("other") == 7777
    assert service_port("only-udp", "tcp") == 7777
    assert [service_port(name) for name in ("no-port", "big", "sctp-only", "#", "7up", "a--b", "-a", "")] == [
        None
    ] * 8
    assert port_services(514) == [("shell", "tcp"), ("syslog", "udp")]
