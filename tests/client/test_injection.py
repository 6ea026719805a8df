"""URLs and header fields that try to say something else than they seem to."""

from __future__ import annotations

import re

import ada_url
import pytest

from portico.client.auth import Basic
from portico.client.cookies import CookieJar
from portico.client.encode import encode_body
from portico.client.request import Request
from portico.client.session import Session
from portico.client.url import URL
from portico.errors import PorticoError
from tests.client.hostile import Hostile, answer, every

# What is read, and how: (text, where it goes, target).
TAKEN = [
    ("http://h.example", "h.example:80", "/"),
    ("HTTP://H.Example", "h.example:80", "/"),
    ("hTtPs://h.example", "h.example:443", "/"),
    ("http://h.example:80/", "h.example:80", "/"),
    ("http://h.example:0080/", "h.example:80", "/"),
    ("http://h.example:/", "h.example:80", "/"),
    ("http://h.example:8080", "h.example:8080", "/"),
    ("http://h.example?q", "h.example:80", "/?q"),
    ("http://h.example#f", "h.example:80", "/"),
    ("http://h.example?#f", "h.example:80", "/?"),
    ("http://h.example#f?q", "h.example:80", "/"),
    ("http://h.example/#a#b", "h.example:80", "/"),
    ("http://h.example/?a?b#c", "h.example:80", "/?a?b"),
    ("  http://h.example/  ", "h.example:80", "/"),
    ("\t\r\nhttp://h.example/\r\n", "h.example:80", "/"),
    ("\x00\x1fhttp://h.example/\x00", "h.example:80", "/"),
    ("http://good@h.example/", "h.example:80", "/"),
    ("http://good:80@h.example/", "h.example:80", "/"),
    ("http://good.example%40@h.example/", "h.example:80", "/"),
    ("http://good.example%2f@h.example/", "h.example:80", "/"),
    ("http://:p@h.example/", "h.example:80", "/"),
    ("http://u:@h.example/", "h.example:80", "/"),
    ("http://u:p:q@h.example/", "h.example:80", "/"),
    ("http://@h.example/", "h.example:80", "/"),
    ("http://h.example/@good.example", "h.example:80", "/@good.example"),
    ("http://h.example/a@b:c/d", "h.example:80", "/a@b:c/d"),
    ("http://h.example?@good.example", "h.example:80", "/?@good.example"),
    ("http://h.example#@good.example", "h.example:80", "/"),
    ("http://b\u00fccher.example/", "xn--bcher-kva.example:80", "/"),
    ("http://B\u00dcCHER.example/", "xn--bcher-kva.example:80", "/"),
    ("http://bu\u0308cher.example/", "xn--bcher-kva.example:80", "/"),
    ("http://XN--BCHER-KVA.example/", "xn--bcher-kva.example:80", "/"),
    ("http://b%C3%BCcher.example/", "xn--bcher-kva.example:80", "/"),
    ("http://h\u3002example/", "h.example:80", "/"),
    ("http://h\uff0eexample/", "h.example:80", "/"),
    ("http://\uff48.example/", "h.example:80", "/"),
    ("http://fa\u00df.example/", "xn--fa-hia.example:80", "/"),
    ("http://\u2615.example/", "xn--53h.example:80", "/"),  # symbols are none of IDNA 2008
    ("http://i\u2764\ufe0f.example/", "xn--i-7iq.example:80", "/"),
    ("http://a\u2615b.\u00dcn\u00ef.example/", "xn--ab-ytx.xn--n-nga1b.example:80", "/"),
    ("http://\u2460\u213b.example/", "1fax.example:80", "/"),
    ("http://h%2Eexample/", "h.example:80", "/"),
    ("http://%68.example/", "h.example:80", "/"),
    ("http://h.example/a/../b", "h.example:80", "/b"),
    ("http://h.example/a/./b", "h.example:80", "/a/b"),
    ("http://h.example/a/%2e%2e/b", "h.example:80", "/b"),
    ("http://h.example/a/%2E./b", "h.example:80", "/b"),
    ("http://h.example/a/.%2e/b", "h.example:80", "/b"),
    ("http://h.example/a/%2e/b", "h.example:80", "/a/b"),
    ("http://h.example/../../../etc/passwd", "h.example:80", "/etc/passwd"),
    ("http://h.example/a/..", "h.example:80", "/"),
    ("http://h.example/a/.", "h.example:80", "/a/"),
    ("http://h.example/a/...", "h.example:80", "/a/..."),
    ("http://h.example/a/..b", "h.example:80", "/a/..b"),
    ("http://h.example/a/..;/b", "h.example:80", "/a/..;/b"),
    ("http://h.example//a//b", "h.example:80", "//a//b"),
    ("http://h.example//..//b", "h.example:80", "//b"),
    ("http://h.example/%252e%252e/", "h.example:80", "/%252e%252e/"),
    ("http://h.example/a%2f..%2fb", "h.example:80", "/a%2f..%2fb"),
    ("http://h.example/a%5c..%5cb", "h.example:80", "/a%5c..%5cb"),
    ("http://h.example/a b", "h.example:80", "/a%20b"),
    ('http://h.example/"<>`{}', "h.example:80", "/%22%3C%3E%60%7B%7D"),
    ("http://h.example/\u00fc", "h.example:80", "/%C3%BC"),
    ("http://h.example/%c3%bc", "h.example:80", "/%c3%bc"),
    ("http://h.example/%0d%0aX:%20y", "h.example:80", "/%0d%0aX:%20y"),
    ("http://h.example/%00", "h.example:80", "/%00"),
    ("http://h.example/\U0001f600", "h.example:80", "/%F0%9F%98%80"),
    ("http://h.example/?\u00fc=\u00f6", "h.example:80", "/?%C3%BC=%C3%B6"),
    ("http://h.example/?a b", "h.example:80", "/?a%20b"),
    ("http://h.example/?a'b", "h.example:80", "/?a%27b"),
    ('http://h.example/?a"b<c>', "h.example:80", "/?a%22b%3Cc%3E"),
    ("http://h.example/?a+b&c=%20", "h.example:80", "/?a+b&c=%20"),
    ("http://h.example/?/../x", "h.example:80", "/?/../x"),
    ("http://h.example/?http://good.example/", "h.example:80", "/?http://good.example/"),
    ("http://h.example/a;b=c,d!$&'()*+~_-.", "h.example:80", "/a;b=c,d!$&'()*+~_-."),
    ("http://127.0.0.1/", "127.0.0.1:80", "/"),
    ("http://[::1]/", "::1:80", "/"),
    ("http://[::1]:8080/", "::1:8080", "/"),
    ("http://[0:0:0:0:0:0:0:1]/", "::1:80", "/"),
    ("http://[2001:DB8::0001]/", "2001:db8::1:80", "/"),
    ("http://localhost/", "localhost:80", "/"),
    ("http://LOCALHOST/", "localhost:80", "/"),
    ("http://a-b.example/", "a-b.example:80", "/"),
    ("http://1.example/", "1.example:80", "/"),
]

