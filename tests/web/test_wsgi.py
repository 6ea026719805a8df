"""WSGI by PEP 3333, over real connections: how an application answers."""

from __future__ import annotations

import gc
import gzip
import io
import itertools
import sys
import tempfile
import threading
from contextlib import suppress

import pytest

from portico.errors import LocalProtocolError
from portico.web.wsgi import WSGI, FileWrapper
from tests.http.served import ENGINES, Client, chunked, get, post, serving


@pytest.fixture(params=ENGINES)
def engine(request):
    return request.param


def served(app, **options):
    stream = options.pop("stream", False)
    return serving(WSGI(app, stream=stream), **options)


def ask(app, raw=None, method="GET"):
    """One request to an application; the answer."""
    with served(app) as server, Client(server) as client:
        return client.ask(raw or get(method=method), method)


class Body:
    """An iterable that knows whether it was closed."""

    def __init__(self, *pieces):
        self.pieces = pieces
        self.closed = 0

    def __iter__(self):
        for piece in self.pieces:
            if isinstance(piece, BaseException):
                raise piece
            yield piece

    def close(self):
        self.closed += 1


def plain(*pieces, status="200 OK", headers=()):
    """An application that answers with these pieces."""

    def app(environ, start_response):
        start_response(status, list(headers))
        return list(pieces)

    return app


# Bodies


def test_one_block_gets_a_length(engine):
    with served(plain(b"hello"), engine=engine) as server, Client(server) as client:
        for _ in range(2):
            answer = client.ask(get())
            assert (answer["content-length"], answer["transfer-encoding"], answer.body) == (
                "5",
                None,
                b"hello",
            )


def test_many_blocks_are_chunked_and_empty_ones_are_no_end():
    answer = ask(plain(b"", b"a", b"", b"bc", b""))
    assert answer["transfer-encoding"] == "chunked"
    assert answer.chunks == [b"a", b"bc"]


def test_no_block_is_an_empty_body():
    for app in (plain(), plain(b""), plain(b"", b"")):
        answer = ask(app)
        assert (answer.status, answer["content-length"], answer.body) == (200, "0", b"")


def test_a_length_of_the_applications_own_is_kept():
    answer = ask(plain(b"ab", b"c", headers=[("Content-Length", "3")]))
    assert (answer["content-length"], answer.body) == ("3", b"abc")


def test_http_1_0_gets_its_body_until_the_end():
    answer = ask(plain(b"ab", b"c"), get(version="1.0"))
    assert (answer["transfer-encoding"], answer["connection"], answer.body) == (None, "close", b"abc")


def test_head_is_answered_as_get_is_without_a_body():
    for app in (
        plain(b"hello"),
        plain(b"hello", b"x", headers=[("Content-Length", "6")]),
        plain(b"", status="404 No"),
    ):
        full, bare = ask(app), ask(app, method="HEAD")
        assert (bare.status, bare.reason) == (full.status, full.reason)
        assert bare["content-length"] in (full["content-length"], None)
        assert bare["transfer-encoding"] is None
    assert ask(plain(b"hello"), method="HEAD")["content-length"] == "5"
    # An application that leaves the body out itself has said nothing about its length.
    assert ask(plain(b""), method="HEAD")["content-length"] is None
    assert ask(plain(headers=[("Content-Length", "77")]), method="HEAD")["content-length"] == "77"


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
@pytest.mark.parametrize("pieces", [(), (b"",), (b"body",), (b"bo", b"dy")])
def test_without_content_there_is_no_body_and_the_connection_lives(engine, status, pieces):
    app = plain(*pieces, status=status, headers=[("ETag", '"x"')])
    with served(app, engine=engine) as server, Client(server) as client:
        for _ in range(2):
            answer = client.ask(get())
            assert (answer.status, answer["etag"], answer.body) == (int(status[:3]), '"x"', b"")
            assert answer["transfer-encoding"] is None


def test_django_says_a_length_of_zero_with_204_and_that_is_no_error():
    answer = ask(plain(b"", status="204 No Content", headers=[("Content-Length", "0")]))
    assert (answer.status, answer["content-length"]) == (204, None)


