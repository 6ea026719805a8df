"""Cookies: which are taken, where they go, and what nobody can do with them."""

from __future__ import annotations

import http.cookiejar
import subprocess
from http.cookiejar import MozillaCookieJar
from threading import Thread

import pytest

from portico.client.cookie_file import load, save
from portico.client.cookie_text import cookie_date, read_set_cookie
from portico.client.cookies import Cookie, CookieJar, as_jar, given_cookies
from portico.client.session import Session
from portico.client.url import URL
from portico.errors import ConfigError
from portico.limits import Limits
from portico.web.wsgi import WSGI
from tests.http.served import serving
from tests.peers import need

NOW = 1_800_000_000.0


def after(
    url: str, *values: str, then: str | None = None, later: float = 0.0, jar: CookieJar | None = None
) -> str | None:
    """What is sent to ``then`` after ``url`` has set cookies."""
    jar = CookieJar() if jar is None else jar
    jar.store(URL.parse(url), values, NOW)
    return jar.header(URL.parse(then or url), NOW + later)


@pytest.mark.parametrize(
    ("values", "sent"),
    [
        (["a=1"], "a=1"),
        (["a=1", "b=2"], "a=1; b=2"),
        (["a=1", "a=2"], "a=2"),
        (["  a  =  1  "], "a=1"),
        (['a="quoted"'], 'a="quoted"'),
        (['a="1'], 'a="1'),
        (["a=b=c"], "a=b=c"),
        (["a="], "a="),
        (["novalue"], "novalue"),
        (["=novalue"], "novalue"),
        (["="], None),
        ([""], None),
        ([";a=1"], None),
        (["a=1; b=2; c"], "a=1"),
        (["a=1;;;secure=no;;httponly"], None),  # secure, whatever it is said to be
        (["a=1,b=2"], "a=1,b=2"),
        (["a=\xe4\xff"], "a=\xe4\xff"),
        (["a=1; Path=/; Path=/x"], None),
        (["a=1; Path=nowhere"], "a=1"),
        (["a=1; Domain="], "a=1"),
        (["a=1; Max-Age=0"], None),
        (["a=1; Max-Age=-1"], None),
        (["a=1; Max-Age=10"], "a=1"),
        (["a=1; Max-Age=ten"], "a=1"),
        (["a=1; Max-Age=99999999999999999999999999"], "a=1"),
        (["a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT"], None),
        (["a=1; Expires=Thu, 01 Jan 2099 00:00:00 GMT"], "a=1"),
        (["a=1; Max-Age=10; Expires=Thu, 01 Jan 1970 00:00:00 GMT"], "a=1"),
        (["a=1; Expires=nonsense"], "a=1"),
        (["a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Expires=junk"], None),
        (["a=1; Max-Age=0; Max-Age=junk"], None),
        (["a=1; Max-Age=00000000000000000010"], "a=1"),
        (["a=1\t2"], None),
        (["a=1", "a=; Max-Age=0"], None),
        (["a=1\x00b"], None),
        (["a=1\r\nX: y"], None),
        (["a\x07=1"], None),
    ],
)
def test_what_a_server_sets_goes_back_to_it(values, sent):
    assert after("http://www.example.org/", *values) == sent