# What is refused, and why it is although the URL standard would take it ("" where that refuses it too).
REFUSED = [
    *[
        (f"http://h.example/a{chr(n)}b", "a control character within")
        for n in (0, 1, 7, 8, 11, 12, 27, 31, 127, 0x85)
    ],
    *[
        (f"http://h.example/a{c}b", "browsers drop it: what is checked is not what is asked for")
        for c in "\t\r\n"
    ],
    *[(f"http://h.ex{c}ample/", "browsers drop it: what is checked is not where it goes") for c in "\t\r\n"],
    *[(f"ht{c}tp://h.example/", "browsers drop it") for c in "\t\r\n"],
    *[(f"http:/{c}/h.example/", "browsers drop it") for c in "\t\r\n"],
    ("http://h.example/ HTTP/1.1\r\nX-Evil: y\r\n\r\nGET /", "browsers drop the ends of lines"),
    ("http://h.example/?q=\r\nX: y", "browsers drop the ends of lines"),
    ("http://h.example/#\r\nX: y", "browsers drop the ends of lines"),
    ("http://u\r\n:p@h.example/", "browsers drop the ends of lines"),
    ("http://u%0d%0a:p@h.example/", "a line's end in a user's name"),
    ("http://u:p%00@h.example/", "a NUL in a password"),
    ("http://h.example/\u2028", "a line's end of Unicode"),
    ("http://h.example/\ud800", ""),
    *[
        (f"http://{host}/", "")
        for host in (
            "\u2615\u202e",
            "\u2615\u200d",
            "\u0301\u2615",
            "\u05d0\u2615a",
            "\u2615\u05d0",
            "\u2615\ufffd",
            "\u2615.1",
            "\u2615.xn--",
            "a b",
            "a<b",
            "a>b",
            "a^b",
            "a|b",
            "a%00b",
            "a%20b",
            "a%2fb",
            "a%5cb",
            "a%3ab",
            "a%40b",
            "a%23b",
            "a%3fb",
            "%",
            "%zz",
            "%ff",
            "a%0db",
            "a%0ab",
            "a%09b",
            "a[b",
            "a]b",
        )
    ],
    ("http://a,b/", "no host name of the DNS"),
    ("http://a!b/", "no host name of the DNS"),
    ("http://a'b/", "no host name of the DNS"),
    ("http://a;b/", "no host name of the DNS"),
    ("http://a*b/", "no host name of the DNS"),
    ("http://a(b/", "no host name of the DNS"),
    ("http://a$b/", "no host name of the DNS"),
    ('http://a"b/', "no host name of the DNS"),
    ("http://a`b/", "no host name of the DNS"),
    ("http://a{b}/", "no host name of the DNS"),
    ("http://a@b@h.example/", "two readers take another @ each"),
    ("http://good.example@a@h.example/", "two readers take another @ each"),
    ("http://good.example\\@h.example/", "two readers go to different hosts"),
    ("http://good.example\\h.example/", "two readers go to different hosts"),
    ("http:\\\\h.example/", "browsers take it for slashes"),
    ("http:/\\h.example/", "browsers take it for slashes"),
    ("http://\\h.example/", "browsers take it for slashes"),
    ("http:/h.example", "browsers put in a slash"),
    ("http:h.example", "browsers put in slashes"),
    ("http:///h.example", "browsers leave out a slash"),
    ("http:////h.example", "browsers leave out slashes"),
    ("https:h.example/", "browsers put in slashes"),
    ("http:80", "browsers put in slashes"),
    ("http:", ""),
    ("http://", ""),
    ("http://?q", ""),
    ("http://#f", ""),
    ("http://:80/", ""),
    ("http://@/", ""),
    ("http://u:p@/", ""),
    ("http://u@:80/", ""),
    ("//h.example/", ""),
    ("///h.example", ""),
    ("/path", ""),
    ("h.example", ""),
    ("", ""),
    ("   ", ""),
    ("://h.example", ""),
    ("1http://h.example", ""),
    ("http//h.example", ""),
    *[
        (f"http://h.example:{port}/", "")
        for port in (
            "65536",
            "99999",
            "-1",
            "+80",
            " 80",
            "80 ",
            "8a",
            "0x50",
            "8_0",
            "\u0668\u0660",
            "80:80",
            "80.0",
            "1e2",
            "99999999999999999999",
        )
    ],
    ("http://h.example:0/", "nobody listens there"),
    ("http://0x7f.1/", "a number that only some take for a host"),
    ("http://0177.0.0.1/", "a number that only some take for a host"),
    ("http://2130706433/", "a number that only some take for a host"),
    ("http://127.1/", "a number that only some take for a host"),
    ("http://0x7f000001/", "a number that only some take for a host"),
    ("http://127.0.0.01/", "a number that only some take for a host"),
    ("http://1.2.3.4.5/", ""),
    ("http://256.1.1.1/", ""),
    ("http://4294967296/", ""),
    ("http://127.0.0.1.0x/", ""),
    ("http://1.2.3.09/", ""),
    ("http://[::1/", ""),
    ("http://::1]/", ""),
    ("http://::1/", ""),
    ("http://[]/", ""),
    ("http://[h.example]/", ""),
    ("http://[127.0.0.1]/", ""),
    ("http://[::1]x/", ""),
    ("http://[::1]x:80/", ""),
    ("http://[::g]/", ""),
    ("http://[1:2:3:4:5:6:7:8:9]/", ""),
    ("http://[::1::]/", ""),
    ("http://[:::1]/", ""),
    ("http://[v1.x]/", ""),
    ("http://x[::1]/", ""),
    ("http://\u200b/", ""),
    ("http://xn--/", "no name is made of nothing"),
    ("http://\uff05\uff10\uff10.example/", ""),
    ("http://a..b/", "an empty label"),
    ("http://.a/", "an empty label"),
    ("http://" + "a" * 64 + ".example/", "a label of more than 63"),
    ("http://" + "a." * 128 + "example/", "a name of more than 253"),
    ("http://h.example/" + "a" * 70000, "longer than anything that is meant"),
]


