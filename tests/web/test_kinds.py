"""From whatever a user has to a gateway."""

from __future__ import annotations

import functools
import logging
from pathlib import Path

import pytest

from portico.errors import ConfigError
from portico.server import Server
from portico.web.kinds import as_gateway, is_gateway, kind_of
from portico.web.mounts import Mounts
from portico.web.wsgi import WSGI
from tests.http.served import Client, Gate, echo, get
from tests.peers import need_module


def wsgi(environ, start_response):
    start_response("200 OK", [])
    return [b"wsgi"]


def wsgi_with_more(environ, start_response, extra=None, *, option=1):
    return []


def hidden(*args, **kwargs):
    return wsgi(*args, **kwargs)


@functools.wraps(wsgi)
def decorated(*args):
    return wsgi(*args)


async def asgi(scope, receive, send):
    pass


def asgi_in_disguise(scope, receive, send):
    pass


def handler(stream):
    pass


async def awaited_handler(stream):
    pass


class Handler:
    def handle(self):
        pass


class Instance:
    def __call__(self, environ, start_response):
        return []


class AsgiInstance:
    async def __call__(self, scope, receive, send):
        pass


class Answers:
    """PEP 3333's own example: the class is the application."""

    def __init__(self, environ, start_response):
        pass

    def __iter__(self):
        return iter([])


@pytest.mark.parametrize(
    ("thing", "kind"),
    [
        (wsgi, "wsgi"),
        (wsgi_with_more, "wsgi"),
        (hidden, "wsgi"),
        (decorated, "wsgi"),
        (lambda environ, start_response: [], "wsgi"),
        (functools.partial(wsgi_with_more, extra=1), "wsgi"),
        (functools.partial(asgi_in_disguise, {}), "wsgi"),
        (Instance(), "wsgi"),
        (Instance().__call__, "wsgi"),
        (Answers, "wsgi"),
        (asgi, "asgi"),
        (asgi_in_disguise, "asgi"),
        (AsgiInstance(), "asgi"),
        (functools.partial(asgi), "asgi"),
        (handler, "handler"),
        (awaited_handler, "handler"),
        (Handler, "handler"),
        (functools.partial(wsgi, {}), "function"),
        (logging.getLogger, ""),
        (Handler(), ""),
        (lambda: None, ""),
        (lambda a, b, c, d: None, ""),
        (object, ""),
        (5, ""),
        (None, ""),
        ("wsgi", ""),
    ],
)
def test_the_kind_of_a_thing_is_found_out(thing, kind):
    assert kind_of(thing) == kind


@pytest.mark.parametrize("framework", ["flask", "django", "werkzeug"])
def test_the_applications_of_frameworks_are_wsgi(framework):
    module = need_module(framework)
    if framework == "flask":
        assert kind_of(module.Flask("app")) == "wsgi"
    elif framework == "django":
        assert (
            kind_of(need_module("django.core.handlers.wsgi").WSGIHandler.__call__.__get__(object())) == "wsgi"
        )
    else:
        application = need_module("werkzeug.wrappers").Request.application
        assert kind_of(application(lambda request: None)) == "wsgi"


def test_a_gateway_stays_what_it_is():
    gate = Gate(echo)
    assert as_gateway(gate) is gate
    assert is_gateway(gate)
    assert not is_gateway(Mounts([("/", gate)]))  # many: see is_served
    assert not is_gateway(Gate)
    assert not is_gateway(wsgi)


def test_an_application_becomes_a_gateway_with_a_name():
    gateway = as_gateway(wsgi, "shop:app")
    assert isinstance(gateway, WSGI)
    assert gateway.name == "wsgi:shop:app"
    assert as_gateway(wsgi).name == "wsgi:wsgi"
    assert as_gateway(Instance()).name == "wsgi:Instance"


@pytest.mark.parametrize("name", ["site", Path("site")])
def test_the_name_of_a_folder_is_told_how_to_be_one(name):
    with pytest.raises(ConfigError, match=r"^'site' is no web application; .*\.Static\('site'\)$"):
        Server(name, "http://127.0.0.1:0").prepare()


@pytest.mark.parametrize("thing", [asgi, handler, Handler, 5, None, "x"])
def test_what_is_no_web_application_is_refused_before_anything_is_served(thing):
    with pytest.raises(ConfigError):
        as_gateway(thing, "it")
    with pytest.raises(ConfigError):
        Server(thing, "http://127.0.0.1:0").start()


def test_gateways_and_mounts_speak_http_on_plain_stream_addresses_too():
    for thing in (Gate(echo), Mounts([("/", Gate(echo))])):
        with Server(thing, "tcp://127.0.0.1:0", grace=2) as server, Client(server) as client:
            assert client.ask(get()).body == b"GET / "
    with Server(wsgi, "tcp://127.0.0.1:0", wire="http", grace=2) as server, Client(server) as client:
        assert client.ask(get()).body == b"wsgi"