@pytest.mark.parametrize(
    ("url", "attributes", "then", "goes"),
    [
        ("http://example.org/", "", "http://example.org/", True),
        ("http://example.org/", "", "http://www.example.org/", False),
        ("http://www.example.org/", "Domain=example.org", "http://other.example.org/", True),
        ("http://www.example.org/", "Domain=.example.org", "http://example.org/", True),
        ("http://www.example.org/", "Domain=EXAMPLE.ORG", "http://example.org/", True),
        ("http://www.example.org/", "Domain=example.org", "http://notexample.org/", False),
        ("http://www.example.org/", "Domain=www.example.org", "http://example.org/", False),
        ("http://example.org/", "Domain=www.example.org", "http://www.example.org/", False),
        ("http://example.org/", "Domain=example.com", "http://example.com/", False),
        ("http://example.org/", "Domain=org", "http://other.org/", False),
        ("http://example.co.uk/", "Domain=co.uk", "http://other.co.uk/", False),
        ("http://me.github.io/", "Domain=github.io", "http://you.github.io/", False),
        ("http://github.io/", "Domain=github.io", "http://github.io/", True),
        ("http://github.io/", "Domain=github.io", "http://you.github.io/", False),
        (
            "http://a.compute.amazonaws.com/",
            "Domain=compute.amazonaws.com",
            "http://b.compute.amazonaws.com/",
            False,
        ),
        ("http://localhost/", "", "http://localhost:8080/", True),  # ports do not separate cookies
        ("http://localhost/", "Domain=localhost", "http://localhost/", True),
        ("http://127.0.0.1/", "", "http://127.0.0.1/", True),
        ("http://127.0.0.1/", "Domain=127.0.0.1", "http://127.0.0.1/", True),
        ("http://127.0.0.1/", "Domain=0.0.1", "http://127.0.0.1/", False),
        ("http://127.0.0.1/", "Domain=.1", "http://127.0.0.1/", False),
        ("http://[::1]/", "Domain=[::1]", "http://[::1]/", False),
        (
            "http://bücher.example.org/",
            "Domain=xn--bcher-kva.example.org",
            "http://a.bücher.example.org/",
            True,
        ),
        ("http://example.org/", "Domain=../etc", "http://example.org/", False),
        # Paths
        ("http://h/a/b", "", "http://h/a/c", True),
        ("http://h/a/b", "", "http://h/a", True),
        ("http://h/a/b", "", "http://h/ab", False),
        ("http://h/a/b", "", "http://h/", False),
        ("http://h/a/", "Path=/a", "http://h/a/b/c", True),
        ("http://h/", "Path=/a", "http://h/ab", False),
        ("http://h/", "Path=/a/", "http://h/a", False),
        ("http://h/", "Path=/a", "http://h/a?q", True),
        # Secure
        ("https://h/", "Secure", "https://h/", True),
        ("https://h/", "Secure", "http://h/", False),
        ("http://h/", "Secure", "https://h/", False),
        ("https://h/", "", "http://h/", True),
    ],
)
def test_domains_paths_and_secure_channels(url, attributes, then, goes):
    assert after(url, f"a=1; {attributes}", then=then) == ("a=1" if goes else None)


def test_longer_paths_come_first_and_older_ones_before_younger():
    jar = CookieJar()
    jar.store(URL.parse("http://h/x/y"), ["one=1; Path=/"], NOW)
    jar.store(URL.parse("http://h/x/y"), ["two=2; Path=/x/y"], NOW + 1)
    jar.store(URL.parse("http://h/x/y"), ["three=3; Path=/"], NOW + 2)
    jar.store(URL.parse("http://h/x/y"), ["one=new; Path=/"], NOW + 3)
    assert jar.header(URL.parse("http://h/x/y"), NOW + 4) == "two=2; one=new; three=3"


def test_cookies_of_one_answer_go_back_in_the_order_in_which_they_came(tmp_path):
    jar = CookieJar()
    there = URL.parse("http://sub.example.org/")
    sent = "wide=1; own=2; more=3; again=new"
    values = ["again=old", "wide=1; Domain=example.org", "own=2", "more=3; Domain=example.org", "again=new"]
    jar.store(there, values[:1], NOW + 9)  # set again, it keeps its place
    jar.store(there, values[1:], NOW)
    assert jar.header(there, NOW) == sent
    save(jar, tmp_path / "file")
    assert load(tmp_path / "file").header(there) == sent


def test_a_cookie_for_the_host_alone_does_not_replace_one_for_all_below_it(tmp_path):
    jar = CookieJar()
    host, below = URL.parse("http://example.org/"), URL.parse("http://sub.example.org/")
    jar.store(host, ["a=all; Domain=example.org", "a=own"], NOW)
    assert jar.header(host, NOW) == "a=all; a=own"
    assert jar.header(below, NOW) == "a=all"
    save(jar, tmp_path / "file")
    assert facts(load(tmp_path / "file")) == facts(jar)
    jar.store(host, ["a=; Max-Age=0"], NOW)
    assert jar.header(host, NOW) == "a=all"