@pytest.mark.parametrize(("text", "where", "target"), TAKEN)
def test_a_url_is_read_as_the_standard_reads_it(text: str, where: str, target: str) -> None:
    url = URL.parse(text)
    assert f"{url.host}:{url.port}" == where
    assert url.target == target
    assert URL.parse(str(url)).target == target  # its own spelling is read the same
    theirs = ada_url.URL(text)
    assert theirs.hostname.strip("[]") == url.host
    assert int(theirs.port or {"http:": 80, "https:": 443}[theirs.protocol]) == url.port
    assert theirs.pathname == url.path
    assert theirs.search.removeprefix("?") == (url.query or "")


@pytest.mark.parametrize(("text", "reason"), REFUSED)
def test_a_url_that_two_could_read_differently_is_refused(text: str, reason: str) -> None:
    with pytest.raises(PorticoError) as caught:
        URL.parse(text)
    assert len(str(caught.value)) < 600
    assert not re.search("[\x00-\x1f\x7f]", str(caught.value))
    if not reason:
        with pytest.raises((ValueError, UnicodeError)):
            ada_url.URL(text)


@pytest.mark.parametrize(
    "text",
    [
        "http://u:s3cret@h.example/",
        "http://u:s3cret@h.example:x/",
        "http://u:s3cret@a b/",
        "http://u:s3@cret@h/",
        "http:///u:s3cret@h/",
    ],
)
def test_a_password_is_never_shown(text: str) -> None:
    try:
        url = URL.parse(text)
        shown = f"{url} {url!r} {url.authority} {url.origin} {url.target}"
    except PorticoError as error:
        shown = str(error)
    assert "cret" not in shown


