"""Socket options by name, by number, and where there are none."""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterator

import pytest

from portico.errors import ConfigError, StreamClosed
from portico.sockets import memory
from portico.sockets.options import KeepAlive, Options
from portico.sockets.stream import Stream

linux = pytest.mark.skipif(sys.platform != "linux", reason="an option of Linux")


@pytest.fixture
def tcp() -> Iterator[Options]:
    with socket.socket() as sock:
        yield Options(sock)


@pytest.fixture
def udp() -> Iterator[Options]:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        yield Options(sock)


@pytest.fixture
def unix() -> Iterator[Options]:
    near, far = socket.socketpair()
    with near, far:
        yield Options(near)


@pytest.mark.parametrize("name", ["nodelay", "reuse_address", "reuse_port"])
def test_flags_are_set_and_read(tcp: Options, name: str) -> None:
    assert getattr(tcp, name) is False
    setattr(tcp, name, True)
    assert getattr(tcp, name) is True
    setattr(tcp, name, False)
    assert getattr(tcp, name) is False


def test_the_socket_itself_has_what_was_set(tcp: Options) -> None:
    tcp.nodelay = True
    assert tcp._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_buffers(tcp: Options) -> None:
    for name in ("receive_buffer", "send_buffer"):
        setattr(tcp, name, 20000)
        assert getattr(tcp, name) >= 20000


def test_linger(tcp: Options) -> None:
    assert tcp.linger is None
    tcp.linger = 0
    assert tcp.linger == 0
    tcp.linger = 7
    assert tcp.linger == 7
    tcp.linger = None
    assert tcp.linger is None


def test_keepalive_with_its_three_numbers(tcp: Options) -> None:
    assert tcp.keepalive is None
    tcp.keepalive = KeepAlive(idle=30, interval=5, count=3)
    assert tcp.keepalive == KeepAlive(30, 5, 3)
    tcp.keepalive = None
    assert tcp.keepalive is None
    tcp.keepalive = KeepAlive(idle=40)
    assert tcp.keepalive == KeepAlive(40, 5, 3)
    tcp.keepalive = False
    assert tcp.keepalive is None
    tcp.keepalive = True
    assert tcp.keepalive == KeepAlive(40, 5, 3)


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "1"])
@pytest.mark.parametrize("name", ["idle", "interval", "count"])
def test_keepalive_takes_whole_numbers_above_zero(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=name):
        KeepAlive(**{name: value})  # type: ignore[arg-type]


@linux
def test_a_refused_keepalive_leaves_probes_off(tcp: Options) -> None:
    with pytest.raises(ConfigError, match="TCP_KEEPCNT to 1000: the system refused"):
        tcp.keepalive = KeepAlive(idle=5, count=1000)
    assert tcp.keepalive is None


@linux
def test_options_of_linux(tcp: Options) -> None:
    tcp.user_timeout = 2.5
    assert tcp.user_timeout == 2.5
    assert tcp.get("IPPROTO_TCP", "TCP_USER_TIMEOUT") == 2500
    tcp.cork = True
    assert tcp.cork is True
    tcp.congestion = "reno"
    assert tcp.congestion == "reno"
    tcp.not_sent_low_water = 16384
    assert tcp.not_sent_low_water == 16384
    tcp.priority = 3
    assert tcp.priority == 3
    assert tcp.device == ""


def test_hops_and_traffic_class_of_both_families(udp: Options) -> None:
    udp.hops = 9
    udp.traffic_class = 0x20
    assert (udp.hops, udp.traffic_class) == (9, 0x20)
    assert udp.get("IPPROTO_IP", "IP_TTL") == 9
    with socket.socket(socket.AF_INET6) as sock:
        six = Options(sock)
        six.hops = 8
        six.traffic_class = 0x40
        six.only_ipv6 = True
        assert (six.hops, six.traffic_class, six.only_ipv6) == (8, 0x40, True)
        assert six.get("IPPROTO_IPV6", "IPV6_UNICAST_HOPS") == 8


