"""Routes: which handler answers, by path, method and host."""

from __future__ import annotations

import io

import pytest

from portico.errors import ConfigError
from portico.http.body import StreamedBody
from portico.limits import Limits
from portico.server import Server
from portico.web.handlers import Request, Response, Routes, Sessions, streaming
from portico.web.handlers.tree import Asked
from portico.web.mounts import Mounts
from portico.web.wsgi import WSGI
from tests.http.served import Client, chunked, get, post


def say(word):
    def handler(request):
        return f"{word} {request.method} {dict(request.params)} at {request.mount!r} {request.path_info!r}"

    return handler


class Files:
    """One object for all requests."""

    def get(self, request, path):
        return f"file {path!r}"

    def put(self, request: Request, path):
        return 201, f"wrote {len(request.read())} to {path}"

    def delete(self, request):
        return None


def application(environ, start_response):
    start_response("200 OK", [])
    return [f"wsgi {environ['SCRIPT_NAME']} {environ['PATH_INFO']}".encode()]


def plain(request):
    arriving = isinstance(request.body, io.BufferedReader) and isinstance(request.body.raw, StreamedBody)
    return f"{'arriving' if arriving else 'complete'} {len(request.body.read())}"


@streaming
def counted(request):
    return plain(request)


def make_routes() -> Routes:
    inner = Routes([("/", say("inner home")), ("/items/{item}", say("item"))], name="inner")
    inner.add("/back/{n:int}", lambda request, n: request.url_for("number", n=n + 1), name="back")
    inner.add("/here", lambda request: request.url_for("back", n=1))
    inner.add("/up", counted, "POST")
    deep = Routes([("/x", say("deep"))])
    inner.mount("/deep", deep, name="deep")
    routes = Routes(
        [
            ("/", say("home")),
            ("GET POST", "/both", say("both")),
            ("/users/me", say("me")),
            ("/users/{name}", say("user")),
            ("DELETE", "/users/{who}", say("gone")),
            ("/users/{id:int}", say("number")),
            ("/users/{id:int}/files/{path:path}", say("user file")),
            ("/folder/", say("folder")),
            ("/größe/{n}", say("size")),
            ("/files/{path:path}", Files),
            ("/inner", inner),
            ("/wsgi", WSGI(application)),
        ]
    )
    routes.add("/number/{n:int}", say("a number"), name="number")
    routes.add("/by/{name}/{self}", lambda r, name: r.url_for("by", name=name, self="x"), name="by")
    routes.add("/default/{n:int}", lambda request, n, more=5: f"{n} {more}")
    routes.add("/all/{a}/{b}", lambda request, **params: params)
    routes.add("/bound", lambda request: f"{len(request.read())}", "POST", body=10)
    routes.add("/stream", counted, "POST")
    routes.add("/plain", plain, "POST")
    routes.mount("/tenants/{tenant}", inner, name="tenant")
    return routes


@pytest.fixture(scope="module")
def server():
    with Server(make_routes(), "http://127.0.0.1:0", grace=2) as running:
        yield running


def ask(server, target, method="GET", *headers):
    with Client(server) as client:
        answer = client.ask(get(target, *headers, method=method), method)
    return answer.status, answer.body.decode()


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("/", "home GET {} at '' '/'"),
        ("/?q=/x", "home GET {} at '' '/'"),
        ("/both", "both GET {} at '' '/both'"),
        ("/users/me", "me GET {} at '' '/users/me'"),
        ("/users/%6de", "me GET {} at '' '/users/me'"),
        ("/users/you", "user GET {'name': 'you'} at '' '/users/you'"),
        ("/users/12", "number GET {'id': 12} at '' '/users/12'"),
        ("/users/012", "user GET {'name': '012'} at '' '/users/012'"),
        ("/users/me%2F", "user GET {'name': 'me/'} at '' '/users/me/'"),  # text, not the end of a segment
        ("/users/a%2Fb", "user GET {'name': 'a/b'} at '' '/users/a/b'"),
        (
            "/users/5/files/a/b.txt",
            "user file GET {'id': 5, 'path': 'a/b.txt'} at '' '/users/5/files/a/b.txt'",
        ),
        ("/users/5/files/a/", "user file GET {'id': 5, 'path': 'a/'} at '' '/users/5/files/a/'"),
        ("/folder/", "folder GET {} at '' '/folder/'"),
        ("/gr%C3%B6%C3%9Fe/%E2%82%AC", "size GET {'n': '€'} at '' '/größe/€'"),
        ("/files/a%20b/c", "file 'a b/c'"),
        ("/inner/", "inner home GET {} at '/inner' '/'"),
        ("/inner/items/a%2Fb", "item GET {'item': 'a/b'} at '/inner' '/items/a/b'"),
        ("/inner/deep/x", "deep GET {} at '/inner/deep' '/x'"),
        ("/tenants/a%2Fb/items/y", "item GET {'tenant': 'a/b', 'item': 'y'} at '/tenants/a/b' '/items/y'"),
        ("/tenants/%C3%A4/deep/x", "deep GET {'tenant': 'ä'} at '/tenants/ä/deep' '/x'"),
        ("/inner/back/4", "/number/5"),
        ("/tenants/a%2Fb%C3%A4/here", "/tenants/a%2Fb%C3%A4/back/1"),
        ("/by/a/b", "/by/a/x"),  # whatever the parameters are called
        ("/wsgi", "wsgi /wsgi "),
        ("/wsgi/a/b", "wsgi /wsgi /a/b"),
        ("/default/3", "3 5"),
        ("/all/1/2", '{"a":"1","b":"2"}'),
        ("http://other.example/both?x", "both GET {} at '' '/both'"),
    ],
)
def test_a_path_finds_its_handler(server, target, says):
    assert ask(server, target) == (200, says)


