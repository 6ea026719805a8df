"""Compress: any gateway's answers, on a real connection, read by programs and by our own eyes."""

import io
import socket
import subprocess
import threading
import zlib

import pytest

from portico import Server
from portico.errors import ConfigError, LocalProtocolError
from portico.web.compress import Compress
from portico.web.static import Static
from tests.peers import need
from tests.web.recording import RecordingExchange
from tests.web.test_codings import unpack

TEXT = b"a text that is worth the effort, " * 100
PLAIN = ("Content-Type", "text/plain")


class Gateway:
    """Answers as a function says."""

    name = "test"

    def __init__(self, answer):
        self._answer = answer

    def streams(self, request):
        return request == "streams"

    def __call__(self, exchange):
        self._answer(exchange)


def whole(status=200, *headers, body=TEXT):
    return Gateway(lambda exchange: exchange.respond(status, [PLAIN, *headers], body))


def pieces(*headers, body=(TEXT, b"", TEXT), finish=True):
    def answer(exchange):
        exchange.start(200, [PLAIN, *headers])
        for piece in body:
            exchange.write(piece)
        if finish:
            exchange.finish()

    return Gateway(answer)


def get(gateway, accepted="gzip", method="GET", headers=(), **options):
    told = [("Accept-Encoding", accepted)] if accepted is not None else []
    exchange = RecordingExchange(method, "/", [*told, *headers])
    return exchange.run(Compress(gateway, **options))


def form(answer):
    return answer.sent_header("Content-Encoding"), answer.sent_header("Vary")


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_an_answer_in_one_piece_is_compressed_and_has_its_length(coding):
    answer = get(whole(), coding)
    assert form(answer) == (coding, "Accept-Encoding")
    assert unpack(answer.sent, coding) == TEXT
    assert answer.sent_header("Content-Length") == str(len(answer.sent))


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_an_answer_in_pieces_is_compressed_without_a_length(coding):
    for gateway in (pieces(), pieces(("Content-Length", str(2 * len(TEXT))))):
        answer = get(gateway, coding)
        assert unpack(answer.sent, coding) == TEXT * 2
        assert answer.sent_header("Content-Length") is None


def test_every_write_can_be_read_at_once():
    answer = get(pieces(body=[b"data: 1\n\n", b"data: 2\n\n"]))
    reader = zlib.decompressobj(31)
    assert [reader.decompress(piece) for piece in answer.writes] == [b"data: 1\n\n", b"data: 2\n\n", b""]


@pytest.mark.parametrize("accepted", [None, "", "deflate", "gzip;q=0", "identity"])
def test_who_does_not_accept_it_is_told_that_it_is_there(accepted):
    for gateway, body in ((whole(), TEXT), (pieces(), TEXT * 2)):
        answer = get(gateway, accepted)
        assert (answer.sent, *form(answer)) == (body, None, "Accept-Encoding")


@pytest.mark.parametrize(
    "headers",
    [
        [("Content-Encoding", "br")],
        [("content-encoding", "identity")],
        [("Cache-Control", "public, No-Transform")],
        [("Content-Range", "bytes 0-9/100")],
        [("Repr-Digest", "sha-256=:x:")],
        [("Content-MD5", "x")],
    ],
)
def test_what_must_stay_as_it_is_does(headers):
    answer = get(whole(200, *headers, ("ETag", '"x"')))
    assert (answer.sent, answer.sent_header("ETag"), answer.sent_header("Vary")) == (TEXT, '"x"', None)


@pytest.mark.parametrize("kind", ["image/png", "application/zip", "video/mp4", "font/woff2", ""])
def test_what_is_compressed_already_is_not_again(kind):
    gateway = Gateway(lambda exchange: exchange.respond(200, [("Content-Type", kind)], TEXT))
    assert (get(gateway).sent, *form(get(gateway))) == (TEXT, None, None)


@pytest.mark.parametrize(
    "kind", ["text/event-stream", "application/json", "image/svg+xml", "APPLICATION/X+JSON; a=b"]
)
def test_all_that_is_text_is_compressed(kind):
    gateway = Gateway(lambda exchange: exchange.respond(200, [("Content-Type", kind)], TEXT))
    assert form(get(gateway)) == ("gzip", "Accept-Encoding")


def test_what_is_small_is_left_as_it_is():
    assert form(get(whole(body=TEXT[:511]))) == (None, None)
    assert form(get(whole(body=TEXT[:512]))) == ("gzip", "Accept-Encoding")
    assert form(get(whole(body=TEXT[:10]), least=5)) == ("gzip", "Accept-Encoding")
    assert form(get(pieces(("Content-Length", "5"), body=[b"small"]))) == (None, None)