def test_a_cookie_ends_when_it_says():
    jar = CookieJar()
    assert after("http://h/", "a=1; Max-Age=10", later=9, jar=jar) == "a=1"
    assert jar.header(URL.parse("http://h/"), NOW + 10) is None
    assert after("http://h/", "b=1; Max-Age=999999999", later=399 * 86400) == "b=1"
    assert after("http://h/", "b=1; Max-Age=999999999", later=401 * 86400) is None


def test_a_secure_cookie_is_neither_replaced_nor_hidden_from_plain_http():
    for setter in ("http://h.example.org/", "http://example.org/"):
        jar = CookieJar()
        jar.store(URL.parse("https://h.example.org/"), ["id=good; Secure; Path=/; Domain=example.org"], NOW)
        jar.store(
            URL.parse(setter), ["id=evil; Path=/", "id=evil; Path=/deep", "id=evil; Domain=example.org"], NOW
        )
        assert jar.header(URL.parse("https://h.example.org/deep/x"), NOW) == "id=good"


def test_a_secure_cookie_that_has_ended_stands_in_the_way_of_none():
    jar = CookieJar()
    jar.store(URL.parse("https://h/"), ["id=1; Secure; Max-Age=10"], NOW)
    jar.store(URL.parse("http://h/"), ["id=2"], NOW + 9)
    assert jar.header(URL.parse("http://h/"), NOW + 9) is None
    jar.store(URL.parse("http://h/"), ["id=3"], NOW + 10)
    assert jar.header(URL.parse("http://h/"), NOW + 10) == "id=3"


def test_a_cookie_without_a_name_cannot_pass_for_a_secure_one():
    jar = CookieJar()
    jar.store(URL.parse("https://h/app/"), ["sid=good; Secure; Path=/"], NOW)
    jar.store(URL.parse("http://h/app/"), ["=sid=evil; Path=/app", "==sid=evil", "alone"], NOW)
    assert jar.header(URL.parse("https://h/app/"), NOW) == "alone; sid=good"


@pytest.mark.parametrize(
    ("value", "taken"),
    [
        ("__Secure-a=1; Secure", True),
        ("__Secure-a=1", False),
        ("__secure-a=1", False),
        ("__Host-a=1; Secure; Path=/", True),
        ("__Host-a=1; Secure; Path=/; Domain=h.example.org", False),
        ("__Host-a=1; Secure", False),
        ("__Host-a=1; Path=/", False),
        ("__HOST-a=1; Path=/", False),
        ("=__Host-a=1; Path=/", False),
        ("=__Secure-a", False),
    ],
)
def test_names_keep_what_they_promise(value, taken):
    assert (after("https://h.example.org/x/y", value, then="https://h.example.org/x/y") is not None) is taken


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Thu, 01 Jan 1970 00:00:10 GMT", 10),
        ("Thursday, 01-Jan-70 00:00:10 GMT", 10),
        ("Thu Jan  1 00:00:10 1970", 10),
        ("1 jan 1970 0:0:10", 10),
        ("Thu, 01-Jan-1970 00:00:10 GMT", 10),
        ("00:00:10 1970 1 January", 10),
        ("Thu, 01 Jan 1970", None),
        ("Thu, 32 Jan 1970 00:00:00 GMT", None),
        ("Thu, 01 Jan 1970 24:00:00 GMT", None),
        ("Thu, 01 Jan 1600 00:00:00 GMT", None),
        ("Fri, 01 Jan 2038 00:00:00 GMT", 2145916800),
        ("Fri, 01 Jan 38 00:00:00 GMT", 2145916800),
        ("", None),
        ("\u0661 jan 1970 0:0:10", None),
    ],
)
def test_dates_are_read_as_servers_write_them(text, seconds):
    assert cookie_date(text) == seconds


def test_same_site_and_http_only_are_kept():
    found = read_set_cookie("a=1; HttpOnly; SameSite=lax")
    assert found is not None
    assert (found.http_only, found.same_site) == (True, "Lax")


# -- what is too much


def test_a_cookie_that_is_too_long_is_not_taken():
    assert after("http://h/", "a=" + "x" * 4095) is not None
    assert after("http://h/", "a=" + "x" * 4096) is None


