"""Which form of a file is sent: as it is, compressed beside it, or compressed when it is asked for."""

import base64
import errno
import gzip
import os
import random
import time
from concurrent.futures import ThreadPoolExecutor

import brotli
import pytest
import zstandard

from portico.errors import ConfigError, EndOfStream
from portico.web import kept, packing, variants
from portico.web.static import Static
from tests.descriptors import descriptors, none_left_open
from tests.web.recording import RecordingExchange
from tests.web.test_codings import unpack

TEXT = b"".join(b"line %d of a text that is worth it\n" % number for number in range(2000))
BESIDE = {"br": brotli.compress(TEXT, quality=5), "gz": gzip.compress(TEXT), "zst": zstandard.compress(TEXT)}
NOISE = base64.b64encode(random.Random(1).randbytes(200_000))
LARGE = TEXT * 20


@pytest.fixture
def site(tmp_path):
    root = tmp_path / "site"
    root.mkdir()
    for name in ("a.txt", "page.html", "index.html", "data.bin"):
        (root / name).write_bytes(TEXT)
    (root / "small.txt").write_bytes(TEXT[:500])
    (root / "large.txt").write_bytes(LARGE)
    (root / "noise.txt").write_bytes(NOISE)
    for ending, packed in BESIDE.items():
        (root / f"a.txt.{ending}").write_bytes(packed)
    (root / "page.html.gz").write_bytes(BESIDE["gz"])
    (root / "data.bin.gz").write_bytes(BESIDE["gz"])
    old = time.time() - 3600
    for path in root.iterdir():
        os.utime(path, (old, old))
    return root


def get(gateway, target, accepted=None, method="GET", **fields):
    headers = [(name.replace("_", "-"), value) for name, value in fields.items()]
    if accepted is not None:
        headers.append(("Accept-Encoding", accepted))
    return RecordingExchange(method, target, headers).run(gateway)


def form(answer):
    return answer.sent_header("Content-Encoding"), answer.sent_header("Vary")


# Beside the file


@pytest.mark.parametrize(
    ("accepted", "coding", "ending"),
    [
        ("gzip, deflate, br, zstd", "br", "br"),
        ("gzip, zstd", "zstd", "zst"),
        ("x-gzip", "gzip", "gz"),
        ("br;q=0.1, gzip;q=0.9", "gzip", "gz"),
        ("*", "br", "br"),
        ("identity;q=0, *;q=0.1", "br", "br"),
    ],
)
def test_the_file_beside_is_sent_that_the_client_likes_best(site, accepted, coding, ending):
    answer = get(Static(site), "/a.txt", accepted)
    assert form(answer) == (coding, "Accept-Encoding")
    assert answer.sent == (site / f"a.txt.{ending}").read_bytes()
    assert answer.sent_header("Content-Type") == "text/plain; charset=utf-8"
    assert answer.sent_header("Accept-Ranges") == "bytes"


@pytest.mark.parametrize("accepted", [None, "", "deflate", "identity", "br;q=0, gzip;q=0, zstd;q=0"])
def test_who_accepts_none_of_them_gets_the_file_and_is_told_that_there_are_others(site, accepted):
    answer = get(Static(site), "/a.txt", accepted)
    assert (answer.sent, *form(answer)) == (TEXT, None, "Accept-Encoding")


def test_who_refuses_everything_that_there_is_gets_406(site, monkeypatch):
    monkeypatch.setattr(kept, "_SETTLED", -1_000_000_000)
    gateway = Static(site)
    for _ in range(2):
        assert get(gateway, "/a.txt", "").status == 200
        refused = get(gateway, "/a.txt", "deflate, identity;q=0")
        assert (refused.status, refused.sent_header("Vary")) == (406, "Accept-Encoding")
    assert get(Static(site), "/data.bin", "deflate, identity;q=0").status == 200


def test_where_nothing_lies_beside_nothing_varies(site):
    assert form(get(Static(site), "/large.txt", "br, gzip")) == (None, None)
    assert form(get(Static(site), "/a.txt.gz", "br, gzip")) == (None, None)
    assert get(Static(site), "/a.txt.gz").sent_header("Content-Type") == "application/gzip"


def test_what_is_no_text_is_never_replaced(site):
    answer = get(Static(site), "/data.bin", "gzip")
    assert (answer.sent, *form(answer)) == (TEXT, None, None)


def test_a_stale_file_beside_is_not_sent(site):
    (site / "page.html").write_bytes(b"new")
    assert get(Static(site), "/page.html", "gzip").sent == b"new"


