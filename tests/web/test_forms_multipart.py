"""Bodies of forms, byte by byte: what is a part, and what is refused."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.errors import FormError
from portico.web.forms_header import PartHead, parse_part_head
from portico.web.forms_multipart import Multipart

FIELD = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n'
END = b"\r\n--b--"


def parts(pieces, boundary="b", header_bytes=8192):
    """Name and content of each part; or the refusal's text."""
    found = []
    try:
        parser = Multipart(boundary, header_bytes)
        for piece in pieces:
            for event in parser.feed(piece):
                if isinstance(event, PartHead):
                    found.append([event.name, b"", False])
                elif event is None:
                    found[-1][2] = True
                else:
                    assert event, "an empty piece"
                    found[-1][1] += event
        parser.close()
    except FormError as error:
        return str(error)
    assert all(complete for _, _, complete in found)
    return [(name, content) for name, content, _ in found]


def read(data, **options):
    """However the bytes are dealt out, the verdict is the same."""
    whole = parts([data], **options)
    assert parts([data[i : i + 1] for i in range(len(data))], **options) == whole
    for cut in range(len(data)):
        assert parts([data[:cut], data[cut:]], **options) == whole
    return whole


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (FIELD + b"x" + END, [(b"a", b"x")]),
        (FIELD + b"x" + END + b"\r\n", [(b"a", b"x")]),
        (FIELD + END, [(b"a", b"")]),
        (FIELD + b"\r\n" + END, [(b"a", b"\r\n")]),
        (FIELD + b"\r\n-" + END, [(b"a", b"\r\n-")]),
        (FIELD + b"\r\r\n--" + END, [(b"a", b"\r\r\n--")]),
        (FIELD + b"x--b--" + END, [(b"a", b"x--b--")]),
        (FIELD + b"x\n--b--" + END, [(b"a", b"x\n--b--")]),
        (FIELD + b"x\r\n" + FIELD + b"y" + END, [(b"a", b"x"), (b"a", b"y")]),
        (FIELD + b"x" + END + b"\r\nafterwards\r\n" + FIELD, [(b"a", b"x")]),
        (b"\r\n" + FIELD + b"x" + END, [(b"a", b"x")]),
        (b"before\r\n" + FIELD + b"x" + END, [(b"a", b"x")]),
        (
            FIELD.replace(b"--b", b"--b \t") + b"x\r\n" + FIELD + b"y" + END + b" ",
            [(b"a", b"x"), (b"a", b"y")],
        ),
        (b"--b--", []),
        (b"--b--\r\n", []),
    ],
)
def test_what_is_a_form(data, found):
    assert read(data) == found


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "closing boundary"),
        (b"\r\n", "closing boundary"),
        (b"--b", "closing boundary"),
        (FIELD, "closing boundary"),
        (FIELD + b"x", "closing boundary"),
        (FIELD + b"x\r\n--b\r\n", "closing boundary"),
        (FIELD + b"x\r\n--b-", "closing boundary"),
        (FIELD + b"x\r\n--c--\r\n", "closing boundary"),
        (b"x" + FIELD + b"x" + END, "begin its line"),
        (FIELD.replace(b"\r\n", b"\n") + b"x\n--b--\n", "line end"),
        (FIELD + b"x\r\n--bc\r\n", "line end"),
        (FIELD + b"x\r\n--b \r\n", "closing boundary"),
        (FIELD + b"x\r\n--b --\r\n", "line end"),
        (FIELD + b"x\r\n--b c\r\n", "line end"),
        (FIELD + b"x\r\n--b\n" + END, "line end"),
        (b"--b\r\n\r\nx" + END, "header line"),
    ],
)
def test_what_is_none(data, why):
    assert why in read(data)


def header(*lines):
    return "\r\n".join(lines).encode()


DISPOSITION = 'Content-Disposition: form-data; name="a"'


