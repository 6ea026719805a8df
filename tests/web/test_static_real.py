"""A folder of awkward files, served over a real socket and fetched back by real programs."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

import pytest

from portico.server import Server
from portico.web.static import Static
from tests.peers import need, need_module

BIG = 30 << 20
NAMES = [
    "plain.txt",
    "with space.txt",
    "quote's.txt",
    'double"quote.txt',
    "größe 日本語 🙂.txt",
    "100%.txt",
    "%41.txt",
    "question?mark.txt",
    "hash#tag.txt",
    "amper&sand;semi+plus=eq.txt",
    "<b>bold</b>.txt",
    "UPPER.TXT",
    "a folder/inner file.txt",
    "a folder/größe/deep.bin",
]


# wget follows what pages link to, and templates link to what is not there.
PAGES = shutil.ignore_patterns("__pycache__", "*.html", "*.css", "*.xsl", "*.svg")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Odd names, an empty file, one of 30 MB; all contents differ."""
    root = tmp_path_factory.mktemp("site") / "root"
    for name in NAMES:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * 100)
    (root / "empty.txt").write_bytes(b"")
    (root / "empty folder").mkdir()
    (root / "big.bin").write_bytes(random.Random(1).randbytes(BIG))
    django = Path(need_module("django").__file__ or "").parent
    shutil.copytree(django, root / "a real tree", ignore=PAGES)
    return root


@pytest.fixture(scope="module")
def port(folder: Path) -> Iterator[int]:
    with Server(Static(folder, listing=True), "http://127.0.0.1:0") as server:
        yield server.addresses[0].port


def run(*command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, cwd=cwd, capture_output=True, timeout=50)


def fetch(port: int, path: str, *options: str) -> subprocess.CompletedProcess[bytes]:
    return run(need("curl"), "-sS", "--path-as-is", *options, f"http://127.0.0.1:{port}{path}")


def digests(root: Path) -> dict[bytes, str]:
    """Every file below a folder, by its path in bytes."""
    found = {}
    for at, _, names in os.walk(os.fsencode(root)):
        for name in names:
            path = os.path.join(at, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, os.fsencode(root))] = hashlib.file_digest(
                    file, "sha256"
                ).hexdigest()
    return found


