"""WSGI applications as CGI programs: by hand, under Apache, and under our own server."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import portico
from portico.server import Server
from portico.web.cgi import CGI
from tests.peers import need, root
from tests.ports import free_port

SOURCES = str(Path(portico.__file__).parents[1])
PLAIN = [("Content-Type", "text/plain")]
BEGIN = "    start('200 OK', [('Content-Type', 'text/plain')])\n"


def run(body, environ=None, data=b"", **options):
    """What a program whose application has this body writes, says on its error output, and returns."""
    program = "from portico.web import run_cgi\n\ndef app(environ, start):\n" + textwrap.indent(
        textwrap.dedent(body), "    "
    )
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", f"{program}\n\nrun_cgi(app)\n"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": SOURCES, "REQUEST_METHOD": "GET", **(environ or {})},
        input=data,
        capture_output=True,
        check=False,
        **options,
    )
    return done.stdout, done.stderr.decode(), done.returncode


def said(body, *args, **options):
    output, errors, status = run(body, *args, **options)
    assert (errors, status) == ("", 0)
    return output


HEAD = b"Status: 200 OK\r\nContent-Type: text/plain\r\n"


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("return [b'hello']", HEAD + b"Content-Length: 5\r\n\r\nhello"),
        ("return [b'a', b'', b'b']", HEAD + b"\r\nab"),
        ("return iter([b'\\0\\r\\n\\xff'])", HEAD + b"\r\n\0\r\n\xff"),
        ("return []", HEAD + b"\r\n"),
        ("return [b'']", HEAD + b"\r\n"),
        ("write(b'a'); write(b'b'); return [b'c']", HEAD + b"\r\nabc"),
        ("import io; return io.BytesIO(b'a\\nb')", HEAD + b"\r\na\nb"),
    ],
)
def test_an_answer_is_written_as_cgi_has_it(body, wanted):
    assert said(f"write = start('200 OK', [('Content-Type', 'text/plain')]); {body}") == wanted


def test_many_ways_to_answer_in_one_process_each():
    assert said("start('404 Not Found', []); return []") == b"Status: 404 Not Found\r\n\r\n"
    assert said("start('204 No Content', []); return [b'x']") == b"Status: 204 No Content\r\n\r\n"
    headers = "[('Connection', 'close'), ('X-A', 'ä'), ('Set-Cookie', 'a'), ('Set-Cookie', 'b')]"
    assert said(f"start('200 OK', {headers}); return []") == (
        b"Status: 200 OK\r\nX-A: \xe4\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n"
    )


def test_to_head_goes_no_body():
    body = "start('200 OK', [('Content-Length', '5')]); return [b'hello']"
    assert said(body, {"REQUEST_METHOD": "HEAD"}) == b"Status: 200 OK\r\nContent-Length: 5\r\n\r\n"
    endless = "import itertools; start('200 OK', []); return itertools.repeat(b'tick')"
    assert said(endless, {"REQUEST_METHOD": "HEAD"}, timeout=20) == b"Status: 200 OK\r\n\r\n"


def test_the_environment_is_the_request_s():
    body = """
    start('200 OK', [])
    return [repr({name: value for name, value in environ.items() if name != 'wsgi.errors'}).encode()]
    """
    about = {"SCRIPT_NAME": "/a", "PATH_INFO": "/\udcc3\udca4", "HTTPS": "on", "HTTP_PROXY": "http://evil"}
    output = said(body, about).partition(b"\r\n\r\n")[2].decode()
    for part in (
        "'SCRIPT_NAME': '/a'", "'PATH_INFO': '/Ã¤'", "'QUERY_STRING': ''", "'wsgi.url_scheme': 'https'",
        "'SERVER_PORT': '443'", "'wsgi.multithread': False", "'wsgi.multiprocess': True",
        "'wsgi.run_once': True", "'wsgi.version': (1, 0)",
    ):  # fmt: skip
        assert part in output
    assert "evil" not in output
    assert "http" in said(body).decode()


@pytest.mark.parametrize(
    ("read", "wanted"),
    [
        ("source.read()", b"one\ntwo\nth"),
        ("source.read(4) + source.read(-1)", b"one\ntwo\nth"),
        ("source.readline() + source.readline(2)", b"one\ntw"),
        ("b'|'.join(source)", b"one\n|two\n|th"),
        ("b'|'.join(source.readlines())", b"one\n|two\n|th"),
        ("source.read() + source.read()", b"one\ntwo\nth"),
    ],
)
def test_the_body_ends_where_its_length_says(read, wanted):
    body = f"start('200 OK', []); source = environ['wsgi.input']; return iter([{read}])"
    output = said(body, {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "10"}, b"one\ntwo\nthree")
    assert output == b"Status: 200 OK\r\n\r\n" + wanted


def test_without_a_length_there_is_no_body_unless_it_came_in_chunks():
    body = "start('200 OK', []); return iter([environ['wsgi.input'].read()])"
    assert said(body, {}, b"abc") == b"Status: 200 OK\r\n\r\n"
    assert said(body, {"CONTENT_LENGTH": ""}, b"abc") == b"Status: 200 OK\r\n\r\n"
    assert said(body, {"HTTP_TRANSFER_ENCODING": "chunked"}, b"abc") == b"Status: 200 OK\r\n\r\nabc"


def test_what_is_printed_does_not_mix_with_the_answer():
    body = """
    import os, subprocess
    print('printed')
    subprocess.run(['sh', '-c', 'cat; echo by another'])
    start('200 OK', [])
    return [environ['wsgi.input'].read()]
    """
    output, errors, status = run(body, {"CONTENT_LENGTH": "3"}, b"abc")
    assert (output.partition(b"\r\n\r\n")[2], status) == (b"abc", 0)
    assert set(errors.split("\n")) == {"printed", "by another", ""}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("raise LookupError('why')", "LookupError: why"),
        ("start('200 OK', []); raise LookupError('why')", "LookupError: why"),
        ("start('200 OK', []); return ['text']", "must send bytes, not str"),
        ("start('200 OK', []); return 'text'", "must send bytes, not str"),
        ("return [b'x']", "before it called start_response"),
        ("return []", "before it called start_response"),
        ("start('200 OK', []); start('200 OK', [])", "needs exc_info"),
        ("start('OK', [])", "not a status"),
        ("start('100 Continue', [])", "not a status"),
        ("start('200 OK\\r\\nX: y', [])", "cannot be the value"),
        ("start('200 OK', [('X', 'a\\r\\nY: b')])", "cannot be the value"),
        ("start('200 OK', [('X', 1)])", "cannot be the value"),
        ("start('200 OK', [('X\\n', 'a')])", "no header"),
        ("start('200 OK', [('Status', '404')])", "no header"),
        ("start('200 OK', [('X', '€')])", "UnicodeEncodeError"),
        ("start('200 OK', [('Content-Length', '-1')]); return []", "not a Content-Length"),
        ("start('200 OK', [('Content-Length', '1')] * 2); return [b'x']", "two Content-Length"),
        (
            "start('200 OK', [('Content-Length', '4')]); return [b'abc']",
            "shorter than its Content-Length, by 1",
        ),
        ("start('200 OK', [('Content-Length', '4')]); return []", "shorter than its Content-Length, by 4"),
        (
            "start('200 OK', [('Content-Length', '4')]); return [b'abcde']",
            "longer than its Content-Length, by 1",
        ),
        ("import sys; sys.exit('bye')", "SystemExit: bye"),
    ],
)
def test_an_error_before_the_answer_is_a_page(body, why):
    output, errors, status = run(body)
    assert output.startswith(b"Status: 500 ")
    assert (why in errors, status) == (True, 0)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("yield b'half'; raise LookupError('why')", "LookupError: why"),
        ("yield b'half'; yield 'text'", "must send bytes, not str"),
        ("yield b'half'; import sys; sys.exit()", "SystemExit"),
        (
            "yield b'half'\ntry: 1/0\nexcept Exception: import sys; start('500 No', [], sys.exc_info())",
            "ZeroDivisionError",
        ),
    ],
)
def test_an_error_within_the_answer_ends_the_process_by_a_signal(body, why):
    output, errors, status = run(BEGIN.strip() + "\n" + body)
    assert output == HEAD + b"\r\nhalf"
    assert (why in errors, status) == (True, -15)


@pytest.mark.parametrize(("sent", "why"), [("b'abcd', b'ef'", "longer"), ("b'ab', b'c'", "shorter")])
def test_a_body_that_is_not_as_long_as_it_says_is_an_error(sent, why):
    output, errors, status = run(f"start('200 OK', [('Content-Length', '4')]); return [{sent}]")
    assert why in errors
    assert (output.count(b"Status"), status) == (1, -15)


@pytest.mark.parametrize(
    ("length", "sent"), [("", b"\r\nabcdef"), ("('Content-Length', '5')", b"Content-Length: 5\r\n\r\nabcde")]
)
def test_a_file_is_wrapped_and_closed_and_ends_at_its_content_length(length, sent):
    body = f"""
    import io
    class File:
        read = io.BytesIO(b'abcdef').read
        def close(self):
            print('closed')
    start('200 OK', [('Content-Type', 'text/plain'), {length}])
    return environ['wsgi.file_wrapper'](File(), 4)
    """
    output, errors, status = run(body)
    assert (output, errors, status) == (HEAD + sent, "closed\n", 0)


def test_another_answer_may_take_the_place_of_one_that_has_not_begun():
    body = """
    start('200 OK', [('X', 'y')])
    try: 1/0
    except Exception: import sys; start('500 Sorry', [], sys.exc_info())
    return [b'sorry']
    """
    assert said(body) == b"Status: 500 Sorry\r\nContent-Length: 5\r\n\r\nsorry"


@pytest.mark.parametrize("end", ["", "raise LookupError", "yield 'text'"])
def test_what_the_application_returned_is_closed(end):
    body = f"""
    import sys
    start('200 OK', [])
    def answer():
        yield b'x'
        {end}
    class Closing:
        def __iter__(self): return answer()
        def close(self): print('closed', file=sys.stderr)
    return Closing()
    """
    assert "closed\n" in run(body)[1]


def test_a_form_that_cannot_be_read_is_answered_by_its_status():
    body = """
    from portico.web.forms import read_form
    start('200 OK', [('X', 'y')])
    return [read_form(environ)['<a>']]
    """
    output, errors, status = run(body)
    head, _, page = output.partition(b"\r\n\r\n")
    assert head.startswith(b"Status: 400 Bad Request\r\n")
    assert (b"&lt;a&gt;" in page, errors, status) == (True, "the form has no field '<a>'\n", 0)


def test_a_client_that_leaves_ends_it_quietly_and_closes():
    body = """
    import sys, time
    start('200 OK', [])
    try:
        while True: yield b'x' * 100_000
    finally:
        print('closed', file=sys.stderr)
    """
    reading, writing = os.pipe()
    os.close(reading)
    program = (
        f"from portico.web import run_cgi\ndef app(environ, start):{textwrap.indent(body, '')}\nrun_cgi(app)"
    )
    with os.fdopen(writing, "wb") as target:
        done = subprocess.run(
            [sys.executable, "-c", program], stdout=target, stderr=subprocess.PIPE, check=False, timeout=30
        )
    assert (done.stderr, done.returncode) == (b"closed\n", 0)


def test_an_error_that_nobody_waits_for_is_reported_once():
    reading, writing = os.pipe()
    os.close(reading)
    program = "from portico.web import run_cgi\nrun_cgi(lambda environ, start: 1 / 0)"
    with os.fdopen(writing, "wb") as target:
        done = subprocess.run(
            [sys.executable, "-c", program], stdout=target, stderr=subprocess.PIPE, check=False, timeout=30
        )
    assert (done.stderr.count(b"Traceback"), done.returncode) == (1, 0)


def test_it_costs_little_to_import():
    program = "import sys; from portico.web import run_cgi; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", program],  # without the environment's own start-up code
        env={"PYTHONPATH": str(root / "src")},
        capture_output=True,
        check=True,
    )
    loaded = set(done.stdout.decode().split())
    assert {"portico", "portico.web.run_cgi"} <= loaded
    assert not {"typing", "re", "socket", "logging", "email", "portico.web.wsgi"} & loaded


# Under real servers

APPLICATION = """\
#!{python}
import sys, time
from portico.web import run_cgi
from portico.web.forms import read_form


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/fails":
        raise LookupError("as asked")
    start_response("201 Made", [("Content-Type", "application/octet-stream"), ("X-Path", path)])
    if path == "/form":
        with read_form(environ) as form:
            return [repr([(name, getattr(value, "value", value)) for name, value in form.fields]).encode()]
    if path == "/cut":
        return cut()
    if path == "/events":
        return events(environ["QUERY_STRING"])
    return [environ["SCRIPT_NAME"].encode("latin-1") + b" " + environ["wsgi.input"].read()]


