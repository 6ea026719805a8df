"""Real documents of this machine's packages: large ones and odd ones, read as lxml reads them."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from lxml import etree

from portico.data import xml
from portico.errors import DataError, LimitExceeded
from tests.peers import missing

FOLDERS = {
    "/usr/share/mime": "*.xml",
    "/usr/share/xml": "*.x[ms][lhd]",
    "/usr/share/doc": "*.x[ms]l*",
    "/usr/share/icons": "*.svg",
    "/usr/share/fontconfig": "*.conf",
    "/usr/share/fonts": "*.svg",
    "/usr/share/polkit-1": "*.policy",
    "/usr/share/dbus-1": "*.[cx][om][nl]*",
    "/usr/share/glib-2.0": "*.xml",
    "/usr/share/X11": "*.xml",
    "/usr/share/iso-codes": "*.xml",
    "/usr/share/gtksourceview-4": "*.xml",
    "/etc": "*.xml",
}
WANTED = 50


def documents() -> Iterator[Path]:
    for folder, pattern in FOLDERS.items():
        found = [path for path in Path(folder).rglob(pattern) if path.is_file()]
        yield from islice(sorted(found, key=lambda path: (-path.stat().st_size, path)), 30)


def content(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


@pytest.fixture(scope="module")
def real() -> list[Path]:
    found = [path for path in documents() if content(path).lstrip(b"\xef\xbb\xbf \n").startswith(b"<")]
    return found if len(found) >= WANTED else missing(f"{WANTED} documents below {', '.join(FOLDERS)}")


def test_they_are_read_as_lxml_reads_them(real: list[Path]) -> None:
    read = 0
    for path in real:
        try:
            expected = etree.fromstring(
                content(path), etree.XMLParser(resolve_entities=False, no_network=True)
            )
        except etree.XMLSyntaxError:
            with pytest.raises((DataError, LimitExceeded)):
                xml.load(path)
            continue
        try:
            tree = xml.load(path)
        except LimitExceeded:
            assert b"<!ENTITY" in content(path)
            continue
        assert etree.tostring(tree.getroot()) == etree.tostring(expected), path
        started = [event.name for event in xml.events(path) if event.kind == "start"]
        assert started == [each.tag for each in expected.iter("*")], path
        assert sum(1 for _ in xml.records(path, "*")) == len(started), path
        read += 1
    assert read >= WANTED


def test_what_is_written_is_what_was_read(real: list[Path], tmp_path: Path) -> None:
    done = 0
    for path in real:
        try:
            tree = xml.load(path)
        except (DataError, LimitExceeded):
            continue
        xml.write(tree, tmp_path / "x")
        again = xml.load(tmp_path / "x")
        assert etree.tostring(again, method="c14n") == etree.tostring(tree, method="c14n"), path
        for form in ("1.0", "2.0"):
            xml.write(again, tmp_path / "y", canonical=form)
            xml.write(tree, tmp_path / "z", canonical=form)
            assert (tmp_path / "y").read_bytes() == (tmp_path / "z").read_bytes()
        done += 1
    assert done >= WANTED