def test_one_domain_cannot_push_out_the_cookies_of_another():
    jar = CookieJar(limits=Limits().but(cookies=300, cookies_per_domain=50))
    jar.store(URL.parse("http://good.org/"), ["id=1"], NOW)
    for number in range(1000):
        jar.store(URL.parse("http://evil.com/"), [f"c{number}=x"], NOW + number)
    assert len(jar) == 51
    assert jar.header(URL.parse("http://good.org/"), NOW) == "id=1"
    for number in range(1000):
        jar.store(URL.parse(f"http://h{number % 20}.evil.com/"), [f"c{number}=x"], NOW + number)
    assert len(jar) == 300
    assert jar.header(URL.parse("http://good.org/"), NOW) == "id=1"


def test_secure_cookies_are_the_last_to_go():
    jar = CookieJar(limits=Limits().but(cookies_per_domain=3))
    jar.store(URL.parse("https://h.org/"), ["id=1; Secure"], NOW)
    for number in range(9):
        jar.store(URL.parse("http://h.org/"), [f"c{number}=x"], NOW + number)
    assert jar.header(URL.parse("https://h.org/"), NOW) == "id=1; c7=x; c8=x"


def test_a_site_of_many_hosts_cannot_push_out_the_cookies_of_another():
    jar = CookieJar(limits=Limits().but(cookies=300, cookies_per_domain=50))
    jar.store(URL.parse("http://good.org/"), ["one=1", "two=2"], NOW)
    for number in range(1000):
        jar.store(URL.parse(f"http://h{number}.evil.com/"), ["c=x"], NOW + number)
    assert jar.header(URL.parse("http://good.org/"), NOW) == "one=1; two=2"
    assert len(jar) == 300
    assert len(jar._domains) == 299


def test_what_a_server_sets_can_be_saved_and_loaded(tmp_path):
    jar = CookieJar()
    for value in ("a=1\t2", "b=x\x85y", "c=\xff\u00e4", "d=1; Path=/a\tb", "e=\x1c", "f=\x0b"):
        jar.store(URL.parse("http://example.org/"), [value])
    save(jar, tmp_path / "file")
    assert facts(load(tmp_path / "file")) == facts(jar)
    assert {cookie.name for cookie in jar} == {"b", "c"}
    assert b"c\t\xff\xe4\n" in (tmp_path / "file").read_bytes()


@pytest.mark.parametrize(
    "facts", [{"path": "x"}, {"path": "/\n.evil"}, {"path": "/;"}, {"domain": ".com"}, {"domain": ".co.uk"}]
)
def test_a_cookie_that_would_be_another_is_not_set(facts):
    with pytest.raises(ConfigError):
        CookieJar().set("a", "1", **{"domain": "h.org", **facts})


def test_jars_take_each_other_up():
    jar, other = CookieJar(), CookieJar()
    other.store(URL.parse("http://a.org/"), ["a=1"])
    jar.update(other)
    jar.update({"b": "2"}, c="3")
    assert dict(jar.items()) == {"a": "1", "b": "2", "c": "3"}
    assert jar.popitem()[0] in "bc"
    assert jar.pop("a") == "1"
    assert len(jar) == 1
    jar.clear()
    with pytest.raises(KeyError):
        jar.popitem()


def test_a_jar_made_by_hand_can_be_saved_before_it_is_used(tmp_path):
    save(as_jar({"a": "1"}), tmp_path / "file")
    assert len(load(tmp_path / "file")) == 0


def test_many_threads_share_a_jar():
    jar = CookieJar()
    url = URL.parse("http://h/")

    def work(number: int) -> None:
        for each in range(200):
            jar.store(url, [f"c{number}={each}"])
            jar.header(url)

    workers = [Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert dict(jar.items()) == {f"c{number}": "199" for number in range(4)}


# -- as users see it


def test_a_jar_is_a_mapping():
    jar = CookieJar()
    jar.set("a", "1", domain="example.org")
    jar["b"] = "2"
    assert (jar["a"], jar["b"], len(jar), "a" in jar, "x" in jar) == ("1", "2", 2, True, False)
    assert jar.get("x") is None
    assert sorted(jar.keys()) == ["a", "b"]
    assert {cookie.name for cookie in jar} == {"a", "b"}
    del jar["a"]
    with pytest.raises(KeyError):
        jar["a"]
    jar.set("b", None)
    assert not jar


def test_a_cookie_without_a_domain_goes_to_the_first_host_alone():
    jar = as_jar({"a": "1"})
    first, other = URL.parse("http://first.org/"), URL.parse("http://other.org/")
    jar.settle(first)
    assert jar.header(first) == "a=1"
    jar.settle(other)
    assert jar.header(other) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("a", "1; b=2"), ("a", "1\r\nX: y"), ("a=b", "1"), ("", "1"), ("a b", "1"), ("a", "\0")],
)
def test_no_cookie_of_ours_can_be_read_as_two(name, value):
    with pytest.raises(ConfigError):
        given_cookies({name: value}, URL.parse("http://x.test/"))
    with pytest.raises(ConfigError):
        CookieJar().set(name, value)