@pytest.mark.parametrize(
    ("reference", "result"),
    [
        ("x", "http://h.example/a/x"),
        ("/x", "http://h.example/x"),
        ("?x", "http://h.example/a/b?x"),
        ("#x", "http://h.example/a/b?q#x"),
        ("", "http://h.example/a/b?q"),
        ("../../../x", "http://h.example/x"),
        ("//o.example/x", "http://o.example/x"),
        ("https://o.example", "https://o.example/"),
        (".", "http://h.example/a/"),
        ("..", "http://h.example/"),
        ("%2e%2e/x", "http://h.example/x"),
        ("./x:y", "http://h.example/a/x:y"),
        (" x ", "http://h.example/a/x"),
        ("x?y#z", "http://h.example/a/x?y#z"),
        ("//o.example:81", "http://o.example:81/"),
        ("//u:p@o.example/", "http://o.example/"),
        ("/a/./b/../c", "http://h.example/a/c"),
        ("/..", "http://h.example/"),
        ("x/", "http://h.example/a/x/"),
        ("?", "http://h.example/a/b?"),
    ],
)
def test_a_reference_leads_where_the_standard_says(reference: str, result: str) -> None:
    base = URL.parse("http://h.example/a/b?q")
    assert str(base.join(reference)) == result
    assert ada_url.URL(reference, "http://h.example/a/b?q").href.replace("u:p@", "") == result


@pytest.mark.parametrize(
    "reference",
    [
        "\\x",
        "/\\o.example/",
        "\\\\o.example",
        "\\/o.example",
        "//",
        "///o.example",
        "//\\o.example",
        "//o.example\\@h",
        "http:x",
        "http:/x",
        "x\ny",
        "//a b/",
        "/\t/o.example/",
    ],
)
def test_a_reference_that_could_lead_elsewhere_is_refused(reference: str) -> None:
    with pytest.raises(PorticoError):
        URL.parse("http://h.example/a/b?q").join(reference)


# -- header fields, methods, cookies, forms

EVIL = [
    "\r",
    "\n",
    "\r\n",
    "\r\nX-Evil: y",
    "\0",
    "a\rb",
    "a\nb",
    "a\0b",
    "\x01",
    "\x7f",
    "\u2028",
    "\u0100",
    "\u560d\u560a",
    "\ud800",
]