def test_any_other_by_name_or_number(tcp: Options) -> None:
    tcp.set("SOL_SOCKET", "SO_KEEPALIVE", 1)
    assert tcp.get(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    tcp.set(socket.SOL_SOCKET, "SO_KEEPALIVE", struct.pack("i", 0))
    assert tcp.get("SOL_SOCKET", socket.SO_KEEPALIVE) == 0
    assert tcp.get("SOL_SOCKET", "SO_LINGER", 8) == bytes(8)


@pytest.mark.parametrize(
    ("level", "name", "told"),
    [
        ("SOL_SOCKET", "SO_NO_SUCH_THING", "has no socket option SO_NO_SUCH_THING"),
        ("IPPROTO_NONE_SUCH", "SO_KEEPALIVE", "has no socket level IPPROTO_NONE_SUCH"),
        ("SOL_SOCKET", "AF_INET", "'AF_INET' is no socket option"),
        ("SOL_SOCKET", "nodelay", "'nodelay' is no socket option"),
        ("AF_INET", "SO_KEEPALIVE", "'AF_INET' is no socket level"),
    ],
)
def test_names_that_do_not_exist(tcp: Options, level: str, name: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        tcp.get(level, name)
    with pytest.raises(ConfigError, match=told):
        tcp.set(level, name, 1)


def test_what_the_platform_lacks_is_named(tcp: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "TCP_NODELAY")
    with pytest.raises(ConfigError, match=f"{sys.platform}.* has no socket option TCP_NODELAY"):
        tcp.nodelay = True
    assert "nodelay" not in tcp.as_dict()


@pytest.mark.parametrize("name", ["nodelay", "keepalive", "hops", "reuse_port", "only_ipv6", "broadcast"])
def test_a_unix_socket_says_what_it_does_not_have(unix: Options, name: str) -> None:
    with pytest.raises(ConfigError, match=f"a unix socket has no option {name}"):
        getattr(unix, name)
    with pytest.raises(ConfigError, match=f"a unix socket has no option {name}"):
        setattr(unix, name, True)


def test_a_datagram_socket_has_no_options_of_tcp(udp: Options) -> None:
    with pytest.raises(ConfigError, match="a udp socket has no option nodelay"):
        udp.nodelay = True
    udp.broadcast = True
    assert udp.broadcast is True
    with pytest.raises(ConfigError, match="a udp socket has no option TCP_NODELAY"):
        udp.set("IPPROTO_TCP", "TCP_NODELAY", 1)
    with pytest.raises(ConfigError, match="a udp socket has no option TCP_NODELAY"):
        udp.get("IPPROTO_TCP", "TCP_NODELAY")


def test_an_ipv4_socket_has_no_options_of_ipv6(tcp: Options) -> None:
    with pytest.raises(ConfigError, match="IPV6_V6ONLY"):
        tcp.only_ipv6 = True


def test_a_missing_right_is_told(tcp: Options) -> None:
    class Denied:
        family, type = socket.AF_INET, socket.SOCK_STREAM

        def setsockopt(self, *what: object) -> None:
            raise PermissionError(1, "Operation not permitted")

    with pytest.raises(ConfigError, match="setting SO_MARK to 1: not permitted"):
        Options(Denied()).mark = 1  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("nodelay", 2),
        ("nodelay", "yes"),
        ("nodelay", None),
        ("receive_buffer", -1),
        ("receive_buffer", 1.5),
        ("receive_buffer", True),
        ("receive_buffer", 1 << 40),
        ("linger", -1),
        ("linger", 1.5),
        ("linger", 1 << 20),
        ("keepalive", 30),
        ("user_timeout", -1),
        ("user_timeout", float("nan")),
        ("user_timeout", "5"),
        ("congestion", "réno"),
        ("device", "eth0\0x"),
        ("device", 5),
    ],
)
def test_values_that_make_no_sense_are_refused(tcp: Options, name: str, value: object) -> None:
    with pytest.raises(ConfigError):
        setattr(tcp, name, value)


def test_a_value_of_the_wrong_type_by_number(tcp: Options) -> None:
    for value in ("text", 1 << 40, None):
        with pytest.raises(ConfigError, match="expected a C int, or bytes"):
            tcp.set("SOL_SOCKET", "SO_RCVBUF", value)  # type: ignore[arg-type]


def test_apply_sets_several(tcp: Options) -> None:
    tcp.apply({"nodelay": True, "linger": 3, ("SOL_SOCKET", "SO_KEEPALIVE"): 1})
    assert (tcp.nodelay, tcp.linger, tcp.keepalive is not None) == (True, 3, True)


def test_apply_refuses_an_unknown_name_before_it_sets_any(tcp: Options) -> None:
    with pytest.raises(ConfigError, match=r"no socket option is called 'no_delay'; there are: .*nodelay"):
        tcp.apply({"nodelay": True, "no_delay": True})
    assert tcp.nodelay is False


def test_people_see_what_there_is(tcp: Options, unix: Options) -> None:
    assert tcp.as_dict()["nodelay"] is False
    assert "nodelay=False" in repr(tcp)
    assert "nodelay" not in unix.as_dict()
    assert "send_buffer" in unix.as_dict()


def test_a_closed_socket_says_so() -> None:
    with socket.socket() as sock:
        options = Options(sock)
    assert repr(options) == "<Options of a closed socket>"
    with pytest.raises(StreamClosed, match="the socket is closed"):
        options.nodelay = True
    with pytest.raises(StreamClosed, match="the socket is closed"):
        _ = options.nodelay


def test_every_option_says_what_it_is() -> None:
    for name, option in Options.named.items():
        assert option.__doc__, name
        assert getattr(Options, name) is option


def test_a_stream_without_a_socket_has_none() -> None:
    near, far = (Stream(end) for end in memory.pair())
    with near, far, pytest.raises(ConfigError, match="has no socket"):
        _ = near.options


def test_a_stream_shows_its_sockets_options() -> None:
    near, far = (Stream.from_socket(end) for end in socket.socketpair())
    with near, far:
        near.options.send_buffer = 20000
        assert near.options.send_buffer >= 20000
