"""What is said beside the answer: informational responses before it, trailers after it."""

from __future__ import annotations

import pytest

from portico.errors import LocalProtocolError
from portico.http.chunks import FORBIDDEN_TRAILERS
from tests.http.served import Client, chunked, get, post, serving

LINK = ("Link", "</style.css>; rel=preload")


def hinting(exchange):
    informed = [exchange.inform(103, [LINK]), exchange.inform(102)]
    exchange.respond(200, [], repr(informed).encode())


def test_early_hints_reach_the_client_before_the_answer():
    with serving(hinting) as server, Client(server) as client:
        for _ in range(2):
            client.send(get("/"))
            hint = client._head()
            assert (hint.status, hint.reason, hint["link"]) == (103, "Early Hints", LINK[1])
            assert hint["content-length"] is hint["connection"] is None
            answer = client.answer()
            assert (answer.interim, answer.body) == ([102], b"[True, True]")


def test_http_1_0_clients_are_told_nothing_that_they_do_not_know():
    with serving(hinting) as server, Client(server) as client:
        answer = client.ask(get("/", version="1.0"))
        assert (answer.interim, answer.body) == ([], b"[False, False]")


def test_hints_leave_behind_pipelined_answers_in_order():
    def sometimes(exchange):
        if exchange.path == "/hint":
            exchange.inform(103, [LINK])
        exchange.respond(200, [], exchange.path.encode(), hold=True)

    with serving(sometimes) as server, Client(server) as client:
        client.send(get("/1") + get("/hint") + get("/2"))
        answers = [client.answer() for _ in range(3)]
    assert [(each.body, each.interim) for each in answers] == [(b"/1", []), (b"/hint", [103]), (b"/2", [])]


@pytest.mark.parametrize("status", [99, 100, 101, 200, 404])
def test_other_statuses_are_no_business_of_a_gateways(status):
    def tries(exchange):
        with pytest.raises(LocalProtocolError, match=f"{status} is not the status of an informational"):
            exchange.inform(status)
        exchange.respond(200, [])

    with serving(tries) as server, Client(server) as client:
        answer = client.ask(get("/"))
        assert (answer.status, answer.interim) == (200, [])


@pytest.mark.parametrize("fields", [[("X", "a\r\nY: b")], [("Content-Length", "1")], [("a b", "c")]])
def test_hints_cannot_smuggle_anything(fields):
    def tries(exchange):
        with pytest.raises(LocalProtocolError):
            exchange.inform(103, fields)
        exchange.respond(200, [])

    with serving(tries) as server, Client(server) as client:
        assert client.ask(get("/")).interim == []


def test_nothing_is_said_before_an_answer_that_has_begun():
    def tries(exchange):
        exchange.start(200, [])
        with pytest.raises(LocalProtocolError, match="answered already"):
            exchange.inform(103)
        exchange.finish()

    with serving(tries) as server, Client(server) as client:
        assert client.ask(get("/")).status == 200


# -- trailers received


def telling(exchange):
    before = exchange.trailers
    body = exchange.body.read()
    exchange.respond(200, [("X-Before", repr(before))], body + repr(exchange.trailers).encode())


@pytest.mark.parametrize("streams", [False, True])
def test_a_gateway_can_ask_for_the_trailers(streams):
    tail = b"0\r\nX-Sum:  5 \r\nx-sum: 6\r\n\r\n"
    with serving(telling, streams=streams) as server, Client(server) as client:
        answer = client.ask(chunked([b"abc"], tail=tail))
        assert answer.body == b"abc(('x-sum', '5'), ('x-sum', '6'))"
        assert answer["x-before"] == ("()" if streams else "(('x-sum', '5'), ('x-sum', '6'))")
        # They are those of one request, and no other.
        for raw in (get("/"), post(b"", "/"), chunked([b""], "/")):
            assert client.ask(raw).body == b"()"


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("name", sorted(FORBIDDEN_TRAILERS))
def test_a_field_that_frames_or_routes_is_refused_in_a_trailer(name, streams):
    with serving(telling, streams=streams) as server, Client(server) as client:
        assert client.ask(chunked([b"abc"], tail=f"0\r\n{name}: 1\r\n\r\n".encode())).status == 400
        assert client.is_closed()


def test_trailers_are_bounded_as_heads_are():
    many = b"".join(b"X-%d: y\r\n" % number for number in range(200))
    large = b"X: " + b"y" * 70000 + b"\r\n"
    with serving(telling) as server:
        for fields in (many, large):
            with Client(server) as client:
                assert client.ask(chunked([b"abc"], tail=b"0\r\n" + fields + b"\r\n")).status == 431
                assert client.is_closed()
        assert server.refusals == {"headers": 1, "header_bytes": 1}


# -- trailers sent


def summing(exchange):
    exchange.start(200, [("Trailer", "X-Sum")])
    exchange.write(b"abc")
    exchange.finish([("X-Sum", "6")])


@pytest.mark.parametrize("te", ["trailers", "Trailers, deflate;q=0.5", "gzip , trailers"])
def test_who_asks_for_trailers_gets_them(te):
    with serving(summing) as server, Client(server) as client:
        client.send(get("/", f"TE: {te}", "Connection: TE, close"))
        assert client.rest().endswith(b"\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 6\r\n\r\n")


@pytest.mark.parametrize("fields", [[], ["TE: deflate"], ["TE:"], ["X-TE: trailers"]])
def test_others_do_not(fields):
    with serving(summing) as server, Client(server) as client:
        client.send(get("/", *fields, "Connection: close"))
        assert client.rest().endswith(b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n")


def test_an_answer_without_chunks_has_no_room_for_them():
    with serving(summing) as server:
        with Client(server) as client:
            client.send(get("/", "TE: trailers", version="1.0"))
            assert client.rest().endswith(b"\r\n\r\nabc")
        with Client(server) as client:
            client.send(get("/", "TE: trailers", "Connection: close", method="HEAD"))
            assert client.rest().endswith(b"\r\n\r\n")


@pytest.mark.parametrize("field", [("Content-Length", "3"), ("X", "a\r\nb"), ("a b", "c")])
def test_a_trailer_that_cannot_be_sent_is_an_error_and_a_cut(field, caplog):
    def tries(exchange):
        exchange.start(200, [])
        exchange.write(b"abc")
        exchange.finish([field])

    with serving(tries) as server, Client(server) as client:
        client.send(get("/", "TE: trailers"))
        try:
            said = client.rest()
        except ConnectionError:
            said = b""
        assert not said.endswith(b"0\r\n\r\n")
    assert "LocalProtocolError" in caplog.text
