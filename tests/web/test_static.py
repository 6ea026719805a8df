import errno
import gzip
import json
import os
import re
import resource
import socket
import stat
import tempfile
import time
from email import message_from_bytes
from pathlib import Path
from urllib.parse import quote, quote_from_bytes

import pytest

from portico.errors import ConfigError, EndOfStream
from portico.limits import Limits
from portico.web.file_answer import SMALL
from portico.web.static import Static
from tests.descriptors import none_left_open
from tests.web.recording import RecordingExchange

BIG = bytes(range(256)) * 1024


@pytest.fixture
def site(tmp_path):
    root = tmp_path / "site"
    (root / "sub").mkdir(parents=True)
    (root / "bare").mkdir()
    (root / "index.html").write_text("<h1>home</h1>")
    (root / "sub/index.html").write_text("<h1>sub</h1>")
    (root / "a.txt").write_text("0123456789")
    (root / "empty.txt").write_bytes(b"")
    (root / "big.bin").write_bytes(BIG)
    (root / ".env").write_text("PASSWORD=x")
    (root / ".git").mkdir()
    (root / ".git/config").write_text("[core]")
    (root / ".well-known").mkdir()
    (root / ".well-known/security.txt").write_text("Contact: x")
    (tmp_path / "secret.txt").write_text("secret")
    old = time.time() - 3600
    for path in root.rglob("*"):
        os.utime(path, (old, old))
    return root


@pytest.fixture(autouse=True)
def no_descriptor_is_left():
    with none_left_open():
        yield


def get(root, target="/", headers=(), method="GET", mount="", **options):
    gateway = root if isinstance(root, Static) else Static(root, **options)
    return RecordingExchange(method, target, headers, mount=mount).run(gateway)


def get_if(root, target="/a.txt", method="GET", **fields):
    return get(root, target, [(name.replace("_", "-"), value) for name, value in fields.items()], method)


# Plain answers


def test_a_file_is_sent_with_type_length_and_validators(site):
    answer = get(site, "/a.txt")
    assert (answer.status, answer.sent) == (200, b"0123456789")
    assert answer.sent_header("Content-Type") == "text/plain; charset=utf-8"
    assert answer.sent_header("Content-Length") == "10"
    assert answer.sent_header("Accept-Ranges") == "bytes"
    assert re.fullmatch(r'"[0-9a-f]+"', answer.sent_header("ETag"))
    assert answer.sent_header("Last-Modified").endswith(" GMT")
    assert answer.sent_header("X-Content-Type-Options") == "nosniff"


def test_a_small_file_is_one_write_and_a_large_one_goes_by_the_kernel(site):
    (site / "edge").write_bytes(b"x" * SMALL)
    small, large = get(site, "/edge"), get(site, "/big.bin")
    assert len(small.writes) == 1
    assert not small.file_reads
    assert large.file_reads == [(0, len(BIG))]
    assert large.sent == BIG


@pytest.mark.parametrize(
    "target", ["/a.txt", "/empty.txt", "/big.bin", "/", "/sub", "/bare/", "/none", "/.env"]
)
def test_head_is_get_without_the_body(site, target):
    for listing in (False, True):
        answer, head = (get(site, target, method=method, listing=listing) for method in ("GET", "HEAD"))
        assert (head.status, head.sent_headers) == (answer.status, answer.sent_headers)
        assert head.sent == b""
        assert not head.file_reads


def test_an_empty_file_is_an_empty_answer(site):
    answer = get(site, "/empty.txt")
    assert (answer.status, answer.sent, answer.sent_header("Content-Length")) == (200, b"", "0")


def test_the_query_does_not_matter(site):
    assert get(site, "/a.txt?v=../../x").sent == b"0123456789"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"])
def test_other_methods_are_refused_with_those_that_are_allowed(site, method):
    answer = get(site, "/a.txt", method=method)
    assert (answer.status, answer.sent_header("Allow")) == (405, "GET, HEAD, OPTIONS")


def test_options_says_what_is_allowed(site):
    answer = get(site, "/a.txt", method="OPTIONS")
    assert (answer.status, answer.sent, answer.sent_header("Allow")) == (204, b"", "GET, HEAD, OPTIONS")


def test_a_gateway_has_a_name_and_wants_no_stream(site):
    gateway = Static(site)
    assert gateway.name == f"static:{site}"
    assert gateway.streams(RecordingExchange().request) is False
    assert str(site) in repr(gateway)


ODD = [
    b"a b",
    b"100%",
    b"%41",
    b"q?x=1",
    b"#frag",
    b"it's",
    b'say "hi"',
    b"a\\b",
    b"new\nline",
    b"tab\t",
    b"a;b",
    b"a+b",
]
ODD += [
    "größe-日本語-🙂.txt".encode(),
    b"latin-\xe9.txt",
    b"\xff\xfe\x80",
    b"<b>&amp;",
    b"-rf",
    b"~",
    b"a..b",
    b"\x01\x7f",
]