@pytest.mark.parametrize(
    "target",
    [
        "/nothing",
        "/users",
        "/users/",
        "//",
        "//users/me",
        "/users//me",
        "/users%2Fme",
        "/both%00",
        "/users/%00",
        "/users/%ff",
        "/users/..",
        "/users/%2e%2e",
        "/x/../both",
        "/files/",
        "/files//etc/passwd",
        "/files/a//b",
        "/files/a%2Fb",
        "/files/..%2F..%2Fetc",
        "/files/%2e%2e/x",
        "/Both",
        "/gr%F6%DFe/1",
        "/innerx",
        "/wsgix",
        "/inner/nothing",
        "/default/x",
    ],
)
def test_nothing_else_does(server, target):
    assert ask(server, target)[0] == 404


@pytest.mark.parametrize(
    ("target", "method", "allow"),
    [
        ("/", "POST", "GET, HEAD, OPTIONS"),
        ("/both", "PUT", "GET, HEAD, POST, OPTIONS"),
        ("/users/me", "PUT", "GET, HEAD, DELETE, OPTIONS"),
        ("/users/7", "POST", "GET, HEAD, DELETE, OPTIONS"),
        ("/files/x", "POST", "GET, HEAD, PUT, DELETE, OPTIONS"),
        ("/inner/items/x", "DELETE", "GET, HEAD, OPTIONS"),
        ("/bound", "GET", "POST, OPTIONS"),
    ],
)
def test_another_method_is_405_and_options_says_the_same(server, target, method, allow):
    with Client(server) as client:
        answer = client.ask(get(target, method=method))
        assert (answer.status, answer["allow"]) == (405, allow)
        answer = client.ask(get(target, method="OPTIONS"), "OPTIONS")
        assert (answer.status, answer["allow"]) == (204, allow)


def test_a_method_of_a_laxer_route_is_found_behind_a_stricter_one(server):
    assert ask(server, "/users/me", "DELETE") == (200, "gone DELETE {'who': 'me'} at '' '/users/me'")
    assert ask(server, "/users/9", "DELETE") == (200, "gone DELETE {'who': '9'} at '' '/users/9'")


def test_head_is_get_without_the_body(server):
    with Client(server) as client:
        answer = client.ask(get("/both", method="HEAD"), "HEAD")
        assert (answer.status, answer["content-length"]) == (200, str(len("both HEAD {} at '' '/both'")))
        assert client.ask(get("/both")).status == 200


def test_the_asterisk_asks_about_the_server(server):
    with Client(server) as client:
        answer = client.ask(get("*", method="OPTIONS"), "OPTIONS")
        assert answer.status == 204
        assert "PATCH" in (answer["allow"] or "")


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/both/", "/both"),
        ("/both/?a=1&b=/", "/both?a=1&b=/"),
        ("/folder", "/folder/"),
        ("/inner", "/inner/"),
        ("/inner/items/a%2Fb/", "/inner/items/a%2Fb"),
        ("/gr%C3%B6%C3%9Fe/1/", "/gr%C3%B6%C3%9Fe/1"),
    ],
)
def test_the_other_slash_leads_there(server, target, location):
    with Client(server) as client:
        for method in ("GET", "DELETE"):
            answer = client.ask(get(target, method=method))
            assert (answer.status, answer["location"]) == (308, location)


