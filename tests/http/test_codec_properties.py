"""Properties of the codec: fragmentation, memos and garbage change nothing that they must not."""

from __future__ import annotations

import re
import string
from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portico.errors import LocalProtocolError
from portico.http import fields as lines_kept
from portico.http import heads
from portico.http.codec import Codec
from portico.http.framing import FRAMING_FIELDS
from portico.http.messages import END, NEED_DATA, PAUSED, End, RequestHead, ResponseHead
from portico.http.states import Role, State
from portico.limits import Limits
from tests.http.dialogue import REFUSALS, client, converse, events, server

few = settings(max_examples=60, deadline=None)

tokens = st.text(string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~", min_size=1, max_size=12)
values = st.text(st.characters(max_codepoint=255), max_size=20).map(
    lambda text: re.sub(r"[\x00-\x08\x0a-\x1f\x7f]", "", text).strip(" \t")
)
RESERVED = FRAMING_FIELDS | {"keep-alive", "te", "trailer", "content-encoding", "content-range"}
fields = st.lists(st.tuples(tokens.filter(lambda name: name.lower() not in RESERVED), values), max_size=6)
paths = st.text(string.ascii_letters + string.digits + "/%?=&;:@", max_size=12).map("/".__add__)
methods = st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "X-METHOD"])
bodies = st.lists(st.binary(min_size=1, max_size=30), max_size=4)

messages = st.fixed_dictionaries(
    {
        "method": methods,
        "target": paths,
        "request": fields,
        "sent": bodies,
        "counted": st.booleans(),
        "trailers": fields,
        "status": st.sampled_from([200, 201, 204, 301, 304, 404, 500]),
        "response": fields,
        "answer": bodies,
        "answer_counted": st.booleans(),
    }
)


def lowered(given_fields):
    return [(name.lower(), value) for name, value in given_fields]


def request_bytes(codec: Codec, message) -> bytes:
    sent = message["sent"]
    length = sum(map(len, sent)) if message["counted"] else None
    out = [
        codec.send_request(
            message["method"], message["target"], [("Host", "h"), *message["request"]], body_length=length
        )
    ]
    if length != 0:
        for piece in sent:
            out += codec.send_data(piece)
    out.append(codec.send_end(() if message["counted"] else message["trailers"]))
    return b"".join(out)


def response_bytes(codec: Codec, message) -> bytes:
    empty = message["status"] in (204, 304)
    answer = [] if empty else message["answer"]
    length = sum(map(len, answer)) if message["answer_counted"] else None
    out = [codec.send_response(message["status"], "R", message["response"], body_length=length)]
    for piece in answer:
        out += codec.send_data(piece)
    return b"".join([*out, codec.send_end()])


def cut(raw: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(raw), *(place % (len(raw) + 1) for place in places)})
    return [raw[start:end] for start, end in pairwise(edges)]


def drain(codec: Codec, fed: list[bytes]) -> list[object]:
    """Feed pieces; every event of the one message in them, its body joined."""
    found: list[object] = []
    body = b""
    for piece in fed:
        codec.feed(piece)
        for event in events(codec):
            if isinstance(event, bytes):
                body += event
            else:
                found.append(event)
    return [*found, body]


@few
@given(st.lists(messages, min_size=1, max_size=3), st.lists(st.integers(0, 5000), max_size=12))
def test_client_and_server_agree_about_any_conversation_however_it_is_cut(conversation, places):
    near, far = client(), server()
    for message in conversation:
        head, end, body = drain(far, cut(request_bytes(near, message), places))
        assert isinstance(head, RequestHead)
        assert (head.method, head.target) == (message["method"], message["target"])
        assert [one for one in head.headers if one[0] not in FRAMING_FIELDS] == lowered(message["request"])
        assert body == b"".join(message["sent"])
        assert isinstance(end, End)
        assert list(end.trailers) == ([] if message["counted"] else lowered(message["trailers"]))

        head, end, body = drain(near, cut(response_bytes(far, message), places))
        assert isinstance(head, ResponseHead)
        assert head.status == message["status"]
        assert [one for one in head.headers if one[0] not in FRAMING_FIELDS] == lowered(message["response"])
        bodiless = message["status"] in (204, 304) or message["method"] == "HEAD"
        assert body == (b"" if bodiless else b"".join(message["answer"]))
        assert end is END
        near.start_next_cycle()
        far.start_next_cycle()
    assert near.next_event() is NEED_DATA
    assert far.next_event() is NEED_DATA


