"""Which peers a list of networks means."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.address import Address
from portico.address.networks import Networks, ip_of, local_kind
from portico.errors import ConfigError


def covers(entries: list[str], peer: Address) -> bool:
    return Networks(entries).covers(ip_of(peer), local_kind(peer))


def tcp(host: str) -> Address:
    """A peer as a socket reports it."""
    return Address.of_socket("tcp", (host, 5000, 0, 0) if ":" in host else (host, 5000))


@pytest.mark.parametrize(
    ("entry", "inside", "outside"),
    [
        ("10.0.0.0/8", ["10.0.0.0", "10.255.255.255"], ["9.255.255.255", "11.0.0.0", "a00::", "::a00:0"]),
        ("192.0.2.7", ["192.0.2.7"], ["192.0.2.6", "192.0.2.8"]),
        ("0.0.0.0/0", ["1.2.3.4", "255.255.255.255"], ["::1", "2001:db8::1"]),
        ("192.0.2.128/25", ["192.0.2.128", "192.0.2.255"], ["192.0.2.127", "192.0.3.0"]),
        ("2001:db8::/32", ["2001:db8::", "2001:db8:ffff::1"], ["2001:db9::", "32.1.13.184"]),
        ("::1", ["::1"], ["::2", "0.0.0.1", "127.0.0.1"]),
        ("::/0", ["::1", "fe80::1"], ["1.2.3.4"]),
        ("fe80::/10", ["fe80::1", "febf::1"], ["fec0::1"]),
    ],
)
def test_networks_and_addresses(entry: str, inside: list[str], outside: list[str]) -> None:
    assert all(covers([entry], tcp(host)) for host in inside)
    assert not any(covers([entry], tcp(host)) for host in outside)


@pytest.mark.parametrize("host", ["::ffff:10.1.2.3", "::ffff:a01:203"])
@pytest.mark.parametrize("entry", ["10.0.0.0/8", "10.1.2.3", "::ffff:10.0.0.0/104", "::ffff:a01:203"])
def test_ipv4_within_ipv6_is_ipv4_on_both_sides(host: str, entry: str) -> None:
    assert covers([entry], tcp(host))
    assert not covers([entry], tcp("::ffff:11.0.0.1"))
    assert not covers(["::/0"], tcp(host))


def test_a_zone_does_not_hide_an_address() -> None:
    peer = Address.of_socket("tcp", ("fe80::1%eth0", 5000, 0, 3))
    assert covers(["fe80::/10"], peer)
    assert covers(["fe80::1"], Address.of_socket("tcp", ("fe80::1", 5000, 0, 3)))


def test_peers_of_this_machine_have_words_and_no_network() -> None:
    everywhere = ["0.0.0.0/0", "::/0"]
    for scheme in ("unix", "unixgram"):
        peer = Address.of_socket(scheme, "")
        assert covers(["unix"], peer)
        assert not covers([*everywhere, "memory"], peer)
    assert covers(["memory"], Address.parse("memory:x"))
    assert not covers([*everywhere, "unix"], Address.parse("memory:x"))
    assert not covers(["unix", "memory"], tcp("127.0.0.1"))


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("", "is no network"),
        ("localhost", "is no network: write an address"),
        ("10", "is no network"),
        ("10.0.0", "is no network"),
        ("010.0.0.1", "is no network"),
        ("10.0.0.0/8 ", "from 0 to 32"),
        (" 10.0.0.1", "is no network"),
        ("10.0.0.0/", "from 0 to 32"),
        ("10.0.0.0/33", "from 0 to 32"),
        ("10.0.0.0/-1", "from 0 to 32"),
        ("10.0.0.0/٨", "from 0 to 32"),
        ("10.0.0.0/255.0.0.0", "from 0 to 32"),
        ("10.0.0.0/8/8", "from 0 to 32"),
        ("10.1.2.3/8", "write 10.0.0.0/8"),
        ("2001:db8::1/32", "write 2001:db8::/32"),
        ("2001:db8::/129", "from 0 to 128"),
        ("fe80::1%eth0", "has a zone"),
        ("::ffff:10.0.0.0/8", "96 bits or more"),
        ("[::1]", "is no network"),
        ("127.0.0.1:80", "is no network"),
        ("UNIX", "is no network"),
    ],
)
def test_what_is_no_network_is_refused_with_advice(entry: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        Networks(["10.0.0.0/8", entry])
    assert repr(entry) in str(caught.value)
    assert "\n" not in str(caught.value)


ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6).filter(lambda ip: ip.ipv4_mapped is None))


@given(ADDRESSES, st.lists(st.tuples(ADDRESSES, st.integers(0, 128)), max_size=6), st.integers(0, 128))
def test_the_verdict_is_that_of_the_standard_library(
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address,
    others: list[tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]],
    own: int,
) -> None:
    """Of these networks one always holds the address, unless its prefix is longer than its family's."""
    pairs = [(each, bits) for each, bits in [*others, (ip, own)] if bits <= each.max_prefixlen]
    networks = [ipaddress.ip_network((each, bits), strict=False) for each, bits in pairs]
    written = [str(net) for net in networks if getattr(net.network_address, "ipv4_mapped", None) is None]
    assert covers(written, tcp(str(ip))) == any(ip in ipaddress.ip_network(text) for text in written)
