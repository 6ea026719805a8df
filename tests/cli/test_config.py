"""``portico serve --config``: the file served, options over it, and reloads that nobody notices."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from portico.cli.main import run
from portico.web.passwords import hash_password
from tests.cli.serving import ENOUGH, PORTICO, Serving, curl, mistake, serving
from tests.engines.serving import until
from tests.peers import need

pytestmark = pytest.mark.timeout(120)

APP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Powered-By", "me")])
    return [f"{environ['SCRIPT_NAME']}|{environ['PATH_INFO']}|{environ.get('REMOTE_USER')}".encode()]

def echo(stream):
    for line in stream:
        stream.write(line)
"""

FILE = """
[limits]
drain_quiet = 0.3

[headers]
set = { X-Site = "one" }
remove = ["X-Powered-By"]

[[mount]]
static = "site"
cache = { "*.html" = "no-cache" }

[[mount]]
path = "/app"
wsgi = "shop:app"
compress = ["gzip"]
threads = 4
limits.body = 10
auth.users.ada = "HASH"

[[mount]]
host = "*.example.org"
redirect = "https://{host}{uri}"
status = 308

[[mount]]
path = "/health"
respond = 200
body = "well"
headers.set.Cache-Control = "no-store"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("<h1>the page</h1>")
    (tmp_path / "shop.py").write_text(APP)
    (tmp_path / "portico.toml").write_text(FILE.replace("HASH", hash_password("secret", ln=4, r=1, p=1)))
    return tmp_path


def change(folder: Path, old: str, new: str) -> None:
    file = folder / "portico.toml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def field(running: Serving, path: str, *args: str, name: str = "X-Site") -> str:
    head = curl("--head", *args, f"{running.url}{path}")
    found = re.search(rf"^{name}: (.*)$", head, re.MULTILINE | re.IGNORECASE)
    return found[1] if found else ""


CONFIG = ("--config", "portico.toml")
CODE = ("--output", os.devnull, "--write-out", "%{http_code}")


@pytest.mark.parametrize("engine", [[], ["--engine", "events"], ["--workers", "1"], ["--engine", "inline"]])
def test_all_that_a_file_says_is_served(folder: Path, engine: list[str]) -> None:
    with serving(folder, *CONFIG, *engine) as running:
        base = running.url
        assert curl(f"{base}/") == "<h1>the page</h1>"
        assert curl(*CODE, f"{base}/app/x") == "401"
        assert curl("--user", "ada:secret", f"{base}/app/x") == "/app|/x|ada"
        assert curl("--user", "ada:secret", *CODE, "--data", "x" * 11, f"{base}/app/x") == "413"
        assert field(running, "/app/", "--user", "ada:secret", name="X-Powered-By") == ""
        assert field(running, "/app/") == "one"
        assert field(running, "/health", name="Cache-Control") == "no-store"
        assert field(running, "/", name="Cache-Control") == "no-cache"
        long = f"{base}/app/{'x' * 5000}"
        assert curl("--user", "ada:secret", "--compressed", long) == f"/app|/{'x' * 5000}|ada"
        packed = curl("--user", "ada:secret", "--compressed", "--write-out", "%{size_download}", long)
        assert int(packed.partition("|ada")[2]) < 1000
        asked = curl("--head", "--header", "Host: a.example.org:80", f"{base}/x?y")
        assert asked.startswith("HTTP/1.1 308 ")
        assert "Location: https://a.example.org/x?y\n" in asked
        assert running.stop() == 0, running.stderr


def test_options_stand_over_the_file(folder: Path) -> None:
    change(folder, "[limits]", 'listen = "http://127.0.0.1:1"\nengine = "nonsense-not-read"\n[limits]')
    change(folder, 'engine = "nonsense-not-read"\n', "")
    (folder / "other").mkdir()
    (folder / "other" / "index.html").write_text("other")
    args = [
        *CONFIG,
        "other",
        "/extra=respond:200:more",
        "--header",
        "X-Site: two",
        "--limit",
        "drain_quiet=0.2",
    ]
    with serving(folder, *args) as running:
        assert curl(f"{running.url}/") == "other"
        assert curl(f"{running.url}/extra") == "more"
        assert curl(f"{running.url}/health") == "well"
        assert field(running, "/") == "two"


def test_mounts_of_the_command_line_by_host_redirects_and_fixed_answers(folder: Path) -> None:
    args = [
        "site",
        "//a.example=respond:200:A",
        "//*.a.example/x=respond:404",
        "/old=redirect:301:/new{path}{query}",
    ]
    with serving(folder, *args) as running:
        assert curl(f"{running.url}/") == "<h1>the page</h1>"
        assert curl("--header", "Host: A.example:99", f"{running.url}/any") == "A"
        assert curl(*CODE, "--header", "Host: b.a.example", f"{running.url}/x/y") == "404"
        assert "Location: /new/a?b\n" in curl("--head", f"{running.url}/old/a?b")


def test_users_of_a_file_guard_everything(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "portico", "hash-password", "ada"],
        input="geheim\n", capture_output=True, text=True, timeout=ENOUGH, check=True,
    )  # fmt: skip
    (folder / "users").write_text(done.stdout)
    (folder / "made.py").write_text(
        "from portico import Mounts\nfrom portico.web.static import Static\n"
        "site = Mounts([('/s', Static('site'))])\n"
    )
    for target, path in (("site", "/"), ("made:site", "/s/")):
        with serving(folder, target, "--users", "users") as running:
            assert curl(*CODE, f"{running.url}{path}") == "401"
            assert curl("--user", "ada:geheim", f"{running.url}{path}") == "<h1>the page</h1>"


def test_the_file_names_paths_from_its_own_folder(folder: Path) -> None:
    (folder / "elsewhere").mkdir()
    with serving(folder / "elsewhere", "--config", "../portico.toml", PYTHONPATH=str(folder)) as running:
        assert curl(f"{running.url}/") == "<h1>the page</h1>"


def test_a_handler_of_streams_in_a_file(folder: Path) -> None:
    (folder / "portico.toml").write_text("[[mount]]\nhandler = 'shop:echo'\n")
    with (
        serving(folder, *CONFIG, at="tcp://127.0.0.1:0") as running,
        socket.create_connection(("127.0.0.1", running.port), timeout=ENOUGH) as client,
    ):
        client.sendall(b"a\n")
        assert client.recv(10) == b"a\n"
    (folder / "users").write_text(f"a:{hash_password('x', ln=4, r=1, p=1)}\n")
    said = mistake(folder, *CONFIG, "--users", "users")
    assert "passwords and headers belong to HTTP" in said


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "lissten = 1\nengin = 2\n",
            "portico.toml:1: lissten: unknown key; did you mean listen?; portico.toml:2: engin",
        ),
        ("[[mount]]\nwsgi = 'nothing:app'\n", "portico.toml:2: mount[1].wsgi: there is no module 'nothing'"),
        (
            "[[mount]]\nrespond = 200\n[[mount]]\nrespond = 404\n",
            "portico.toml:4: mount[2].respond: two targets",
        ),
        ("", "portico.toml mounts nothing: add a [[mount]], or name a TARGET"),
    ],
)
@pytest.mark.parametrize("engine", [[], ["--workers", "1"]])
def test_a_file_that_is_wrong_is_one_line(folder: Path, text: str, says: str, engine: list[str]) -> None:
    (folder / "portico.toml").write_text(text)
    assert says in mistake(folder, *CONFIG, *engine)


def test_no_file_is_read_that_is_not_named(folder: Path) -> None:
    (folder / "portico.toml").write_text("nonsense")
    with serving(folder, "site") as running:
        assert curl(f"{running.url}/") == "<h1>the page</h1>"


# -- behind and in front of others


FRONT = """
request_ids = true
[forwarded]
trusted = ["127.0.0.1"]
[log]
file = "access.log"
format = "json"
[metrics]
listen = "http://127.0.0.1:0"
[[mount]]
path = "/api"
proxy = "URL"
strip = true
upstream_headers = { X-Extra = "yes" }
[[mount]]
respond = 200
"""

BEHIND = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    names = ("PATH_INFO", "HTTP_X_FORWARDED_FOR", "HTTP_X_EXTRA")
    return [" ".join(str(environ.get(name)) for name in names).encode()]
"""


