"""Real applications, served and used with curl: Flask, Django with its admin, httpbin."""

from __future__ import annotations

import gzip
import json
import re
import zlib

import pytest

from tests.peers import need_module
from tests.web.applications import Curl, process

# Flask

FLASK = '''
import io, time
from flask import Flask, Response, abort, redirect, render_template_string, request, send_file, session
from flask import stream_with_context, url_for

app = Flask(__name__)
app.secret_key = "for the test only"

PAGE = """<!doctype html><title>{{ title }}</title>
<form method=post>{% if name %}Hello {{ name }}{% else %}<input name=name>{% endif %}</form>"""


@app.get("/")
def index():
    return render_template_string(PAGE, title="Index", name=session.get("name"))


@app.post("/")
def login():
    session["name"] = request.form["name"]
    return redirect(url_for("index"))


@app.get("/logout")
def logout():
    session.clear()
    return redirect(url_for("index"), 303)


@app.route("/user/<path:name>", methods=["GET", "PUT", "DELETE", "PATCH"])
def user(name):
    data = request.get_data(as_text=True)
    return {"method": request.method, "name": name, "args": request.args.to_dict(flat=False), "data": data}


@app.post("/upload")
def upload():
    return {key: [file.filename, file.mimetype, len(file.read())] for key, file in request.files.items()}


@app.post("/json")
def posted():
    return {"got": request.get_json()}


@app.get("/stream")
def stream():
    def lines():
        for number in range(int(request.args["n"])):
            yield f"line {number}\\n"
    return Response(stream_with_context(lines()), mimetype="text/plain")


@app.get("/file")
def file():
    return send_file("large.bin", conditional=True)


@app.get("/memory")
def memory():
    return send_file(io.BytesIO(b"in memory"), download_name="a.txt", as_attachment=True)


@app.get("/fail")
def fail():
    raise RuntimeError("secret")


@app.get("/teapot")
def teapot():
    abort(418)


@app.get("/where")
def where():
    return url_for("index", _external=True) + " " + request.remote_addr + " " + request.url
'''


@pytest.fixture(scope="module")
def flask(tmp_path_factory):
    need_module("flask")
    folder = tmp_path_factory.mktemp("flask")
    (folder / "large.bin").write_bytes(bytes(range(256)) * 4096 * 8)
    (folder / "shop.py").write_text(FLASK)
    with process("from shop import app", folder) as base:
        yield Curl(base, folder)


def test_flask_pages_forms_and_sessions(flask):
    assert "<input name=name>" in flask("/")
    assert "Hello Jos\u00e9 &lt;b&gt;" in flask("/", "-L", "--data-urlencode", "name=Jos\u00e9 <b>")
    assert re.findall(r"^HTTP/1\.1 (\d+)", flask.head, re.MULTILINE) == ["302", "200"]
    assert "Hello Jos\u00e9" in flask("/")
    flask("/logout")
    assert flask.status == 303
    assert "<input name=name>" in flask("/")


def test_flask_routes_and_methods(flask):
    assert flask.json("/user/caf%C3%A9%20%2F/x?a=1&a=%20&b") == {
        "method": "GET",
        "name": "caf\u00e9 //x",
        "args": {"a": ["1", " "], "b": [""]},
        "data": "",
    }
    for method in ("PUT", "PATCH", "DELETE"):
        assert flask.json("/user/x", "-X", method, "-d", "body")["data"] in ("body", "")
        assert flask.status == 200
    flask("/user/x", "-X", "POST", "-d", "")
    assert flask.status == 405
    flask("/user/x", "-I")
    assert flask.status == 200
    assert "Content-Length:" in flask.head
    flask("/user/x", "-X", "OPTIONS")
    assert "Allow:" in flask.head
    assert flask.json("/json", "--json", '{"a": [1, 2]}') == {"got": {"a": [1, 2]}}


def test_flask_uploads(flask):
    large = flask.folder / "large.bin"
    size = large.stat().st_size
    for extra in ((), ("-H", "Transfer-Encoding: chunked"), ("-H", "Expect:"), ("--http1.0",)):
        answer = flask.json(
            "/upload", "-F", f"file=@{large};type=x/y", "-F", "small=@-;filename=s.txt", *extra
        )
        assert answer["file"] == ["large.bin", "x/y", size], extra
        assert answer["small"][0] == "s.txt"


def test_flask_streams_and_sends_files(flask):
    assert flask("/stream?n=5000").splitlines()[-1] == "line 4999"
    assert "chunked" in flask.head
    content = (flask.folder / "large.bin").read_bytes()
    assert flask("/file", text=False) == content
    assert flask("/file", "-r", "1000-2999", text=False) == content[1000:3000]
    assert flask.status == 206
    etag = re.search(r"^ETag: (.*)\r?$", flask.head, re.MULTILINE | re.IGNORECASE)[1].strip()
    assert flask("/file", "-H", f"If-None-Match: {etag}") == ""
    assert flask.status == 304
    assert flask("/memory") == "in memory"
    assert "attachment" in flask.head