@few
@given(messages, st.binary(max_size=40))
def test_a_whole_response_is_what_the_steps_would_send(message, body):
    request = request_bytes(client(), {**message, "method": "GET"})
    whole, steps = server(), server()
    for codec in (whole, steps):
        codec.feed(request)
        events(codec)
    answer = whole.respond(200, "OK", message["response"], body)
    head = steps.send_response(200, "OK", message["response"], body_length=len(body))
    assert answer == b"".join([head, *steps.send_data(body), steps.send_end()])
    assert repr(whole) == repr(steps)


@few
@given(st.lists(messages, min_size=1, max_size=4), st.lists(st.integers(0, 5000), max_size=12))
def test_pipelined_requests_are_the_same_however_they_are_cut(conversation, places):
    raw = b"".join(request_bytes(client(), message) for message in conversation)
    whole = converse([raw])
    assert converse(cut(raw, places)) == whole
    assert len(whole.accepted) == len(conversation)


# Pieces of requests, good and bad, that make interesting heads when put together.
SHARDS = [
    b"GET / HTTP/1.1\r\n",
    b"GET /a HTTP/1.0\r\n",
    b"POST http://h/ HTTP/1.1\r\n",
    b"CONNECT h:1 HTTP/1.1\r\n",
    b"OPTIONS * HTTP/1.1\r\n",
    b"GET / HTTP/2.0\r\n",
    b"Host: h\r\n",
    b"Host: a b\r\n",
    b"Content-Length: 3\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: x\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive, upgrade\r\n",
    b"Upgrade: x\r\n",
    b"Expect: 100-continue\r\n",
    b"Accept: */*\r\n",
    b"Accept : */*\r\n",
    b" folded\r\n",
    b"User-Agent: x\r\n",
    b"Cookie: a=b\r\n",
    b"X: \x00\r\n",
    b"\r\n",
    b"abc",
    b"3\r\nabc\r\n",
    b"0\r\n\r\n",
    b"0\r\n",
    b";x=y\r\n",
    b"\n",
    b"\r",
    b" ",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 100 Go\r\n\r\n",
    b"HTTP/1.0 304 \r\n",
    b"FFFFFFFFFFFFFFFF\r\n",
    b"\xff",
    b":",
]
shards = st.lists(st.one_of(st.sampled_from(SHARDS), st.binary(max_size=3)), max_size=14).map(b"".join)
valid = b"GET / HTTP/1.1\r\nHost: h\r\nAccept: */*\r\n\r\n"


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(list(Role)),
    st.one_of(shards, st.binary(max_size=60)),
    st.lists(st.integers(0, 500), max_size=6),
)
def test_garbage_meets_only_the_documented_errors(role, raw, places):
    codec = Codec(role, Limits().but(request_line=60, header_bytes=200, headers=5, body=50))
    if role is Role.CLIENT:
        codec.send_request("GET", "/", [("Host", "h")], body_length=0)
    try:
        for piece in [*cut(raw, places), b""]:
            codec.feed(piece)
            for _ in range(200):
                event = codec.next_event()
                if event is PAUSED:
                    answer_and_go_on(codec)
                elif event is NEED_DATA:
                    break
    except REFUSALS:
        assert not codec.keep_alive


def answer_and_go_on(codec: Codec) -> None:
    """What a caller may try at a pause; that it is refused is fine."""
    try:
        if codec.role is Role.SERVER:
            codec.respond(200, "OK", [], b"")
        codec.start_next_cycle()
    except LocalProtocolError:
        pass


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(st.just(valid), shards.map(lambda raw: b"GET / HTTP/1.1\r\nHost: h\r\n" + raw), shards),
        max_size=5,
    )
)
def test_memos_change_no_verdict(requests):
    for fed in (requests, [b"".join(requests)]):
        feed = [one for one in fed if one]
        assert converse(feed, memo=True) == converse(feed, memo=False)


LINES = [
    "GET / HTTP/1.1",
    "GET /b HTTP/1.1",
    "GET / HTTP/1.0",
    "GET / HTTP/1.2",
    "GET / HTTP/2.0",
    "GET a HTTP/1.1",
    "GET * HTTP/1.1",
    "OPTIONS * HTTP/1.1",
    "GET http://g/ HTTP/1.1",
    "GET http:///a HTTP/1.1",
    "CONNECT h:1 HTTP/1.1",
    "CONNECT / HTTP/1.1",
    "GET / HTTP/1.1 ",
]
EXTRAS = [
    "",
    "Content-Length: 1\r\n\r\nx",
    "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive\r\n",
    "Connection: upgrade\r\nUpgrade: x\r\n",
    "Content-Length: 1\r\nExpect: 100-continue\r\n\r\nx",
]