def cut():
    yield b"half"
    raise LookupError("as asked")


def events(go):
    yield b"data: 1\\n\\n"
    while not __import__("os").path.exists(go):
        time.sleep(0.01)
    yield b"data: 2\\n\\n"


run_cgi(app)
"""

APACHE = """\
ServerRoot {folder}
DefaultRuntimeDir {folder}
PidFile {folder}/pid
ErrorLog {folder}/errors
LogLevel warn
ServerName localhost
Listen 127.0.0.1:{port}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule alias_module {modules}/mod_alias.so
LoadModule cgid_module {modules}/mod_cgid.so
ScriptSock {folder}/cgid
StartServers 1
ServerLimit 1
ThreadsPerChild 8
MaxRequestWorkers 8
MinSpareThreads 1
MaxSpareThreads 8
ScriptAlias /cgi/ {folder}/cgi/
<Directory {folder}/cgi>
Require all granted
</Directory>
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run_cgi")
    (folder / "cgi").mkdir()
    program = folder / "cgi" / "app"
    program.write_text(APPLICATION.format(python=sys.executable))
    program.chmod(0o755)
    return folder


@pytest.fixture(scope="module", params=["apache2", "portico"])
def port(request, folder):
    if request.param == "portico":
        with Server(CGI(folder / "cgi"), "http://127.0.0.1:0") as server:
            yield server.addresses[0].port, "/app"
        return
    program, port = need("apache2"), free_port()
    modules = Path("/usr/lib/apache2/modules")
    config = folder / "apache.conf"
    config.write_text(APACHE.format(folder=folder, port=port, modules=modules))
    process = subprocess.Popen([program, "-D", "FOREGROUND", "-f", str(config)])
    try:
        until = time.monotonic() + 20
        while not listens(port):
            assert process.poll() is None, (folder / "errors").read_text()
            assert time.monotonic() < until
            time.sleep(0.02)
        yield port, "/cgi/app"
    finally:
        process.terminate()
        process.wait(20)


