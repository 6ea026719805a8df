import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.web.ranges import MAX_RANGES, Multipart, Span, content_range, parse_ranges, unsatisfied


@pytest.mark.parametrize(
    ("value", "spans"),
    [
        ("bytes=0-0", [(0, 1)]),
        ("bytes=0-9", [(0, 10)]),
        ("bytes=5-", [(5, 5)]),
        ("bytes=-3", [(7, 3)]),
        ("bytes=-99", [(0, 10)]),
        ("bytes=8-99", [(8, 2)]),
        ("BYTES=1-2", [(1, 2)]),
        ("bytes=0-99999999999999999999999999", [(0, 10)]),
        ("bytes=0000000000000000000000000000003-4", [(3, 2)]),
        ("bytes=0-1,4-5", [(0, 2), (4, 2)]),
        ("bytes=4-5,0-1", [(4, 2), (0, 2)]),
        ("bytes= 0-1 , ,\t4-5,", [(0, 2), (4, 2)]),
        ("bytes=0-1,50-60", [(0, 2)]),
    ],
)
def test_what_can_be_satisfied_is_clipped_to_the_size(value, spans):
    assert parse_ranges(value, 10) == spans


@pytest.mark.parametrize(
    "value", ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=99-,50-51", "bytes=" + "9" * 9000 + "-"]
)
def test_what_does_not_exist_is_unsatisfiable(value):
    assert parse_ranges(value, 10) == []


@pytest.mark.parametrize(
    "value",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=5-4",
        "bytes=a-b",
        "bytes=1-2,x",
        "bytes=--1",
        "bytes=1-2-3",
        "bytes=1 - 2",
        "bytes =1-2",
        "items=0-1",
        "bytes=+1-2",
        "bytes=0x0-1",
        "bytes=١-2",
        "bytes:0-1",
    ],
)
def test_what_cannot_be_read_is_ignored(value):
    assert parse_ranges(value, 10) is None


def test_an_empty_file_has_no_first_byte_but_its_last_bytes_are_all_of_it():
    assert parse_ranges("bytes=0-", 0) == []
    assert parse_ranges("bytes=-5", 0) is None


def test_overlapping_ranges_are_merged_into_one():
    assert parse_ranges("bytes=0-3,2-5", 100) == [(0, 6)]
    assert parse_ranges("bytes=50-59,0-3,2-5,6-9", 100) == [(0, 10), (50, 10)]


def test_more_bytes_than_the_whole_get_the_whole():
    assert parse_ranges("bytes=0-,0-", 100) is None
    assert parse_ranges("bytes=" + ",".join(f"{n}-" for n in range(10)), 100) is None


def test_more_ranges_than_the_bound_get_the_whole():
    asked = [f"{n * 2}-{n * 2}" for n in range(MAX_RANGES + 1)]
    assert len(parse_ranges("bytes=" + ",".join(asked[1:]), 1000) or ()) == MAX_RANGES
    assert parse_ranges("bytes=" + ",".join(asked), 1000) is None


@given(
    st.integers(0, 50),
    st.lists(
        st.tuples(st.integers(0, 60), st.integers(0, 60)) | st.tuples(st.none(), st.integers(0, 60)),
        min_size=1,
    ),
)
def test_spans_lie_inside_never_overlap_and_cover_what_was_asked(size, asked):
    text = ",".join(f"{'' if first is None else first}-{last}" for first, last in asked)
    spans = parse_ranges(f"bytes={text}", size)
    if spans is None:
        return
    sent = [byte for span in spans for byte in range(span.offset, span.end)]
    assert len(sent) == len(set(sent)) <= size
    wanted = set()
    for first, last in asked:
        wanted |= set(
            range(size)[-last:] if first is None and last else () if first is None else range(first, last + 1)
        )
    assert set(sent) == {byte for byte in wanted if byte < size}


@given(st.text(alphabet="bytes=0123456789-, \tx", max_size=40), st.integers(0, 100))
def test_no_header_makes_it_raise(value, size):
    parse_ranges(value, size)


def test_the_length_of_a_multipart_answer_is_exact_and_its_first_line_is_the_boundary():
    spans = [Span(0, 2), Span(5, 3)]
    parts = Multipart(spans, 10, "text/plain", "B")
    body = parts.heads[0] + b"ab" + parts.heads[1] + b"fgh" + parts.tail
    assert len(body) == parts.length
    assert body == (
        b"--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\nab"
        b"\r\n--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 5-7/10\r\n\r\nfgh\r\n--B--\r\n"
    )


def test_content_range_names_the_last_byte_and_the_size():
    assert content_range(Span(5, 5), 100) == "bytes 5-9/100"
    assert unsatisfied(100) == "bytes */100"
