"""Basic authentication: who is let in, who is not, what it costs, and what it gives away."""

from __future__ import annotations

import base64
import threading
import time
from pathlib import Path

import pytest

from portico import Mounts
from portico.errors import ConfigError
from portico.web.basic_auth import REMEMBERED, WAITING, BasicAuth, read_users
from portico.web.cgi import CGI
from portico.web.passwords import Hash, hash_password
from portico.web.wsgi import WSGI
from tests.http.served import Client, Gate, chunked, get, post, serving
from tests.web.recording import RecordingExchange

CHEAP = {"ln": 4, "r": 1, "p": 1}
USERS = {"ada": hash_password("secret", **CHEAP), "gr\xfc\xdfe": hash_password("p\xe4ss:w\xf6rd", **CHEAP)}


def field(user, password, *, coding="utf-8"):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode(coding)).decode()


def whoami(exchange):
    body = exchange.body.read()
    exchange.respond(200, [], exchange.user.encode() + b"|" + body)


@pytest.fixture(scope="module")
def client():
    with serving(BasicAuth(Gate(whoami), USERS)) as server, Client(server) as client:
        yield client


@pytest.mark.parametrize(
    ("sent", "user"),
    [
        (field("ada", "secret"), "ada"),
        (field("ada", "secret").replace("Basic", "bAsIc"), "ada"),
        (field("ada", "secret").replace("Basic ", "Basic   "), "ada"),
        (field("gr\xfc\xdfe", "p\xe4ss:w\xf6rd"), "gr\xfc\xdfe"),
        (field("gru\u0308\xdfe", "pa\u0308ss:wo\u0308rd"), "gr\xfc\xdfe"),  # accents on their own
        (field("gr\xfc\xdfe", "p\xe4ss:w\xf6rd", coding="latin-1"), "gr\xfc\xdfe"),
    ],
)
def test_the_right_name_and_password_are_let_in(client, sent, user):
    for _ in range(2):
        answer = client.ask(get("/", f"Authorization: {sent}"))
        assert (answer.status, answer.body.decode()) == (200, f"{user}|")


@pytest.mark.parametrize(
    "sent",
    [
        None,
        "",
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic YWRh",  # no colon
        "Basic " + "A" * 3000,
        field("ada", "Secret"),
        field("ada", ""),
        field("ada", "secret "),
        field("ada", "secret\0"),  # the same key to scrypt
        field("ada\n", "secret"),
        field("Ada", "secret"),
        field("", "secret"),
        field("nobody", "secret"),
        field("ada", "secret").replace("Basic", "Bearer"),
        field("ada", "secret") + ", " + field("ada", "secret"),
        "Digest username=ada",
        field("ada", USERS["ada"]),  # the hash itself is no password
    ],
)
def test_everybody_else_is_asked(client, sent):
    answer = client.ask(get("/", *([] if sent is None else [f"Authorization: {sent}"])))
    assert answer.status == 401
    assert answer["www-authenticate"] == 'Basic realm="portico", charset="UTF-8"'


def test_a_realm_is_quoted():
    exchange = RecordingExchange().run(BasicAuth(Gate(whoami), USERS, 'the "good" \\ one'))
    assert exchange.sent_header("WWW-Authenticate") == (
        'Basic realm="the \\"good\\" \\\\ one", charset="UTF-8"'
    )


@pytest.mark.parametrize("realm", ["", "a\r\nb", "caf\xe9"])
def test_a_realm_that_cannot_be_sent_is_refused(realm):
    with pytest.raises(ConfigError, match="realm"):
        BasicAuth(Gate(whoami), USERS, realm)


@pytest.mark.parametrize(
    "users", [{}, {"a:b": USERS["ada"]}, {"": USERS["ada"]}, {"ada": "secret"}, {"a\n": USERS["ada"]}]
)
def test_users_that_cannot_be_are_refused(users):
    with pytest.raises(ConfigError):
        BasicAuth(Gate(whoami), users)


# What it costs


class Counted:
    """Hashes that count how often they are asked."""

    def __init__(self, auth):
        self.checks = self.dummies = 0
        for user, known in auth._hashes.items():
            auth._hashes[user] = self.counting(known)
        auth._dummy = next(iter(auth._hashes.values()))

    def counting(self, known):
        def check(password):
            self.checks += 1
            return known.check(password)

        def dummy(password):
            self.dummies += 1
            return known.dummy(password)

        return Hash(check, dummy)


def asked(auth, sent):
    return RecordingExchange("GET", "/", [("Authorization", sent)]).run(auth).status


def test_what_was_right_is_checked_once_and_what_was_wrong_each_time():
    auth = BasicAuth(Gate(whoami), USERS)
    counted = Counted(auth)
    assert [asked(auth, field("ada", "secret")) for _ in range(5)] == [200] * 5
    assert counted.checks == 1
    assert [asked(auth, field("ada", "wrong")) for _ in range(3)] == [401] * 3
    assert counted.checks == 4


