"""An application that answers whatever the client's tests need, and servers for it."""

from __future__ import annotations

import gzip
import json
import time
import zlib
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import parse_qs

import brotli
import zstandard

__all__ = ["Place", "app"]

PACKED = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}
TEXT = "zwölf Boxkämpfer jagen Viktor\n" * 1000


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """By the first part of the path: ``/echo`` tells the request as JSON; see the functions below."""
    name, _, rest = environ["PATH_INFO"].removeprefix("/").partition("/")
    handle = globals().get(f"_{name}", _missing)
    answer: Iterable[bytes] = handle(environ, start_response, rest)
    return answer


class Place:
    """A URL of a server, and what was asked there."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def __truediv__(self, path: str) -> str:
        return f"{self.url}/{path}"


def _told(environ: dict[str, Any]) -> dict[str, Any]:
    body = environ["wsgi.input"].read()
    headers = {
        name[5:].replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    return {
        "method": environ["REQUEST_METHOD"],
        "path": environ["PATH_INFO"],
        "query": environ["QUERY_STRING"],
        "headers": headers,
        "type": environ.get("CONTENT_TYPE"),
        "length": environ.get("CONTENT_LENGTH"),
        "body": body.decode("utf-8", "replace"),
    }


def _echo(environ: dict[str, Any], start_response: Any, rest: str) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "application/json"), ("X-Twice", "1"), ("X-Twice", "2")])
    return [json.dumps(_told(environ)).encode()]


def _status(environ: dict[str, Any], start_response: Any, rest: str) -> list[bytes]:
    environ["wsgi.input"].read()
    start_response(f"{rest} As asked", [("Content-Type", "text/plain")])
    return [f"status {rest}".encode()]


def _redirect(environ: dict[str, Any], start_response: Any, rest: str) -> list[bytes]:
    """``/redirect/302?to=/echo``."""
    environ["wsgi.input"].read()
    to = parse_qs(environ["QUERY_STRING"])["to"][0]
    start_response(
        f"{rest} Go", [("Location", to), ("Content-Type", "text/plain"), ("Set-Cookie", "way=seen; Path=/")]
    )
    return [b"elsewhere"]


def _hops(environ: dict[str, Any], start_response: Any, rest: str) -> list[bytes]:
    """So many redirects, then an end."""
    if int(rest) == 0:
        start_response("200 OK", [])
        return [b"there"]
    start_response("302 Go", [("Location", f"/hops/{int(rest) - 1}")])
    return [b""]


def _loop(environ: dict[str, Any], start_response: Any, rest: str) -> list[bytes]:
    start_response("302 Go", [("Location", "/loop")])
    return [b""]


def _packed(environ: dict[str, Any], start_response: Any, rest: str) -> list[bytes]:
    """``/packed/gzip,br``."""
    data = TEXT.encode()
    for name in rest.split(","):
        data = PACKED[name](data)
    start_response("200 OK", [("Content-Encoding", rest), ("Content-Type", "text/plain; charset=utf-8")])
    return [data]


def _stream(environ: dict[str, Any], start_response: Any, rest: str) -> Iterator[bytes]:
    """So many lines, in as many pieces."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return (f"line {number}\n".encode() for number in range(int(rest)))


def _slow(environ: dict[str, Any], start_response: Any, rest: str) -> Iterator[bytes]:
    """A piece each tenth of a second, for so many seconds."""
    start_response("200 OK", [("Content-Type", "text/plain")])

    def pieces() -> Iterator[bytes]:
        for _ in range(int(float(rest) * 10)):
            yield b"x"
            time.sleep(0.1)

    return pieces()


def _cookies(environ: dict[str, Any], start_response: Any, rest: str) -> list[bytes]:
    """``/cookies/a=1`` sets one; all tell those that came."""
    fields = [("Set-Cookie", rest)] if rest else []
    start_response("200 OK", fields)
    return [environ.get("HTTP_COOKIE", "").encode()]


def _bytes(environ: dict[str, Any], start_response: Any, rest: str) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return [bytes(int(rest))]


def _length(environ: dict[str, Any], start_response: Any, rest: str) -> list[bytes]:
    """How long the body was that came."""
    count = 0
    while piece := environ["wsgi.input"].read(1 << 18):
        count += len(piece)
    start_response("200 OK", [])
    return [str(count).encode()]


def _missing(environ: dict[str, Any], start_response: Any, rest: str) -> list[bytes]:
    start_response("404 Not Found", [("Content-Type", "text/plain")])
    return [b"nothing here"]
