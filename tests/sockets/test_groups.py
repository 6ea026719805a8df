"""Multicast: groups joined and left, heard and answered, and nobody else's groups."""

from __future__ import annotations

import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from portico import datagrams, timeout
from portico.errors import ConfigError
from portico.sockets import groups
from tests.engines.serving import SECONDS
from tests.peers import need

pytestmark = pytest.mark.usefixtures("no_leaks")

# For local use (RFC 2365, RFC 4291). With no hops nothing leaves this machine, whatever the interface.
GROUPS = ("239.255.77.7", "[ff15::77:7]", "[ff02::77:7]")


def interface_for(group: str) -> str:
    """The loopback interface, which has no route for groups of IPv6; another one then."""
    if not group.startswith("["):
        return "lo"
    lines = Path("/proc/net/if_inet6").read_text().splitlines()
    for name in (line.split()[5] for line in lines):
        if name != "lo":
            return name
    pytest.skip("no interface with IPv6 but the loopback one")


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    with timeout(SECONDS):
        yield


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_as_an_own_address_is_joined_and_answered(group: str) -> None:
    name = interface_for(group)
    with (
        datagrams(local=f"udp://{group}:0?interface={name}") as here,
        datagrams(f"udp://{group}:{here.local.port}", interface=name, hops=0) as there,
    ):
        there.send(b"who is there?")
        got = here.receive()
        assert got.data == b"who is there?"
        assert got.local.host.partition("%")[0] == group.strip("[]")
        got.reply(b"I")
        answer = there.receive()
        assert answer.data == b"I"
        assert not groups.is_group(answer.peer.host), "a group is nobody's address"


def test_the_interface_may_stand_beside_the_address_or_in_it() -> None:
    with (
        datagrams(local=f"udp://{GROUPS[0]}:0", interface="lo") as here,
        datagrams(f"udp://{GROUPS[0]}:{here.local.port}?interface=lo") as there,
    ):
        assert here.local.interface == "lo"
        there.send(b"x")
        assert here.receive().data == b"x"


def test_several_hear_one_group() -> None:
    with datagrams(local=f"udp://{GROUPS[0]}:0?interface=lo") as first:
        again = f"udp://{GROUPS[0]}:{first.local.port}?interface=lo"
        with datagrams(local=again) as second, datagrams(again) as there:
            there.send(b"x")
            assert first.receive().data == second.receive().data == b"x"


@pytest.mark.parametrize(("own", "group"), [("0.0.0.0", GROUPS[0]), ("", GROUPS[0]), ("", GROUPS[1])])
def test_a_group_is_joined_and_left_while_open(own: str, group: str) -> None:
    bare, name = group.strip("[]"), interface_for(group)
    with (
        datagrams(local=f"udp://{own}:0") as here,
        datagrams(f"udp://{group}:{here.local.port}", interface=name, hops=0) as there,
    ):
        there.send(b"too early")
        here.join(bare, interface=name)
        there.send(b"in time")
        assert here.receive().data == b"in time"
        here.leave(bare, interface=name)
        there.send(b"too late")
        with datagrams(local="udp://127.0.0.1:0") as witness:
            witness.send_to(b"over", f"udp://127.0.0.1:{here.local.port}")
            assert here.receive().data == b"over"


def test_a_group_that_only_another_socket_joined_is_not_heard() -> None:
    """Linux gives every wildcard socket what any other on the machine has joined, unless told not to."""
    with (
        datagrams(local="udp://0.0.0.0:0") as here,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
        datagrams(f"udp://{GROUPS[0]}:{here.local.port}", interface="lo") as there,
    ):
        groups.join(other, GROUPS[0], "lo")
        there.send(b"not for you")
        with datagrams(f"udp://127.0.0.1:{here.local.port}") as witness:
            witness.send(b"for you")
            assert here.receive().data == b"for you"


def test_a_socket_at_a_group_hears_nothing_sent_to_the_machine() -> None:
    with datagrams(local=f"udp://{GROUPS[0]}:0?interface=lo") as here:
        with datagrams(local="udp://127.0.0.1:0") as there:
            there.send_to(b"direct", f"udp://127.0.0.1:{here.local.port}")
        with datagrams(f"udp://{GROUPS[0]}:{here.local.port}", interface="lo") as member:
            member.send(b"to the group")
        assert here.receive().data == b"to the group"


