"""A guest book: one plain WSGI application (PEP 3333), without a framework, kept in memory.

``GET /`` the book and its form · ``POST /`` an entry · ``GET /now.json`` facts for the page's live
panel · ``GET /count`` an answer that is streamed line by line.
"""

from __future__ import annotations

import html
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

__all__ = ["app"]

NAME, WORDS = 60, 500
"""Longest name and longest entry, in characters."""
FORM = 8192
"""Longest form that is read, in bytes: both fields, percent-encoded, fit."""
PAUSE = 0.15
"""Seconds between two lines of ``/count``: slow enough to be seen arriving."""

Answer = tuple[str, list[tuple[str, str]], Iterable[bytes]]

book: deque[tuple[str, str, str]] = deque(maxlen=50)
"""``(time, name, words)``, the newest first. Appending to a deque is atomic; no lock is needed."""


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The application: look up the route, let it answer."""
    method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "") or "/"
    routes = ROUTES.get(path)
    if routes is None:
        status, headers, body = _plain("404 Not Found", f"nothing here: {path}\n")
    elif method not in routes:
        status, headers, body = _plain("405 Method Not Allowed", "not with this method\n")
        headers.append(("Allow", ", ".join(routes)))
    else:
        status, headers, body = routes[method](environ)
    start_response(status, headers)
    return () if method == "HEAD" else body


def show(environ: WSGIEnvironment) -> Answer:
    """The book and its form."""
    entries = "".join(
        f"<article class=card><div class=kind>{when}</div><h2>{html.escape(name)}</h2>"
        f"<p>{html.escape(words)}</p></article>"
        for when, name, words in list(book)
    )
    text = PAGE.format(
        action=html.escape(environ.get("SCRIPT_NAME", ""), quote=True) + "/",
        entries=entries or "<p>Nobody has signed yet.</p>",
        name=NAME,
        words=WORDS,
    )
    return _whole("200 OK", "text/html; charset=utf-8", text)


def sign(environ: WSGIEnvironment) -> Answer:
    """Take an entry, then send the browser back to the book, so that reloading signs nothing twice."""
    if environ.get("HTTP_SEC_FETCH_SITE", "none") not in ("none", "same-origin"):
        return _plain("403 Forbidden", "the form of another site may not sign this book\n")
    data = _body(environ)
    if len(data) > FORM:
        return _plain("413 Content Too Large", f"at most {FORM} bytes\n")
    form = parse_qs(data.decode("utf-8", "replace"))
    name = form.get("name", [""])[0].strip()[:NAME]
    words = form.get("words", [""])[0].strip()[:WORDS]
    if not name or not words:
        return _plain("422 Unprocessable Content", "a name and some words, please\n")
    book.appendleft((time.strftime("%Y-%m-%d %H:%M", time.gmtime()), name, words))
    status, headers, body = _plain("303 See Other", "thank you\n")
    return status, [*headers, ("Location", environ.get("SCRIPT_NAME", "") + "/")], body


def now(environ: WSGIEnvironment) -> Answer:
    """Facts about this very request, as JSON."""
    facts = {
        "time": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        "server": environ.get("SERVER_SOFTWARE", ""),
        "thread": threading.current_thread().name,
        "entries": len(book),
    }
    return _whole("200 OK", "application/json", json.dumps(facts))


def count(environ: WSGIEnvironment) -> Answer:
    """Lines that leave one by one: the length is unknown, the server finds the framing."""
    return "200 OK", [("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")], _lines()


def _lines() -> Iterator[bytes]:
    for number in ("one", "two", "three", "four", "five"):
        yield f"{number} … ".encode()
        time.sleep(PAUSE)
    yield b"done\n"


def _body(environ: WSGIEnvironment) -> bytes:
    """The form, and one byte more where it is too long. Without a length: only what is sure to end."""
    length = environ.get("CONTENT_LENGTH")
    if length:
        return environ["wsgi.input"].read(min(int(length), FORM + 1))
    return environ["wsgi.input"].read(FORM + 1) if environ.get("wsgi.input_terminated") else b""


def _plain(status: str, text: str) -> Answer:
    return _whole(status, "text/plain; charset=utf-8", text)


def _whole(status: str, kind: str, text: str) -> Answer:
    data = text.encode("utf-8", "replace")
    return (
        status,
        [("Content-Type", kind), ("Content-Length", str(len(data))), ("Cache-Control", "no-store")],
        [data],
    )


ROUTES: dict[str, dict[str, Callable[[WSGIEnvironment], Answer]]] = {
    "/": {"GET": show, "HEAD": show, "POST": sign},
    "/now.json": {"GET": now, "HEAD": now},
    "/count": {"GET": count},
}

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Guest book</title>
<link rel="icon" href="/favicon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/style.css">
<main>
  <header><h1>Guest book</h1><p class="lead">One WSGI application, one file. <a href="/">Back</a></p></header>
  <form class="card" method="post" action="{action}">
    <p><label>Name <input name="name" maxlength="{name}" required autocomplete="off"></label></p>
    <p><label>Words <textarea name="words" maxlength="{words}" required rows="3"></textarea></label></p>
    <button>Sign</button>
  </form>
  <section class="wide cards" id="entries">{entries}</section>
</main>
</html>
"""