def test_no_redirect_leads_to_another_host():
    routes = Routes([("/{a}/", say("a")), ("/{a}/{b}/", say("ab"))])
    with Server(routes, "http://127.0.0.1:0", grace=2) as server, Client(server) as client:
        assert client.ask(get("/\\evil.example")).headers[-2:][0] != ("location", "/\\evil.example/")
        assert client.ask(get("/\\evil.example"))["location"] == "/%5Cevil.example/"
        assert client.ask(get("//evil.example")).status == 404
        assert client.ask(get("/%2Fevil.example"))["location"] == "/%2Fevil.example/"


def test_slashes_can_be_told_apart():
    with Server(Routes([("/a", say("a"))], redirect_slashes=False), "http://127.0.0.1:0", grace=2) as server:
        assert ask(server, "/a/")[0] == 404


def test_a_body_reaches_a_handler_whole_or_as_it_comes(server):
    with Client(server) as client:
        assert client.ask(post(b"x" * 1000, "/plain")).body == b"complete 1000"
        assert client.ask(post(b"x" * 1000, "/stream")).body == b"arriving 1000"
        assert client.ask(chunked([b"x" * 10] * 10, "/stream")).body == b"arriving 100"
        assert client.ask(post(b"x" * 10, "/inner/up")).body == b"arriving 10"


def test_a_route_below_a_mount_streams_as_well():
    routes = make_routes()
    with (
        Server(Mounts([("/app", routes)]), "http://127.0.0.1:0", grace=2) as server,
        Client(server) as client,
    ):
        assert client.ask(post(b"x" * 10, "/app/stream")).body == b"arriving 10"
        assert client.ask(post(b"x" * 10, "/%61pp/inner/up")).body == b"arriving 10"
        assert client.ask(post(b"x" * 10, "/app/plain")).body == b"complete 10"
        assert (
            client.ask(get("/app/inner/items/y")).body == b"item GET {'item': 'y'} at '/app/inner' '/items/y'"
        )
        assert client.ask(get("/app/both/"))["location"] == "/app/both"
        assert client.ask(get("/app/inner/back/1")).body == b"/app/number/2"


def test_a_body_beyond_the_limit_of_its_route_is_refused(server):
    with Client(server) as client:
        assert client.ask(post(b"x" * 10, "/bound")).body == b"10"
        assert client.ask(chunked([b"x" * 5] * 2, "/bound")).body == b"10"
    for request in (post(b"x" * 11, "/bound"), chunked([b"x" * 5] * 3, "/bound")):
        with Client(server) as client:
            assert client.ask(request).status == 413


def test_a_body_that_is_too_long_is_refused_before_it_comes(server):
    with Client(server) as client:
        asked = get("/bound", "Content-Length: 1000000", "Expect: 100-continue", method="POST")
        answer = client.ask(asked)
        assert answer.status == 413
        assert answer.interim == []