@pytest.mark.parametrize("extra", EXTRAS)
@pytest.mark.parametrize("other", ["", "Cookie: a=b\r\n"])
def test_a_repeated_header_block_under_another_request_line_is_judged_anew(extra, other):
    # The same block means other things in another version or after another method.
    rest = extra if "\r\n\r\n" in extra else extra + "\r\n"
    for first, second in product(LINES, repeat=2):
        remembering, forgetting = server(), server(memo=False)
        for line, cookie in ((first, ""), (second, other)):
            raw = f"{line}\r\nHost: h\r\n{cookie}{rest}".encode()
            assert judged(remembering, raw) == judged(forgetting, raw), (first, second)
            if not forgetting.keep_alive:
                break
            remembering.start_next_cycle()
            forgetting.start_next_cycle()


def judged(codec: Codec, raw: bytes) -> object:
    codec.feed(raw)
    try:
        head, *rest = events(codec)
    except REFUSALS as error:
        return str(error), getattr(error, "status", None)
    codec.respond(200, "OK", [], b"")
    facts = (head.body_length, head.keep_alive, head.expects_continue, head.upgrade)
    return head.method, head.target, head.version, head.headers, head.raw, facts, [str(one) for one in rest]


def test_a_repeated_head_cannot_be_spoiled_for_the_next():
    codec = server()
    heads = []
    for _ in range(3):
        heads.append(codec.receive(valid))
        heads[-1].headers.append(("x", "y"))
        codec.respond(200, "OK", [], b"")
        codec.start_next_cycle()
    assert [head.changed for head in heads] == [None, (), ()]
    assert [head.headers for head in heads] == [[("host", "h"), ("accept", "*/*")]] * 3


NAMES = ["Host", "Cookie", "X-Trace", "accept", "X-Trace", "Content-Length", "Connection", "Expect"]
GOOD = ["h", "a=b", " a\t", "", "\xe9\xad", "0", "close", "keep-alive", "x" * 70]
BAD = ["\0", "a\rb", "a\nb", "a\r\n b", "\x7f", "a\r\nHost: g", "a b", "\r\n\r\nGET"]
STARTS = [
    "GET / HTTP/1.1",
    "GET /a?b HTTP/1.1",
    "GET / HTTP/1.0",
    "GET http://g/ HTTP/1.1",
    "POST / HTTP/1.1",
]

heads_alike = st.lists(st.sampled_from(NAMES), max_size=6).flatmap(
    lambda names: st.lists(
        st.tuples(
            st.sampled_from([STARTS[0]] * 9 + STARTS),
            st.tuples(*[st.sampled_from([GOOD[1]] * 5 + GOOD * 2 + BAD) for _ in names]),
            st.booleans(),
        ).map(lambda drawn: block_of(names, *drawn)),
        min_size=2,
        max_size=9,
    )
)


def block_of(names: list[str], start: str, given_values: tuple[str, ...], lower: bool) -> bytes:
    lines = [f"{name}: {value}" for name, value in zip(names, given_values, strict=True)]
    text = "\r\n".join([start, "Host: h", *(lines[::-1] if lower else lines), "", ""])
    return text.encode("latin-1")


@settings(max_examples=400, deadline=None)
@given(heads_alike, st.booleans())
def test_heads_of_one_shape_are_judged_like_any_other(blocks, alone):
    remembering, forgetting = server(), server(memo=False)
    known = None
    for raw in blocks:
        more = raw if alone else raw + valid
        verdict, head = received(remembering, more)
        assert verdict == received(forgetting, more)[0]
        if head is None or not forgetting.keep_alive:
            break
        known = follow(known, head)
        for codec in (remembering, forgetting):
            codec.start_next_cycle()
        if not alone:
            after, second = received(remembering, b"")
            assert after == received(forgetting, b"")[0]
            if second is None:
                break
            known = follow(known, second)
            for codec in (remembering, forgetting):
                codec.start_next_cycle()


def received(codec: Codec, raw: bytes) -> tuple[object, RequestHead | None]:
    """What a server makes of a request that comes in one piece; its body, if it has one, stays away."""
    try:
        head = codec.receive(raw) if raw else codec.next_event()
        rest = events(codec) if isinstance(head, RequestHead) else []
    except REFUSALS as error:
        return (str(error), getattr(error, "status", None)), None
    if not isinstance(head, RequestHead):
        return head, None
    if codec.their_state is State.BODY:
        codec.close_after()
    said = codec.respond(200, "OK", [], b"")
    return (head.method, head.target, head.version, head.headers, head.raw, head.facts, str(rest), said), head