@pytest.mark.parametrize(
    ("said", "name", "filename"),
    [
        ('name="a"', b"a", None),
        ("name=a", b"a", None),
        ('name=""', b"", None),
        ('NAME="a"; FileName="b"', b"a", b"b"),
        ('name="a"; filename=""', b"a", b""),
        ('name="a"; filename="b.txt"; size=3', b"a", b"b.txt"),
        ('filename="b;c"; name="a"', b"a", b"b;c"),
        ('name="a" ;;filename="b"; ', b"a", b"b"),
        ('name="ä€"', "ä€".encode(), None),
        # As the HTML standard has it
        ('name="a%22b%0D%0A"', b'a"b\r\n', None),
        ('name="100%25 %41"', b"100%25 %41", None),
        ('name="a\\"; filename="C:\\x\\"', b"a\\", b"C:\\x\\"),
        # As older clients have it
        ('name="a\\"b\\\\c"', b'a"b\\c', None),
        ('name="a"; filename="\\"; name=\\"x"', b"a", b'"; name="x'),
        # RFC 8187
        ("name=\"a\"; filename*=UTF-8''na%C3%AFve%22.txt", b"a", 'naïve".txt'.encode()),
        ('name="a"; filename="naive"; filename*=utf-8\'en\'na%C3%AFve', b"a", "naïve".encode()),
        ("name*=iso-8859-1''%E4", b"\xe4", None),
    ],
)
def test_the_names_of_a_part(said, name, filename):
    head = parse_part_head(header(f"Content-Disposition: form-data; {said}"))
    assert (head.name, head.filename) == (name, filename)


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([], "header line"),
        (["Content-Type: text/plain"], "no Content-Disposition"),
        (["Content-Disposition: attachment; name=a"], "no form-data"),
        (["Content-Disposition: form-data"], "no name"),
        (['Content-Disposition: form-data; filename="a"'], "no name"),
        ([DISPOSITION + '; name="b"'], "twice"),
        ([DISPOSITION + "; NAME=b"], "twice"),
        ([DISPOSITION + '; filename="b"; filename="c"'], "twice"),
        ([DISPOSITION + "; filename*0=b; filename*1=c"], "continued"),
        ([DISPOSITION + "; filename*0*=utf-8''b"], "continued"),
        ([DISPOSITION + "; filename*=b"], "cannot be read"),
        ([DISPOSITION + "; filename*=utf-7''b"], "cannot be read"),
        ([DISPOSITION + '; filename="b'], "cannot be read"),
        ([DISPOSITION + ' filename="b"'], "cannot be read"),
        ([DISPOSITION + '; b="c" d'], "cannot be read"),
        ([DISPOSITION, DISPOSITION], "two header fields"),
        ([DISPOSITION, "Content-Type: text/plain", "content-type: text/html"], "two header fields"),
        ([DISPOSITION, "Content-Type: multipart/mixed; boundary=c"], "parts within parts"),
        ([DISPOSITION, "Content-Type: ?"], "cannot be read"),
        ([DISPOSITION, "Content-Transfer-Encoding: base64"], "encoded as"),
        ([DISPOSITION, "Content-Length: 1_0"], "Content-Length"),
        ([DISPOSITION, " folded"], "header line"),
        ([DISPOSITION, "no colon"], "header line"),
        ([DISPOSITION, "Name : x"], "header line"),
        ([DISPOSITION, ": x"], "header line"),
        ([DISPOSITION, "X: a\nContent-Type: b"], "header line"),
        ([DISPOSITION, "X: a\rb"], "header line"),
        ([DISPOSITION, "X: a\0b"], "header line"),
    ],
)
def test_a_header_that_could_be_read_in_two_ways_is_refused(lines, why):
    with pytest.raises(FormError, match=why) as caught:
        parse_part_head(header(*lines))
    assert caught.value.status == 400


def test_only_the_headers_of_files_are_kept():
    assert parse_part_head(header(DISPOSITION, "X: y")).headers == {}
    kept = parse_part_head(header(DISPOSITION + "; filename=b", "X-Own: y")).headers
    assert kept == {"content-disposition": 'form-data; name="a"; filename=b', "x-own": "y"}


@pytest.mark.parametrize("coding", ["binary", "8bit", "7BIT"])
def test_an_encoding_that_changes_nothing_is_none(coding):
    assert parse_part_head(header(DISPOSITION, f"Content-Transfer-Encoding: {coding}")).name == b"a"


@pytest.mark.parametrize(("length", "right"), [(1, True), (0, False), (2, False)])
def test_a_part_is_as_long_as_it_says(length, right):
    data = b"--b\r\n" + header(DISPOSITION, f"Content-Length: {length}") + b"\r\n\r\nx" + END
    assert read(data) == [(b"a", b"x")] if right else "Content-Length" in read(data)


@pytest.mark.parametrize("boundary", ["", "x" * 71, "a ", "ä", "a\r\nb", 'a"b', "a\0b"])
def test_what_is_no_boundary(boundary):
    assert "not the boundary" in parts([b""], boundary=boundary)


@pytest.mark.parametrize(
    "boundary", ["x" * 70, "----WebKitFormBoundary7MA4YWxkTrZu0gW", "a b", "'()+_,-./:=?"]
)
def test_what_is_a_boundary(boundary):
    field = FIELD.replace(b"--b", b"--" + boundary.encode())
    assert read(field + b"x\r\n--" + boundary.encode() + b"--", boundary=boundary) == [(b"a", b"x")]


@pytest.mark.parametrize("data", [b"x" * 200, b"--b\r\n" + b"x" * 101, b"--b\r\nA: " + b"x\r\n" * 101])
def test_what_comes_before_a_part_is_bounded(data):
    assert "100 bytes" in read(data, header_bytes=100)


CONTENT = st.binary(max_size=20) | st.lists(
    st.sampled_from([b"\r", b"\n", b"-", b"--b", b"b", b"\r\n--", b"x"])
).map(b"".join)


@given(st.lists(CONTENT, max_size=5), st.lists(st.integers(0, 400), max_size=6))
def test_any_content_comes_back_however_it_arrives(contents, cuts):
    contents = [content for content in contents if b"\r\n--b" not in b"\r\n" + content]
    data = b"".join(FIELD + content + b"\r\n" for content in contents) + b"--b--"
    places = [0, *sorted(cuts), len(data)]
    pieces = [data[start:end] for start, end in pairwise(places)]
    assert parts(pieces) == [(b"a", content) for content in contents]


@pytest.mark.parametrize(
    "attack",
    [
        lambda n: [FIELD, b"\r\n--" * n],
        lambda n: [FIELD, b"\r" * n * 4],
        lambda n: [FIELD, *[b"\r\n--"] * n],
        lambda n: [FIELD, *[b"x"] * n],
        lambda n: [b"\r\n--" * n],
        lambda n: [b"--b\r\n" + DISPOSITION.encode() + b"; a" * (n // 1000)],
        lambda n: [b"--b\r\n" + DISPOSITION.encode() + b'; a="\\' * (n // 1000) + b"\r\n\r\n"],
        lambda n: [*[b"\r\n--" + b"b\r\n"] * 1, b"A: b\r\n" * (n // 1000)],
    ],
)
def test_time_grows_no_faster_than_the_input(attack):
    def seconds(n):
        pieces = attack(n)
        began = time.process_time()
        parts(pieces, header_bytes=1 << 20)
        return time.process_time() - began

    seconds(1000)
    small = min(seconds(5_000) for _ in range(3))
    large = min(seconds(40_000) for _ in range(2))
    assert large < 8 * 4 * small + 0.05