@pytest.mark.parametrize("status", [204, 205, 206, 304])
def test_what_has_no_content_or_a_part_of_it_is_left_alone(status):
    answer = get(whole(status, body=b""))
    assert (answer.status, answer.sent, answer.sent_header("Content-Encoding")) == (status, b"", None)


@pytest.mark.parametrize("status", [201, 404, 500])
def test_other_answers_are_compressed_whatever_they_say(status):
    assert (get(whole(status)).status, *form(get(whole(status)))) == (status, "gzip", "Accept-Encoding")


def test_the_tag_becomes_weak_and_ranges_go():
    given = [("ETag", '"x"'), ("Accept-Ranges", "bytes")]
    answer = get(whole(200, *given))
    assert (answer.sent_header("ETag"), answer.sent_header("Accept-Ranges")) == ('W/"x"', None)
    assert get(whole(200, ("ETag", 'W/"x"'))).sent_header("ETag") == 'W/"x"'
    plain = get(whole(200, *given), None)
    assert (plain.sent_header("ETag"), plain.sent_header("Accept-Ranges")) == ('"x"', "bytes")


def test_an_unchanged_answer_speaks_of_the_form_that_the_client_has():
    unchanged = whole(304, ("ETag", '"x"'), body=b"")
    weak = get(unchanged, headers=[("If-None-Match", 'W/"x"')])
    assert (weak.sent_header("ETag"), weak.sent_header("Vary")) == ('W/"x"', "Accept-Encoding")
    assert get(unchanged, headers=[("If-None-Match", '"x"')]).sent_header("ETag") == '"x"'


@pytest.mark.parametrize(
    ("vary", "sent"),
    [
        ("Cookie", ["Cookie", "Accept-Encoding"]),
        ("accept-encoding, Cookie", ["accept-encoding, Cookie"]),
        ("*", ["*"]),
    ],
)
def test_what_the_answer_varies_by_already_stays(vary, sent):
    answer = get(whole(200, ("Vary", vary)))
    assert [value for name, value in answer.sent_headers if name == "Vary"] == sent


def test_head_says_what_get_says_but_for_a_length_that_nobody_knows():
    for gateway in (whole(), pieces(), whole(200, ("ETag", '"x"')), whole(body=b"small")):
        answer, head = (get(gateway, method=method) for method in ("GET", "HEAD"))
        assert (head.sent_headers, head.sent) == (answer.sent_headers, b"")

    def app(environ, start_response):
        start_response("200 OK", [PLAIN, ("Content-Length", str(len(TEXT)))])
        return [TEXT] if environ["REQUEST_METHOD"] == "GET" else []

    with Server(Compress(app), "http://127.0.0.1:0") as server:
        head = curl(server, "--head", "--compressed").decode().lower()
    assert "content-encoding: " in head
    assert "content-length" not in head


@pytest.mark.parametrize("promised", [len(TEXT) * 2 + 1, len(TEXT) * 2 - 1])
def test_a_promised_length_that_is_not_kept_is_an_error_still(promised):
    with pytest.raises(LocalProtocolError, match="than its Content-Length, by 1"):
        get(pieces(("Content-Length", str(promised))))
    with pytest.raises(LocalProtocolError, match="Content-Length is"):
        get(whole(200, ("Content-Length", str(promised))))


