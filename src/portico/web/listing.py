"""The page that shows what is in a folder, as HTML for people and as JSON for programs.

A name goes out twice: as text (what is not UTF-8 is shown as U+FFFD) and, exact to the byte, as a
percent-encoded link, so that every file that is listed can also be fetched.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from html import escape
from typing import NamedTuple
from urllib.parse import quote

__all__ = ["POLICY", "Entry", "prefers_json", "render_html", "render_json"]

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""The Content-Security-Policy of a listing: it has one style, and nothing in a file's name may run."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.2rem; overflow-wrap: anywhere; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ padding: .3rem .6rem; border-bottom: 1px solid #8884; text-align: left; }}
th {{ font-weight: 600; }}
td:first-child {{ overflow-wrap: anywhere; white-space: pre-wrap; }}
.n {{ text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }}
tbody tr:hover {{ background: #8881; }}
a {{ text-decoration: none; }}
a:hover {{ text-decoration: underline; }}
</style>
</head>
<body>
<h1>{title}</h1>
<table>
<thead><tr><th>Name</th><th class="n">Size</th><th class="n">Changed (UTC)</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
</body>
</html>
"""


class Entry(NamedTuple):
    """One line of a listing. ``size`` in bytes; ``modified`` in POSIX seconds."""

    name: bytes
    folder: bool
    size: int
    modified: int

    @property
    def href(self) -> str:
        """A link relative to the folder; ``:`` is encoded, lest a name be read as a scheme."""
        return quote(self.name, safe="") + ("/" if self.folder else "")

    @property
    def text(self) -> str:
        """The name for people."""
        return self.name.decode("utf-8", "replace") + ("/" if self.folder else "")


def prefers_json(accept: str | None) -> bool:
    """Whether an Accept header names ``application/json`` and does not like HTML better."""
    weights = dict(_weights(accept or ""))
    wanted = weights.get("application/json", 0.0)
    return wanted > 0 and wanted >= weights.get("text/html", 0.0)


def render_html(path: bytes, entries: Iterable[Entry], *, parent: bool) -> bytes:
    """The page for the folder ``path`` (for its title), with a link upwards if ``parent``."""
    rows = ['<tr><td><a href="../">../</a></td><td class="n"></td><td class="n"></td></tr>'] if parent else []
    rows.extend(map(_row, _ordered(entries)))
    title = escape(f"Index of {path.decode('utf-8', 'replace')}")
    # A name may hold what UTF-8 cannot carry only as U+FFFD by now; nothing is left to fail.
    return _PAGE.format(title=title, rows="\n".join(rows)).encode()


def render_json(entries: Iterable[Entry]) -> bytes:
    """A list of objects: name, href, type (``directory`` or ``file``), size, mtime (ISO 8601)."""
    listed = [
        {
            "name": entry.name.decode("utf-8", "replace"),
            "href": entry.href,
            "type": "directory" if entry.folder else "file",
            "size": None if entry.folder else entry.size,
            "mtime": f"{_moment(entry.modified):%Y-%m-%dT%H:%M:%SZ}",
        }
        for entry in _ordered(entries)
    ]
    return json.dumps(listed, ensure_ascii=False, indent=1).encode() + b"\n"


def _ordered(entries: Iterable[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: (not entry.folder, entry.name.lower(), entry.name))


def _row(entry: Entry) -> str:
    size = "" if entry.folder else f'<span title="{entry.size} bytes">{_human(entry.size)}</span>'
    return (
        f'<tr><td><a href="{entry.href}">{escape(entry.text)}</a></td><td class="n">{size}</td>'
        f'<td class="n">{_moment(entry.modified):%Y-%m-%d %H:%M}</td></tr>'
    )


def _human(size: int) -> str:
    if size < 1024:
        return f"{size} B"
    value = float(size)
    for unit in ("KiB", "MiB", "GiB"):
        value /= 1024
        if value < 1023.95:
            return f"{value:.1f} {unit}"
    return f"{value / 1024:.1f} TiB"


def _moment(seconds: int) -> datetime:
    """A time that a page can show: file systems know years that calendars do not."""
    return _EPOCH + timedelta(seconds=max(-62135596800, min(seconds, 253402300799)))


def _weights(accept: str) -> Iterable[tuple[str, float]]:
    for item in accept.split(","):
        kind, *parameters = (part.strip().lower() for part in item.split(";"))
        weight = [parameter[2:] for parameter in parameters if parameter.startswith("q=")]
        yield kind, _quality(weight[0]) if weight else 1.0


def _quality(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if 0.0 <= value <= 1.0 else 0.0
