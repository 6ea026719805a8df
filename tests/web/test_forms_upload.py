"""Uploads: names that are safe, and files written whole or not at all."""

from __future__ import annotations

import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.web.forms_upload import Upload, safe_name


def upload(content, filename="x"):
    return Upload("f", filename, {}, io.BytesIO(b"before" + content + b"after"), (6, len(content)))


@pytest.mark.parametrize(
    ("raw", "safe"),
    [
        ("photo.png", "photo.png"),
        ("Grüße & Küsse (2).txt", "Grüße & Küsse (2).txt"),
        ("C:\\Users\\me\\photo.png", "photo.png"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("/etc/", "upload"),
        ("..", "upload"),
        (".htaccess", "htaccess"),
        (". .x", "x"),
        ("", "upload"),
        ("a\0b\r\n.png", "a_b__.png"),
        ("a\u202egnp.exe", "a_gnp.exe"),
        ('a<b>:"|?*.txt', "a_b______.txt"),
        ("file.", "file"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("CONIN$", "_CONIN$"),
        ("com1 .txt", "_com1 .txt"),
        ("console.txt", "console.txt"),
        ("A\u030a.txt", "Å.txt"),
        ("a\udcff.txt", "a_.txt"),
        ("x" * 300 + ".jpeg", "x" * 250 + ".jpeg"),
        ("ä" * 200 + ".txt", "ä" * 125 + ".txt"),
        ("." + "x" * 300, "x" * 255),
        ("a." + "x" * 300, "a." + "x" * 253),
    ],
)
def test_a_name_made_safe(raw, safe):
    assert safe_name(raw) == upload(b"", raw).safe_name == safe


@given(st.text(alphabet=st.one_of(st.characters(), st.sampled_from('./\\:\0 "')), max_size=300))
def test_any_name_made_safe_is_a_name_and_stays_so(raw):
    safe = safe_name(raw)
    assert 0 < len(safe.encode()) <= 255
    assert safe == os.path.basename(safe)
    assert not set(safe) & set('\0\r\n/\\:<>"|?*')
    assert safe[0] not in ". "
    assert safe[-1] not in ". "
    assert safe_name(safe) == safe


def test_a_file_is_saved_whole(tmp_path):
    content = os.urandom(1_000_000)
    one = upload(content)
    one.file.read(10)
    one.save(tmp_path / "new")
    assert (tmp_path / "new").read_bytes() == content


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "old").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        upload(b"new").save(tmp_path / "old")
    assert (tmp_path / "old").read_bytes() == b"old"


def test_a_file_that_cannot_be_saved_is_not_half_there(tmp_path):
    one = upload(b"new")
    one.file.close()
    with pytest.raises(ValueError, match="closed"):
        one.save(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_a_position_before_the_beginning_is_none():
    with pytest.raises(ValueError, match="before the beginning"):
        upload(b"abc").file.seek(-1)
    one = upload(b"abc")
    one.file.seek(10)
    assert one.file.read() == b""
