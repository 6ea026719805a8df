"""HTTP/1.1 over real sockets: persistence, framing both ways, expectations, forms of targets."""

from __future__ import annotations

import hashlib
import random
import socket
import struct
import threading
import time

import pytest

from portico.limits import Limits
from portico.server import Server
from portico.sockets.memory import dial
from portico.sockets.stream import Stream
from portico.web.mounts import Mounts
from tests.http.served import ENGINES, Client, Gate, chunked, echo, get, post, serving, talk

BIG = random.Random(5).randbytes(5 << 20)


def digest(exchange):
    """The size and the hash of the body, read in odd pieces."""
    seen, size = hashlib.sha256(), 0
    while data := exchange.body.read(70_001):
        seen.update(data)
        size += len(data)
    exchange.respond(200, [], f"{size} {seen.hexdigest()}".encode())


def digest_of(body):
    return f"{len(body)} {hashlib.sha256(body).hexdigest()}".encode()


def ignore(exchange):
    """Answers without looking at the body."""
    exchange.respond(200, [], b"ignored")


@pytest.fixture(params=ENGINES)
def engine(request):
    return request.param


@pytest.fixture
def server(engine):
    with serving(echo, engine=engine) as server:
        yield server


# Persistence


def test_a_connection_serves_one_request_after_the_other(server):
    with Client(server) as client:
        for number in range(5):
            answer = client.ask(get(f"/{number}"))
            assert (answer.status, answer.body) == (200, b"GET /%d " % number)
            assert answer["connection"] is None
    assert server.accepted == 1


def test_pipelined_requests_are_answered_in_order(server):
    with Client(server) as client:
        client.send(*(get(f"/{number}") for number in range(300)))
        for number in range(300):
            assert client.answer().body == b"GET /%d " % number


def test_pipelined_requests_with_bodies_of_every_kind_are_answered_in_order(server):
    rounds = [
        (post(b"x" * number, f"/{number}"), chunked([b"y" * number, b"z"], f"/{number}"), get(f"/{number}"))
        for number in range(1, 40)
    ]
    with Client(server) as client:
        client.send(*(b"".join(each) for each in rounds))
        for number in range(1, 40):
            assert client.answer().body == b"POST /%d " % number + b"x" * number
            assert client.answer().body == b"POST /%d " % number + b"y" * number + b"z"
            assert client.answer().body == b"GET /%d " % number


def test_requests_that_arrive_byte_by_byte_are_the_same_requests(server):
    raw = get("/a") + post(b"body", "/b") + chunked([b"two", b"parts"], "/c")
    with Client(server) as client:
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(raw)):
            client.send(raw[at : at + 1])
        assert [client.answer().body for _ in range(3)] == [b"GET /a ", b"POST /b body", b"POST /c twoparts"]


@pytest.mark.parametrize("size", [1, 1000, 65535, 65536, 65537, 131072])
def test_a_read_that_ends_exactly_with_a_request_loses_nothing(server, size):
    first = get("/first", "X: " + "x" * 20)
    body = b"b" * (size - len(post(b"", "/second")) - len(first) - len(str(size)) + 1)
    with Client(server) as client:
        client.send(first + post(body, "/second"))
        assert client.answer().body == b"GET /first "
        assert client.answer().body == b"POST /second " + body
        assert client.ask(get("/third")).body == b"GET /third "


def test_http_1_0_closes_unless_it_is_asked_to_stay(server):
    with Client(server) as client:
        answer = client.ask(get("/", version="1.0"))
        assert answer["connection"] == "close"
        assert client.is_closed()
    with Client(server) as client:
        for _ in range(2):
            answer = client.ask(get("/", "Connection: keep-alive", version="1.0"))
            assert answer["connection"] == "keep-alive"
            assert answer["transfer-encoding"] is None
        assert client.ask(get("/")).status == 200


def test_after_connection_close_everything_that_follows_is_ignored(server):
    with Client(server) as client:
        client.send(get("/a", "Connection: close"), get("/b"), b"\0garbage" * 10)
        answer = client.answer()
        assert (answer.body, answer["connection"]) == (b"GET /a ", "close")
        client.end()
        assert client.is_closed()