@pytest.mark.parametrize(
    ("beside", "fresh"),
    [
        (1_700_000_000_123_456_789, True),
        (1_700_000_000_123_456_000, True),
        (1_700_000_000_000_000_000, True),
        (1_700_000_005_000_000_000, True),
        (1_700_000_000_123_456_788, False),
        (1_700_000_000_100_000_000, False),
        (1_699_999_999_000_000_000, False),
    ],
)
def test_a_file_beside_has_the_time_of_the_other_as_exactly_as_its_maker_can(site, beside, fresh):
    os.utime(site / "page.html", ns=(0, 1_700_000_000_123_456_789))
    os.utime(site / "page.html.gz", ns=(0, beside))
    assert form(get(Static(site), "/page.html", "gzip"))[0] == ("gzip" if fresh else None)


@pytest.mark.parametrize("spoil", [os.unlink, os.mkfifo, os.mkdir])
def test_only_a_regular_file_beside_counts(site, spoil):
    beside = site / "page.html.gz"
    beside.unlink()
    if spoil is not os.unlink:
        spoil(beside)
    assert (get(Static(site), "/page.html", "gzip").sent, form(get(Static(site), "/page.html", "gzip"))) == (
        TEXT,
        (None, None),
    )


def test_a_link_beside_that_leads_out_is_not_sent(site, tmp_path):
    (tmp_path / "secret.gz").write_bytes(b"secret")
    (site / "page.html.gz").unlink()
    (site / "page.html.gz").symlink_to("../secret.gz")
    answer = get(Static(site), "/page.html", "gzip")
    assert (answer.sent, *form(answer)) == (TEXT, None, "Accept-Encoding")


def test_files_beside_can_be_left_out(site):
    assert form(get(Static(site, precompressed=False), "/a.txt", "br, gzip")) == (None, None)


def test_an_index_and_a_fallback_have_their_forms_too(site):
    (site / "index.html.gz").write_bytes(BESIDE["gz"])
    for target in ("/", "/index.html", "/users/42"):
        answer = get(Static(site, fallback="index.html"), target, "gzip")
        assert (form(answer), gzip.decompress(answer.sent)) == (("gzip", "Accept-Encoding"), TEXT)


def test_each_form_has_its_own_tag_ranges_and_conditions(site):
    gateway = Static(site)
    packed = (site / "a.txt.br").read_bytes()
    tags = {get(gateway, "/a.txt", accepted).sent_header("ETag") for accepted in ("", "br", "gzip", "zstd")}
    assert len(tags) == 4
    tag = get(gateway, "/a.txt", "br").sent_header("ETag")
    assert not tag.startswith("W/")
    unchanged = get(gateway, "/a.txt", "br", If_None_Match=tag)
    assert (unchanged.status, unchanged.sent_header("Vary")) == (304, "Accept-Encoding")
    assert get(gateway, "/a.txt", "gzip", If_None_Match=tag).status == 200
    part = get(gateway, "/a.txt", "br", Range="bytes=5-9", If_Range=tag)
    assert (part.status, part.sent, part.sent_header("Content-Encoding")) == (206, packed[5:10], "br")
    assert part.sent_header("Content-Range") == f"bytes 5-9/{len(packed)}"
    parts = get(gateway, "/a.txt", "br", Range="bytes=0-1,9-9")
    assert (parts.status, parts.sent_header("Content-Encoding")) == (206, "br")
    assert get(gateway, "/a.txt", "", Range="bytes=5-9", If_Range=tag).sent == TEXT


@pytest.mark.parametrize("accepted", ["br", "gzip", "", "zstd, identity;q=0"])
def test_head_is_get_without_the_body(site, accepted):
    for target in ("/a.txt", "/page.html", "/small.txt", "/large.txt"):
        for gateway in (Static(site, compress=["gzip"]), Static(site, memory=0, compress=True)):
            answer, head = (get(gateway, target, accepted, method) for method in ("GET", "HEAD"))
            assert (head.status, head.sent_headers) == (answer.status, answer.sent_headers)
            assert head.sent == b""


# When it is asked for


@pytest.mark.parametrize("memory", [0, 8 << 20])
@pytest.mark.parametrize("coding", ["zstd", "br", "gzip"])
@pytest.mark.parametrize("target", ["/index.html", "/large.txt"])
def test_texts_are_compressed_when_they_are_asked_for(site, coding, target, memory):
    gateway = Static(site, compress=True, memory=memory)
    for _ in range(2):
        answer = get(gateway, target, coding)
        assert form(answer) == (coding, "Accept-Encoding")
        assert unpack(answer.sent, coding) == (site / target[1:]).read_bytes()
        assert answer.sent_header("ETag").startswith('W/"')
        assert answer.sent_header("Accept-Ranges") is None
    plain = get(gateway, target)
    assert (form(plain), plain.sent_header("Accept-Ranges")) == ((None, "Accept-Encoding"), "bytes")