def test_flask_errors(flask):
    assert "secret" not in flask("/fail")
    assert flask.status == 500
    flask("/teapot")
    assert flask.status == 418
    flask("/none")
    assert flask.status == 404
    assert flask("/").startswith("<!doctype")


def test_flask_knows_where_it_is(flask):
    assert flask("/where") == f"{flask.base}/ 127.0.0.1 {flask.base}/where"
    assert flask("/where", "-H", "Host: shop.example:81").startswith("http://shop.example:81/ ")


# Django

DJANGO = """
import django, os
from django.conf import settings
from pathlib import Path

here = Path.cwd()
settings.configure(
    SECRET_KEY="for the test only", DEBUG=True, ALLOWED_HOSTS=["*"], ROOT_URLCONF="urls", USE_TZ=True,
    INSTALLED_APPS=["django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes",
                    "django.contrib.sessions", "django.contrib.messages", "django.contrib.staticfiles"],
    MIDDLEWARE=["django.middleware.security.SecurityMiddleware",
                "django.contrib.sessions.middleware.SessionMiddleware",
                "django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware",
                "django.contrib.auth.middleware.AuthenticationMiddleware",
                "django.contrib.messages.middleware.MessageMiddleware",
                "django.middleware.gzip.GZipMiddleware"],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True,
                "OPTIONS": {"context_processors": ["django.template.context_processors.request",
                            "django.contrib.auth.context_processors.auth",
                            "django.contrib.messages.context_processors.messages"]}}],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": here / "db.sqlite3"}},
    STATIC_URL="/static/", PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
)
django.setup()
from django.contrib.auth.models import User
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
call_command("migrate", verbosity=0)
User.objects.create_superuser("root", "root@example.com", "secret")
app = StaticFilesHandler(get_wsgi_application())
"""

DJANGO_URLS = """
from django.contrib import admin
from django.http import FileResponse, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt


@csrf_exempt
def body(request):
    said = {"length": len(request.body), "meta": request.META.get("CONTENT_LENGTH")}
    files = {key: file.size for key, file in request.FILES.items()}
    return JsonResponse(said | {"post": request.POST.dict(), "files": files})


urlpatterns = [
    path("admin/", admin.site.urls),
    path("body", body),
    path("stream", lambda request: StreamingHttpResponse(f"{number}\\n" for number in range(1000))),
    path("file", lambda request: FileResponse(open("db.sqlite3", "rb"))),
    path("empty", lambda request: HttpResponse(status=204)),
]
"""


@pytest.fixture(scope="module")
def django(tmp_path_factory):
    need_module("django")
    folder = tmp_path_factory.mktemp("django")
    (folder / "urls.py").write_text(DJANGO_URLS)
    with process(DJANGO, folder) as base:
        yield Curl(base, folder)


def token(page):
    return re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)[1]


def test_django_admin_from_login_to_a_new_user(django):
    assert "csrfmiddlewaretoken" in django("/admin/", "-L")
    page = django("/admin/login/?next=/admin/")
    django("/admin/login/", "-d", "username=root&password=wrong&csrfmiddlewaretoken=forged")
    assert django.status == 403
    fields = ["-d", "username=root", "-d", "password=secret", "-d", "next=/admin/"]
    django("/admin/login/", *fields, "-d", f"csrfmiddlewaretoken={token(page)}")
    assert django.status == 302
    assert "Site administration" in django("/admin/", "--compressed")
    assert re.search("(?i)content-encoding: gzip", django.head)
    page = django("/admin/auth/user/add/")
    password = (
        "-d",
        "password1=Long-enough-77",
        "-d",
        "password2=Long-enough-77",
        "-d",
        "usable_password=true",
    )
    said = django(
        "/admin/auth/user/add/",
        "-L",
        "-d",
        "username=jos\u00e9",
        *password,
        "-d",
        f"csrfmiddlewaretoken={token(page)}",
    )
    assert "was added successfully" in said
    assert "jos\u00e9" in django("/admin/auth/user/?q=jos%C3%A9")
    page = django("/admin/")
    django("/admin/logout/", "-d", f"csrfmiddlewaretoken={token(page)}")
    django("/admin/")
    assert django.status == 302


def test_django_static_files(django):
    style = django("/static/admin/css/base.css")
    assert "body {" in style
    since = re.search(r"(?i)^last-modified: (.*?)\r?$", django.head, re.MULTILINE)[1]
    assert django("/static/admin/css/base.css", "-H", f"If-Modified-Since: {since}") == ""
    assert django.status == 304
    assert "csrf_exempt" not in django("/static/../urls.py", "--path-as-is")
    assert django.status >= 400