def test_statuses_and_reasons_are_the_applications():
    assert (
        ask(plain(b"", status="299 Very Fine")).status,
        ask(plain(b"", status="299 Very Fine")).reason,
    ) == (
        299,
        "Very Fine",
    )
    assert ask(plain(b"", status="404 ")).reason == "Not Found"
    assert ask(plain(b"", status="404")).reason == "Not Found"


@pytest.mark.parametrize(
    "status",
    [
        "",
        "OK",
        "20 OK",
        "2000 OK",
        " 200 OK",
        "099 Low",
        "101 Switch",
        "100 C",
        "\u0662\u0660\u0660 OK",
        b"200 OK",
        200,
    ],
)
def test_a_malformed_status_is_a_500(status):
    assert ask(plain(b"x", status=status)).status == 500


@pytest.mark.parametrize(
    "headers",
    [
        [("X", "a\r\nY: b")],
        [("X\r\nY", "b")],
        [("X", "a\0")],
        [("X Y", "a")],
        [("", "a")],
        [("X", "\u2603")],
        [("X", b"bytes")],
        [(b"X", "bytes")],
        [("X", 5)],
        [("X", None)],
        [("Content-Length", "five")],
        [("Content-Length", "-1")],
        [("Content-Length", "5"), ("Content-Length", "6")],
        [("X",)],
        None,
    ],
    ids=repr,
)
def test_headers_that_cannot_be_sent_are_a_500_that_tells_nothing(headers):
    def app(environ, start_response):
        start_response("200 OK", headers)
        return [b"secret"]

    answer = ask(app)
    assert answer.status == 500
    assert b"secret" not in answer.body
    assert answer["y"] is None


def test_hop_by_hop_headers_are_the_servers():
    answer = ask(
        plain(b"x", headers=[("Transfer-Encoding", "chunked"), ("Connection", "upgrade"), ("Upgrade", "x")])
    )
    assert (answer["transfer-encoding"], answer["connection"], answer["upgrade"], answer.body) == (
        None,
        None,
        None,
        b"x",
    )


def test_repeated_headers_are_sent_repeatedly_in_order():
    answer = ask(plain(b"", headers=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]))
    assert [value for name, value in answer.headers if name == "set-cookie"] == ["a=1", "b=2"]


@pytest.mark.parametrize("piece", ["text", 5, None, bytearray(b"x")], ids=repr)
@pytest.mark.parametrize("kind", [list, iter, tuple])
def test_what_is_not_bytes_is_a_500(piece, kind):
    def app(environ, start_response):
        start_response("200 OK", [])
        return kind([piece])

    assert ask(app).status == 500


@pytest.mark.parametrize("result", [None, 5, object()], ids=["None", "5", "object"])
def test_what_is_not_iterable_is_a_500(result):
    def app(environ, start_response):
        start_response("200 OK", [])
        return result

    assert ask(app).status == 500


# start_response


def test_a_generator_may_call_start_response_when_it_is_first_asked():
    def app(environ, start_response):
        yield b""
        start_response("201 Created", [("X", "late")])
        yield b""
        yield b"body"

    answer = ask(app)
    assert (answer.status, answer["x"], answer.body) == (201, "late", b"body")


def test_headers_leave_with_the_first_byte_and_not_before():
    def app(environ, start_response):
        start_response("200 OK", [("X", "first")])
        yield b""
        try:
            raise ValueError("changed my mind")
        except ValueError:
            start_response("500 Oops", [("X", "second")], sys.exc_info())
        yield b"error page"

    answer = ask(app)
    assert (answer.status, answer.reason, answer["x"], answer.body) == (500, "Oops", "second", b"error page")


def test_exc_info_after_the_headers_is_raised_and_cuts_the_answer(engine, caplog):
    body = Body()
    swallowed = []

    def app(environ, start_response):
        def pieces():
            start_response("200 OK", [])
            yield b"sent"
            try:
                raise KeyError("late trouble")
            except KeyError:
                try:
                    start_response("500 Oops", [], sys.exc_info())
                except KeyError:
                    swallowed.append(True)
                    raise
            yield b"never"

        body.pieces = pieces()
        return body

    with served(app, engine=engine) as server, Client(server) as client:
        client.send(get())
        with pytest.raises((EOFError, ConnectionError)):
            client.answer()
    assert swallowed == [True]
    assert body.closed == 1
    assert "late trouble" in caplog.text