def test_of_a_jar_only_what_is_for_a_url_is_sent_there():
    jar, standard = CookieJar(), http.cookiejar.CookieJar()
    set_by = ["s=1; Path=/", "p=1; Path=/x/", "w=1; Domain=a.org; Path=/; Secure"]
    jar.store(URL.parse("https://a.org/x/"), set_by)
    for each in jar:
        domain = each.domain if each.host_only else f".{each.domain}"
        standard.set_cookie(
            http.cookiejar.Cookie(
                *(0, each.name, each.value, None, False, domain, True, not each.host_only, each.path, True),
                *(each.secure, None, False, None, None, {}),
            )
        )
    for given in (jar, standard, as_jar(standard)):
        urls = map(URL.parse, ("http://a.org/", "https://b.a.org/", "http://b.org/"))
        assert [given_cookies(given, url) for url in urls] == ["s=1", "w=1", ""]
    with Session(env=False) as session:
        assert session.prepare("GET", "http://a.org/", cookies=jar).headers["Cookie"] == "s=1"
        assert "Cookie" not in session.prepare("GET", "http://b.org/", cookies=jar).headers


@pytest.mark.parametrize("given", ["a=1; b=2", [("a",)], 3, [1]])
def test_what_holds_no_cookies_is_an_error(given):
    with pytest.raises(ConfigError):
        given_cookies(given, URL.parse("http://x.test/"))
    with pytest.raises(ConfigError):
        as_jar(given)
    assert as_jar([("a", "1")])["a"] == "1"


def test_cookies_are_forgotten_by_domain_path_and_session():
    jar = CookieJar()
    jar.store(URL.parse("http://a.org/x/"), ["s=1", "p=1; Max-Age=1000000000"])
    jar.store(URL.parse("http://b.org/"), ["s=1"])
    jar.clear_session()
    assert [(cookie.name, cookie.domain) for cookie in jar] == [("p", "a.org")]
    jar.clear("b.org")
    assert len(jar) == 1
    jar.clear("a.org", "/x")
    assert len(jar) == 0


# -- files


def jar_of_many() -> CookieJar:
    jar = CookieJar()
    jar.store(URL.parse("https://a.example.org/deep/x"), ["one=1; Secure; HttpOnly; Max-Age=1000000", "two="])
    jar.store(URL.parse("http://a.example.org/"), ["three=3; Domain=example.org; Max-Age=1000000"])
    jar.store(URL.parse("http://other.org/"), ["own=" + "grün".encode().decode("latin-1")])
    return jar


def facts(jar: CookieJar) -> set[tuple[object, ...]]:
    return {
        (c.name, c.value, c.domain, c.path, c.host_only, c.secure, c.http_only, int(c.expires or 0))
        for c in jar
    }