def test_what_is_sent_need_not_come_back() -> None:
    """Not over the loopback interface: that always gives back what it is given."""
    name = interface_for(GROUPS[1])
    with datagrams(local=f"udp://{GROUPS[1]}:0?interface={name}") as here:
        target, number = f"udp://{GROUPS[1]}:{here.local.port}", socket.if_nametoindex(name)
        with (
            datagrams(target, interface=name, hops=0, loop=False) as quiet,
            datagrams(target, interface=number, hops=0, loop=True) as loud,
        ):
            quiet.send(b"quiet")
            loud.send(b"loud")
            assert here.receive().data == b"loud"


@pytest.mark.parametrize(
    ("group", "level", "option"),
    [
        (GROUPS[0], socket.IPPROTO_IP, socket.IP_MULTICAST_TTL),
        (GROUPS[1], socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS),
    ],
)
@pytest.mark.parametrize("hops", [0, 1, 17, 255])
def test_hops_are_set(group: str, level: int, option: int, hops: int) -> None:
    with datagrams(f"udp://{group}:9", hops=hops, interface="lo") as there:
        assert there.options.get(level, option) == hops


def test_an_address_s_interface_binds_a_socket_that_is_in_no_group() -> None:
    with datagrams(local="udp://127.0.0.1:0?interface=lo") as here:
        assert here.options.device == "lo"
        with datagrams(f"udp://127.0.0.1:{here.local.port}?interface=lo") as there:
            assert there.options.device == "lo"
            there.send(b"x")
            assert here.receive().data == b"x"


@pytest.mark.parametrize(
    ("group", "interface", "why"),
    [
        ("10.0.0.1", None, "no multicast group; those are 224"),
        ("::1", None, "no multicast group"),
        ("not a host", None, "no multicast group"),
        ("group.example", None, "no multicast group"),
        (GROUPS[0], "nosuch0", "no interface 'nosuch0'; there are: .*lo"),
        (GROUPS[0], 987654, "cannot join the group"),
        ("ff11::7%nosuch0", None, "no interface 'nosuch0'"),
        ("ff11::7", "lo", "cannot"),
    ],
)
def test_what_is_no_group_or_interface_is_refused(group: str, interface: str | int | None, why: str) -> None:
    with datagrams(local="udp://127.0.0.1:0") as here, pytest.raises(ConfigError, match=why):
        here.join(group, interface=interface)


def test_joining_twice_and_leaving_what_was_not_joined_are_errors() -> None:
    with datagrams(local="udp://0.0.0.0:0") as here:
        here.join(GROUPS[0], interface="lo")
        with pytest.raises(ConfigError, match="has joined it already"):
            here.join(GROUPS[0], interface="lo")
        here.leave(GROUPS[0], interface="lo")
        with pytest.raises(ConfigError, match="has not joined it"):
            here.leave(GROUPS[0], interface="lo")


@pytest.mark.parametrize(
    ("host", "is_one"),
    [
        ("224.0.0.1", True),
        ("239.255.255.255", True),
        ("223.255.255.255", False),
        ("240.0.0.1", False),
        ("ff02::1%lo", True),
        ("fe80::1%lo", False),
        ("example.org", False),
        ("", False),
    ],
)
def test_groups_are_told_from_hosts(host: str, is_one: bool) -> None:
    assert groups.is_group(host) is is_one


def test_an_ordinary_member_hears_us() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as member:
        member.settimeout(SECONDS)
        member.bind((GROUPS[0], 0))
        joining = struct.pack("4s4si", socket.inet_aton(GROUPS[0]), bytes(4), socket.if_nametoindex("lo"))
        member.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, joining)
        with datagrams(f"udp://{GROUPS[0]}:{member.getsockname()[1]}", interface="lo") as there:
            there.send(b"x")
            data, name = member.recvfrom(10)
            member.sendto(b"y", name)
            assert (data, there.receive().data) == (b"x", b"y")


def test_socat_s_multicast_is_heard() -> None:
    socat = need("socat")
    with datagrams(local=f"udp://{GROUPS[0]}:0?interface=lo") as here:
        target = f"UDP4-DATAGRAM:{GROUPS[0]}:{here.local.port},ip-multicast-if=127.0.0.1"
        subprocess.run([socat, "-u", "STDIN", target], input=b"from socat", check=True, timeout=SECONDS)
        assert here.receive().data == b"from socat"