def test_start_response_may_be_called_twice_only_with_exc_info(caplog):
    def app(environ, start_response):
        start_response("200 OK", [])
        start_response("201 Created", [])
        return [b"x"]

    assert ask(app).status == 500
    assert "exc_info" in caplog.text


def test_a_body_without_start_response_is_a_500():
    for result in ([b"x"], [], [b"a", b"b"], iter([b"x"]), [b""]):
        assert ask(lambda environ, start_response, result=result: result).status == 500


def test_write_sends_before_what_is_returned():
    def app(environ, start_response):
        write = start_response("200 OK", [("Content-Length", "9")] if environ["QUERY_STRING"] else [])
        write(b"one")
        write(b"")
        write(b"two")
        return [b"six"]

    assert ask(app).chunks == [b"one", b"two", b"six"]
    assert ask(app, get("/?length")).body == b"onetwosix"
    assert ask(app, get(version="1.0")).body == b"onetwosix"


def test_write_of_nothing_sends_the_headers():
    def app(environ, start_response):
        start_response("202 Accepted", [])(b"")
        return []

    answer = ask(app)
    assert (answer.status, answer.body) == (202, b"")


@pytest.mark.parametrize("status", ["202 Accepted", "204 No Content"])
def test_headers_leave_with_a_write_of_nothing(status):
    arrived = threading.Event()

    def app(environ, start_response):
        start_response(status, [])(b"")
        assert arrived.wait(10)
        return []

    with served(app) as server, Client(server) as client:
        client.send(get())
        assert client.sock.recv(11) == b"HTTP/1.1 20"
        arrived.set()


@pytest.mark.parametrize("data", ["text", None, 5])
def test_write_takes_bytes_only(data):
    def app(environ, start_response):
        start_response("200 OK", [])(data)
        return []

    assert ask(app).status == 500


def test_a_write_that_was_kept_cannot_write_into_the_next_answer(engine):
    kept, errors = [], []

    def app(environ, start_response):
        if kept:
            try:
                kept[0](b"injected")
            except Exception as error:  # noqa: BLE001
                errors.append(error)
        kept.append(start_response("200 OK", []))
        kept[-1](b"mine")
        return []

    with served(app, engine=engine) as server, Client(server) as client:
        for _ in range(3):
            assert client.ask(get()).body == b"mine"
    assert len(errors) == 2


# Closing


@pytest.mark.parametrize(
    "pieces",
    [
        (),
        (b"one",),
        (b"one", b"two"),
        (ValueError(),),
        (b"one", ValueError()),
        ("text",),
        (b"one", SystemExit()),
    ],
    ids=repr,
)
@pytest.mark.parametrize("raw", [get(), get(method="HEAD")], ids=["get", "head"])
def test_an_iterable_is_closed_once_whatever_happens(pieces, raw):
    body = Body(*pieces)

    def app(environ, start_response):
        start_response("200 OK", [])
        return body

    with served(app) as server, Client(server) as client:
        client.send(raw)
        try:
            client.end()  # by now the answer may have been cut, and the connection with it
            client.rest()
        except OSError:
            pass
    assert body.closed == 1


def test_head_ends_an_answer_that_has_no_end(engine):
    class Endless(Body):
        def __iter__(self):
            return itertools.repeat(b"tick")

    body = Endless()

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        return body

    with served(app, engine=engine) as server, Client(server) as client:
        assert client.ask(get(method="HEAD"), "HEAD").status == 200
        assert client.ask(get(method="HEAD"), "HEAD").status == 200
    assert body.closed == 2


def test_an_iterable_is_closed_when_its_reader_leaves(engine):
    closed = threading.Event()

    class Endless(Body):
        def __iter__(self):
            while True:
                yield b"x" * 65536

        def close(self):
            closed.set()

    def app(environ, start_response):
        start_response("200 OK", [])
        return Endless()

    with served(app, engine=engine) as server:
        with Client(server) as client:
            client.send(get())
            client._head()
        assert closed.wait(10)


def test_close_that_raises_is_logged_and_costs_no_answer(engine, caplog):
    class Bad(Body):
        def close(self):
            raise ValueError("in close")

    def app(environ, start_response):
        start_response("200 OK", [])
        return Bad(b"one", b"two")

    with served(app, engine=engine) as server, Client(server) as client:
        for _ in range(2):
            assert client.ask(get()).body == b"onetwo"
    assert "in close" in caplog.text