@pytest.mark.parametrize("name", ODD)
def test_any_name_that_a_file_can_have_can_be_fetched(site, name):
    path = os.fsencode(site) + b"/" + name
    with open(path, "wb") as file:
        file.write(name)
    answer = get(site, "/" + quote_from_bytes(name, safe=""))
    assert (answer.status, answer.sent) == (200, name)


@pytest.mark.parametrize("name", ODD)
def test_any_folder_is_redirected_listed_and_its_links_lead_to_its_files(site, name):
    folder = os.fsencode(site) + b"/" + name
    os.mkdir(folder)
    with open(folder + b"/" + name, "wb") as file:
        file.write(name)
    gateway = Static(site, listing=True)
    place = get(gateway, "/" + quote_from_bytes(name, safe="")).sent_header("Location")
    html = get(gateway, place).sent.decode()
    href = re.findall('<td><a href="([^"]*)"', html)[1]
    assert get(gateway, place + href).sent == name
    listed = json.loads(get(gateway, place, [("Accept", "application/json")]).sent)
    assert get(gateway, place + listed[0]["href"]).sent == name


def test_a_single_file_can_be_mounted(site):
    gateway = Static(site / "a.txt")
    assert get(gateway, "/").sent == b"0123456789"
    assert get(gateway, "/robots.txt", mount="/robots.txt").sent == b"0123456789"
    assert get(gateway, "/").sent_header("Content-Type") == "text/plain; charset=utf-8"
    assert get(gateway, "/robots.txt/", mount="/robots.txt").status == 404
    assert get(gateway, "/a.txt").status == 404
    assert get(gateway, "/x/y").status == 404
    assert get(gateway, "/../secret.txt").status == 404


# Folders


def test_a_folder_answers_with_its_index(site):
    assert get(site, "/").sent == b"<h1>home</h1>"
    assert get(site, "/sub/").sent == b"<h1>sub</h1>"
    assert get(site, "/sub/").sent_header("Content-Type") == "text/html; charset=utf-8"


def test_the_first_index_that_is_a_file_answers(site):
    (site / "bare/first.html").mkdir()
    (site / "bare/third.md").write_text("third")
    assert get(site, "/bare/", index=("first.html", "second.html", "third.md")).sent == b"third"


def test_an_extension_may_be_left_out(site):
    (site / "about.html").write_text("about")
    (site / "about").mkdir()  # the page goes before, as with nginx's "$uri $uri.html $uri/"
    (site / "a.txt.html").write_text("not this one")
    (site / ".env.html").write_text("nor this")
    gateway = Static(site, extensions=[".html", ".txt"], hide=["*.bin"], pages={404: "about.html"})
    assert get(gateway, "/about").sent == b"about"
    assert get(gateway, "/about").sent_header("Content-Type") == "text/html; charset=utf-8"
    assert get(gateway, "/a").sent == get(gateway, "/a.txt").sent == b"0123456789"
    for absent in ("/about/", "/sub/about", "/.env", "/a/", "/nothing"):
        assert get(gateway, absent).status == 404
    assert get(gateway, "/sub").status == 301
    assert get(Static(site, extensions=".bin", hide=["*.bin"]), "/big").status == 404
    (site / "a").write_text("now there is one")
    assert get(gateway, "/a").sent == b"now there is one"


@pytest.mark.parametrize("extension", ["html", ".", "", "./x", ".a/b"])
def test_an_extension_that_cannot_be_is_refused(site, extension):
    with pytest.raises(ConfigError, match=r"with its dot, as in \.html"):
        Static(site, extensions=[extension])


def test_a_folder_without_index_is_not_there(site):
    assert get(site, "/bare/").status == 404
    assert get(site, "/", index=()).status == 404


@pytest.mark.parametrize(
    ("target", "mount", "place"),
    [
        ("/sub", "", "/sub/"),
        ("/sub?a=b&c=%20", "", "/sub/?a=b&c=%20"),
        ("/files/sub?x", "/files", "/files/sub/?x"),
        ("/files", "/files", "/files/"),
        ("/a%20b/sub", "/a b", "/a%20b/sub/"),
        ("//sub", "", "/sub/"),
    ],
)
def test_a_folder_without_its_slash_is_redirected_within_its_mount(site, target, mount, place):
    exchange = RecordingExchange("GET", target)
    exchange.mount = mount
    exchange.path_info = exchange.path.removeprefix(mount)
    exchange.raw_path_info = exchange.raw_path.removeprefix(quote(mount))
    answer = exchange.run(Static(site))
    assert (answer.status, answer.sent_header("Location")) == (301, place)