@pytest.mark.parametrize("engine", [[], ["--workers", "1"]])
def test_a_proxy_with_its_log_and_its_figures(folder: Path, engine: list[str]) -> None:
    (folder / "behind.py").write_text(BEHIND)
    with serving(folder, "behind:app") as behind:
        (folder / "portico.toml").write_text(FRONT.replace("URL", behind.url))
        with serving(folder, *CONFIG, *engine, addresses=2) as front:
            said = curl("--header", "X-Forwarded-For: 192.0.2.7", f"{front.url}/api/x")
            assert said == "/x 192.0.2.7, 127.0.0.1 yes"
            name = field(front, "/", name="X-Request-ID")
            figures = re.search(r"serving (http://127\.0\.0\.1:\d+/metrics)\n", front.lines[1])
            assert figures is not None
            assert 'portico_requests_total{mount="/api"' in curl(figures[1])
            assert front.stop() == 0
    first, second = map(json.loads, (folder / "access.log").read_text().splitlines())
    assert (first["status"], second["status"]) == (200, 200)
    assert first["engine"] == second["engine"] == "threads"
    assert name in second.values()
    assert "192.0.2.7" in first.values()


def test_the_same_by_options(folder: Path) -> None:
    args = ["--trust", "127.0.0.1", "--metrics", "http://127.0.0.1:0", "--request-ids", "--log-file", "a.log"]
    args += ["--log-format", "combined", "--json"]
    with serving(folder, "site", *args) as running:
        facts = json.loads(running.lines[0])
        curl("--header", "X-Forwarded-For: 192.0.2.7", f"{facts['addresses'][0]}/")
        # A request is counted when its answer is out: a moment after the client has it.
        until(lambda: "portico_requests_total" in curl(facts["metrics"]))
        assert running.stop() == 0
    assert (folder / "a.log").read_text().startswith("192.0.2.7 - - [")