def test_much_that_follows_connection_close_does_not_cost_the_answer(engine):
    def large(exchange):
        exchange.respond(200, [], BIG)

    with serving(large, engine=engine) as server, Client(server) as client:
        client.send(get("/", "Connection: close") + b"x" * 200_000)
        assert client.answer().body == BIG
        client.end()
        assert client.is_closed()


def test_a_client_that_ends_its_direction_still_gets_every_answer(server):
    with Client(server) as client:
        client.send(get("/a"), post(b"b", "/b"), get("/c"))
        client.end()
        assert [client.answer().body for _ in range(3)] == [b"GET /a ", b"POST /b b", b"GET /c "]
        assert client.is_closed()


@pytest.mark.parametrize("streams", [False, True])
def test_a_client_that_ends_its_direction_waits_out_a_slow_handler(engine, streams):
    go = threading.Event()

    def slow(exchange):
        body = exchange.body.read()
        go.wait(10)
        exchange.respond(200, [], body + exchange.body.read())

    with serving(slow, engine=engine, streams=streams) as server, Client(server) as client:
        client.send(post(b"late"))
        client.end()
        threading.Timer(0.05, go.set).start()
        assert client.answer().body == b"late"
        assert client.is_closed()


@pytest.mark.parametrize("raw", [b"GET / HT", post(b"12345")[:-2], chunked([b"12345"], tail=b"")], ids=repr)
def test_an_end_in_the_middle_of_a_request_runs_nothing(engine, raw):
    ran = []
    with serving(ran.append, engine=engine) as server, Client(server) as client:
        client.send(raw)
        client.end()
        client.rest()
    assert ran == []


def test_a_streaming_gateway_is_told_that_the_body_ended_early(engine):
    seen = []

    def reader(exchange):
        try:
            exchange.body.read()
        except EOFError as error:
            seen.append(error)
            raise

    with serving(reader, engine=engine, streams=True) as server, Client(server) as client:
        client.send(post(b"12345")[:-2])
        client.end()
        assert client.answer().status == 400
        assert client.is_closed()
    assert len(seen) == 1


# Framing


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("size", [10, 5 << 20])
def test_uploads_arrive_whole_with_a_length_and_in_chunks(engine, streams, size):
    body = BIG[:size]
    pieces = [body[at : at + 100_003] for at in range(0, len(body), 100_003)]
    with serving(digest, engine=engine, streams=streams) as server, Client(server) as client:
        for raw in (
            post(body),
            chunked(pieces),
            chunked(pieces, "/", "Trailer: x", tail=b"0;e=1\r\nX: y\r\n\r\n"),
        ):
            client.send(raw)
            assert client.answer().body == digest_of(body)


def test_chunk_extensions_and_trailers_are_read_and_dropped(server):
    raw = get("/", "Transfer-Encoding: chunked", method="POST")
    raw += b'3;name=value;other="quoted; \\" text"\r\nabc\r\n0;last\r\nX-Trailer: t\r\nY: u\r\n\r\n'
    with Client(server) as client:
        assert client.ask(raw).body == b"POST / abc"
        assert client.ask(get("/next")).body == b"GET /next "


def test_answers_of_unknown_length_are_chunked_or_end_with_the_connection(engine):
    def parts(exchange):
        exchange.start(200, [])
        for number in range(3):
            exchange.write(b"part %d;" % number)

    with serving(parts, engine=engine) as server:
        with Client(server) as client:
            answer = client.ask(get())
            assert answer["transfer-encoding"] == "chunked"
            assert answer.chunks == [b"part 0;", b"part 1;", b"part 2;"]
            assert client.ask(get()).status == 200
        with Client(server) as client:
            answer = client.ask(get("/", "Connection: keep-alive", version="1.0"))
            assert answer["transfer-encoding"] is None
            assert answer["connection"] == "close"
            assert answer.body == b"part 0;part 1;part 2;"


