"""Files for their owner's eyes only."""

from __future__ import annotations

import os
import stat

import pytest

from portico.client.private_file import write_private


def test_a_file_is_replaced_as_a_whole_and_readable_by_its_owner_alone(tmp_path):
    file = tmp_path / "file"
    file.write_text("old")
    file.chmod(0o644)
    write_private(file, b"new")
    assert file.read_bytes() == b"new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["file"]


def test_a_link_stays_one(tmp_path):
    (tmp_path / "link").symlink_to("file")
    write_private(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"


def test_what_is_no_file_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(OSError, match="no regular file"):
            write_private(tmp_path / name, b"new")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_nothing_is_left_where_nothing_can_be_written(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_private(tmp_path / "none" / "file", b"new")
    assert os.listdir(tmp_path) == []
