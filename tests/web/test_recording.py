import pytest

from portico.errors import EndOfStream, LocalProtocolError
from tests.web.recording import RecordingExchange


def test_an_answer_is_remembered():
    exchange = RecordingExchange("POST", "/m/a%20b?c=d", [("X-A", "1"), ("x-a", "2")], body=b"in", mount="/m")
    assert (exchange.path_info, exchange.raw_path_info, exchange.query) == ("/a b", "/a%20b", "c=d")
    assert (exchange.header("X-a"), exchange.body.read(), exchange.body_length) == ("1, 2", b"in", 2)
    exchange.run(lambda ex: ex.respond(200, [("X-B", "b")], b"out"))
    assert (exchange.status, exchange.sent, exchange.sent_header("content-length")) == (200, b"out", "3")


LENGTH_3 = [("Content-Length", "3")]


@pytest.mark.parametrize(
    "gateway",
    [
        lambda ex: None,
        lambda ex: ex.write(b"x"),
        lambda ex: ex.start(200, []),
        lambda ex: (ex.start(200, []), ex.start(200, [])),
        lambda ex: (ex.respond(200, []), ex.write(b"x")),
        lambda ex: ex.start(101, []),
        lambda ex: ex.start(200, [("A", "b\r\nC: d")]),
        lambda ex: ex.start(200, [("A b", "c")]),
        lambda ex: ex.start(200, [("A", "\u20ac")]),
        lambda ex: ex.start(200, [("Connection", "close")]),
        lambda ex: ex.start(200, [*LENGTH_3, *LENGTH_3]),
        lambda ex: ex.start(204, LENGTH_3),
        lambda ex: (ex.start(200, LENGTH_3), ex.write(b"four")),
        lambda ex: (ex.start(200, LENGTH_3), ex.write(b"2"), ex.finish()),
        lambda ex: ex.respond(200, LENGTH_3, b"four"),
        lambda ex: ex.respond_error(200),
    ],
)
def test_what_the_contract_forbids_is_raised(gateway):
    with pytest.raises(LocalProtocolError):
        RecordingExchange().run(gateway)


def test_a_file_is_closed_and_must_be_long_enough(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    file = (tmp_path / "file").open("rb")
    with pytest.raises(EndOfStream):
        RecordingExchange().run(lambda ex: (ex.start(200, []), ex.send_file(file, 1, 3)))
    assert file.closed


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 304)])
def test_a_body_that_must_not_be_is_dropped(method, status):
    exchange = RecordingExchange(method).run(lambda ex: ex.respond(status, [], b"body"))
    assert exchange.sent == b""