@pytest.mark.parametrize(
    ("folder", "target"),
    [
        ("evil.example", "//evil.example"),
        ("evil.example", "///evil.example"),
        ("\\evil.example", "/%5Cevil.example"),
        ("\\evil.example", "/\\evil.example"),
        ("x\r\nSet-Cookie: a=b", "/x%0D%0ASet-Cookie:%20a=b"),
        ("\t", "/%09"),
        ("http:", "/http:"),
    ],
)
def test_no_redirect_leads_to_another_host_or_splits_the_head(site, folder, target):
    (site / folder).mkdir()
    place = get(site, target).sent_header("Location")
    assert re.fullmatch(r"/[^/\\\s][^\\\s]*/", place)


def test_a_file_with_a_slash_behind_it_is_not_there(site):
    assert get(site, "/a.txt/").status == 404
    assert get(site, "/a.txt/x").status == 404
    assert get(site, "/a.txt/index.html").status == 404


# Confinement


@pytest.mark.parametrize(
    "target",
    [
        "/../secret.txt",
        "/..%2fsecret.txt",
        "/%2e%2e/secret.txt",
        "/.%2e/secret.txt",
        "/sub/../../secret.txt",
        "/sub/%2e%2e/%2e%2e/secret.txt",
        "/..%5csecret.txt",
        "/..\\secret.txt",
        "//..//secret.txt",
        "/..",
        "/../",
        "/%2e%2e%2fsecret.txt",
        "/%252e%252e/secret.txt",
        "/..;/secret.txt",
        "/%c0%ae%c0%ae/secret.txt",
        "/..%c0%afsecret.txt",
        "/%u002e%u002e/secret.txt",
        "/a.txt%00.html",
        "/%00",
        "/a.txt%00",
        "/....//secret.txt",
        "/" + "../" * 40 + "etc/passwd",
        "//etc/passwd",
        "/%2Fetc/passwd",
        "/%2fetc%2fpasswd",
        "/sub%2findex.html",
        "/" + "x" * 300,
        "/" + "x/" * 5000,
        "/" + "%41" * 5000,
        "/a.txt%",
        "/./a.txt",
        "/C:/x",
        "/proc/self/environ",
    ],
)
def test_no_spelling_of_a_path_leaves_the_folder(site, target):
    for options in ({}, {"hidden": True, "listing": True}):
        answer = get(site, target, **options)
        assert answer.status == 404
        assert b"secret" not in answer.sent


def test_an_absolute_path_is_below_the_root(site, tmp_path):
    assert get(site, str(tmp_path / "secret.txt")).status == 404


@pytest.mark.parametrize(
    "target", ["../secret.txt", "{up}/secret.txt", "..", "{up}", "/", "/etc/passwd", "loop", "none"]
)
def test_links_that_leave_the_folder_are_not_there(site, tmp_path, target):
    (site / "loop").symlink_to(target.format(up=tmp_path))
    for path in ("/loop", "/loop/", "/loop/secret.txt", "/loop/etc/passwd"):
        answer = get(site, path, listing=True)
        assert answer.status == 404
        assert b"secret" not in answer.sent
    assert b"loop" not in get(site, "/", index=(), listing=True).sent


def test_links_that_stay_inside_are_followed(site):
    (site / "link.txt").symlink_to("a.txt")
    (site / "folder").symlink_to("sub")
    (site / "bare/index.html").symlink_to("../sub/index.html")
    assert get(site, "/link.txt").sent == b"0123456789"
    assert get(site, "/folder").sent_header("Location") == "/folder/"
    assert get(site, "/folder/").sent == b"<h1>sub</h1>"
    assert get(site, "/bare/").sent == b"<h1>sub</h1>"
    listed = json.loads(get(site, "/", [("Accept", "application/json")], index=(), listing=True).sent)
    shown = {item["name"]: (item["type"], item["size"]) for item in listed}
    assert shown["link.txt"] == ("file", 10)
    assert shown["folder"] == ("directory", None)


def test_an_index_that_leads_out_is_not_sent(site):
    (site / "bare/index.html").symlink_to("../../secret.txt")
    assert get(site, "/bare/").status == 404


def test_the_root_may_be_a_link(site, tmp_path):
    (tmp_path / "current").symlink_to("site")
    assert get(tmp_path / "current", "/sub/").sent == b"<h1>sub</h1>"


def test_hidden_names_are_not_there_unless_wanted(site):
    for target in ("/.env", "/.git/config", "/.git/", "/.git", "/%2eenv"):
        assert get(site, target).status == 404
    assert get(site, "/.well-known/security.txt").sent == b"Contact: x"
    assert get(site, "/.env", hidden=True).sent == b"PASSWORD=x"


