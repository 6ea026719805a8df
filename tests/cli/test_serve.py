"""``portico serve`` as its users meet it: a process, its words, its exit code; curl at the other end."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from portico.cli.main import run
from tests.cli.serving import ENOUGH, PORTICO, Serving, curl, mistake, serving

APP = """
import pathlib, time
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs

def app(environ, start_response):
    asked = parse_qs(environ["QUERY_STRING"])
    path = environ["PATH_INFO"]
    if path == "/slow":
        pathlib.Path("running").touch()
        time.sleep(float(asked["s"][0]))
    body = f"{environ['SCRIPT_NAME']}|{path}|{environ['wsgi.url_scheme']}".encode()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body]

def make(word):
    return lambda environ, start_response: (start_response("200 OK", []), [word.encode()])[1]

def echo(stream):
    for line in stream:
        stream.write(line.upper())

def page(request):
    return f"page {request.path} {request.scheme}"

class Things:
    def get(self, request):
        return "things"

class Old(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"old " + self.path.encode())

class Greeter:
    def handle(self):
        self.stream.write(b"hello\\n")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a site, an application and programs."""
    (tmp_path / "site" / "empty").mkdir(parents=True)
    (tmp_path / "site" / "index.html").write_text("<h1>the page</h1>")
    (tmp_path / "site" / ".secret").write_text("hidden")
    (tmp_path / "site" / "empty" / "note.txt").write_text("a note")
    (tmp_path / "shop.py").write_text(APP)
    (tmp_path / "scripts").mkdir()
    for name, text in {
        "hi": "#!/bin/sh\necho 'Content-Type: text/plain'; echo; echo \"$SCRIPT_NAME|$PATH_INFO\"\n",
        "to-page": "#!/bin/sh\necho 'Location: /empty/note.txt'; echo\n",
        "to-app": "#!/bin/sh\necho 'Location: /app/x?y=1'; echo\n",
        "to-nothing": "#!/bin/sh\necho 'Location: /no/such'; echo\n",
        "to-itself": "#!/bin/sh\necho 'Location: /cgi-bin/to-itself'; echo\n",
    }.items():
        (tmp_path / "scripts" / name).write_text(text)
        (tmp_path / "scripts" / name).chmod(0o755)
    return tmp_path


def await_file(path: Path, process: subprocess.Popen[str]) -> None:
    while not path.exists():
        assert process.poll() is None


# -- what is served


def test_folder_application_and_programs_stand_side_by_side(folder: Path) -> None:
    with serving(folder, "site", "/app=wsgi:shop:app", "/cgi-bin=cgi:scripts") as server:
        assert re.fullmatch(r"portico serving http://127\.0\.0\.1:[1-9]\d*\n", server.lines[0])
        assert curl(f"{server.url}/") == "<h1>the page</h1>"
        assert curl(f"{server.url}/app/a%20b") == "/app|/a b|http"
        assert curl(f"{server.url}/cgi-bin/hi/there") == "/cgi-bin/hi|/there\n"
        assert server.stop() == 0
        assert server.words == []


def test_a_local_redirect_of_a_program_is_answered_inside(folder: Path) -> None:
    with serving(folder, "site", "/app=shop:app", "/cgi-bin=cgi:scripts") as server:
        base = f"{server.url}/cgi-bin"
        assert curl(f"{base}/to-page") == "a note"
        assert curl("--data", "some=body", f"{base}/to-app") == "/app|/x|http"
        assert curl("--head", f"{base}/to-page").startswith("HTTP/1.1 200")
        assert curl("--output", os.devnull, "--write-out", "%{http_code}", f"{base}/to-nothing") == "404"
        assert curl("--output", os.devnull, "--write-out", "%{http_code}", f"{base}/to-itself") == "500"
        # One connection, kept through all of them.
        twice = [f"{base}/to-app", f"{base}/to-page", f"{base}/hi"]
        assert curl("--write-out", "[%{num_connects}]", *twice) == "/app|/x|http[1]a note[0]/cgi-bin/hi|\n[0]"


def test_without_a_target_the_current_folder_is_shown_with_its_list(folder: Path) -> None:
    with serving(folder) as server:
        assert 'href="site/"' in curl(f"{server.url}/")
        assert (
            curl("--output", os.devnull, "--write-out", "%{http_code}", f"{server.url}/site/.secret") == "404"
        )


def test_the_options_of_folders(folder: Path) -> None:
    with serving(folder, "site", "--no-listing", "--hidden", "--spa") as server:
        assert curl(f"{server.url}/empty/") == "<h1>the page</h1>"
        assert curl(f"{server.url}/.secret") == "hidden"
        assert curl(f"{server.url}/some/page") == "<h1>the page</h1>"


def test_an_application_made_by_a_function(folder: Path) -> None:
    with serving(folder, "shop:make('word')") as server:
        assert curl(f"{server.url}/") == "word"


@pytest.mark.parametrize("name", ["grüße & co", "a:b", "wsgi", "x=y"])
def test_folders_with_odd_names(folder: Path, name: str) -> None:
    (folder / "site").rename(folder / name)
    for argument in (f"./{name}", f"/={folder}/{name}", f"static:{name}"):
        with serving(folder, argument) as server:
            assert curl(f"{server.url}/") == "<h1>the page</h1>"


def test_a_mount_with_other_letters_and_a_folder_given_by_its_whole_path(folder: Path) -> None:
    other = folder / "elsewhere"
    other.mkdir()
    with serving(other, f"/grüße={folder}/site") as server:
        assert curl(f"{server.url}/gr%C3%BC%C3%9Fe/") == "<h1>the page</h1>"


def test_an_existing_path_with_an_equals_sign_is_that_path(folder: Path) -> None:
    (folder / "site").rename(folder / "a=b")
    with serving(folder, f"{folder}/a=b") as server:
        assert curl(f"{server.url}/") == "<h1>the page</h1>"


@pytest.mark.parametrize("engine", ["inline", "threads", "threads:2"])
def test_engines(folder: Path, engine: str) -> None:
    with serving(folder, "site", "--engine", engine) as server:
        assert curl(f"{server.url}/") == "<h1>the page</h1>"
        assert server.stop() == 0


def test_the_installed_command_finds_modules_of_the_current_folder(folder: Path) -> None:
    command = [str(Path(sys.executable).with_name("portico")), "serve"]
    with serving(folder, "shop:app", command=command) as server:
        assert curl(f"{server.url}/x") == "|/x|http"


# -- request handlers


def test_request_handlers_stand_beside_others(folder: Path) -> None:
    with serving(folder, "site", "/page=shop:page", "/things=app:shop:Things") as server:
        assert curl(f"{server.url}/page/x%20y") == "page /page/x y http"
        assert curl(f"{server.url}/things") == "things"
        assert curl(f"{server.url}/") == "<h1>the page</h1>"


def test_a_request_handler_in_a_worker(folder: Path) -> None:
    with serving(folder, "shop:page", "--workers", "1") as server:
        assert curl(f"{server.url}/x") == "page /x http"


@pytest.mark.parametrize("more", [[], ["--workers", "1"]])
def test_a_handler_class_of_http_server_is_served_as_it_is(folder: Path, more: list[str]) -> None:
    with serving(folder, "shop:Old", *more) as server:
        assert curl(f"{server.url}/x") == "old /x"


# -- handlers of streams


@pytest.mark.parametrize(
    ("target", "says"), [("shop:Greeter", b"hello\n"), ("handler:shop:Greeter", b"hello\n")]
)
def test_a_class_of_handlers(folder: Path, target: str, says: bytes) -> None:
    with (
        serving(folder, target, at=":0") as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=ENOUGH) as client,
    ):
        assert server.lines[0].startswith("portico serving tcp://localhost:")
        assert client.makefile("rb").read() == says


def test_a_function_of_a_stream_over_a_unix_socket(folder: Path) -> None:
    with (
        serving(folder, "shop:echo", at="unix:echo.sock") as server,
        socket.socket(socket.AF_UNIX) as client,
    ):
        assert server.lines == ["portico serving unix:echo.sock\n"]
        client.settimeout(ENOUGH)
        client.connect(str(folder / "echo.sock"))
        client.sendall(b"shout\n")
        assert client.recv(100) == b"SHOUT\n"


# -- addresses


def test_a_unix_socket_for_curl_which_is_removed_at_the_end(folder: Path) -> None:
    with serving(folder, "site", at="unix:web.sock?mode=660") as server:
        file = folder / "web.sock"
        assert file.stat().st_mode & 0o777 == 0o660
        assert curl("--unix-socket", str(file), "http://any/") == "<h1>the page</h1>"
        assert server.stop() == 0
        assert not file.exists()


def test_several_addresses_with_their_real_ports(folder: Path) -> None:
    more = ["--at", "http://[::1]:0", "-b", "127.0.0.1:0", "-b", ":0", "-b", "tcp://0.0.0.0:0"]
    with serving(folder, "site", *more, addresses=5) as server:
        urls = [
            re.fullmatch(r"portico serving (http://(\S+):\d+)( \(every interface\))?\n", each)
            for each in server.lines
        ]
        assert all(urls), server.lines
        hosts = [each[2] for each in urls if each]
        assert hosts == ["[::1]", "127.0.0.1", "localhost", "0.0.0.0", "127.0.0.1"]
        assert [bool(each[3]) for each in urls if each] == [False, False, True, True, False]
        for each in urls:
            assert each is not None
            assert curl(each[1] + "/") == "<h1>the page</h1>"


def test_own_certificate_for_curl(folder: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(str(folder / "c.pem"))
    issued.private_key_pem.write_to_path(str(folder / "k.pem"))
    args = ["site", "/app=shop:app", "--cert", "c.pem", "--key", "k.pem", "--at", "http://127.0.0.1:0"]
    with serving(folder, *args, at="https://:0", addresses=2) as server:
        plain, secure = server.lines
        port = re.search(r"serving https://localhost:(\d+) \(every interface, certificate SHA-256 ", secure)
        assert port
        assert curl("--cacert", str(folder / "ca.pem"), f"https://127.0.0.1:{port[1]}/app/") == "/app|/|https"
        assert plain.startswith("portico serving http://127.0.0.1:")
        assert curl(f"{server.url}/app/") == "/app|/|http"


def test_a_self_signed_certificate_and_its_fingerprint(folder: Path) -> None:
    args = ["site", "--tls", "self-signed"]
    with serving(folder, *args, at="https://127.0.0.1:0", XDG_CACHE_HOME=str(folder / "cache")) as server:
        assert curl("--insecure", f"{server.url}/") == "<h1>the page</h1>"
        shown = server.lines[0].strip().removesuffix(")").rpartition(" ")[2]
        der = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", server.port)))
        assert shown == hashlib.sha256(der).digest().hex(":").upper()


def test_a_self_signed_certificate_without_a_place_to_keep_it(folder: Path) -> None:
    (folder / "cache").write_text("a file where a folder should be")
    args = ["site", "--tls", "self-signed"]
    with serving(folder, *args, at="https://127.0.0.1:0", XDG_CACHE_HOME=str(folder / "cache")) as server:
        assert curl("--insecure", f"{server.url}/") == "<h1>the page</h1>"
        assert server.stop() == 0
        assert "the certificate lasts only for this run" in server.stderr


PARENT = """
import os, socket, sys
listener = socket.create_server(("127.0.0.1", 0))
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)  # it may have been 3 before
os.environ["LISTEN_FDS"], os.environ["LISTEN_PID"] = "1", str(os.getpid())
os.execv(sys.executable, [sys.executable, "-m", "portico", "serve", *sys.argv[1:]])
"""


@pytest.mark.parametrize("at", [None, "fd://3"])
def test_an_inherited_socket_is_served(folder: Path, at: str | None) -> None:
    command = [sys.executable, "-c", PARENT]
    with serving(folder, "site", at=at, command=command) as server:
        assert re.fullmatch(r"portico serving http://127\.0\.0\.1:[1-9]\d*\n", server.lines[0])
        assert curl(f"{server.url}/") == "<h1>the page</h1>"
        assert server.stop() == 0


def test_an_address_that_is_given_wins_over_inherited_sockets(folder: Path) -> None:
    with serving(folder, "site", at="unix:own.sock", command=[sys.executable, "-c", PARENT]) as server:
        assert server.lines == ["portico serving unix:own.sock\n"]


# -- what it says


def test_json_for_machines(folder: Path) -> None:
    with serving(folder, "site", "/app=shop:app", "--json") as server:
        facts = json.loads(server.lines[0])
        assert facts["pid"] == server.process.pid
        assert facts["mounts"] == {"/": f"static:{folder}/site", "/app": "wsgi:shop:app"}
        assert facts["fingerprint"] is None
        (address,) = facts["addresses"]
        assert curl(f"{address}/") == "<h1>the page</h1>"


def test_options_from_the_environment(folder: Path) -> None:
    env = {"PORTICO_SERVE_AT": "http://127.0.0.1:0 http://127.0.0.1:0", "PORTICO_SERVE_ENGINE": "inline"}
    with serving(folder, "site", at=None, addresses=2, **env) as server:
        assert curl(f"{server.url}/") == "<h1>the page</h1>"
    assert "'inlin'" in mistake(folder, "site", PORTICO_SERVE_ENGINE="inlin")


def test_access_log_lines_in_common_format(folder: Path) -> None:
    with serving(folder, "site", "--access-log") as server:
        curl(f'{server.url}/?q=%22quoted"')
        curl("--head", f"{server.url}/")
        curl(f"{server.url}/none")
        assert server.stop() == 0
    first, head, none = server.words
    when = r"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]"
    assert re.fullmatch(rf'127\.0\.0\.1 - - {when} "GET /\?q=%22quoted\\" HTTP/1\.1" 200 17', first)
    assert re.fullmatch(rf'127\.0\.0\.1 - - {when} "HEAD / HTTP/1\.1" 200 -', head)
    assert re.search(r'"GET /none HTTP/1\.1" 404 \d+$', none)


def test_what_a_program_logs_stays_in_its_line(folder: Path) -> None:
    (folder / "scripts" / "loud").write_text(
        "#!/bin/sh\nprintf 'a \\033[31mred\\033[0m word\\n' >&2\necho 'Content-Type: text/plain'; echo\n"
    )
    (folder / "scripts" / "loud").chmod(0o755)
    with serving(folder, "cgi:scripts") as server:
        curl(f"{server.url}/loud")
        assert server.stop() == 0
    (line,) = server.words
    assert re.match(r"\d\d:\d\d:\d\d warning portico\.cgi: ", line)
    assert "\033" not in line


def test_limits_hold(folder: Path) -> None:
    with serving(folder, "shop:app", "--limit", "body=10", "--limit", "request=none") as server:
        code = ["--output", os.devnull, "--write-out", "%{http_code}"]
        assert curl(*code, "--data", "x" * 10, f"{server.url}/") == "200"
        assert curl(*code, "--data", "x" * 11, f"{server.url}/") == "413"


def test_the_application_sets_up_its_own_logging(folder: Path) -> None:
    (folder / "logs.py").write_text(
        "import logging\nlogging.basicConfig(format='own %(message)s')\nfrom shop import app\n"
        "logging.getLogger('mine').warning('words')\n"
    )
    with serving(folder, "logs:app") as server:
        assert server.stop() == 0
    assert server.words == ["own words"]


# -- the end


def ask(port: int, request: str) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=ENOUGH)
    client.sendall(f"{request}\r\nHost: x\r\n\r\n".encode())
    return client


@pytest.fixture
def idle(folder: Path) -> Iterator[tuple[Serving, socket.socket]]:
    """A server, and a connection that it keeps after an answer; the quiet time at its end is short."""
    with (
        serving(folder, "site", "--limit", "drain_quiet=0.3") as server,
        ask(server.port, "GET / HTTP/1.1") as client,
    ):
        answer = b""
        while not answer.endswith(b"</h1>"):
            answer += client.recv(4096)
        yield server, client


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_connection_does_not_hold_up_the_end(
    idle: tuple[Serving, socket.socket], number: int
) -> None:
    server, client = idle
    assert server.stop(number) == 0
    assert client.recv(10) == b""
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d info portico\.drain: stopping: waiting up to 10 s for 1 connection; "
        r"a second signal stops now\n",
        server.stderr,
    )


def test_a_running_request_is_finished_within_the_grace(folder: Path) -> None:
    with serving(folder, "shop:app") as server, ask(server.port, "GET /slow?s=1 HTTP/1.1") as client:
        await_file(folder / "running", server.process)
        server.send(signal.SIGTERM)
        answer = client.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"connection: close" in answer.lower()
        assert answer.endswith(b"|/slow|http")
        assert server.wait() == 0
        assert "cut" not in server.stderr


def test_what_takes_longer_than_the_grace_is_cut_and_named(folder: Path) -> None:
    with (
        serving(folder, "shop:app", "--grace", "0.3") as server,
        ask(server.port, "GET /slow?s=50 HTTP/1.1") as client,
    ):
        await_file(folder / "running", server.process)
        assert server.stop() == 0
        assert client.makefile("rb").read() == b""
        waited, cut = server.stderr.splitlines()
        assert "waiting up to 0.3 s for 1 connection" in waited
        assert re.fullmatch(
            r"\S+ warning portico\.drain: cut tcp://127\.0\.0\.1:\d+ \(GET /slow\?s=50\)", cut
        ) or (
            re.fullmatch(r"\S+ warning portico\.drain: cut http://127\.0\.0\.1:\d+ \(GET /slow\?s=50\)", cut)
        )


@pytest.mark.parametrize("engine", ["threads", "inline"])
def test_a_second_signal_stops_at_once(folder: Path, engine: str) -> None:
    with (
        serving(folder, "shop:app", "--grace", "60", "--engine", engine) as server,
        ask(server.port, "GET /slow?s=50 HTTP/1.1"),
    ):
        await_file(folder / "running", server.process)
        server.send(signal.SIGINT)
        server.send(signal.SIGTERM)
        assert server.process.wait(20) == 0
        server.wait()
        assert server.stderr.count("(GET /slow?s=50)") == 1, server.stderr


def test_a_conversation_is_cut_after_the_grace(folder: Path) -> None:
    with (
        serving(folder, "shop:echo", "--grace", "0.2", at="tcp://127.0.0.1:0") as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=ENOUGH) as client,
    ):
        client.sendall(b"a\n")
        assert client.recv(10) == b"A\n"
        assert server.stop() == 0
        assert "cut the conversation with tcp://127.0.0.1:" in server.stderr


# -- mistakes


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["missing"], "there is no folder missing"),
        (["static:missing"], "missing"),
        (["cgi:missing"], "missing"),
        (["missing:app"], "there is no module 'missing'"),
        (["shop:ap"], "did you mean 'app'"),
        (["shop:APP"], "did you mean 'app'"),
        (["wsgi:shop:__name__"], "not callable"),
        (["bad:app"], "cannot import bad: ZeroDivisionError: division by zero (bad.py, line 2)"),
        (["app=shop:app"], "must begin with a slash"),
        (["/../x=site"], "dots"),
        (["site", "scripts"], "two targets are mounted at /"),
        (["site", "/x=shop:echo"], "served alone"),
        (["site", "--engine", "greenlets"], "no engine is called 'greenlets'"),
        (["site", "--engine", "threads:0"], "above zero"),
        (["site", "--limit", "bdy=1"], "did you mean body"),
        (["site", "--limit", "body"], "NAME=VALUE"),
        (["site", "--limit", "body=1.5"], 'a whole number above zero, or "none"'),
        (["site", "--limit", "idle=nan"], "a number above zero"),
        (["site", "--limit", "idle=none"], "a number above zero"),
        (["site", "--limit", "idle=-1"], "a number above zero"),
        (["site", "--grace", "-1"], "--grace"),
        (["site", "--grace", "nan"], "nan is not a number of seconds"),
        (["site", "--at", "https://:0"], "--cert FILE --key FILE, or --tls self-signed"),
        (["site", "--at", "https://:0", "--cert", "none.pem"], "none.pem"),
        (["site", "--at", "https://:0", "--cert", "page.pem"], "contains no certificate"),
        (["site", "--at", "https://:0", "--key", "k.pem"], "--key needs"),
        (["site", "--at", "https://:0", "--cert", "c.pem", "--tls", "self-signed"], "leave out"),
        (["site", "--cert", "c.pem"], "http://127.0.0.1:8000 is not secure"),
        (["site", "--tls", "ca-signed"], "self-signed"),
        (["site", "--at", "127.0.0.1:99999"], "99999"),
        (["site", "--at", "http://127.0.0.1:0/base"], "/base=TARGET"),
        (["site", "--at", "ftp://127.0.0.1:0"], "served at http"),
        (["site", "--at", "memory:x"], "served at http"),
        (["shop:echo", "--at", "http://127.0.0.1:0"], "served at tcp"),
        (["site", "--at", "unix:no/such/web.sock"], "does not exist"),
        (["site", "--at", "fd://77"], "no socket was passed"),
        (["site", "--spa", "/x=scripts"], "index.html"),
        (["--no-such-option"], "--no-such-option"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    args: list[str],
    says: str,
) -> None:
    (folder / "bad.py").write_text("x = 0\n1 / x\n")
    (folder / "page.pem").write_text("no certificate")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    try:
        assert run(["serve", *args]) == 2
    finally:
        for name in ("shop", "bad"):
            sys.modules.pop(name, None)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("portico: ")
    assert printed.err.count("\n") == 1
    assert says in printed.err


def test_an_address_in_use(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        at = f"http://127.0.0.1:{other.getsockname()[1]}"
        said = mistake(folder, "site", "--at", "http://127.0.0.1:0", "--at", at)
    assert f"cannot listen on {at}: the address is in use; stop the program" in said


def test_a_name_without_an_address(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nothing(*args: object, **options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nothing)
    assert run(["serve", str(folder / "site"), "--at", "http://nobody.example:0"]) == 2
    assert capsys.readouterr().err.startswith("portico: cannot listen: could not resolve 'nobody.example'")


def test_a_mistake_of_a_real_process_is_one_line(folder: Path) -> None:
    (folder / "bad.py").write_text("import nothing\n")
    reason = "ModuleNotFoundError: No module named 'nothing' (bad.py, line 1)"
    assert mistake(folder, "bad:app") == f"portico: cannot import bad: {reason}\n"


def test_a_mistake_with_debug_shows_where(folder: Path) -> None:
    (folder / "bad.py").write_text("x = 0\n1 / x\n")
    done = subprocess.run(
        [*PORTICO, "bad:app", "--debug"], cwd=folder, capture_output=True, text=True, timeout=ENOUGH
    )
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert "1 / x" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("portico: cannot import bad")


def test_a_service_without_standard_output(folder: Path) -> None:
    command = ["sh", "-c", f'exec "{sys.executable}" -m portico serve "$@" >&-', "sh"]
    with subprocess.Popen([*command, "site", "--at", "unix:web.sock"], cwd=folder) as process:
        try:
            await_file(folder / "web.sock", process)
            page = curl(
                "--retry", "5", "--retry-connrefused", "--unix-socket", str(folder / "web.sock"), "http://x/"
            )
            assert page == "<h1>the page</h1>"
            process.terminate()
            assert process.wait(ENOUGH) == 0
        finally:
            process.kill()


def test_a_current_folder_that_is_gone(folder: Path) -> None:
    program = "import os, sys; os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone'); "
    program += "sys.path.insert(0, os.environ['HERE']); from portico.cli.main import main; main(['serve'])"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=folder, capture_output=True, text=True, timeout=ENOUGH,
        env={**os.environ, "HERE": str(folder)},
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "portico: the current folder does not exist any more; cd to another one\n"