def test_hosts():
    routes = Routes([("/", say("any"))])
    routes.add("/", say("one"), host="One.example")
    routes.add("/only", say("one only"), host="one.example")
    routes.add("/", say("below"), host="*.example")
    routes.add("/", say("six"), host="[::1]")
    inner = Routes([("/", say("inner any"))])
    inner.add("/", say("inner one"), host="one.example")
    routes.mount("/in", inner)
    with Server(routes, "http://127.0.0.1:0", grace=2) as server, Client(server) as client:

        def word(host, target="/"):
            answer = client.ask(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            return answer.body.decode().partition(" GET")[0] if answer.status == 200 else answer.status

        assert word("one.example") == "one"
        assert word("ONE.example.:8080") == "one"
        assert word("one.example", "/only") == "one only"
        assert word("two.example") == "below"
        assert word("a.b.example") == "below"
        assert word("example") == "any"
        assert word("[::1]:80") == "six"
        assert word("two.example", "/only") == 404
        assert word("") == "any"
        assert word("one.example", "/in/") == "inner one"
        assert word("else.example", "/in/") == "inner any"


def test_the_way_back():
    routes = make_routes()
    assert routes.path_for("number", n=5) == "/number/5"
    assert routes.path_for("number", n=5, query={"a": "x y", "b": [1, 2]}) == "/number/5?a=x+y&b=1&b=2"
    assert routes.path_for("tenant.back", tenant="a b", n=3) == "/tenants/a%20b/back/3"
    assert routes.path_for("Files", path="a/b") == "/files/a/b"
    for name, params in (
        ("no", {}),
        ("number", {}),
        ("number", {"n": "x"}),
        ("number", {"n": 1, "m": 2}),
        ("tenant.no", {"tenant": "x"}),
        ("Files", {"path": "../x"}),
    ):
        with pytest.raises(ConfigError):
            routes.path_for(name, **params)


async def awaited(request):
    pass


@pytest.mark.parametrize(
    ("add", "says"),
    [
        (lambda routes: routes.add("/a", say("x")), "two handlers for GET /a"),
        (lambda routes: routes.add("/b/{y}", say("x")), r"two handlers for GET /b/\{y\} \(/b/\{x\}\)"),
        (lambda routes: routes.add("/c", awaited), "async def"),
        (lambda routes: routes.add("/c", 5), "cannot be called"),
        (lambda routes: routes.add("/c", lambda: None), "takes no request"),
        (
            lambda routes: routes.add("/c", lambda request, key: None),
            "needs key, which the path does not have",
        ),
        (lambda routes: routes.add("/c", Files), "needs path"),
        (lambda routes: routes.add("/c", say("x"), "get"), "in capitals"),
        (lambda routes: routes.add("/c", say("x"), ""), "in capitals"),
        (lambda routes: routes.add("/c", say("x"), name="named"), "two routes are called"),
        (lambda routes: routes.add("/c", say("x"), host="a/b"), "expected a name"),
        (lambda routes: routes.add("/c", say("x"), body=-1), "number of bytes"),
        (lambda routes: routes.mount("/m", Routes()), "mounted at /m"),
        (lambda routes: routes.mount("/n", application), "neither routes nor a gateway"),
        (lambda routes: routes.mount("/n", WSGI(application), name="x"), "is for one set of routes"),
        (lambda routes: Routes([("/x",)]), "a row of routes"),
        (lambda routes: Routes([("GET", "/x", say("x"), 4)]), "a row of routes"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_added(add, says):
    routes = Routes([("/a", say("a")), ("/b/{x}", say("b")), ("/m", Routes())])
    routes.add("/named", say("n"), name="named")
    with pytest.raises(ConfigError, match=says):
        add(routes)


def test_the_decorators_return_what_they_decorate():
    routes = Routes()

    @routes.get("/a")
    @routes.post("/a")
    def one(request):
        return request.method

    @routes.route("/b", methods=["PUT", "PATCH"])
    def two(request):
        return request.method

    @routes.delete("/c")
    def three(request):
        return Response(status=200)

    routes.put("/c")(one)
    routes.patch("/c")(one)
    with Server(routes, "memory:decorators", grace=2):
        pass
    assert one.__name__ == "one"
    assert routes.path_for("two") == "/b"


def test_finding_a_route_takes_no_longer_among_ten_thousand():
    """Counted, not timed: how many segments are looked at."""
    routes = Routes([(f"/static/{n}/page", say("x")) for n in range(10_000)])
    looked_at = []

    class Text(str):
        __slots__ = ()

        def __hash__(self):
            looked_at.append(self)
            return super().__hash__()

    found = routes.find([Text("static"), Text("9999"), Text("page")], Asked("GET"))
    assert found is not None
    assert len(looked_at) == 3


def test_inner_routes_use_the_outer_sessions_unless_they_have_their_own():
    def count(request):
        request.session["n"] = request.session.get("n", 0) + 1
        return str(request.session["n"])

    own = Routes([("/", count)], sessions=Sessions("x" * 32, cookie="own"))
    routes = Routes([("/plain", Routes([("/", count)])), ("/own", own)], sessions=Sessions("y" * 32))
    with Server(routes, "http://127.0.0.1:0", grace=2) as server, Client(server) as client:
        assert (client.ask(get("/plain/"))["set-cookie"] or "").startswith("session=")
        assert (client.ask(get("/own/"))["set-cookie"] or "").startswith("own=")


def test_limits_of_the_server_hold_as_well():
    routes = Routes([("POST", "/", plain)])
    with (
        Server(routes, "http://127.0.0.1:0", grace=2, limits=Limits(body=100)) as server,
        Client(server) as client,
    ):
        assert client.ask(post(b"x" * 101)).status == 413