def only_what_is_plain(real):
    """``os.open`` for files and folders: opening a FIFO lets its writer go, and a tape rewinds."""

    def checked(path, flags, *, dir_fd=None):
        facts = os.stat(path, dir_fd=dir_fd)
        assert stat.S_ISREG(facts.st_mode) or stat.S_ISDIR(facts.st_mode) or flags & os.O_DIRECTORY
        return real(path, flags, dir_fd=dir_fd)

    return checked


def test_a_fifo_a_socket_and_a_device_are_not_there_and_are_not_opened(site, monkeypatch):
    os.mkfifo(site / "fifo")
    monkeypatch.setattr("portico.web.confined.os.open", only_what_is_plain(os.open))
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.getcwd()
        os.chdir(site)  # the path of a Unix socket must be short
        try:
            listener.bind("sock")
        finally:
            os.chdir(here)
        for name in ("fifo", "sock"):
            assert get(site, f"/{name}").status == 404
            assert get(site, f"/{name}/").status == 404
        shown = get(site, "/", index=(), listing=True).sent
    assert b"fifo" not in shown
    assert b"sock" not in shown


def test_a_device_is_not_there(monkeypatch):
    monkeypatch.setattr("portico.web.confined.os.open", only_what_is_plain(os.open))
    assert get("/dev", "/null").status == 404
    assert get("/dev", "/tty").status == 404


