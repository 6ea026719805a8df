"""``portico lookup``: forward, back, services, ports, this machine; plain and JSON."""

from __future__ import annotations

import json
import socket
import threading
from typing import Any

import pytest

from portico.cli.main import run

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def dual(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A system that knows each name under four addresses; what it was asked is gathered."""
    asked: list[str] = []

    def answer(host: str, port: int, family: int = 0, kind: int = 0, *_: object) -> list[Any]:
        asked.append(host)
        sixes = [(socket.AF_INET6, kind, 6, "", (ip, 0, 0, 0)) for ip in ("2001:db8::1", "2001:db8::2")]
        return [*sixes, *((socket.AF_INET, kind, 6, "", (ip, 0)) for ip in ("192.0.2.1", "192.0.2.20"))]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return asked


@pytest.mark.usefixtures("dual")
def test_a_name_is_shown_in_the_order_in_which_to_connect(capsys: Capture) -> None:
    assert run(["lookup", "host.example"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "2001:db8::1  IPv6",
        "192.0.2.1    IPv4",
        "2001:db8::2  IPv6",
        "192.0.2.20   IPv4",
    ]


@pytest.mark.usefixtures("dual")
def test_a_name_as_json(capsys: Capture) -> None:
    assert run(["lookup", "B\u00fccher.example", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["query"] == "B\u00fccher.example"
    assert (answer["kind"], answer["name"]) == ("host", "xn--bcher-kva.example")
    assert answer["addresses"][:2] == [
        {"address": "2001:db8::1", "family": "IPv6"},
        {"address": "192.0.2.1", "family": "IPv4"},
    ]


def test_a_real_name(capsys: Capture) -> None:
    assert run(["lookup", "localhost"]) == 0
    addresses = {line.split()[0] for line in capsys.readouterr().out.splitlines()}
    assert addresses
    assert addresses <= {"127.0.0.1", "::1"}


def test_an_address_is_looked_up_backwards(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def answer(sockaddr: tuple[Any, ...], flags: int) -> tuple[str, str]:
        asked.append(sockaddr)
        return "Host.Example", "0"

    monkeypatch.setattr(socket, "getnameinfo", answer)
    assert run(["lookup", "192.0.2.1"]) == 0
    assert run(["lookup", "::1"]) == 0
    assert run(["lookup", "[0::1]"]) == 0
    assert run(["lookup", "192.0.2.1", "--json"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[:3] == ["host.example"] * 3
    assert json.loads(out[3]) == {
        "query": "192.0.2.1", "kind": "address", "address": "192.0.2.1", "name": "host.example"
    }  # fmt: skip
    assert asked == [("192.0.2.1", 0), ("::1", 0, 0, 0), ("::1", 0, 0, 0), ("192.0.2.1", 0)]


@pytest.mark.parametrize("word", ["http", "HTTP", ":http"])
def test_a_service_has_a_port(word: str, capsys: Capture) -> None:
    assert run(["lookup", word]) == 0
    assert capsys.readouterr().out == "80\n"
    assert run(["lookup", word, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"query": word, "kind": "service", "port": 80}


@pytest.mark.parametrize("word", ["443", ":443"])
def test_a_port_has_services(word: str, capsys: Capture) -> None:
    assert run(["lookup", word]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "https  tcp"
    assert run(["lookup", word, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["kind"], answer["port"]) == ("port", 443)
    assert answer["services"][0] == {"service": "https", "protocol": "tcp"}


def test_a_host_may_be_called_like_a_service(dual: list[str], capsys: Capture) -> None:
    assert run(["lookup", "--host", "http"]) == 0
    assert dual == ["http"]
    assert "192.0.2.1" in capsys.readouterr().out


@pytest.mark.usefixtures("dual")
def test_without_an_argument_this_machine_is_shown(capsys: Capture) -> None:
    assert run(["lookup"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == socket.gethostname()
    assert any(line.split() == ["192.0.2.1", "IPv4"] for line in lines[1:])
    assert run(["lookup", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["query"], answer["kind"], answer["name"]) == (None, "machine", socket.gethostname())
    assert {"address": "192.0.2.1", "family": "IPv4"} in answer["addresses"]


def test_this_machine_needs_no_name_server_that_knows_it(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert run(["lookup"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == socket.gethostname()


@pytest.mark.parametrize(
    ("word", "code", "said"),
    [
        ("nosuch.invalid", 6, "could not resolve 'nosuch.invalid': "),
        ("0177.1", 2, "no IPv4 address"),
        ("a b", 2, "white space"),
        ("user@host", 2, "no host name"),
        ("::g", 2, "no IPv6 address"),
        ("localhost:80", 2, "write its host alone"),
        ("tcp://localhost:80", 2, "write its host alone"),
        ("70000", 2, "outside 0 to 65535"),
        ("9" * 5000, 2, "outside 0 to 65535"),
        ("0", 6, "no service has the port 0"),
        ("", 2, "no host name"),
        ("\x1b[2J", 2, "no host name"),
    ],
)
def test_what_has_no_answer_says_why(word: str, code: int, said: str, capsys: Capture) -> None:
    assert run(["lookup", word]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("portico: ")
    assert said in err
    assert err.count("\n") == 1
    assert "\x1b" not in err


def test_a_look_up_that_hangs_is_given_up(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = threading.Event()

    def hang(*_: object) -> list[Any]:
        opened.wait(20)
        raise socket.gaierror(socket.EAI_AGAIN, "late")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    try:
        assert run(["lookup", "slow.example", "--timeout", "0.05"]) == 28
    finally:
        opened.set()
    assert capsys.readouterr().err == "portico: timed out after 0.05 s while looking up 'slow.example'\n"
