#!/usr/bin/env python3
"""A CGI program that shows what the server told it (RFC 3875, 4.1), and what it was sent."""

import html
import os
import sys

SHOWN = 10_000
"""So many bytes of a request's body are shown."""


def main() -> None:
    """One HTML page on standard output; everything in it that came from outside is escaped."""
    rows = "".join(
        f"<tr><th>{html.escape(name)}<td><code>{_shown(value)}</code>"
        for name, value in sorted(os.environ.items())
    )
    body = sys.stdin.buffer.read(min(int(os.environ.get("CONTENT_LENGTH") or 0), SHOWN))
    sent = f"<h2>Body</h2><pre>{html.escape(body.decode('utf-8', 'replace'))}</pre>" if body else ""
    page = (
        "<!doctype html><html lang=en><meta charset=utf-8><title>CGI environment</title>"
        "<link rel=icon href=/favicon.svg><link rel=stylesheet href=/style.css>"
        f"<main><h1>CGI</h1><p><a href=/>back</a><table>{rows}</table>{sent}</main>"
    )
    sys.stdout.write("Content-Type: text/html; charset=utf-8\nCache-Control: no-store\n\n")
    sys.stdout.flush()
    sys.stdout.buffer.write(page.encode("utf-8"))


def _shown(value: str) -> str:
    """Bytes that are not UTF-8 arrive as surrogates, which no page can hold."""
    return html.escape(value.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))


if __name__ == "__main__":
    main()