def test_what_is_saved_is_loaded_again(tmp_path):
    path = tmp_path / "cookies.txt"
    jar = jar_of_many()
    save(jar, path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert facts(load(path)) == facts(jar)
    save(jar, path, session=False)
    assert {cookie.name for cookie in load(path)} == {"one", "three"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["cookies.txt"]


def test_the_standard_library_reads_what_we_write_and_we_what_it_writes(tmp_path):
    path = tmp_path / "cookies.txt"
    save(jar_of_many(), path)
    theirs = MozillaCookieJar(str(path))
    theirs.load(ignore_discard=True, ignore_expires=True)
    assert {(c.name, c.value or "", c.domain.lstrip("."), c.path, c.secure) for c in theirs} == {
        (c.name, c.value.encode("latin-1").decode(), c.domain, c.path, c.secure) for c in jar_of_many()
    }
    theirs.save(ignore_discard=True, ignore_expires=True)
    assert {(c.name, c.domain) for c in load(path)} == {(c.name, c.domain) for c in jar_of_many()}


@pytest.fixture(scope="module")
def cookie_server():
    """Sets cookies, and answers with those it got."""

    def app(environ, start_response):
        kept = [
            ("Set-Cookie", "kept=1; Max-Age=1000000; Path=/"),
            ("Set-Cookie", "hidden=2; HttpOnly; Max-Age=1000"),
        ]
        start_response("200 OK", [*kept, ("Set-Cookie", "session=3")])
        return [environ.get("HTTP_COOKIE", "").encode()]

    with serving(WSGI(app)) as server:
        yield str(server.addresses[0]).replace("tcp:", "http:")


def test_curl_and_wget_take_our_file_and_we_theirs(tmp_path, cookie_server):
    path, answer = tmp_path / "cookies.txt", tmp_path / "answer"
    curl, wget = need("curl"), need("wget")
    subprocess.run([curl, "-s", "-c", path, cookie_server], check=True, timeout=20)
    jar = load(path)
    assert {(cookie.name, cookie.http_only) for cookie in jar} == {
        ("kept", False),
        ("hidden", True),
        ("session", False),
    }
    jar.set("ours", "4", domain="127.0.0.1", expires=NOW * 2)
    save(jar, path)
    sent = subprocess.run(
        [curl, "-s", "-b", path, cookie_server], check=True, timeout=20, capture_output=True
    )
    assert set(sent.stdout.decode().split("; ")) == {"kept=1", "hidden=2", "session=3", "ours=4"}
    arguments = ["-q", "--load-cookies", path, "--save-cookies", path, "--keep-session-cookies", "-O", answer]
    subprocess.run([wget, *arguments, cookie_server], check=True, timeout=20)
    assert {"kept=1", "ours=4"} <= set(answer.read_text().split("; "))
    assert {"kept", "ours"} <= {cookie.name for cookie in load(path)}


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff# Netscape HTTP Cookie File\nexample.org\tFALSE\t/\tFALSE\t0\ta\t1\n",
        "example.org\tfalse\t/\tfalse\t0\ta\t1\n",
        "example.org\tFALSE\tnowhere\tFALSE\t0\ta\t1\n",
        "example.org\tFALSE\t\tFALSE\t0\ta\t1\n",
    ],
)
def test_files_that_curl_takes_are_taken(tmp_path, text):
    path = tmp_path / "cookies.txt"
    path.write_text(text, encoding="utf-8")
    assert load(path).header(URL.parse("http://example.org/any")) == "a=1"


@pytest.mark.parametrize(
    "line",
    [
        "example.org\tFALSE\t/\tFALSE\t0\tname",
        "example.org FALSE / FALSE 0 name value",
        "example.org\tMAYBE\t/\tFALSE\t0\tname\tvalue",
        "example.org\tFALSE\t/\tFALSE\tsoon\tname\tvalue",
        "example.org\tFALSE\t/\tFALSE\tinf\tname\tvalue",
        "exa mple\tFALSE\t/\tFALSE\t0\tname\tvalue",
        "example.org\tFALSE\t/\tFALSE\t0\tname\tva;lue",
    ],
)
def test_a_line_that_is_no_cookie_is_named(tmp_path, line):
    path = tmp_path / "cookies.txt"
    path.write_text(
        f"# Netscape HTTP Cookie File\n\n{line}\n"
        if "\tname\t" in line or " " in line
        else f"\n\n{line}\textra\tmore\n"
    )
    with pytest.raises(ConfigError, match="line 3"):
        load(path)


def test_a_file_that_is_not_there_is_an_error_unless_it_may_be_missing(tmp_path):
    with pytest.raises(ConfigError, match="no file"):
        as_jar(tmp_path / "none")
    assert len(load(tmp_path / "none", missing_ok=True)) == 0
    with pytest.raises(ConfigError, match="cannot write"):
        save(CookieJar(), tmp_path / "none" / "file")


def test_a_cookie_is_a_value():
    assert Cookie("a", "1", "h").goes_to(URL.parse("http://h/"), NOW)