def follow(known: dict[str, str] | None, head: RequestHead) -> dict[str, str]:
    """What somebody who derives from heads knows, told only what has changed."""
    if head.changed is None or known is None:
        return dict(head.fields)
    known = {**known, **dict(head.changed)}
    assert known == dict(head.fields)
    return known


def test_a_few_fields_that_change_are_told_and_others_end_what_was_known():
    codec = server()

    def ask(*lines: str) -> tuple[tuple[str, str], ...] | None:
        head = codec.receive("\r\n".join(["GET / HTTP/1.1", "Host: h", *lines, "", ""]).encode())
        codec.respond(200, "OK", [], b"")
        codec.start_next_cycle()
        return head.changed

    assert ask("A: 1", "Cookie: 1") is None
    assert ask("A: 1", "Cookie: 2") == (("cookie", "2"),)
    assert ask("A: 1", "Cookie: 3") == (("cookie", "3"),)
    assert ask("A: 2", "Cookie: 3") == (("a", "2"), ("cookie", "3"))
    assert ask("A: 2", "Cookie: 3") == (("a", "2"), ("cookie", "3"))
    assert ask("A: 1", "Cookie: 1") == (("a", "1"), ("cookie", "1"))
    assert ask("A: 1", "Cookie: 1", "B: 1") is None
    assert ask("A: 1", "Cookie: 1", "B: 1") == ()
    assert ask("A: 1", "A: 1", "B: 1") is None
    assert ask("A: 1", "A: 2", "B: 1") is None


def test_what_frames_a_message_is_never_told_as_changed():
    codec = server()
    for length in (b"1", b"2", b"3", b"3"):
        codec.feed(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %b\r\n\r\n" % length + b"x" * int(length))
        head = codec.next_event()
        assert head.body_length == int(length)
        assert head.changed is None or length == b"3"
        events(codec)
        codec.respond(200, "OK", [], b"")
        codec.start_next_cycle()


def test_heads_that_have_nothing_in_common_are_soon_not_kept():
    codec = server()
    for number in range(12):
        codec.receive(b"GET / HTTP/1.1\r\nHost: h\r\nX-%d: a\r\n\r\n" % number)
        codec.respond(200, "OK", [], b"")
        codec.start_next_cycle()
        assert (codec._parser.whole is None) is (number >= 5)
    for _ in range(30):
        head = codec.receive(valid)
        codec.respond(200, "OK", [], b"")
        codec.start_next_cycle()
    assert head.changed == ()


def test_only_lines_without_secrets_are_kept_and_not_many():
    secrets = b"Cookie: a=1\r\nAuthorization: b\r\nProxy-Authorization: c\r\nX-Api-Key: d\r\n"
    kept = lines_kept._lines
    for number in range(3000):
        codec = server()
        unique = b"User-Agent: %d\r\nAccept: %s\r\n" % (number, b"x" * 300)
        codec.feed(b"GET / HTTP/1.1\r\nHost: h\r\nAccept-Language: en\r\n" + secrets + unique + b"\r\n")
        codec.next_event()
        assert len(kept) <= 1024
    assert kept
    assert all(len(line) <= 256 for line in kept)
    assert {name for name, _ in kept.values()} <= lines_kept.STABLE_FIELDS
    assert (
        not {"cookie", "authorization", "proxy-authorization", "set-cookie", "referer"}
        & lines_kept.STABLE_FIELDS
    )


def test_verdicts_are_kept_of_fields_without_secrets_and_not_many():
    for number in range(1500):
        fields = f"Host: h{number}\r\nConnection: keep-alive\r\n"
        for more in ("", "Expect: 100-continue\r\nContent-Length: 1\r\n", f"Connection: {'x' * 200}\r\n"):
            codec = server()
            codec.receive(f"GET / HTTP/1.1\r\n{fields}{more}\r\n".encode())
    assert 0 < len(heads._judged) <= 512
    names = {name for framing in heads._judged for name, _ in framing}
    assert names <= lines_kept.STABLE_FIELDS
    assert max(sum(len(value) for _, value in framing) for framing in heads._judged) <= 128


def test_names_that_are_remembered_are_bounded():
    for number in range(2000):
        lines_kept.parse_fields(b"X-%d: a\r\n%s: b\r\n\r\n" % (number, b"y" * 200), 10)
    assert len(lines_kept._names) <= 1024
    assert max(map(len, lines_kept._names)) <= 64
