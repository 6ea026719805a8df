import os
import threading
import time

import pytest

from portico.web.confined import open_confined, split_path
from tests.descriptors import none_left_open


@pytest.fixture
def tree(tmp_path):
    """A root beside a secret: ``root/a/b/deep.txt``, ``root/top.txt``, ``secret/key.txt``."""
    (tmp_path / "root/a/b").mkdir(parents=True)
    (tmp_path / "root/a/b/deep.txt").write_text("deep")
    (tmp_path / "root/top.txt").write_text("top")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/key.txt").write_text("secret")
    return tmp_path


def read(root, *parts):
    fd = open_confined(os.fsencode(root), [part.encode() for part in parts])
    try:
        return os.read(fd, 100)
    finally:
        os.close(fd)


def test_files_are_opened_at_any_depth(tree):
    assert read(tree / "root", "top.txt") == b"top"
    assert read(tree / "root", "a", "b", "deep.txt") == b"deep"


def test_links_that_stay_inside_are_followed(tree):
    root = tree / "root"
    (root / "file-link").symlink_to("a/b/deep.txt")
    (root / "folder-link").symlink_to("a")
    (root / "a/up").symlink_to("../top.txt")
    (root / "absolute").symlink_to(root / "a")
    (root / "chain").symlink_to("folder-link/b")
    assert read(root, "file-link") == b"deep"
    assert read(root, "folder-link", "b", "deep.txt") == b"deep"
    assert read(root, "a", "up") == b"top"
    assert read(root, "absolute", "b", "deep.txt") == b"deep"
    assert read(root, "chain", "deep.txt") == b"deep"


def test_the_root_may_be_a_link_and_may_be_exchanged(tree):
    (tree / "current").symlink_to("root")
    (tree / "root/inner").symlink_to(tree / "current" / "top.txt")
    assert read(tree / "current", "a", "b", "deep.txt") == b"deep"
    assert read(tree / "current", "inner") == b"top"
    (tree / "next").mkdir()
    (tree / "next/top.txt").write_text("newer")
    os.symlink("next", tree / "swap")
    os.replace(tree / "swap", tree / "current")
    assert read(tree / "current", "top.txt") == b"newer"


@pytest.mark.parametrize(
    "target",
    ["../secret/key.txt", "{tree}/secret/key.txt", "/etc/passwd", "..", "/", "../root-evil/x", "loop"],
)
def test_links_that_leave_are_not_followed(tree, target):
    (tree / "root-evil").mkdir()
    (tree / "root-evil/x").write_text("beside")
    (tree / "root/loop").symlink_to(target.format(tree=tree))
    for parts in (["loop"], ["loop", "key.txt"], ["loop", "secret", "key.txt"]):
        with pytest.raises(OSError, match=r"ELOOP|No such|Not a dir|Too many"):
            read(tree / "root", *parts)


def test_a_link_out_and_in_again_is_inside(tree):
    (tree / "root/around").symlink_to("../root/top.txt")
    assert read(tree / "root", "around") == b"top"


def test_a_component_that_is_exchanged_for_a_link_never_leads_out(tree):
    """The classic race: a folder, then a link out of the root, then a folder again."""
    root = tree / "root"
    (root / "door").mkdir()
    (root / "door/key.txt").write_text("public")
    (tree / "spare").symlink_to("../secret")
    stop = threading.Event()

    def exchange():
        while not stop.is_set():
            os.rename(root / "door", tree / "parked")
            os.rename(tree / "spare", root / "door")
            os.rename(root / "door", tree / "spare")
            os.rename(tree / "parked", root / "door")

    worker = threading.Thread(target=exchange)
    worker.start()
    seen = set()
    try:
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            try:
                seen.add(read(root, "door", "key.txt"))
            except OSError:
                seen.add(b"refused")
    finally:
        stop.set()
        worker.join()
    assert b"secret" not in seen
    assert b"public" in seen


def test_descriptors_do_not_leak_when_a_walk_fails(tree):
    with none_left_open():
        for parts in (["a", "b", "none"], ["a", "none", "x"], ["top.txt", "x"]):
            with pytest.raises(OSError, match=r"No such|Not a dir"):
                read(tree / "root", *parts)


def test_the_root_of_the_file_system_can_be_a_root(tree):
    assert read("/", *str(tree / "root/top.txt").strip("/").split("/")) == b"top"


@pytest.mark.parametrize(
    ("raw", "parts", "slash"),
    [
        ("", [], False),
        ("/", [], True),
        ("/a", [b"a"], False),
        ("/a/", [b"a"], True),
        ("//a///b//", [b"a", b"b"], True),
        ("/a%20b/%C3%A9%ff", [b"a b", b"\xc3\xa9\xff"], False),
        ("/100%25/%3F%23%22%27", [b"100%", b"?#\"'"], False),
        ("/%252e%252e/x", [b"%2e%2e", b"x"], False),
        ("/%0a", [b"\n"], False),
        ("/a%5Cb/c\\d", [b"a\\b", b"c\\d"], False),
        ("/.well-known/acme", [b".well-known", b"acme"], False),
        ("/a..b/c...", [b"a..b", b"c..."], False),
        ("/\xe9", [b"\xe9"], False),
    ],
)
def test_a_path_is_split_into_names_of_bytes(raw, parts, slash):
    assert split_path(raw) == (parts, slash)


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize(
    "raw",
    [
        "/..",
        "/../x",
        "/a/../b",
        "/%2e%2e/x",
        "/.%2e/x",
        "/%2E./x",
        "/a/..",
        "/.",
        "/a/./b",
        "/a/%2e",
        "/a%2Fb",
        "/%2f",
        "/..%2fx",
        "/..%2Fx",
        "/a%00",
        "/%00",
        "/a\x00b",
        "/%",
        "/%2",
        "/%zz",
        "/a%u0041",
        "/%-1",
        "/% 1",
    ],
)
def test_what_could_lead_astray_is_refused(raw, hidden):
    assert split_path(raw, hidden=hidden) is None


@pytest.mark.parametrize(
    "raw", ["/.git/config", "/a/.env", "/%2egit", "/...", "/..data", "/.well-known2", "/.htaccess/"]
)
def test_hidden_names_are_refused_unless_wanted(raw):
    assert split_path(raw) is None
    assert split_path(raw, hidden=True) is not None