def test_an_unknown_user_costs_the_same_as_a_known_one():
    auth = BasicAuth(Gate(whoami), USERS)
    counted = Counted(auth)
    assert asked(auth, field("nobody", "secret")) == 401
    assert (counted.checks, counted.dummies) == (0, 1)


def test_the_password_itself_is_not_remembered_and_no_more_than_so_many():
    auth = BasicAuth(Gate(whoami), USERS)
    asked(auth, field("ada", "secret"))
    assert not any(b"secret" in key or b"YWRh" in key for key in auth._known)
    for number in range(REMEMBERED + 10):  # blanks make another field of the same password
        asked(auth, field("ada", "secret").replace(" ", " " * (number % 800 + 1)) + " " * (number // 800))
    assert len(auth._known) <= REMEMBERED


def test_guessing_does_not_take_all_threads():
    auth = BasicAuth(Gate(whoami), USERS)
    entered, release = threading.Semaphore(0), threading.Event()

    def slow(password):
        entered.release()
        assert release.wait(20)
        return False

    auth._dummy = Hash(slow, slow)
    statuses = []

    def guess():
        statuses.append(asked(auth, field("nobody", "x")))

    threads = [threading.Thread(target=guess) for _ in range(WAITING + 4)]
    for thread in threads:
        thread.start()
    assert entered.acquire(timeout=20)
    while statuses.count(503) < 3:
        time.sleep(0.001)
    assert asked(auth, field("nobody", "y")) == 503
    release.set()
    for thread in threads:
        thread.join(20)
    assert sorted(statuses) == [401] * (WAITING + 1) + [503] * 3
    assert asked(auth, field("ada", "secret")) == 200


# Bodies


def test_a_stranger_is_asked_before_a_large_body_arrives():
    with serving(BasicAuth(Gate(whoami), USERS)) as server, Client(server) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
        assert client.answer("POST").status == 401


@pytest.mark.parametrize("times", [1, 2])
def test_a_body_reaches_the_gateway_the_first_time_and_later(times):
    with serving(BasicAuth(Gate(whoami), USERS)) as server, Client(server) as client:
        sent = f"Authorization: {field('ada', 'secret')}"
        for _ in range(times):
            assert client.ask(post(b"x" * 1000, "/", sent), "POST").body == b"ada|" + b"x" * 1000
            assert client.ask(chunked([b"ab", b"cd"], "/", sent), "POST").body == b"ada|abcd"


# Programs


def test_programs_are_told_the_user(tmp_path: Path):
    def app(environ, start_response):
        start_response("200 OK", [])
        said = f"{environ.get('AUTH_TYPE')} {environ.get('REMOTE_USER')}"
        return [said.encode("latin-1")]

    script = tmp_path / "who"
    script.write_text(
        '#!/bin/sh\necho "Content-Type: text/plain"; echo; printf "%s %s" "$AUTH_TYPE" "$REMOTE_USER"\n'
    )
    script.chmod(0o755)
    mounts = Mounts(
        [
            ("/wsgi", BasicAuth(WSGI(app), USERS)),
            ("/cgi", BasicAuth(CGI(tmp_path), USERS)),
            ("/open", WSGI(app)),
        ]
    )
    with serving(mounts, plain=True) as server, Client(server) as client:
        for user, password in (("ada", "secret"), ("gr\xfc\xdfe", "p\xe4ss:w\xf6rd")) * 2:
            sent = f"Authorization: {field(user, password)}"
            for path in ("/wsgi/x", "/cgi/who", "/wsgi/x"):
                assert client.ask(get(path, sent)).body.decode() == f"Basic {user}"
            assert client.ask(get("/open", sent)).body == b"None None"


# Files of users


def test_a_file_of_users(tmp_path: Path):
    file = tmp_path / "users"
    lines = [f"{user}:{digest}" for user, digest in USERS.items()]
    file.write_text(f"# who may come\n\n{lines[0]}\n  {lines[1]}  \n")
    assert read_users(str(file)) == USERS


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"ada\n", "line 1: expected name:hash"),
        (b"\n:x\n", "line 2: expected name:hash"),
        (b"ada:secret\n", "line 1: the password of ada: not a hash"),
        (b"a:" + USERS["ada"].encode() + b"\na:" + USERS["ada"].encode(), "line 2: a stands there twice"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_a_file_of_users_that_is_wrong_says_where(tmp_path: Path, text, says):
    file = tmp_path / "users"
    file.write_bytes(text)
    with pytest.raises(ConfigError) as caught:
        read_users(str(file))
    assert says in str(caught.value)


def test_a_file_of_users_that_is_not_there(tmp_path: Path):
    with pytest.raises(ConfigError, match="No such file"):
        read_users(str(tmp_path / "none"))