def test_what_lies_beside_comes_before_what_would_have_to_be_made(site):
    gateway = Static(site, compress=True)
    answer = get(gateway, "/page.html", "zstd, br, gzip")
    assert answer.sent == (site / "page.html.gz").read_bytes()
    assert form(get(gateway, "/page.html", "zstd, br")) == ("zstd", "Accept-Encoding")


def test_what_is_small_or_no_text_is_not_compressed(site):
    for target in ("/small.txt", "/data.bin", "/a.txt.gz"):
        answer = get(Static(site, compress=True), target, "gzip")
        assert (answer.sent, *form(answer)) == ((site / target[1:]).read_bytes(), None, None)


def test_only_the_codings_that_are_named_are_made(site):
    assert form(get(Static(site, compress=["gzip"]), "/index.html", "br, gzip;q=0.1"))[0] == "gzip"
    assert form(get(Static(site, compress="gzip"), "/index.html", "br"))[0] is None
    with pytest.raises(ConfigError, match="deflate"):
        Static(site, compress=["deflate"])


def test_a_compressed_text_that_the_client_has_is_not_sent_again(site):
    gateway = Static(site, compress=True)
    tag = get(gateway, "/index.html", "gzip").sent_header("ETag")
    for same in (tag, tag.removeprefix("W/"), "*"):
        assert get(gateway, "/index.html", "gzip", If_None_Match=same).status == 304
    assert get(gateway, "/index.html", "br", If_None_Match=tag).status == 200
    assert get(gateway, "/index.html", "gzip", If_Match=tag).status == 412


@pytest.mark.parametrize("target", ["/index.html", "/large.txt"])
def test_who_asks_for_a_part_gets_it_of_the_file_as_it_is(site, target):
    gateway = Static(site, compress=True)
    for _ in range(2):
        part = get(gateway, target, "gzip", Range="bytes=0-3")
        assert (part.status, part.sent, *form(part)) == (206, TEXT[:4], None, "Accept-Encoding")
        whole = get(gateway, target, "gzip")
        assert (whole.status, form(whole)[0]) == (200, "gzip")
    weak = whole.sent_header("ETag")
    assert get(gateway, target, "gzip", Range="bytes=0-3", If_Range=weak).status == 200
    assert form(get(gateway, target, "gzip, identity;q=0", Range="bytes=0-3"))[0] == "gzip"


def test_a_text_that_shrinks_while_it_is_compressed_is_never_cut_silently(site, monkeypatch):
    real = packing.read_span
    monkeypatch.setattr(packing, "read_span", lambda *args: real(*args)[:-1])
    answer = get(Static(site, compress=True), "/large.txt", "gzip")
    assert (answer.sent, *form(answer)) == (LARGE, None, "Accept-Encoding")
    os.truncate(site / "large.txt", len(LARGE) - 1)  # between the look at it and the sending
    exchange = RecordingExchange("GET", "/large.txt", [("Accept-Encoding", "gzip")])
    exchange.before_file = lambda: os.truncate(site / "large.txt", 1000)
    with pytest.raises(EndOfStream):
        exchange.run(Static(site, compress=True))


def test_a_large_result_lies_in_a_file_that_is_shared_and_closed_when_it_is_not_needed(site, monkeypatch):
    gateway = Static(site, compress=["gzip"])
    monkeypatch.setattr(kept, "_SETTLED", -1_000_000_000)
    with none_left_open() as before:
        answers = [get(gateway, "/noise.txt", "gzip") for _ in range(3)]
        assert {gzip.decompress(answer.sent) for answer in answers} == {NOISE}
        assert [answer.file_reads for answer in answers] == [[(0, len(answers[0].sent))]] * 3
        assert answers[0].sent_header("Content-Length") == str(len(answers[0].sent))
        assert len(descriptors() - before) == 1
        del gateway


def test_many_who_ask_for_one_large_text_wait_for_one_result(site, monkeypatch):
    monkeypatch.setattr(kept, "_SETTLED", -1_000_000_000)
    packed = []

    def slowly(*args):
        packed.append(args)
        time.sleep(0.1)
        return packing.pack_file(*args)

    monkeypatch.setattr(variants, "pack_file", slowly)
    gateway = Static(site, compress=["gzip"])
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: get(gateway, "/large.txt", "gzip"), range(8)))
    assert {gzip.decompress(answer.sent) for answer in answers} == {LARGE}
    assert len(packed) == 1


def test_without_room_for_the_result_or_above_a_size_a_text_is_sent_as_it_is(site, monkeypatch):
    monkeypatch.setattr(variants, "_MOST", len(LARGE) - 1)
    assert form(get(Static(site, compress=True), "/large.txt", "gzip")) == (None, None)
    monkeypatch.setattr(variants, "_MOST", len(LARGE))

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    answer = get(Static(site, compress=["gzip"]), "/noise.txt", "gzip")
    assert (answer.sent, *form(answer)) == (NOISE, None, "Accept-Encoding")