def test_who_speaks_the_proxy_protocol_says_who_is_there(folder: Path) -> None:
    with (
        serving(folder, "site", "--proxy-protocol", "127.0.0.1", "--log-format", "common") as running,
        socket.create_connection(("127.0.0.1", running.port), timeout=ENOUGH) as client,
    ):
        client.sendall(b"PROXY TCP4 192.0.2.9 192.0.2.1 5 80\r\nGET / HTTP/1.0\r\n\r\n")
        assert client.makefile("rb").read().startswith(b"HTTP/1.1 200 ")
        assert running.stop() == 0
        assert running.words[0].startswith("192.0.2.9 - - [")


# -- what is in force


def test_what_is_in_force_is_printed_and_can_be_served(folder: Path) -> None:
    command = [*PORTICO, *CONFIG, "--grace", "3", "--limit", "body=77", "--at", "http://127.0.0.1:0"]
    done = subprocess.run(
        [*command, "--print-config"], cwd=folder, capture_output=True, text=True, timeout=ENOUGH, check=True
    )
    read = tomllib.loads(done.stdout)
    assert (read["grace"], read["limits"]["body"], read["listen"]) == (3.0, 77, ["http://127.0.0.1:0"])
    assert read["limits"]["head"] == 15.0
    assert [each.get("path") for each in read["mount"]] == ["/", "/app", "/", "/health"]
    assert "$scrypt" not in done.stdout
    change(folder, (folder / "portico.toml").read_text(), done.stdout.replace('ada = "hidden"', ""))
    assert "basic authentication without users" in mistake(folder, *CONFIG)
    as_json = subprocess.run(
        [*PORTICO, "site", "--print-config", "--json"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=ENOUGH,
    )
    assert json.loads(as_json.stdout)["listen"] == ["http://127.0.0.1:8000"]


# -- reloads


@pytest.fixture(params=["plain", "workers"])
def running(request: pytest.FixtureRequest, folder: Path) -> Iterator[Serving]:
    args = ["--workers", "2"] if request.param == "workers" else []
    with serving(folder, *CONFIG, "-v", *args) as running:
        yield running
        assert running.stop() == 0


def test_a_hangup_brings_the_new_file_and_a_broken_one_leaves_the_old(running: Serving, folder: Path) -> None:
    assert field(running, "/") == "one"
    change(folder, 'X-Site = "one"', 'X-Site = "two"')
    change(folder, 'body = "well"', 'body = "better"')
    change(folder, 'path = "/health"', 'path = "/how"')
    running.send(signal.SIGHUP)
    until(lambda: {field(running, "/") for _ in range(4)} == {"two"}, "the new file")
    assert curl(f"{running.url}/how") == "better"
    assert curl(*CODE, f"{running.url}/health") == "404"
    change(folder, "threads = 4", "threads = -1\nthread = 1")
    running.send(signal.SIGHUP)
    until(lambda: "the old configuration goes on" in running.so_far, "the refusal")
    line = (folder / "portico.toml").read_text().splitlines().index("threads = -1") + 1
    assert re.search(
        rf"the old configuration goes on: portico\.toml:{line}: mount\[2\]\.threads: .*", running.so_far
    )
    assert f"portico.toml:{line + 1}: mount[2].thread: unknown key" in running.so_far
    assert curl(f"{running.url}/how") == "better"
    change(folder, "threads = -1\nthread = 1", "")
    change(folder, 'X-Site = "two"', 'X-Site = "three"')
    running.send(signal.SIGHUP)
    until(lambda: {field(running, "/") for _ in range(4)} == {"three"}, "the mended file")


def test_what_a_reload_cannot_change_is_told(running: Serving, folder: Path) -> None:
    change(folder, "[limits]", 'max_age = 1000\n[log]\nlevel = "debug"\n[limits]\nbacklog = 5')
    running.send(signal.SIGHUP)
    for name in ("max_age", "limits.backlog"):
        until(lambda name=name: f"{name} has changed, and stays as it was" in running.so_far)  # type: ignore[misc]


def test_a_reload_is_all_or_nothing(folder: Path) -> None:
    with serving(folder, *CONFIG) as running:
        change(folder, 'body = "well"', 'body = "better"')
        change(folder, "[limits]", "admission.max_connections = 999999\n[limits]")
        running.send(signal.SIGHUP)
        until(lambda: "nobody would be refused" in running.so_far, "the refusal")
        assert curl(f"{running.url}/health") == "well"
        change(folder, "999999", "100")
        running.send(signal.SIGHUP)
        until(lambda: curl(f"{running.url}/health") == "better")


@pytest.mark.parametrize("engine", ["threads", "events"])
def test_addresses_come_and_go_by_a_reload(folder: Path, engine: str) -> None:
    change(
        folder, "[limits]", f'engine = "{engine}"\nlisten = ["http://127.0.0.1:0", "unix:a.sock"]\n[limits]'
    )
    with serving(folder, *CONFIG, "-v", at=None, addresses=2) as running:
        with socket.create_connection(("127.0.0.1", running.port), timeout=ENOUGH) as kept:
            change(folder, "unix:a.sock", "unix:b.sock")
            running.send(signal.SIGHUP)
            until(
                lambda: (folder / "b.sock").exists() and not (folder / "a.sock").exists(), "the other socket"
            )
            through = ["--unix-socket", str(folder / "b.sock")]
            assert curl(*through, "http://any/health") == "well"
            assert curl(f"{running.url}/health") == "well"  # the port is the same, and was not let go
            kept.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            assert kept.makefile("rb").read().endswith(b"well")
            with socket.create_server(("127.0.0.1", 0)) as taken:
                change(folder, "unix:b.sock", f"http://127.0.0.1:{taken.getsockname()[1]}")
                change(folder, 'body = "well"', 'body = "better"')
                running.send(signal.SIGHUP)
                until(lambda: "the old configuration goes on: cannot listen" in running.so_far, "the refusal")
            assert curl(*through, "http://any/health") == "well"
            running.send(signal.SIGHUP)
            until(lambda: not (folder / "b.sock").exists(), "the old socket to go")
            assert curl(f"{running.url}/health") == "better"
        assert running.stop() == 0
        assert "error" not in running.stderr.partition("cannot listen")[2]


def test_ten_reloads_under_load_lose_nothing(running: Serving, folder: Path) -> None:
    command = [need("wrk"), "-t1", "-c8", "-d3", f"{running.url}/health"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as load:
        try:
            for number in range(10):
                text = re.sub(
                    'X-Site = "[^"]*"', f'X-Site = "{number}"', (folder / "portico.toml").read_text()
                )
                (folder / "portico.toml").write_text(text)
                running.send(signal.SIGHUP)
                until(lambda number=number: field(running, "/") == str(number))  # type: ignore[misc]
            said = load.communicate(timeout=60)[0]
        finally:
            load.kill()
    assert "Socket errors" not in said, said
    assert "Non-2xx" not in said, said
    assert int(re.search(r"(\d+) requests in", said)[1]) > 100  # type: ignore[index]


def test_certificates_of_another_name_come_with_a_reload(folder: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    for name in ("first", "second"):
        authority.issue_cert(f"{name}.example").private_key_and_cert_chain_pem.write_to_path(
            str(folder / f"{name}.pem")
        )
    (folder / "portico.toml").write_text(
        'tls.certificate = "first.pem"\n[[mount]]\nrespond = 200\nbody = "x"\n'
    )
    with serving(folder, *CONFIG, at="https://127.0.0.1:0") as running:

        def works(name: str) -> bool:
            trust = [
                "--cacert",
                str(folder / "ca.pem"),
                "--resolve",
                f"{name}.example:{running.port}:127.0.0.1",
            ]
            command = [need("curl"), "-sS", *trust, f"https://{name}.example:{running.port}/"]
            return subprocess.run(command, capture_output=True, timeout=20).returncode == 0

        assert works("first")
        assert not works("second")
        with open(folder / "portico.toml", "a") as file:
            file.write('[tls.names."second.example"]\ncertificate = "second.pem"\n')
        change(folder, 'tls.certificate = "first.pem"', '[tls]\ncertificate = "first.pem"\n')
        running.send(signal.SIGHUP)
        until(lambda: works("second"))
        assert works("first")


def test_more_and_fewer_workers_by_the_file(folder: Path) -> None:
    change(folder, "[limits]", "workers = 1\n[limits]")
    with serving(folder, *CONFIG, "-v") as running:
        for many in (2, 1):
            change(folder, f"workers = {3 - many}", f"workers = {many}")
            running.send(signal.SIGHUP)
            until(lambda many=many: f"there are {many} workers now" in running.so_far)  # type: ignore[misc]
            until(lambda many=many: running.so_far.count("reloaded: ") == 3 - many)  # type: ignore[misc]
        assert curl(f"{running.url}/health") == "well"
        assert running.stop() == 0


# -- mistakes of the new options


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["site", "--header", "X"], "write NAME: VALUE"),
        (["site", "--header", "Content-Length: 3"], "the server's own"),
        (["site", "--users", "none"], "cannot be read"),
        (["site", "--config", "none.toml"], "cannot read none.toml: No such file"),
        (["//=site"], "a host stands between the slashes"),
        (["//a:80/x=site"], "the host"),
        (["/x=redirect://evil"], "expected a path"),
        (["/x=redirect:418:/y"], "418"),
        (["/x=respond:ok"], "expected a status first"),
        (["site", "--at", "fd://web"], "no inherited socket is called 'web'; none was passed"),
        (["site", "--rate", "often"], "--rate "),
        (["site", "--allow", "nowhere"], "--allow "),
        (["site", "--max-memory", "much"], "--max-memory "),
        (["site", "--max-connections", "0"], "--max-connections "),
    ],
)
def test_a_mistake_is_one_line(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    args: list[str],
    says: str,
) -> None:
    monkeypatch.chdir(folder)
    assert run(["serve", *args]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("portico: ")
    assert printed.err.count("\n") == 1
    assert says in printed.err