def test_answers_of_known_length_leave_as_they_are(engine, tmp_path):
    (tmp_path / "file").write_bytes(BIG)

    def all_ways(exchange):
        way = exchange.path
        if way == "/whole":
            exchange.respond(200, [], BIG)
            return
        exchange.start(200, [("content-length", str(len(BIG)))])
        if way == "/file":
            exchange.send_file(open(tmp_path / "file", "rb"), 0, len(BIG))  # noqa: SIM115
        else:
            for at in range(0, len(BIG), 50_000):
                exchange.write(memoryview(BIG)[at : at + 50_000])

    with serving(all_ways, engine=engine) as server, Client(server) as client:
        for way in ("/whole", "/file", "/parts"):
            answer = client.ask(get(way))
            assert answer["content-length"] == str(len(BIG))
            assert answer.body == BIG


def test_a_part_of_a_file_is_an_answer_in_one_piece(engine, tmp_path):
    (tmp_path / "file").write_bytes(BIG)
    headers = [("X-Own", "1")]

    def part(exchange):
        size = int(exchange.query)
        exchange.respond_file(200, headers, open(tmp_path / "file", "rb"), 3, size)  # noqa: SIM115
        assert exchange.sent == size

    with serving(part, engine=engine) as server:
        for version in ("1.1", "1.0"):
            with Client(server) as client:
                for size in (len(BIG) - 3, 10, 10, 0, 5):
                    answer = client.ask(get(f"/?{size}", "Connection: keep-alive", version=version))
                    assert (answer["content-length"], answer["x-own"]) == (str(size), "1")
                    assert answer.body == BIG[3 : 3 + size]
                head = client.ask(b"HEAD /?7 HTTP/1.1\r\nHost: test\r\n\r\n", "HEAD")
                assert (head["content-length"], head.body) == ("7", b"")
                assert client.ask(get("/?9")).body == BIG[3:12]


def test_pieces_of_files_and_bytes_keep_their_order(engine, tmp_path):
    (tmp_path / "file").write_bytes(BIG)

    def mixed(exchange):
        exchange.start(200, [])
        for at in range(0, len(BIG), 1 << 20):
            exchange.write(b"<%d>" % at)
            exchange.send_file(open(tmp_path / "file", "rb"), at, 1 << 20)  # noqa: SIM115
        exchange.send_file(open(tmp_path / "file", "rb"), 0, 0)  # noqa: SIM115
        exchange.write(b"")
        exchange.write(b"end")

    wanted = b"".join(b"<%d>" % at + BIG[at : at + (1 << 20)] for at in range(0, len(BIG), 1 << 20)) + b"end"
    with serving(mixed, engine=engine) as server:
        for version in ("1.1", "1.0"):
            with Client(server) as client:
                assert client.ask(get(version=version)).body == wanted


@pytest.mark.parametrize("path", ["/whole", "/parts", "/known", "/error", "/file"])
def test_head_has_the_fields_of_get_and_no_body(engine, path, tmp_path):
    (tmp_path / "file").write_bytes(b"from a file")

    def answer(exchange):
        if exchange.path == "/whole":
            exchange.respond(200, [("X", "y")], b"whole")
        elif exchange.path == "/error":
            exchange.respond_error(404, "not <here>")
        elif exchange.path == "/file":
            exchange.start(200, [("Content-Length", "11")])
            exchange.send_file(open(tmp_path / "file", "rb"), 0, 11)  # noqa: SIM115
        else:
            exchange.start(200, [("Content-Length", "5")] if exchange.path == "/known" else [("X", "y")])
            exchange.write(b"parts")

    with serving(answer, engine=engine) as server, Client(server) as client:
        full, bare = client.ask(get(path)), client.ask(get(path, method="HEAD"), "HEAD")
        assert client.ask(get("/whole")).body == b"whole"
    # RFC 9110, 9.3.2: what is only known while the content is made may be left out.
    assert _comparable(bare) == _comparable(full)
    assert full.body
    assert bare.status == full.status


def _comparable(answer):
    return [pair for pair in answer.headers if pair[0] not in ("date", "transfer-encoding")]


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("path", ["/whole", "/parts", "/file"])
def test_204_and_304_have_no_body_whatever_is_written(engine, status, path, tmp_path):
    (tmp_path / "file").write_bytes(b"from a file")

    def answer(exchange):
        if exchange.path == "/whole":
            exchange.respond(status, [("ETag", '"1"')], b"not sent")
            return
        exchange.start(status, [("ETag", '"1"')])
        if exchange.path == "/file":
            exchange.send_file(open(tmp_path / "file", "rb"), 0, 11)  # noqa: SIM115
        else:
            exchange.write(b"not sent")

    with serving(answer, engine=engine) as server, Client(server) as client:
        for _ in range(2):
            answer = client.ask(get(path))
            assert (answer.status, answer["etag"]) == (status, '"1"')
            assert answer["transfer-encoding"] is None
            assert answer["content-length"] is None