@pytest.mark.parametrize("evil", EVIL)
@pytest.mark.parametrize(
    "how", ["value", "name", "method", "cookie", "cookie name", "own cookie", "user", "host", "type"]
)
def test_a_head_holds_only_what_it_says(how: str, evil: str) -> None:
    with Session(env=False) as session:
        try:
            prepared = _prepared(session, how, evil)
        except PorticoError as refused:
            assert_one_line(str(refused))
            return
        sent = "".join(f"{name}: {value}\n" for name, value in prepared.headers.spelt())
        assert evil not in prepared.method
        assert "X-Evil: y" not in sent.split("\n")
        assert not re.search("[\r\0\x01\x7f\u0100-\U0010ffff]", sent), sent


def assert_one_line(text: str) -> None:
    assert not re.search("[\r\n\0]", text)


def _prepared(session: Session, how: str, evil: str) -> Request:
    url = "http://h.example/"
    if how == "value":
        return session.prepare("GET", url, headers={"X-A": f"a{evil}b"})
    if how == "name":
        return session.prepare("GET", url, headers={f"X-A{evil}B": "b"})
    if how == "method":
        return _sent(session, f"GET{evil}X")
    if how == "cookie":
        return session.prepare("GET", url, cookies={"a": f"b{evil}c"})
    if how == "cookie name":
        return session.prepare("GET", url, cookies={f"a{evil}": "b"})
    if how == "own cookie":
        jar = CookieJar()
        jar.set("a", f"b{evil}c", domain="h.example")
        return session.prepare("GET", url, headers={"Cookie": jar.header(URL.parse(url)) or ""})
    if how == "user":
        request = session.prepare("GET", url)
        Basic(f"u{evil}", f"p{evil}").begin(request)
        return request
    if how == "host":
        return session.prepare("GET", url, headers={"Host": f"h.example{evil}"})
    return session.prepare("POST", url, data=b"x", headers={"Content-Type": f"text/plain{evil}"})


def _sent(session: Session, method: str) -> Request:
    with Hostile([every(answer(b"x"))]) as server:
        request = session.prepare(method, server.url)
        session.send(request)
    raise AssertionError(f"{method!r} was sent")


@pytest.mark.parametrize(
    "method", ["", " ", "GET ", " GET", "G ET", "GET\t", "GET / HTTP/1.1", "GÉT", "GET:", "(GET)", "CONNECT"]
)
def test_a_method_is_a_token(method: str) -> None:
    with Session(env=False) as session, pytest.raises(PorticoError):
        _sent(session, method)


@pytest.mark.parametrize("name", ["", " ", "X A", "X-A ", " X-A", "X:A", "X-Ä", "X(A)", "X-A:"])
def test_a_field_name_is_a_token(name: str) -> None:
    with Session(env=False) as session, pytest.raises(PorticoError):
        session.prepare("GET", "http://h.example/", headers={name: "x"})


@pytest.mark.parametrize(
    "name",
    ['a"b', "a\r\nb", 'a"; filename="evil', "a\nb", "a\0b", "ä", "a\\b", 'x"\r\nX-Evil: y\r\n\r\nevil'],
)
def test_a_multipart_name_stays_within_its_quotes(name: str) -> None:
    for files, data in (
        ({"f": (name, b"x")}, None),
        ({name: ("f", b"x")}, None),
        ({"f": ("f", b"x")}, {name: "x"}),
    ):
        try:
            body = encode_body(data=data, json=None, files=files)
        except PorticoError:
            continue
        assert body is not None
        whole = b"".join(body.chunks())
        for line in whole.split(b"\r\n"):
            assert not line.startswith(b"X-Evil")
            if line.startswith(b"Content-Disposition"):
                assert re.fullmatch(
                    rb'Content-Disposition: form-data; name="[^"\r\n\0]*"(; filename="[^"\r\n\0]*")?', line
                ), line


@pytest.mark.parametrize("kind", ["text/plain\r\nX-Evil: y", "text/plain\n", "a\0"])
def test_a_multipart_type_is_one_line(kind: str) -> None:
    with pytest.raises(PorticoError):
        encode_body(data=None, json=None, files={"f": ("f", b"x", kind)})