def test_what_may_not_be_read_is_forbidden(site, monkeypatch):
    def denied(*_args, **_kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    gateway = Static(site)
    monkeypatch.setattr("portico.web.confined.os.open", denied)
    assert get(gateway, "/a.txt").status == 403


@pytest.fixture
def open_to_all(tmp_path):
    """A folder that any user can enter, for tests that become another user."""
    if os.geteuid() != 0:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        try:
            yield Path(folder)
        finally:
            os.seteuid(0)


def test_what_may_not_be_read_is_forbidden_and_what_may_not_be_entered_too(open_to_all):
    for name in ("open.txt", "shut.txt", "shut/a.txt", "through/a.txt"):
        (open_to_all / name).parent.mkdir(exist_ok=True)
        (open_to_all / name).write_text("text")
    for name, mode in (("shut.txt", 0), ("shut", 0), ("through", 0o111)):
        (open_to_all / name).chmod(mode)
    gateway = Static(open_to_all, listing=True)
    if os.geteuid() == 0:
        os.seteuid(65534)  # nothing is forbidden to root
    for target in ("/shut.txt", "/shut/", "/shut/a.txt", "/through/"):
        assert get(gateway, target).status == 403, target
    assert [get(gateway, target).status for target in ("/open.txt", "/through/a.txt", "/")] == [200] * 3


def test_without_a_descriptor_left_a_file_is_not_there_for_now(site):
    gateway = Static(site)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        answer = get(gateway, "/a.txt")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (answer.status, answer.sent_header("Retry-After")) == (503, "1")
    assert get(gateway, "/a.txt").status == 200


def test_without_a_second_descriptor_a_large_file_is_not_there_for_now(site, monkeypatch):
    def exhausted(fd):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr("portico.web.file_answer.os.dup", exhausted)
    answer = get(site, "/big.bin")
    assert (answer.status, answer.sent_header("Retry-After")) == (503, "1")
    assert get(site, "/big.bin", method="HEAD").status == 200


def test_without_a_second_descriptor_a_folder_is_not_there_for_now(site, monkeypatch):
    def exhausted(fd):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr("portico.web.folder.os.scandir", exhausted)
    assert get(site, "/bare/", listing=True).status == 503


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_out_of_descriptors_is_a_temporary_failure(site, monkeypatch, number):
    def exhausted(*_args, **_kwargs):
        raise OSError(number, os.strerror(number))

    gateway = Static(site)
    monkeypatch.setattr("portico.web.confined.os.open", exhausted)
    answer = get(gateway, "/a.txt")
    assert (answer.status, answer.sent_header("Retry-After")) == (503, "1")


def test_a_broken_disk_is_not_hidden(site, monkeypatch):
    def broken(*_args, **_kwargs):
        raise OSError(errno.EIO, "Input/output error")

    gateway = Static(site)
    monkeypatch.setattr("portico.web.confined.os.open", broken)
    with pytest.raises(OSError, match="Input/output"):
        get(gateway, "/a.txt")


# Files that change


def test_a_large_file_that_shrinks_while_it_is_sent_cuts_the_answer(site):
    exchange = RecordingExchange("GET", "/big.bin")
    exchange.before_file = lambda: os.truncate(site / "big.bin", 1000)
    with pytest.raises(EndOfStream):
        exchange.run(Static(site))
    assert exchange.aborted
    assert not exchange.finished


def test_a_large_file_that_vanishes_while_it_is_sent_is_sent(site):
    exchange = RecordingExchange("GET", "/big.bin")
    exchange.before_file = (site / "big.bin").unlink
    assert exchange.run(Static(site)).sent == BIG


def test_a_large_file_that_grows_is_sent_as_long_as_promised(site):
    exchange = RecordingExchange("GET", "/big.bin")

    def grow():
        with open(site / "big.bin", "ab") as file:
            file.write(b"more")

    exchange.before_file = grow
    assert exchange.run(Static(site)).sent == BIG


def shrink_after_fstat(monkeypatch, path):
    """Cut the file between the moment its size is asked and the moment it is read."""
    real = os.fstat

    def fstat(fd):
        facts = real(fd)
        os.truncate(path, 3)
        return facts

    monkeypatch.setattr("portico.web.static.os.fstat", fstat)


def test_a_small_file_that_shrinks_is_noticed_before_the_head_has_left(site, monkeypatch):
    gateway = Static(site)
    shrink_after_fstat(monkeypatch, site / "a.txt")
    answer = get(gateway, "/a.txt")
    assert (answer.status, answer.sent_header("Retry-After")) == (503, "1")


def test_a_part_of_a_shrunk_file_is_never_padded(site, monkeypatch):
    gateway = Static(site)
    shrink_after_fstat(monkeypatch, site / "a.txt")
    exchange = RecordingExchange("GET", "/a.txt", [("Range", "bytes=0-1,8-9")])
    with pytest.raises(EndOfStream):
        exchange.run(gateway)
    assert not exchange.finished


# Conditions


def test_the_tag_changes_with_the_content_the_time_and_the_file(site):
    def tag():
        return get(site, "/a.txt").sent_header("ETag")

    first = tag()
    assert tag() == first
    old = os.stat(site / "a.txt")
    os.utime(site / "a.txt", ns=(old.st_atime_ns, old.st_mtime_ns + 1))
    second = tag()
    (site / "a.new").write_text("0123456789")
    os.utime(site / "a.new", ns=(old.st_atime_ns, old.st_mtime_ns + 1))
    os.replace(site / "a.new", site / "a.txt")
    assert len({first, second, tag()}) == 3


def test_a_client_that_has_it_gets_304_without_a_body_or_length(site):
    first = get(site, "/a.txt")
    for method in ("GET", "HEAD"):
        for fields in (
            {"If_None_Match": first.sent_header("ETag")},
            {"If_None_Match": "W/" + first.sent_header("ETag")},
            {"If_Modified_Since": first.sent_header("Last-Modified")},
        ):
            answer = get_if(site, method=method, **fields)
            assert (answer.status, answer.sent) == (304, b"")
            assert answer.sent_header("ETag") == first.sent_header("ETag")
            assert answer.sent_header("Content-Length") is None
            assert answer.sent_header("Content-Type") is None


def test_a_condition_that_fails_is_412(site):
    assert get_if(site, If_Match='"other"').status == 412
    assert get_if(site, If_Unmodified_Since="Sun, 06 Nov 1994 08:49:37 GMT").status == 412
    assert get_if(site, If_Match="*").status == 200


def test_conditions_do_not_matter_where_nothing_is(site):
    assert get_if(site, "/none", If_None_Match="*").status == 404
    assert get_if(site, "/none", If_Match="*").status == 404


def test_several_lines_of_tags_are_one_list(site):
    tag = get(site, "/a.txt").sent_header("ETag")
    answer = get(site, "/a.txt", [("If-None-Match", '"x"'), ("If-None-Match", tag)])
    assert answer.status == 304


def test_a_time_in_the_future_is_not_sent(site):
    ahead = time.time() + 86400
    os.utime(site / "a.txt", (ahead, ahead))
    sent = get(site, "/a.txt").sent_header("Last-Modified")
    assert get_if(site, If_Modified_Since=sent).status in (200, 304)
    assert time.strftime("%d %b %Y", time.gmtime(ahead)) not in sent


@pytest.mark.parametrize("when", [0, -1, -(10**9), 2**33])
def test_strange_times_do_no_harm(site, when):
    os.utime(site / "a.txt", (when, when))
    assert get(site, "/a.txt").status == 200
    assert get(site, "/", index=(), listing=True).status == 200


# Ranges


@pytest.mark.parametrize(
    ("asked", "body", "placed"),
    [
        ("bytes=0-3", b"0123", "bytes 0-3/10"),
        ("bytes=4-", b"456789", "bytes 4-9/10"),
        ("bytes=-2", b"89", "bytes 8-9/10"),
        ("bytes=0-", b"0123456789", "bytes 0-9/10"),
        ("bytes=0-1,99-", b"01", "bytes 0-1/10"),
        ("bytes=0-2,1-4", b"01234", "bytes 0-4/10"),
    ],
)
def test_one_range_is_206_with_its_place(site, asked, body, placed):
    answer = get_if(site, Range=asked)
    assert (answer.status, answer.sent, answer.sent_header("Content-Range")) == (206, body, placed)
    assert answer.sent_header("Content-Type") == "text/plain; charset=utf-8"
    assert answer.sent_header("ETag")


def test_a_large_range_goes_by_the_kernel(site):
    answer = get_if(site, "/big.bin", Range="bytes=1000-200999")
    assert answer.file_reads == [(1000, 200000)]
    assert answer.sent == BIG[1000:201000]


def test_what_lies_behind_the_end_is_416_with_the_size(site):
    answer = get_if(site, Range="bytes=10-")
    assert (answer.status, answer.sent_header("Content-Range")) == (416, "bytes */10")
    assert get_if(site, "/empty.txt", Range="bytes=0-").status == 416


@pytest.mark.parametrize("asked", ["bytes=x", "lines=0-1", "bytes=5-1", "bytes=0-0,", "bytes=0-,0-,0-"])
def test_a_range_that_cannot_be_obeyed_is_ignored(site, asked):
    answer = get_if(site, Range=asked)
    assert answer.status == (206 if asked == "bytes=0-0," else 200)


def test_head_ignores_ranges(site):
    answer = get_if(site, method="HEAD", Range="bytes=0-3")
    assert (answer.status, answer.sent_header("Content-Length")) == (200, "10")


def parts_of(answer):
    head = f"Content-Type: {answer.sent_header('Content-Type')}\r\n\r\n".encode()
    return [
        (part["Content-Range"], part.get_payload(decode=True))
        for part in message_from_bytes(head + answer.sent).get_payload()
    ]


def test_several_ranges_are_one_multipart_answer(site):
    answer = get_if(site, Range="bytes=8-9,0-1,-1000")
    assert answer.status == 200
    answer = get_if(site, Range="bytes=8-9,0-1,4-4")
    assert answer.status == 206
    assert answer.sent_header("Content-Range") is None
    assert parts_of(answer) == [("bytes 8-9/10", b"89"), ("bytes 0-1/10", b"01"), ("bytes 4-4/10", b"4")]


def test_large_parts_of_a_multipart_answer_go_by_the_kernel(site):
    answer = get_if(site, "/big.bin", Range="bytes=0-99999,100001-200001,-5")
    assert answer.file_reads == [(0, 100000), (100001, 100001)]
    assert BIG[:100000] in answer.sent
    assert BIG[100001:200002] in answer.sent
    assert BIG[-5:] in answer.sent


def test_a_flood_of_ranges_costs_no_more_than_the_file(site):
    """The attack of CVE-2011-3192: hundreds of overlapping ranges in one request."""
    flood = "bytes=0-" + "".join(f",5-{n}" for n in range(1300))
    answer = get_if(site, "/big.bin", Range=flood)
    assert (answer.status, len(answer.sent)) == (200, len(BIG))
    for asked in (
        "bytes=" + ",".join(["0-"] * 16),
        "bytes=" + ",".join(f"{n}-{n + 60000}" for n in range(16)),
    ):
        assert len(get_if(site, "/big.bin", Range=asked).sent) <= len(BIG)


def test_if_range_guards_a_resumed_download(site):
    first = get(site, "/a.txt")
    for validator in (first.sent_header("ETag"), first.sent_header("Last-Modified")):
        assert get_if(site, Range="bytes=5-", If_Range=validator).sent == b"56789"
        assert get_if(site, Range="bytes=99-", If_Range=validator).status == 416
    for validator in ('"other"', "Sun, 06 Nov 1994 08:49:37 GMT", "W/" + first.sent_header("ETag")):
        answer = get_if(site, Range="bytes=5-", If_Range=validator)
        assert (answer.status, answer.sent) == (200, b"0123456789")
        assert get_if(site, Range="bytes=99-", If_Range=validator).status == 200


# Listings


def test_a_listing_shows_what_can_be_fetched(site):
    answer = get(site, "/", index=(), listing=True)
    html = answer.sent.decode()
    assert answer.sent_header("Content-Type") == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.sent_header("Content-Security-Policy")
    assert answer.sent_header("Vary") == "Accept"
    names = re.findall('<td><a href="([^"]*)"', html)
    assert names == [".well-known/", "bare/", "sub/", "a.txt", "big.bin", "empty.txt", "index.html"]
    assert ".env" in get(site, "/", index=(), listing=True, hidden=True).sent.decode()


def test_a_listing_leads_upwards_but_not_out_of_its_mount(site):
    assert b'href="../"' in get(site, "/bare/", listing=True).sent
    assert b'href="../"' not in get(site, "/m/", mount="/m", index=(), listing=True).sent


def test_a_listing_shows_its_path_with_the_mount(site):
    assert b"<title>Index of /m/bare/</title>" in get(site, "/m/bare/", mount="/m", listing=True).sent
    assert b"<title>Index of /</title>" in get(site, "/", index=(), listing=True).sent


def test_an_index_comes_before_a_listing(site):
    assert get(site, "/sub/", listing=True).sent == b"<h1>sub</h1>"


def test_programs_get_the_listing_as_json(site):
    answer = get(site, "/", [("Accept", "application/json")], index=(), listing=True)
    assert answer.sent_header("Content-Type") == "application/json"
    assert {item["name"] for item in json.loads(answer.sent)} >= {"a.txt", "sub", "index.html"}


def test_a_listing_is_sorted_by_its_query(site):
    html = get(site, "/?sort=size&order=desc", index=(), listing=True).sent.decode()
    names = re.findall('<td><a href="([^"]*)"', html)
    assert names[3:] == ["big.bin", "index.html", "a.txt", "empty.txt"]
    listed = get(site, "/?sort=size", [("Accept", "application/json")], index=(), listing=True)
    assert [item["name"] for item in json.loads(listed.sent)][3:] == [
        "empty.txt",
        "a.txt",
        "index.html",
        "big.bin",
    ]


def test_a_list_has_an_end_and_says_what_it_leaves_out(site):
    gateway = Static(site, index=(), listing=True)

    def listed(most, *headers):
        return RecordingExchange("GET", "/", headers, limits=Limits(listing=most)).run(gateway)

    assert listed(7).sent_header("X-Truncated") is None
    assert b"not shown" not in listed(7).sent
    page = listed(6)
    assert page.sent_header("X-Truncated") == "6"
    assert b", and more that is not shown" in page.sent
    assert len(json.loads(listed(6, ("Accept", "application/json")).sent)) == 6


def test_a_listing_is_compressed_where_files_are(site):
    accepts = [("Accept-Encoding", "gzip")]
    packed = get(site, "/", accepts, index=(), listing=True, compress=True)
    plain = get(site, "/", index=(), listing=True, compress=True)
    assert packed.sent_header("Content-Encoding") == "gzip"
    assert gzip.decompress(packed.sent) == plain.sent
    for answer in (packed, plain):
        varies = [value for name, value in answer.sent_headers if name == "Vary"]
        assert varies == ["Accept", "Accept-Encoding"]
    assert get(site, "/", accepts, index=(), listing=True).sent == plain.sent


# Options


def test_one_name_is_a_list_of_one(site):
    (site / "bare/home").write_text("home")
    gateway = Static(site, index="home", hide="*.txt", compress="gzip")
    assert get(gateway, "/bare/").sent == b"home"
    assert get(gateway, "/a.txt").status == 404
    assert get(gateway, "/index.html").status == 200


def test_names_that_fit_a_pattern_are_not_there_nor_listed_nor_led_through(site):
    (site / "sub/old.bak").write_text("x")
    (site / "node_modules").mkdir()
    (site / "node_modules/x.txt").write_text("x")
    gateway = Static(site, hide=("*.bak", "node_modules", "[a]*.txt"), listing=True, index=())
    for target in (
        "/sub/old.bak",
        "/node_modules/x.txt",
        "/node_modules/",
        "/node_modules",
        "/a.txt",
        "/%61.txt",
    ):
        assert get(gateway, target).status == 404
    assert get(gateway, "/empty.txt").status == 200
    assert b"old.bak" not in get(gateway, "/sub/").sent
    assert b"node_modules" not in get(gateway, "/").sent


def test_links_need_not_be_followed_at_all(site):
    (site / "link.txt").symlink_to("a.txt")
    (site / "folder").symlink_to("sub")
    gateway = Static(site, links=False, listing=True, index=())
    for target in ("/link.txt", "/folder", "/folder/", "/folder/index.html"):
        assert get(gateway, target).status == 404
    assert b"link.txt" not in get(gateway, "/").sent
    assert b'"folder/"' not in get(gateway, "/").sent


def test_cache_rules_hold_for_their_files_also_when_nothing_has_changed(site):
    (site / "app.3f9a1c7e.js").write_text("x")
    gateway = Static(
        site, cache={"*.html": "no-cache", "sub/*": "max-age=5"}, immutable=True, not_found="a.txt"
    )
    assert get(gateway, "/").sent_header("Cache-Control") == "no-cache"
    assert get(gateway, "/", [("If-None-Match", "*")]).sent_header("Cache-Control") == "no-cache"
    assert get(gateway, "/app.3f9a1c7e.js").sent_header("Cache-Control").endswith("immutable")
    assert get(gateway, "/a.txt").sent_header("Cache-Control") is None
    assert get(gateway, "/none").sent_header("Cache-Control") is None


def test_a_site_has_its_own_page_for_any_error(site, monkeypatch):
    for status in (403, 405, 412, 416):
        (site / f"{status}.html").write_text(f"own {status}")
    gateway = Static(site, pages={status: f"{status}.html" for status in (403, 405, 412, 416)})
    answers = [
        get(gateway, "/a.txt", method="POST"),
        get(gateway, "/a.txt", [("If-Match", '"x"')]),
        get(gateway, "/a.txt", [("Range", "bytes=99-")]),
    ]
    assert [(answer.status, answer.sent) for answer in answers] == [
        (status, f"own {status}".encode()) for status in (405, 412, 416)
    ]
    assert answers[0].sent_header("Allow") == "GET, HEAD, OPTIONS"
    assert answers[2].sent_header("Content-Range") == "bytes */10"
    head = get(gateway, "/a.txt", [("If-Match", '"x"')], method="HEAD")
    assert (head.sent, head.sent_headers) == (b"", answers[1].sent_headers)


# What else cannot be


def test_cache_and_headers_go_with_every_file(site):
    gateway = Static(site, cache="public, max-age=60", headers=[("X-Frame-Options", "DENY")])
    tag = get(site, "/a.txt").sent_header("ETag")
    for headers in ([], [("Range", "bytes=0-1")], [("Range", "bytes=0-1,3-4")], [("If-None-Match", tag)]):
        answer = get(gateway, "/a.txt", headers)
        assert answer.sent_header("Cache-Control") == "public, max-age=60"
        assert answer.sent_header("X-Frame-Options") == "DENY"


def test_own_types_are_used(site):
    assert (
        get(site, "/a.txt", types={".txt": "text/x-own"}).sent_header("Content-Type").startswith("text/x-own")
    )


def test_a_site_has_its_own_page_for_what_is_not_there(site):
    (site / "404.html").write_text("lost")
    for target in ("/none", "/.env", "/../secret.txt", "/bare/"):
        answer = get(site, target, [("If-Match", '"x"'), ("Range", "bytes=0-1")], not_found="404.html")
        assert (answer.status, answer.sent) == (404, b"lost")
        assert answer.sent_header("ETag") is None


def test_a_page_for_errors_that_is_gone_is_replaced_by_the_standard_one(site):
    (site / "404.html").write_text("lost")
    gateway = Static(site, not_found="404.html", fallback="404.html")
    (site / "404.html").unlink()
    assert get(gateway, "/none").status == 404


def test_a_single_page_application_answers_for_its_own_paths_only(site):
    spa = Static(site, fallback="index.html")
    assert (get(spa, "/users/42").status, get(spa, "/users/42").sent) == (200, b"<h1>home</h1>")
    assert get(spa, "/users/42/").sent == b"<h1>home</h1>"
    assert get(spa, "/bare/").sent == b"<h1>home</h1>"
    assert b"<h1>home</h1>" not in get(site, "/bare/", fallback="index.html", listing=True).sent
    assert get(spa, "/app.js").status == 404
    assert get(spa, "/john.doe", [("Accept", "text/html,*/*")]).status == 200
    assert get(spa, "/.git/config").status == 404
    assert get(spa, "/../x").status == 404
    assert get(spa, "/a.txt").sent == b"0123456789"


@pytest.mark.parametrize(
    "options",
    [
        {"index": ["a/b"]},
        {"index": [""]},
        {"index": [".."]},
        {"headers": [("X", "a\r\nb")]},
        {"headers": [("X Y", "a")]},
        {"cache": "a\nb"},
        {"not_found": "none.html"},
        {"not_found": "../secret.txt"},
        {"fallback": "sub"},
        {"types": {"txt": "text/plain"}},
        {"pages": {404: "none.html"}},
        {"pages": {200: "a.txt"}},
        {"hide": ["a/b"]},
        {"hide": [""]},
        {"cache": {"*": "a\nb"}},
        {"compress": ["lzma"]},
    ],
)
def test_an_option_that_cannot_work_is_refused_at_once(site, options):
    with pytest.raises(ConfigError):
        Static(site, **options)


def test_a_root_that_cannot_be_served_is_refused_with_what_to_do(site, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ConfigError, match="name a folder or a file that exists"):
        Static(tmp_path / "none")
    with pytest.raises(ConfigError, match="neither a folder nor a regular file"):
        Static(tmp_path / "fifo")
    with pytest.raises(ConfigError):
        Static("a\0b")


def test_a_root_that_vanishes_later_is_404_and_comes_back(site, tmp_path):
    gateway = Static(site)
    site.rename(tmp_path / "away")
    assert get(gateway, "/a.txt").status == 404
    (tmp_path / "away").rename(site)
    assert get(gateway, "/a.txt").status == 200


def test_changing_the_working_folder_does_not_move_the_root(site, monkeypatch):
    monkeypatch.chdir(site.parent)
    gateway = Static("site")
    monkeypatch.chdir("/")
    assert get(gateway, "/a.txt").status == 200