def test_django_bodies(django):
    large = django.folder / "large"
    large.write_bytes(b"x" * 2_000_000)
    for extra in (
        (),
        ("-H", "Transfer-Encoding: chunked"),
        ("-H", "Transfer-Encoding: chunked", "-H", "Expect: 100-continue"),
    ):
        said = django.json(
            "/body",
            "-X",
            "POST",
            "-H",
            "Content-Type: application/octet-stream",
            "-T",
            django.folder / "urls.py",
            *extra,
        )
        size = (django.folder / "urls.py").stat().st_size
        assert (said["length"], said["meta"]) == (size, str(size)), extra
        said = django.json("/body", "-F", f"file=@{large}", "-F", "a=b", *extra)
        assert (said["files"], said["post"]) == ({"file": 2_000_000}, {"a": "b"}), extra


def test_django_answers(django):
    assert len(django("/stream").splitlines()) == 1000
    assert django("/file", text=False).startswith(b"SQLite format 3")
    assert django("/empty") == ""
    assert django.status == 204
    assert "/nowhere" in django("/nowhere")
    assert django.status == 404


# httpbin


@pytest.fixture(scope="module")
def httpbin(tmp_path_factory):
    need_module("httpbin")
    with process("from httpbin import app", tmp_path_factory.mktemp("httpbin")) as base:
        yield Curl(base, tmp_path_factory.mktemp("curl"))


def test_httpbin_methods(httpbin):
    assert httpbin.json("/get?a=b&c=%C3%A9")["args"] == {"a": "b", "c": "\u00e9"}
    assert httpbin.json("/headers", "-H", "X-One: 1")["headers"]["X-One"] == "1"
    assert httpbin.json("/ip")["origin"] == "127.0.0.1"
    assert httpbin.json("/post", "-d", "a=b")["form"] == {"a": "b"}
    assert httpbin.json("/put", "-X", "PUT", "-d", "raw", "-H", "Content-Type: x/y")["data"] == "raw"
    assert httpbin.json("/patch", "-X", "PATCH", "--json", '{"x": 1}')["json"] == {"x": 1}
    assert httpbin.json("/delete", "-X", "DELETE")["url"].endswith("/delete")
    assert httpbin.json("/anything/x%20y", "-X", "TRACE")["method"] == "TRACE"
    httpbin("/anything", "-X", "PURGE")
    assert httpbin.status == 405
    assert httpbin.json("/post", "-F", "f=@-;filename=n", "-H", "Transfer-Encoding: chunked")["files"] == {
        "f": ""
    }


@pytest.mark.parametrize("status", [200, 204, 301, 304, 400, 404, 418, 500, 503])
def test_httpbin_statuses(httpbin, status):
    httpbin(f"/status/{status}")
    assert httpbin.status == status
    httpbin(f"/status/{status}", "-I")
    assert httpbin.status == status


def test_httpbin_redirects_and_cookies(httpbin):
    assert httpbin.json("/redirect/3", "-L")["url"].endswith("/get")
    assert httpbin.json("/relative-redirect/2", "-L")["url"].endswith("/get")
    assert httpbin.json("/cookies/set?one=1&two=2", "-L")["cookies"] == {"one": "1", "two": "2"}
    assert httpbin.json("/cookies/delete?one", "-L")["cookies"] == {"two": "2"}


def test_httpbin_streams(httpbin):
    lines = httpbin("/stream/10").splitlines()
    assert [json.loads(line)["id"] for line in lines] == list(range(10))
    assert httpbin("/drip?numbytes=5&duration=0.2&delay=0") == "*****"
    assert len(httpbin("/bytes/100000", text=False)) == 100_000
    assert len(httpbin("/stream-bytes/50000?chunk_size=999", text=False)) == 50_000
    assert httpbin("/range/1000", "-r", "10-19") == "klmnopqrst"
    assert httpbin.status == 206


def test_httpbin_content(httpbin):
    assert json.loads(gzip.decompress(httpbin("/gzip", text=False)))["gzipped"] is True
    assert httpbin.json("/gzip", "--compressed")["gzipped"] is True
    assert json.loads(zlib.decompress(httpbin("/deflate", text=False)))["deflated"] is True
    assert httpbin("/image/png", text=False).startswith(b"\x89PNG")
    assert "Herman Melville" in httpbin("/html")
    assert "\u2200x\u2208" in httpbin("/encoding/utf8")
    httpbin("/etag/abc", "-H", 'If-None-Match: "abc"')
    assert httpbin.status == 304


def test_httpbin_authentication(httpbin):
    for way, extra in (("basic-auth/u/p", "--basic"), ("digest-auth/auth/u/p", "--digest")):
        assert httpbin.json(f"/{way}", extra, "-u", "u:p")["authenticated"] is True
        httpbin(f"/{way}", extra, "-u", "u:wrong")
        assert httpbin.status == 401