def test_an_answer_has_date_and_server_unless_the_gateway_has(engine):
    def answer(exchange):
        own = [("Date", "today"), ("SERVER", "mine")] if exchange.path == "/own" else []
        if exchange.query:
            exchange.start(200, own)
        else:
            exchange.respond(200, own)

    with serving(answer, engine=engine) as server, Client(server) as client:
        for query in ("", "?parts"):
            ours = client.ask(get("/" + query))
            assert ours["date"].endswith(" GMT")
            assert ours["server"] == "portico"
            own = client.ask(get("/own" + query))
            assert (own["date"], own["server"]) == ("today", "mine")


# Expect


def test_a_continue_is_sent_when_the_body_is_asked_for_and_not_before(engine):
    asked = threading.Event()

    def reader(exchange):
        asked.wait(10)
        exchange.respond(200, [], exchange.body.read())

    with serving(reader, engine=engine) as server, Client(server) as client:
        for _ in range(2):
            asked.clear()
            client.send(get("/", "Content-Length: 5", "Expect: 100-continue", method="POST"))
            client.sock.settimeout(0.1)
            with pytest.raises(TimeoutError):
                client.sock.recv(1)
            client.sock.settimeout(10)
            asked.set()
            assert client.interim() == 100
            client.send(b"hello")
            answer = client.answer()
            assert (answer.body, answer.interim, answer["connection"]) == (b"hello", [], None)


def test_no_continue_is_sent_when_the_answer_comes_first(engine):
    with serving(ignore, engine=engine) as server, Client(server) as client:
        client.send(get("/", "Content-Length: 5", "Expect: 100-continue", method="POST"))
        answer = client.answer()
        assert (answer.status, answer.interim) == (200, [])
        # Whether the body still comes nobody can tell: only a new connection is safe.
        assert answer["connection"] == "close"
        client.end()
        assert client.is_closed()


def test_no_continue_is_sent_when_the_body_is_here_already(engine):
    with serving(echo, engine=engine) as server, Client(server) as client:
        answer = client.ask(post(b"here", "/", "Expect: 100-Continue"))
        assert (answer.body, answer.interim) == (b"POST / here", [])
        assert client.ask(get()).status == 200


def test_a_chunked_body_behind_an_expectation_is_complete_when_its_gateway_runs(engine):
    def length(exchange):
        exchange.respond(200, [], f"{exchange.body_length} ".encode() + exchange.body.read())

    with serving(length, engine=engine) as server, Client(server) as client:
        client.send(get("/", "Transfer-Encoding: chunked", "Expect: 100-continue", method="PUT"))
        assert client.interim() == 100
        client.send(b"5\r\nhello\r\n0\r\n\r\n")
        answer = client.answer()
        assert (answer.body, answer["connection"]) == (b"5 hello", None)


def test_another_expectation_is_refused(server):
    with Client(server) as client:
        answer = client.ask(get("/", "Expect: magic", "Content-Length: 0", method="POST"))
        assert answer.status == 417
        assert client.is_closed()


def test_an_http_1_0_client_is_sent_no_continue(server):
    with Client(server) as client:
        client.send(
            get("/", "Content-Length: 2", "Expect: 100-continue", method="POST", version="1.0"), b"ok"
        )
        answer = client.answer()
        assert (answer.body, answer.interim) == (b"POST / ok", [])


# Bodies that nobody reads


@pytest.mark.parametrize("streams", [False, True])
def test_a_small_body_that_is_not_read_costs_no_connection(engine, streams):
    with serving(ignore, engine=engine, streams=streams) as server, Client(server) as client:
        for raw in (post(b"x" * 20_000), chunked([b"x" * 9000, b"y"]), get()):
            assert client.ask(raw).body == b"ignored"