def test_an_application_that_raises_is_a_500_and_the_next_request_is_served(engine, caplog):
    def app(environ, start_response):
        if environ["PATH_INFO"] == "/bad":
            raise ValueError("secret")
        start_response("200 OK", [])
        return [b"good"]

    with served(app, engine=engine) as server, Client(server) as client:
        answer = client.ask(get("/bad"))
        assert (answer.status, b"secret" in answer.body) == (500, False)
        assert client.ask(get("/good")).body == b"good"
    assert "ValueError: secret" in caplog.text


def test_the_four_forms_of_an_application():
    def function(environ, start_response):
        start_response("200 OK", [])
        return [b"function"]

    def generator(environ, start_response):
        start_response("200 OK", [])
        yield b"generator"

    class Instances:
        def __init__(self, environ, start_response):
            self.start = start_response

        def __iter__(self):
            self.start("200 OK", [])
            yield b"class"

    class Callable:
        def __call__(self, environ, start_response):
            start_response("200 OK", [])
            return (b"instance",)

    for app, said in (
        (function, b"function"),
        (generator, b"generator"),
        (Instances, b"class"),
        (Callable(), b"instance"),
    ):
        with serving(app, plain=True) as server, Client(server) as client:
            assert client.ask(get()).body == said


# Input


def input_tests(environ):
    """Each way of reading, on the same body: 'one\\ntwo\\nthree'."""
    stream, way = environ["wsgi.input"], environ["QUERY_STRING"]
    ways = {
        "read": lambda: [stream.read()],
        "sized": lambda: [stream.read(4), stream.read(100), stream.read(100), stream.read()],
        "line": lambda: [
            stream.readline(),
            stream.readline(2),
            stream.readline(),
            stream.readline(),
            stream.readline(),
        ],
        "lines": stream.readlines,
        "iter": lambda: list(stream),
        "mixed": lambda: [stream.readline(), stream.read(1), *stream],
        "hint": lambda: stream.readlines(1),
        "none": list,
    }
    return ways[way]()