def test_a_write_of_nothing_lets_the_head_go():
    arrived = threading.Event()

    def app(environ, start_response):
        start_response("200 OK", [PLAIN])(b"")
        assert arrived.wait(20)
        return [TEXT]

    with (
        Server(Compress(app), "http://127.0.0.1:0") as server,
        socket.create_connection(("127.0.0.1", server.addresses[0].port), timeout=20) as client,
    ):
        client.sendall(b"GET / HTTP/1.0\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
        assert client.recv(12) == b"HTTP/1.1 200"
        arrived.set()
        while client.recv(65536):
            pass


def test_a_file_is_compressed_as_it_is_sent(tmp_path):
    (tmp_path / "a.txt").write_bytes(TEXT * 100)

    def answer(exchange):
        exchange.start(200, [PLAIN])
        exchange.send_file(open(tmp_path / "a.txt", "rb"), 10, len(TEXT) * 50)  # noqa: SIM115
        exchange.finish()

    assert unpack(get(Gateway(answer)).sent, "gzip") == (TEXT * 100)[10 : 10 + len(TEXT) * 50]


@pytest.mark.parametrize(
    ("kind", "accepted", "coding", "vary"),
    [
        ("text/plain", "gzip", "gzip", "Accept-Encoding"),
        ("text/plain", "identity", None, "Accept-Encoding"),
        ("image/png", "gzip", None, None),
    ],
)
def test_a_file_in_one_piece_is_compressed_or_left_to_the_kernel(tmp_path, kind, accepted, coding, vary):
    (tmp_path / "a.txt").write_bytes(TEXT * 100)

    def answer(exchange):
        file = open(tmp_path / "a.txt", "rb")  # noqa: SIM115
        exchange.respond_file(200, [("Content-Type", kind)], file, 10, 1000)

    told = get(Gateway(answer), accepted)
    assert form(told) == (coding, vary)
    assert (unpack(told.sent, "gzip") if coding else told.sent) == (TEXT * 100)[10:1010]
    assert told.file_reads == ([] if coding else [(10, 1000)])


def test_a_file_that_is_shorter_than_it_was_said_to_be_cuts_the_answer(tmp_path):
    file = io.BytesIO(b"short")

    def answer(exchange):
        exchange.start(200, [PLAIN])
        exchange.send_file(file, 0, 1000)

    with pytest.raises(EOFError):
        get(Gateway(answer))
    assert file.closed


def test_it_is_a_gateway_with_the_name_and_ways_of_the_other():
    inner = whole()
    gateway = Compress(inner)
    assert (gateway.name, gateway.gateway) == ("test", inner)
    assert [gateway.streams("streams"), gateway.streams("")] == [True, False]
    assert "test" in repr(gateway)
    with pytest.raises(ConfigError):
        Compress(whole(), codings=["lzma"])
    with pytest.raises(ConfigError):
        Compress("no application")


def test_what_a_gateway_notes_about_a_request_reaches_the_server():
    def answer(exchange):
        exchange.user = "ada"
        exchange.respond(200, [PLAIN], TEXT)

    assert get(Gateway(answer)).user == "ada"


def test_a_gateway_that_blocks_is_known_to():
    inner = whole()
    assert Compress(inner).blocks is False
    inner.blocks = True
    assert Compress(inner).blocks is True


# On a real connection


def curl(server, *options):
    url = f"http://127.0.0.1:{server.addresses[0].port}/"
    done = subprocess.run([need("curl"), "-sS", *options, url], capture_output=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def app(environ, start_response):
    start_response("200 OK", [PLAIN])
    return iter([TEXT, TEXT])


@pytest.mark.parametrize("version", ["--http1.0", "--http1.1"])
def test_curl_reads_what_a_wsgi_application_says_in_pieces(version):
    with Server(Compress(app), "http://127.0.0.1:0") as server:
        assert curl(server, version, "--compressed") == TEXT * 2
        assert curl(server, version) == TEXT * 2


def test_curl_reads_a_folder_that_is_compressed_from_outside(tmp_path):
    (tmp_path / "index.html").write_bytes(TEXT * 1000)
    with Server(Compress(Static(tmp_path)), "http://127.0.0.1:0") as server:
        assert curl(server, "--compressed") == TEXT * 1000
        assert len(curl(server, "-H", "Accept-Encoding: gzip")) < len(TEXT) * 100


def test_a_gateway_that_leaves_the_end_to_the_server_is_read_to_the_end():
    with Server(Compress(pieces(finish=False)), "http://127.0.0.1:0") as server:
        assert curl(server, "--compressed") == TEXT * 2


def test_a_stream_of_events_is_not_held_back():
    """The second event is sent only when the first has been read."""
    read = threading.Event()

    def events(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        yield b"data: 1\n\n"
        assert read.wait(20)
        yield b"data: 2\n\n"

    with (
        Server(Compress(events), "http://127.0.0.1:0") as server,
        socket.create_connection(("127.0.0.1", server.addresses[0].port), timeout=20) as client,
    ):
        client.sendall(b"GET / HTTP/1.0\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
        received = b""
        while b"data: 1" not in told(received):
            received += client.recv(65536)
        read.set()
        while data := client.recv(65536):
            received += data
    assert told(received) == b"data: 1\n\ndata: 2\n\n"


def told(received):
    return zlib.decompressobj(31).decompress(received.partition(b"\r\n\r\n")[2])


def test_an_application_that_fails_in_the_middle_is_seen_to_be_cut():
    def failing(environ, start_response):
        start_response("200 OK", [PLAIN])
        yield TEXT
        raise RuntimeError("on purpose")

    with Server(Compress(failing), "http://127.0.0.1:0") as server:
        url = f"http://127.0.0.1:{server.addresses[0].port}/"
        done = subprocess.run([need("curl"), "-sS", "--compressed", url], capture_output=True, timeout=30)
    assert done.returncode != 0