def test_a_large_body_that_is_not_read_costs_the_connection_but_not_the_answer(engine):
    with serving(ignore, engine=engine, streams=True) as server, Client(server) as client:
        client.send(get("/", "Content-Length: 1000000000", method="POST"), BIG)
        answer = client.answer()
        assert (answer.body, answer["connection"]) == (b"ignored", "close")
        client.end()
        client.rest()


def test_half_a_body_may_be_read(engine):
    def half(exchange):
        exchange.respond(200, [], exchange.body.read(10))

    with serving(half, engine=engine, streams=True) as server, Client(server) as client:
        for _ in range(3):
            assert client.ask(post(b"0123456789" * 5000)).body == b"0123456789"


def test_a_streaming_gateway_may_answer_while_the_body_still_comes(engine):
    def mirror(exchange):
        exchange.start(200, [])
        while data := exchange.body.read1(10):
            exchange.write(data)

    with serving(mirror, engine=engine, streams=True) as server, Client(server) as client:
        client.send(get("/", "Content-Length: 30", method="POST"))
        for number in range(3):
            client.send(b"%d234567890" % number)
            if not number:
                assert client._head().status == 200
            assert client._until(b"\r\n") == b"a"
            assert client._exactly(12) == b"%d234567890\r\n" % number
        assert client._exactly(5) == b"0\r\n\r\n"
        assert client.ask(get()).status == 200


# Targets and hosts


def test_the_forms_of_a_target(server):
    with Client(server) as client:
        assert client.ask(get("/a%20b?c=d")).body == b"GET /a%20b?c=d "
        assert client.ask(get("http://other.example/x?y")).body == b"GET http://other.example/x?y "
        assert client.ask(get("*", method="OPTIONS")).body == b"OPTIONS * "


def test_what_an_exchange_says_of_a_target(engine):
    def facts(exchange):
        said = f"{exchange.raw_path}|{exchange.path}|{exchange.query}|{exchange.host}"
        exchange.respond(200, [], said.encode())

    with serving(facts, engine=engine) as server, Client(server) as client:
        assert client.ask(get("/a%2Fb?c%20=?d")).body == b"/a%2Fb|/a/b|c%20=?d|test"
        assert client.ask(get("http://other.example:81?q")).body == b"/|/|q|other.example:81"
        assert client.ask(get("HTTPS://[::1]/p?q")).body == b"/p|/p|q|[::1]"
        assert client.ask(get("*", method="OPTIONS")).body == b"*|*||test"


def test_options_of_the_server_itself_needs_no_mount(engine):
    with (
        serving(Mounts([("/app", Gate(echo))]), engine=engine, plain=True) as server,
        Client(server) as client,
    ):
        answer = client.ask(get("*", method="OPTIONS"))
        assert answer.status == 204
        assert "GET" in answer["allow"]
        assert client.ask(get("/elsewhere")).status == 404
        assert client.ask(get("/app")).status == 200


def test_connect_is_refused_and_what_follows_is_not_read_as_a_request(server):
    with Client(server) as client:
        client.send(
            b"CONNECT other.example:443 HTTP/1.1\r\nHost: other.example:443\r\n\r\n", get("/tunnelled")
        )
        answer = client.answer()
        assert (answer.status, answer["connection"]) == (501, "close")
        client.end()
        assert client.is_closed()


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: user@a\r\n\r\n",
        b"GET a HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http://u:p@h/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
    ids=repr,
)
def test_what_is_no_request_gets_a_400_and_the_end(server, raw):
    with Client(server) as client:
        client.send(raw)
        answer = client.answer()
        assert (answer.status, answer["connection"]) == (400, "close")
        client.end()
        assert client.is_closed()


@pytest.mark.parametrize(("version", "status"), [("2.0", 505), ("0.9", 505), ("1.x", 400)])
def test_other_versions_are_refused(server, version, status):
    assert talk(server, get(version=version)).startswith(b"HTTP/1.1 %d " % status)


def test_http_1_0_needs_no_host(server):
    assert talk(server, b"GET /old HTTP/1.0\r\n\r\n").endswith(b"\r\n\r\nGET /old ")


