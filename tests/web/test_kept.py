"""Small files from memory: never another content than that on disk."""

import errno
import gzip
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from portico.web import kept, representation
from portico.web.static import Static
from tests.web.recording import RecordingExchange


@pytest.fixture
def site(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("a.txt", "b.txt", "index.html", "sub/c.txt"):
        (tmp_path / name).write_text(f"this is {name}")
    settle(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def settled_at_once(monkeypatch):
    monkeypatch.setattr(kept, "_SETTLED", -1_000_000_000)


def settle(root):
    old = time.time() - 3600
    for path in root.rglob("*"):
        if path.is_file():
            os.utime(path, (old, old))


@pytest.fixture
def opened(monkeypatch):
    """The names of what is opened."""
    names = []
    real = os.open

    def counting(path, *args, **kwargs):
        names.append(os.path.basename(path))
        return real(path, *args, **kwargs)

    monkeypatch.setattr("portico.web.confined.os.open", counting)
    return names


def get(gateway, target="/a.txt", *headers, method="GET"):
    return RecordingExchange(method, target, headers).run(gateway)


def test_a_file_that_has_not_changed_is_not_opened_again(site, opened):
    gateway = Static(site)
    first = get(gateway)
    opened.clear()
    for target, name in (("/a.txt", b"a.txt"), ("/", b"index.html"), ("/sub/c.txt", b"c.txt")):
        for _ in range(3):
            answer = get(gateway, target)
            assert answer.sent.startswith(b"this is")
        assert opened.count(name) == (name != b"a.txt")
    again = get(gateway)
    assert (again.sent, again.sent_headers) == (first.sent, first.sent_headers)


def test_conditions_ranges_and_head_are_answered_from_memory(site, opened):
    gateway = Static(site)
    first = get(gateway)
    opened.clear()
    tag = first.sent_header("ETag")
    assert get(gateway, "/a.txt", ("If-None-Match", tag)).status == 304
    assert get(gateway, "/a.txt", ("If-Match", '"x"')).status == 412
    part = get(gateway, "/a.txt", ("Range", "bytes=1-2"))
    assert (part.status, part.sent, part.sent_header("Content-Range")) == (206, b"hi", "bytes 1-2/13")
    parts = get(gateway, "/a.txt", ("Range", "bytes=0-0,5-6"))
    assert parts.status == 206
    assert b"\r\n\r\nis\r\n--" in parts.sent
    head = get(gateway, method="HEAD")
    assert (head.sent, head.sent_headers) == (b"", first.sent_headers)
    assert opened == []


@pytest.fixture
def large(site):
    (site / "large.bin").write_bytes(b"0123456789" * 10_000)
    settle(site)
    return site / "large.bin"


def test_a_large_file_is_opened_once_a_request_and_only_where_it_is_sent(site, large, opened):
    gateway = Static(site)
    first = get(gateway, "/large.bin")
    opened.clear()
    again = get(gateway, "/large.bin")
    assert (again.sent, again.sent_headers) == (first.sent, first.sent_headers)
    assert opened == [b"large.bin"]
    part = get(gateway, "/large.bin", ("Range", "bytes=5-8"))
    assert (part.status, part.sent) == (206, b"5678")
    opened.clear()
    parts = get(gateway, "/large.bin", ("Range", "bytes=0-1,5-70000"))
    assert large.read_bytes()[5:70001] in parts.sent
    assert opened == [b"large.bin"]
    opened.clear()
    head = get(gateway, "/large.bin", method="HEAD")
    assert head.sent_headers == first.sent_headers
    assert get(gateway, "/large.bin", ("If-None-Match", "*")).status == 304
    assert get(gateway, "/large.bin", ("Range", "bytes=100000-")).status == 416
    assert opened == []


@pytest.mark.parametrize("becomes", ["another", "nothing", "a link", "itself"])
def test_a_large_file_that_changes_in_the_very_moment_is_looked_for_anew(site, large, becomes, monkeypatch):
    gateway = Static(site)
    get(gateway, "/large.bin")
    real = representation.open_plainly

    def meanwhile(path):
        if becomes == "itself":
            raise OSError(errno.ESTALE, "Stale file handle")
        large.unlink()
        if becomes == "another":
            large.write_bytes(b"new" * 50_000)
        elif becomes == "a link":
            large.symlink_to("a.txt")
        return real(path)

    monkeypatch.setattr(representation, "open_plainly", meanwhile)
    answer = get(gateway, "/large.bin")
    expected = {
        "another": (200, b"new" * 50_000),
        "nothing": (404, answer.sent),
        "a link": (200, b"this is a.txt"),
        "itself": (200, b"0123456789" * 10_000),
    }
    assert (answer.status, answer.sent) == expected[becomes]


def test_all_parts_are_of_one_file_also_when_it_changes_in_the_very_moment(site, large, monkeypatch):
    gateway = Static(site)
    get(gateway, "/large.bin")
    real = representation.open_plainly

    def meanwhile(path):
        large.unlink()
        large.write_bytes(b"new" * 50_000)
        return real(path)

    monkeypatch.setattr(representation, "open_plainly", meanwhile)
    answer = get(gateway, "/large.bin", ("Range", "bytes=0-2,9-70000"))
    assert answer.status == 206
    assert answer.sent.count(b"bytes 0-2/150000\r\n\r\nnew\r\n--") == 1
    assert (b"new" * 50_000)[9:70001] in answer.sent


def replace(path):
    new = path.with_suffix(".new")
    new.write_text("this is new!!")
    facts = path.stat()
    os.utime(new, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    new.rename(path)


def rewrite(path):
    facts = path.stat()
    path.write_text("this is new!!")
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


@pytest.mark.parametrize("change", [replace, rewrite])
def test_a_new_content_of_the_same_length_and_time_is_seen_at_once(site, change):
    gateway = Static(site)
    get(gateway)
    time.sleep(0.02)  # more than a tick of the clock of any file system of this machine
    change(site / "a.txt")
    assert get(gateway).sent == b"this is new!!"


def test_what_has_just_changed_is_not_kept(site, opened, monkeypatch):
    """Its next change could fall into the same tick of the clock, and leave no trace."""
    monkeypatch.setattr(kept, "_SETTLED", 3_000_000_000)
    gateway = Static(site)
    get(gateway)
    get(gateway)
    assert opened.count(b"a.txt") == 2


def test_a_file_that_goes_or_may_not_be_read_any_more_is_not_sent(site, monkeypatch):
    gateway = Static(site)
    get(gateway)
    (site / "a.txt").rename(site / "z.txt")
    assert get(gateway).status == 404
    (site / "z.txt").rename(site / "a.txt")
    assert get(gateway).status == 200
    (site / "a.txt").unlink()
    (site / "a.txt").mkdir()
    assert get(gateway).status == 301
    get(gateway, "/sub/c.txt")
    (site / "sub").rename(site / "gone")
    assert get(gateway, "/sub/c.txt").status == 404


def test_a_folder_or_file_that_becomes_a_link_out_is_not_followed(site, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    (other / "c.txt").write_text("secret")
    (other / "a.txt").write_text("secret")
    settle(other)
    gateway = Static(site)
    get(gateway)
    get(gateway, "/sub/c.txt")
    (site / "sub").rename(site / "gone")
    (site / "sub").symlink_to(other)
    (site / "a.txt").unlink()
    (site / "a.txt").symlink_to(other / "a.txt")
    for _ in range(2):
        assert get(gateway, "/sub/c.txt").status == 404
        assert get(gateway).status == 404


def test_what_lies_behind_a_link_follows_the_link(site, opened):
    (site / "link.txt").symlink_to("a.txt")
    gateway = Static(site)
    assert get(gateway, "/link.txt").sent == b"this is a.txt"
    assert get(gateway, "/link.txt").sent == b"this is a.txt"
    (site / "link.txt").unlink()
    (site / "link.txt").symlink_to("b.txt")
    assert get(gateway, "/link.txt").sent == b"this is b.txt"


def test_an_index_that_comes_to_be_in_front_answers_at_once(site):
    gateway = Static(site, index=("home.html", "index.html"))
    assert get(gateway, "/").sent == b"this is index.html"
    (site / "home.html").write_text("home")
    assert get(gateway, "/").sent == b"home"
    (site / "home.html").unlink()
    assert get(gateway, "/").sent == b"this is index.html"


def test_a_compressed_file_beside_is_seen_when_it_changes_or_goes_stale(site):
    page = site / "page.html"
    page.write_bytes(b"page " * 200)
    (site / "page.html.gz").write_bytes(b"compressed")
    settle(site)
    gateway = Static(site)
    ask = partial(get, gateway, "/page.html", ("Accept-Encoding", "gzip"))
    assert [ask().sent, ask().sent] == [b"compressed"] * 2
    time.sleep(0.02)
    (site / "page.html.gz").write_bytes(b"compressed anew")
    assert ask().sent == b"compressed anew"
    page.write_bytes(b"new page")
    os.utime(page, (time.time() + 10, time.time() + 10))
    assert ask().sent == b"new page"


def test_forms_are_kept_apart_by_what_is_accepted(site):
    (site / "page.html").write_bytes(b"page " * 200)
    settle(site)
    gateway = Static(site, compress=["gzip"])
    for _ in range(2):
        for accepted, coding in (("gzip", "gzip"), ("identity", None), ("gzip;q=0", None)):
            answer = get(gateway, "/page.html", ("Accept-Encoding", accepted))
            assert (answer.sent_header("Content-Encoding"), answer.sent_header("Vary")) == (
                coding,
                "Accept-Encoding",
            )


def test_after_a_second_a_file_is_opened_anew_and_not_read_when_it_is_the_same(site, opened, monkeypatch):
    monkeypatch.setattr(kept, "_TRUST", -1.0)
    gateway = Static(site)
    get(gateway)
    reads = []
    monkeypatch.setattr("portico.web.variants.read_span", lambda *args: reads.append(args))
    get(gateway)
    assert opened.count(b"a.txt") == 2
    assert reads == []


def test_the_memory_is_bounded_and_the_oldest_go(site, opened):
    for number in range(100):
        (site / f"{number}.txt").write_text("x" * 1000)
    settle(site)
    gateway = Static(site, memory=50_000)
    for number in range(100):
        get(gateway, f"/{number}.txt")
    opened.clear()
    for number in (99, 98, 90, 5):
        get(gateway, f"/{number}.txt")
    assert opened == [b"5.txt"]
    (site / "large.txt").write_text("x" * 10_000)
    get(gateway, "/large.txt")
    get(gateway, "/large.txt")
    assert opened.count(b"large.txt") == 2


def test_long_paths_count_as_well_and_what_is_accepted_makes_no_more_entries(site):
    (site / "page.html").write_bytes(b"page " * 200)
    settle(site)
    gateway = Static(site, memory=100_000, compress=["gzip"])
    for number in range(100):
        get(gateway, "/" * (number + 1000) + "a.txt")
        get(gateway, "/page.html", ("Accept-Encoding", f"gzip, coding-{number}"))
    sizes = [entry.size for entry in gateway._variants.kept._entries.values()]
    assert 90_000 < sum(sizes) <= 100_000
    assert len(sizes) < 40


def test_nothing_is_kept_where_there_is_no_memory_for_it(site, opened):
    gateway = Static(site, memory=0)
    get(gateway)
    get(gateway)
    assert opened.count(b"a.txt") == 2


def test_a_single_file_at_the_root_is_not_at_another_path(site):
    gateway = Static(site / "a.txt")
    assert get(gateway, "/").sent == b"this is a.txt"
    assert RecordingExchange("GET", "/m/", mount="/m").run(gateway).status == 404


@pytest.mark.parametrize("lines", [200, 20_000])
def test_while_a_file_is_replaced_nobody_gets_an_older_content_than_that_of_its_request(site, lines):
    """Each version has the same length and time; the next may get the inode of the last but one."""
    page, new = site / "page.txt", site / "new"

    def content(version):
        return b"%06d\n" % version * lines

    def replace_by(version):
        new.write_bytes(content(version))
        os.utime(new, (1000, 1000))
        new.rename(page)

    replace_by(0)
    gateway = Static(site, compress=["gzip"])
    current, over = 0, threading.Event()

    def read(accepted, unpack):
        reads = 0
        while not over.is_set():
            least = current
            sent = unpack(get(gateway, "/page.txt", ("Accept-Encoding", accepted)).sent)
            assert int(sent[:6]) >= least
            assert sent == content(int(sent[:6]))
            reads += 1
        return reads

    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(read, "gzip", gzip.decompress), *[pool.submit(read, "", bytes)] * 2]
        try:
            for version in range(1, 40):
                replace_by(version)
                current = version
                time.sleep(0.001)
        finally:
            over.set()
        assert min(reader.result() for reader in readers) > 0