WAYS = {
    "read": [b"one\ntwo\nthree"],
    "sized": [b"one\n", b"two\nthree", b"", b""],
    "line": [b"one\n", b"tw", b"o\n", b"three", b""],
    "lines": [b"one\n", b"two\n", b"three"],
    "iter": [b"one\n", b"two\n", b"three"],
    "mixed": [b"one\n", b"t", b"wo\n", b"three"],
    "hint": [b"one\n"],
    "none": [],
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("expect", [False, True])
@pytest.mark.parametrize("coded", [False, True], ids=["length", "chunked"])
def test_input_reads_like_a_file_that_ends_with_the_body(engine, stream, expect, coded):
    def app(environ, start_response):
        start_response("200 OK", [])
        assert environ["wsgi.input_terminated"] is True
        return [repr(input_tests(environ)).encode()]

    fields = ["Expect: 100-continue"] if expect else []
    with served(app, engine=engine, stream=stream) as server, Client(server) as client:
        for way, wanted in WAYS.items():
            if expect and way == "none":
                continue  # without a 100 that connection ends
            target = f"/?{way}"
            body = b"one\ntwo\nthree"
            client.send(
                chunked([body[:5], body[5:]], target, *fields) if coded else post(body, target, *fields)
            )
            assert client.answer().body == repr(wanted).encode()


def test_the_length_of_a_chunked_body_is_told_once_it_is_known():
    def app(environ, start_response):
        start_response("200 OK", [])
        length = environ.get("CONTENT_LENGTH", "none")
        return [
            f"{length} {len(environ['wsgi.input'].read())} {environ.get('HTTP_TRANSFER_ENCODING')}".encode()
        ]

    with served(app) as server, Client(server) as client:
        assert client.ask(chunked([b"abc", b"de"])).body == b"5 5 None"
        assert client.ask(post(b"abcd")).body == b"4 4 None"
        assert client.ask(get()).body == b"none 0 None"
        assert client.ask(post(b"")).body == b"0 0 None"
        assert client.ask(chunked([b"abc"], "/", "Expect: 100-continue")).body == b"3 3 None"
    with served(app, stream=True) as server, Client(server) as client:
        assert client.ask(chunked([b"abc", b"de"])).body == b"none 5 None"
        assert client.ask(post(b"abcd")).body == b"4 4 None"


def test_a_large_upload_through_a_file(engine):
    large = b"0123456789" * 100_000

    def app(environ, start_response):
        start_response("200 OK", [])
        return [environ["wsgi.input"].read()]

    with served(app, engine=engine, limits={"body_memory": 1000}) as server, Client(server) as client:
        for raw in (post(large), chunked([large[:70_000], large[70_000:]])):
            assert client.ask(raw).body == large


BAD = [
    ("100 Continue", []),
    ("200 OK\rX: y", []),
    ("200 €", []),
    ("200 OK", [("X", "a\r\nY: b")]),
    ("200 OK", [("X Y", "a")]),
    ("200 OK", [("X", "€")]),
    ("200 OK", [("X", 5)]),
]


@pytest.mark.parametrize(("status", "headers"), BAD)
def test_what_is_wrong_with_a_head_is_said_while_the_application_can_make_it_good(status, headers):
    def app(environ, start_response):
        try:
            start_response(status, headers)
        except (LocalProtocolError, TypeError):  # the second where it is compiled
            start_response("400 Bad", [])
        return [b"caught"]

    answer = ask(app)
    assert (answer.status, answer.body) == (400, b"caught")


# file_wrapper


def wrapped(make, headers=(), block=8192, status="200 OK"):
    def app(environ, start_response):
        start_response(status, list(headers))
        return environ["wsgi.file_wrapper"](make(), block)

    return app


@pytest.fixture
def path(tmp_path):
    (tmp_path / "data").write_bytes(b"0123456789" * 50_000)
    return tmp_path / "data"


def opened(path, offset=0, **options):
    def make():
        file = open(path, "rb", **options)  # noqa: SIM115
        file.seek(offset)
        return file

    return make


def written(kind):
    def make():
        file = kind()
        file.write(b"written")
        file.seek(2)
        return file

    return make


@pytest.mark.parametrize("options", [{}, {"buffering": 0}], ids=["buffered", "raw"])
def test_a_file_is_sent_from_where_it_stands(engine, path, options):
    content = path.read_bytes()
    with served(wrapped(opened(path, 123_456, **options)), engine=engine) as server, Client(server) as client:
        for _ in range(2):
            answer = client.ask(get())
            assert answer["content-length"] == str(len(content) - 123_456)
            assert answer.body == content[123_456:]
        assert client.ask(get(method="HEAD"), "HEAD")["content-length"] == str(len(content) - 123_456)


def test_a_file_is_not_copied_through_python(path, monkeypatch):
    monkeypatch.setattr(FileWrapper, "__iter__", lambda self: pytest.fail("the file was iterated"))
    for make in (opened(path), written(tempfile.NamedTemporaryFile), written(tempfile.TemporaryFile)):
        assert ask(wrapped(make)).status == 200


@pytest.mark.parametrize("told", [0, 5, 500_000])
def test_no_more_of_a_file_is_sent_than_content_length_says(path, told):
    content = path.read_bytes()
    for make in (opened(path), lambda: io.BytesIO(content)):
        answer = ask(wrapped(make, [("Content-Length", str(told))]))
        assert answer.body == content[:told]


def test_a_file_shorter_than_content_length_is_cut_for_all_to_see(path):
    with served(wrapped(opened(path), [("Content-Length", "500001")])) as server, Client(server) as client:
        client.send(get())
        with pytest.raises((EOFError, ConnectionError)):
            client.answer()


def test_what_is_no_plain_file_is_read_in_blocks(path, tmp_path):
    content = path.read_bytes()

    class Upper:
        """Has a descriptor, and yet another content than that."""

        def __init__(self):
            self.file = open(path, "rb")  # noqa: SIM115
            self.fileno, self.tell = self.file.fileno, self.file.tell

        def read(self, size=-1):
            return self.file.read(size).replace(b"0", b"X")

        def close(self):
            self.file.close()

    packed = tmp_path / "data.gz"
    packed.write_bytes(gzip.compress(content))
    assert ask(wrapped(lambda: io.BytesIO(content))).body == content
    assert ask(wrapped(lambda: gzip.GzipFile(packed))).body == content
    assert ask(wrapped(Upper)).body == content.replace(b"0", b"X")
    assert ask(wrapped(packed.open)).status == 500  # text


def test_a_file_that_the_kernel_makes_up_has_no_size_and_is_sent():
    assert ask(wrapped(opened("/proc/version"))).body.startswith(b"Linux")


def test_a_file_goes_with_a_status_that_has_no_content(path):
    assert ask(wrapped(opened(path), status="204 No Content")).status == 204
    assert ask(wrapped(opened(path), status="304 Not Modified")).status == 304


def test_what_was_written_to_a_temporary_file_is_sent():
    assert ask(wrapped(written(tempfile.NamedTemporaryFile))).body == b"itten"


def test_a_wrapped_file_is_closed_also_when_nothing_of_it_is_sent(path):
    files = []

    def app(environ, start_response):
        files.append(open(path, "rb"))  # noqa: SIM115
        start_response({"/204": "204 No Content", "/bad": "bad"}.get(environ["PATH_INFO"], "200 OK"), [])
        return environ["wsgi.file_wrapper"](files[-1])

    def careful(environ, start_response):
        try:
            return app(environ, start_response)
        except Exception:
            files[-1].close()
            raise

    with served(careful) as server, Client(server) as client:
        for raw, method in (
            (get("/204"), "GET"),
            (get(method="HEAD"), "HEAD"),
            (get("/bad"), "GET"),
            (get(), "GET"),
        ):
            client.ask(raw, method)
    assert len(files) == 4
    assert all(file.closed for file in files)


def test_a_file_may_follow_what_was_written(path):
    def app(environ, start_response):
        start_response("200 OK", [])(b"before ")
        return environ["wsgi.file_wrapper"](open(path, "rb"))

    assert ask(app).body == b"before " + path.read_bytes()


# wsgi.errors


def test_errors_go_to_the_log(caplog):
    def app(environ, start_response):
        print("something", "odd", file=environ["wsgi.errors"])
        environ["wsgi.errors"].writelines(["two\n", "lines\n"])
        environ["wsgi.errors"].write("half ")
        environ["wsgi.errors"].write("and half\n\nflushed")
        environ["wsgi.errors"].flush()
        environ["wsgi.errors"].write("at last")
        start_response("200 OK", [])
        return []

    ask(app)
    gc.collect()
    said = [record.getMessage() for record in caplog.records if record.name == "portico.wsgi"]
    assert said == ["something odd", "two", "lines", "half and half", "flushed", "at last"]


def test_a_line_of_errors_without_an_end_is_logged_in_parts(caplog):
    def app(environ, start_response):
        for _ in range(3000):
            environ["wsgi.errors"].write("progress ")
        start_response("200 OK", [])
        return []

    with served(app) as server, Client(server) as client:
        client.ask(get())
        said = [record.getMessage() for record in caplog.records if record.name == "portico.wsgi"]
    assert "".join(said).startswith("progress progress")
    assert len(said) >= 3
    assert max(map(len, said)) < 10_000


# Early hints


def test_early_hints_leave_before_the_answer():
    def app(environ, start_response):
        environ["wsgi.early_hints"]([("Link", "</a.css>; rel=preload")])
        start_response("200 OK", [])
        return [b"x"]

    with serving(WSGI(app, early_hints=True)) as server, Client(server) as client:
        client.send(get())
        assert client.interim() == 103
        assert client.answer().body == b"x"
        assert client.ask(get(version="1.0")).interim == []


def test_early_hints_are_there_only_when_asked_for_and_before_the_answer(caplog):
    def app(environ, start_response):
        start_response("200 OK", [])(b"x")
        environ["wsgi.early_hints"]([("Link", "x")])

    assert "KeyError: 'wsgi.early_hints'" in refused(app, False, caplog)
    assert "answered already" in refused(app, True, caplog)


def refused(app, early_hints, caplog):
    caplog.clear()
    with serving(WSGI(app, early_hints=early_hints)) as server, Client(server) as client:
        client.send(get())
        with suppress(ConnectionError):
            client.rest()
    return caplog.text