def listens(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def ask(port):
    number, base = port
    connection = http.client.HTTPConnection("127.0.0.1", number, timeout=20)

    def ask(path, method="GET", body=None, headers=None):
        connection.request(method, base + path, body, headers or {})
        return connection.getresponse()

    yield ask
    connection.close()


def test_a_real_server_runs_the_application(ask):
    answer = ask("/a/b%20c?d=e")
    assert (answer.status, answer.reason) == (201, "Made")
    assert answer.headers["X-Path"] == "/a/b c"
    assert answer.read().decode().endswith("/app ")


@pytest.mark.parametrize("size", [0, 1, 1_000_000])
@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_real_server_passes_bodies(ask, size, framing):
    data = os.urandom(size)
    answer = ask("/", "POST", data if framing == "length" else iter([data[:7], data[7:]]))
    assert answer.read().partition(b" ")[2] == data


def test_a_form_through_a_real_server(ask):
    body = (
        b'--b\r\nContent-Disposition: form-data; name="\xc3\xa4"\r\n\r\n1\r\n'
        b'--b\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\n\0\xff\r\n--b--\r\n'
    )
    answer = ask("/form", "POST", body, {"Content-Type": "multipart/form-data; boundary=b"})
    assert answer.read().decode() == r"[('ä', '1'), ('f', b'\x00\xff')]"


def test_a_real_server_answers_an_error_with_a_page(ask):
    answer = ask("/fails")
    assert answer.status == 500
    assert b"as asked" not in answer.read()


def test_events_arrive_as_they_are_written(ask, folder, request):
    go = folder / f"go-{request.node.callspec.id}"
    answer = ask(f"/events?{go}")
    assert answer.readline() == b"data: 1\n"
    go.touch()
    assert answer.read() == b"\ndata: 2\n\n"


def test_an_answer_without_its_end_is_cut_by_our_server(ask, port):
    if port[1] == "/app":
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            ask("/cut").read()
    else:
        assert ask("/cut").read() == b"half"  # Apache does not look at how a program ended
