"""The requests of the HTTP benchmarks.

Generators take a request from a file, in which sixteen '@' stand for what is new in each request.
"""

from __future__ import annotations

__all__ = ["KINDS", "NEW", "fixed"]

NEW = "@" * 16
SAME = "00f067aa0ba902b7"

SMALL = "GET / HTTP/1.1\r\nHost: localhost:8000\r\n\r\n"
BROWSER = """\
GET /catalogue/lamps?page=2 HTTP/1.1
Host: localhost:8000
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8
Accept-Language: en-GB,en;q=0.5
Accept-Encoding: gzip, deflate, br, zstd
Referer: http://localhost:8000/catalogue/lamps
Connection: keep-alive
Upgrade-Insecure-Requests: 1
Sec-Fetch-Dest: document
Sec-Fetch-Mode: navigate
Sec-Fetch-Site: same-origin
traceparent: 00-4bf92f3577b34da6{new}-53995c3f42cd8ad8-01
Cookie: session={new}; p={pad}

"""


def _browser(new: str, size: int = 600) -> bytes:
    head = BROWSER.replace("\n", "\r\n").replace("{new}", new)
    return head.replace("{pad}", "x" * (size - len(head) + len("{pad}"))).encode("ascii")


KINDS: dict[str, bytes] = {
    "40 B": SMALL.encode("ascii"),
    "600 B": _browser(SAME),
    "600 B new": _browser(NEW),
}


def fixed(request: bytes) -> bytes:
    """A request of this kind as a server may see it once."""
    return request.replace(NEW.encode(), SAME.encode())
