"""Which program a path means, and which paths mean none."""

from __future__ import annotations

import os

import pytest

from portico.web.cgi_lookup import NotServed, find_script


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "programs"
    (root / "sub").mkdir(parents=True)
    for name in ("run", "sub/run", ".hidden", "a b", "with%percent"):
        (root / name).write_text("#!/bin/sh\n")
        (root / name).chmod(0o755)
    (root / "plain.txt").write_text("not a program")
    (root / "tool.py").write_text("print()")
    (tmp_path / "outside").write_text("#!/bin/sh\n")
    (tmp_path / "outside").chmod(0o755)
    (root / "leaves").symlink_to(tmp_path / "outside")
    (root / "up").symlink_to(tmp_path)
    (root / "stays").symlink_to(root / "sub" / "run")
    (root / ".dir").mkdir()
    os.mkfifo(root / "pipe", 0o755)
    return root


@pytest.mark.parametrize(
    ("path", "name", "rest"),
    [
        ("/run", "/run", ""),
        ("/run/", "/run", "/"),
        ("/run/a/b", "/run", "/a/b"),
        ("/run//a/", "/run", "//a/"),
        ("/sub/run/x", "/sub/run", "/x"),
        ("/a%20b/c%20d", "/a b", "/c d"),
        ("/with%25percent", "/with%percent", ""),
        ("/run/a%2Fb", "/run", "/a/b"),
        ("/run/%C3%A9", "/run", "/\xc3\xa9"),
        ("/run/.git/config", "/run", "/.git/config"),
        ("/stays", "/stays", ""),
    ],
)
def test_the_first_file_on_the_way_is_the_program(folder, path, name, rest):
    script = find_script(folder, path, {})
    assert (script.name, script.path_info) == (name, rest)
    assert script.file == folder / name[1:]


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "//", "/none", "/sub", "/sub/", "/sub/none", "//run", "/sub//run", "run",
        "/../outside", "/sub/../run", "/%2e%2e/outside", "/sub/%2e%2e/run", "/./run", "/up/outside",
        "/..%2foutside", "/sub%2frun", "/%2frun", "/run%00", "/run/%00", "/%00", "/run/../x", "/run/%2E%2E/x",
        "/run/..%2fx", "/run/a%2f..%2Fx", "/run/%2e%2fx",
        "/.hidden", "/%2ehidden", "/.dir/run", "/leaves", "/up/programs/none", "/pipe", "/" + "a" * 5000,
    ],
)  # fmt: skip
def test_what_is_not_a_program_below_the_folder_is_not_found(folder, path):
    with pytest.raises(NotServed) as caught:
        find_script(folder, path, {})
    assert caught.value.status == 404


def test_a_file_that_is_not_executable_is_forbidden(folder):
    with pytest.raises(NotServed, match=r"chmod \+x") as caught:
        find_script(folder, "/plain.txt", {})
    assert caught.value.status == 403


def test_an_interpreter_for_its_suffix_makes_it_a_program(folder):
    assert find_script(folder, "/tool.py/x", {".py": ["python"]}).path_info == "/x"


def test_a_program_that_is_mounted_itself_gets_every_path(folder):
    script = find_script(folder / "run", "/any/thing", {})
    assert (script.name, script.path_info) == ("", "/any/thing")
    assert find_script(folder / "run", "", {}).path_info == ""


def test_a_program_that_is_mounted_itself_gets_no_dot_segments(folder):
    with pytest.raises(NotServed):
        find_script(folder / "run", "/a/%2e%2e/%2e%2e/etc", {})


def test_a_program_that_vanished_is_not_found(folder):
    with pytest.raises(NotServed) as caught:
        find_script(folder / "gone", "/", {})
    assert caught.value.status == 404


def test_nph_is_told_by_the_name(folder):
    (folder / "nph-x").write_text("#!/bin/sh\n")
    (folder / "nph-x").chmod(0o755)
    assert find_script(folder, "/nph-x", {}).nph
    assert not find_script(folder, "/run", {}).nph