def test_wget_mirrors_the_folder_byte_for_byte(folder: Path, port: int, tmp_path: Path) -> None:
    command = [
        need("wget"),
        "--mirror",
        "--no-verbose",
        "--no-host-directories",
        "--restrict-file-names=nocontrol",
        "--reject-regex=[?]sort=",
    ]
    done = run(*command, "--tries=1", "--execute=robots=off", f"http://127.0.0.1:{port}/", cwd=tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    mirrored = {
        name: digest for name, digest in digests(tmp_path).items() if not name.endswith(b"index.html")
    }
    # When it names its copy, wget decodes once more than it did for the request: %41.txt becomes A.txt.
    assert mirrored == {unquote_to_bytes(name): digest for name, digest in digests(folder).items()}


def test_curl_fetches_every_file_byte_for_byte(folder: Path, port: int, tmp_path: Path) -> None:
    some = [item for item in digests(folder).items() if not item[0].startswith(b"a real tree/")]
    for name, digest in some:
        target = tmp_path / "out"
        done = fetch(port, "/" + quote_from_bytes(name), "--fail", "--output", str(target))
        assert done.returncode == 0, (name, done.stderr)
        assert hashlib.sha256(target.read_bytes() if target.exists() else b"").hexdigest() == digest, name
        target.unlink(missing_ok=True)


def test_curl_resumes_a_broken_download(folder: Path, port: int, tmp_path: Path) -> None:
    whole = (folder / "big.bin").read_bytes()
    part = tmp_path / "big.bin"
    part.write_bytes(whole[:12345678])
    done = fetch(
        port, "/big.bin", "-C", "-", "--output", str(part), "--write-out", "%{http_code} %{size_download}"
    )
    assert done.stdout.split() == [b"206", str(BIG - 12345678).encode()]
    assert part.read_bytes() == whole


def test_wget_resumes_a_broken_download_and_leaves_a_complete_one(
    folder: Path, port: int, tmp_path: Path
) -> None:
    whole = (folder / "big.bin").read_bytes()
    part = tmp_path / "big.bin"
    part.write_bytes(whole[:7654321])
    command = [
        need("wget"),
        "--continue",
        "--tries=1",
        "--server-response",
        f"http://127.0.0.1:{port}/big.bin",
    ]
    first = run(*command, cwd=tmp_path)
    assert first.returncode == 0
    assert b"206 " in first.stderr
    assert part.read_bytes() == whole
    again = run(*command, cwd=tmp_path)
    assert again.returncode == 0
    assert b"416 " in again.stderr
    assert part.read_bytes() == whole


def test_curl_gets_several_ranges_at_once(folder: Path, port: int) -> None:
    whole = (folder / "big.bin").read_bytes()
    done = fetch(port, "/big.bin", "--range", "0-9,1000000-1099999,-7")
    assert done.stdout.count(b"Content-Range: bytes ") == 3
    assert b"\r\n\r\n" + whole[:10] + b"\r\n--" in done.stdout
    assert whole[1000000:1100000] in done.stdout
    assert whole[-7:] + b"\r\n--" in done.stdout


def test_curl_does_not_fetch_what_it_has(port: int, tmp_path: Path) -> None:
    tags, target = tmp_path / "etag", tmp_path / "out"
    common = ["--output", str(target), "--write-out", "%{http_code}"]
    assert fetch(port, "/plain.txt", "--etag-save", str(tags), *common).stdout == b"200"
    assert fetch(port, "/plain.txt", "--etag-compare", str(tags), *common).stdout == b"304"
    assert fetch(port, "/plain.txt", "--time-cond", str(target), *common).stdout in (b"200", b"304")


def test_head_tells_the_size_and_sends_nothing(port: int) -> None:
    done = fetch(port, "/big.bin", "--head", "--write-out", "%{size_download}")
    assert f"content-length: {BIG}".encode() in done.stdout.lower()
    assert done.stdout.endswith(b"\r\n\r\n0")


def test_the_connection_serves_on_after_files_errors_and_unchanged_ones(port: int) -> None:
    """Answers with and without a body on one connection: none may leave a byte too many."""
    base = f"http://127.0.0.1:{port}"
    paths = ["/plain.txt", "/none", "/a%20folder", "/empty.txt", "/big.bin", "/plain.txt"]
    urls = [part for path in paths for part in ("--output", os.devnull, base + path)]
    done = run(
        need("curl"), "-sS", "--write-out", "%{http_code}/%{num_connects} ", "-H", "If-None-Match: *", *urls
    )
    # 304 where there is something; only the first opens a connection
    assert done.stdout.split() == [b"304/1", b"404/0", b"301/0", b"304/0", b"304/0", b"304/0"]


@pytest.mark.parametrize(
    "path",
    [
        "/../../../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc/passwd",
        "/a%20folder/../../x",
        "/x%00y",
    ],
)
def test_nothing_outside_is_served(port: int, path: str) -> None:
    done = fetch(port, path, "--output", os.devnull, "--write-out", "%{http_code}")
    assert done.stdout in (b"400", b"404")


def test_a_shrinking_file_cuts_the_connection_instead_of_lying(
    folder: Path, port: int, tmp_path: Path
) -> None:
    """The reader is slow, so that the file is cut while most of it is still to come."""
    victim = folder / "victim.bin"
    victim.write_bytes(b"x" * BIG)
    url = f"http://127.0.0.1:{port}/victim.bin"
    command = [need("curl"), "-sS", "--limit-rate", "2M", "--output", str(tmp_path / "out"), url]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as reader:
        while not (tmp_path / "out").exists():
            assert reader.poll() is None
        os.truncate(victim, 1000)
        reader.communicate(timeout=50)
    victim.unlink()
    assert reader.returncode != 0


def names(page: Any) -> list[str]:
    return [str(text) for text in page.locator("tbody tr:not(.u) a").all_text_contents()]


@pytest.mark.timeout(120)
def test_a_browser_sorts_a_listing_and_walks_through_it_by_clicks(folder: Path, port: int) -> None:
    playwright = need_module("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=need("chromium"), args=["--no-sandbox"])
        page = browser.new_page(color_scheme="dark")
        page.set_default_timeout(20_000)
        errors: list[str] = []
        page.on("console", lambda message: errors.append(message.text))
        page.goto(f"http://127.0.0.1:{port}/")
        listed = names(page)
        assert set(listed) >= {f"{name.partition('/')[0]}{'/' if '/' in name else ''}" for name in NAMES}
        for key, first in (("Size", "empty.txt"), ("Size", "big.bin")):
            page.click(f"th a:has-text('{key}')")
            assert next(name for name in names(page) if not name.endswith("/")) == first
        assert sorted(names(page)) == sorted(listed)
        page.click("td a:has-text('a folder/')")
        assert names(page) == ["größe/", "inner file.txt"]
        page.click("td a:has-text('größe/')")
        assert page.text_content("h1") == "/a folder/größe/"
        page.click("h1 a:has-text('a folder/')")
        assert names(page) == ["größe/", "inner file.txt"]
        page.click("h1 a >> nth=0")
        assert names(page) == listed
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(13, 17, 23)"
        assert errors == []
        browser.close()
