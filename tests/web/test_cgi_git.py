"""The proof that CGI is whole: git and ``git http-backend``, and cgit, through a real server."""

from __future__ import annotations

import os
import subprocess
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from portico.server import Server
from portico.web.cgi import CGI
from portico.web.mounts import Mounts
from tests.peers import need

PUSHED = 5_000_000
ENGINES = ("threads",)


@pytest.fixture
def git(tmp_path):
    """Run git, apart from this user's configuration; returns what it printed."""
    program = need("git")
    environ = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(tmp_path),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        **{
            f"GIT_{who}_{what}": "tester@example.org"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        },
    }

    def run(*arguments, folder=tmp_path):
        done = subprocess.run(
            [program, *arguments], cwd=folder, env=environ, capture_output=True, timeout=50, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    return run


@pytest.fixture
def repository(git, tmp_path):
    """A bare repository with one commit, open for pushes, and a working copy of it."""
    git("init", "--quiet", "--initial-branch=main", "work")
    (tmp_path / "work" / "readme").write_text("hello\n")
    git("add", "readme", folder=tmp_path / "work")
    git("commit", "--quiet", "--message=first", folder=tmp_path / "work")
    git("clone", "--quiet", "--bare", "work", "site/project.git")
    git("config", "http.receivepack", "true", folder=tmp_path / "site" / "project.git")
    return tmp_path / "site" / "project.git"


@pytest.fixture(params=ENGINES)
def url(request, repository, tmp_path):
    need("git")
    environ = {
        "GIT_PROJECT_ROOT": str(repository.parent),
        "GIT_HTTP_EXPORT_ALL": "1",
        "GIT_CONFIG_NOSYSTEM": "1",
        "HOME": str(tmp_path),
    }
    backend = CGI(need("git-http-backend"), environ=environ)
    with Server(backend, "http://127.0.0.1:0", engine=request.param) as server:
        yield f"http://127.0.0.1:{server.addresses[0].port}/project.git"


def test_clone_and_a_push_of_five_megabytes_in_chunks(git, url, repository, tmp_path):
    git("clone", "--quiet", url, "copy")
    copy = tmp_path / "copy"
    assert (copy / "readme").read_text() == "hello\n"
    (copy / "large").write_bytes(os.urandom(PUSHED))  # random, so that packing does not make it small
    git("add", "large", folder=copy)
    git("commit", "--quiet", "--message=large", folder=copy)
    # Above this size git sends its pack in chunks, with no Content-Length.
    git("-c", "http.postBuffer=65536", "push", "--quiet", "origin", "main", folder=copy)
    assert git("rev-parse", "main", folder=repository) == git("rev-parse", "main", folder=copy)
    git("fsck", "--full", folder=repository)


def test_a_push_of_known_length_is_streamed(git, url, repository, tmp_path):
    git("clone", "--quiet", url, "copy")
    copy = tmp_path / "copy"
    (copy / "large").write_bytes(os.urandom(PUSHED))
    git("add", "large", folder=copy)
    git("commit", "--quiet", "--message=large", folder=copy)
    git("-c", f"http.postBuffer={4 * PUSHED}", "push", "--quiet", "origin", "main", folder=copy)
    assert git("rev-parse", "main", folder=repository) == git("rev-parse", "main", folder=copy)
    git("clone", "--quiet", url, "again")
    assert (tmp_path / "again" / "large").read_bytes() == (copy / "large").read_bytes()


@pytest.fixture
def cgit(repository, tmp_path):
    """A function that fetches a page of cgit's."""
    (tmp_path / "cgitrc").write_text(
        f"virtual-root=/code/\nenable-http-clone=1\nsnapshots=tar.gz\nrepo.url=a+b\nrepo.path={repository}\n"
    )
    (tmp_path / "cache").mkdir()
    program = CGI(need("cgit.cgi"), environ={"CGIT_CONFIG": str(tmp_path / "cgitrc"), "HOME": str(tmp_path)})
    with Server(Mounts([("/code", program)]), "http://127.0.0.1:0") as server:

        def page(path):
            with urlopen(f"http://127.0.0.1:{server.addresses[0].port}/code{path}", timeout=20) as answer:
                return answer.headers["Content-Type"], answer.read()

        page.base = f"http://127.0.0.1:{server.addresses[0].port}/code"
        yield page


def test_cgit_shows_a_repository(cgit):
    kind, listing = cgit("/")
    assert kind == "text/html; charset=UTF-8"
    assert b"'/code/a+b/'>a+b</a>" in listing
    assert b"first" in cgit("/a+b/log/?h=main&showmsg=1")[1]
    assert cgit("/a+b/plain/readme?h=main") == ("text/plain; charset=UTF-8", b"hello\n")
    kind, archive = cgit("/a+b/snapshot/a+b-main.tar.gz")
    assert (kind.split(";")[0], archive[:2]) == ("application/x-gzip", b"\x1f\x8b")
    with pytest.raises(HTTPError, match="404"):
        cgit("/a+b/plain/nothing")


def test_git_clones_from_cgit(cgit, git, tmp_path):
    git("clone", "--quiet", f"{cgit.base}/a+b", "copy")
    assert (tmp_path / "copy" / "readme").read_text() == "hello\n"