def test_a_bad_request_after_a_good_one_is_refused_after_its_answer(server):
    with Client(server) as client:
        client.send(get("/good"), b"bad\r\n\r\n", get("/never"))
        assert client.answer().body == b"GET /good "
        assert client.answer().status == 400
        client.end()
        assert client.is_closed()


# Error pages


def test_an_error_page_escapes_what_it_quotes(engine):
    def refuse(exchange):
        exchange.respond_error(403, "<script>alert('&')</script>", [("X-Why", "because")])

    with serving(refuse, engine=engine) as server, Client(server) as client:
        answer = client.ask(get())
    assert answer.status == 403
    assert answer.reason == "Forbidden"
    assert answer["x-why"] == "because"
    assert answer["content-type"] == "text/html; charset=utf-8"
    assert answer["x-content-type-options"] == "nosniff"
    assert b"<script>" not in answer.body
    assert b"&lt;script&gt;alert(&#x27;&amp;&#x27;)" in answer.body


def test_an_early_error_reaches_a_client_that_still_sends(engine):
    with serving(echo, engine=engine, limits={"body": 1000}) as server, Client(server) as client:
        client.send(get("/", f"Content-Length: {len(BIG)}", method="POST"))
        client.send(BIG)  # more than any kernel buffers: it is swallowed
        answer = client.answer()
        assert (answer.status, answer["connection"]) == (413, "close")
        client.end()
        assert client.is_closed()


# The end of the server


def test_while_the_server_stops_a_kept_connection_may_ask_once_more(engine):
    with serving(echo, engine=engine) as server, Client(server) as client:
        assert client.ask(get("/before"))["connection"] is None
        stopping = threading.Thread(target=server.stop, args=(10.0, 5.0))
        stopping.start()
        while not server.listeners[0].closed and engine == "threads":
            time.sleep(0.01)
        time.sleep(0.05)
        answer = client.ask(get("/after"))
        assert (answer.body, answer["connection"]) == (b"GET /after ", "close")
        assert client.is_closed()
        stopping.join(5)
        assert not stopping.is_alive()
        assert server.cut == []


def test_an_idle_connection_does_not_hold_up_the_end(engine):
    server = serving(echo, engine=engine)
    with server, Client(server) as client:
        client.ask(get())
        began = time.monotonic()
        server.stop(10.0)
        assert time.monotonic() - began < 5
        assert client.is_closed()
    assert server.cut == []


# Broken off at every stage


STAGES = {
    "connected": b"",
    "half a head": get()[:-3],
    "half a body": post(b"12345")[:-2],
    "half a chunk": chunked([b"12345"], tail=b"5\r\nab"),
    "an answer": get("/large"),
    "between two": get("/small"),
    "in a pipeline": get("/small") * 20 + get("/large") * 3,
    "refused": b"nonsense\r\n\r\n",
}


@pytest.mark.usefixtures("no_leaks")
@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_connections_broken_off_at_any_stage_leave_nothing_behind(engine, reset):
    def answer(exchange):
        exchange.respond(200, [], BIG if exchange.path == "/large" else exchange.body.read())

    with serving(answer, engine=engine) as server:
        for _ in range(10):
            for raw in STAGES.values():
                with Client(server) as client:
                    client.send(raw)
                    if raw.endswith(get("/large")) or raw == get("/small"):
                        client._until(b" ")
                    if reset:
                        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with Client(server) as client:
            assert client.ask(get("/small")).status == 200
        until = time.monotonic() + 10
        while server.connections and time.monotonic() < until:
            time.sleep(0.01)
        assert server.connections == 0


# Without sockets


@pytest.mark.parametrize("streams", [False, True])
def test_the_same_server_over_memory(engine, streams):
    gateway = Gate(digest, streams=streams)
    name = f"memory:http-{engine}-{streams}"
    with (
        Server(gateway, name, engine=engine, wire="http", limits=Limits(), grace=2) as server,
        Stream(dial(server.addresses[0])) as stream,
    ):
        stream.write(post(BIG) + get("/", "Connection: close"))
        said = stream.read_all(1 << 20)
    assert said.count(b"HTTP/1.1 200 OK") == 2
    assert digest_of(BIG) in said
