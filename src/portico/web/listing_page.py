"""The look of a listing: one page without scripts, pictures or anything else to fetch.

It follows the reader's choice of light or dark, sorts by links, and its style draws the little folders.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from portico.web.listing import BY_NAME, Entry, Order, moment, ordered, shown

__all__ = ["POLICY", "render_html"]

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""The Content-Security-Policy of a listing: it has one style, and nothing in a file's name may run."""

_COLUMNS = (("name", "Name"), ("size", "Size"), ("time", "Changed (UTC)"))
_UNITS = ("KiB", "MiB", "GiB", "TiB")

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --ink: #1f2328; --soft: #656d76; --line: #d8dee4; --hover: #f6f8fa;
  --link: #0b57b0; --folder: #5b8fd6; --page: #fff; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #e6edf3; --soft: #8d96a0; --line: #30363d; --hover: #1a2029; --link: #7ab4f5;
    --folder: #4a7ec4; --page: #0d1117; }}
}}
body {{ font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page);
  max-width: 60rem; margin: 0 auto; padding: 2.5rem 1.25rem; }}
h1 {{ font-size: 1.3rem; font-weight: 600; margin: 0 0 .25rem;
  overflow-wrap: anywhere; white-space: pre-wrap; }}
p {{ color: var(--soft); margin: 0 0 1.25rem; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ padding: .4rem .75rem; border-bottom: 1px solid var(--line); text-align: left; }}
th {{ font-size: .85rem; font-weight: 600; white-space: nowrap; }}
th a {{ color: var(--soft); }}
th[aria-sort] a {{ color: var(--ink); }}
td:first-child {{ overflow-wrap: anywhere; white-space: pre-wrap;
  padding-left: 2.45rem; text-indent: -1.7rem; }}
.n {{ text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }}
td.n {{ color: var(--soft); }}
tbody tr:hover {{ background: var(--hover); }}
a {{ color: var(--link); text-decoration: none; unicode-bidi: isolate; }}
a:hover {{ text-decoration: underline; }}
td a::before {{ content: ""; display: inline-block; width: .8em; height: 1em; margin: 0 .75em 0 .15em;
  vertical-align: -.12em; border: 1.5px solid var(--soft); border-radius: 2px; box-sizing: border-box;
  opacity: .7; }}
.d a::before {{ width: 1.1em; height: .85em; margin: 0 .6em 0 0; vertical-align: -.05em;
  border: 0; opacity: 1;
  background: linear-gradient(90deg, var(--folder) 45%, transparent 45%) 0 0 / 100% .2em no-repeat,
    linear-gradient(var(--folder), var(--folder)) 0 .15em / 100% 100% no-repeat; }}
.u a::before {{ content: "\\2191"; width: 1.1em; margin: 0 .6em 0 0; border: 0; line-height: 1; opacity: 1; }}
@media (max-width: 36rem) {{ th:last-child, td:last-child {{ display: none; }} }}
</style>
</head>
<body>
<h1>{crumbs}</h1>
<p>{summary}</p>
<table>
<thead><tr>{heads}</tr></thead>
<tbody>
{rows}
</tbody>
</table>
</body>
</html>
"""


def render_html(
    path: bytes, entries: Iterable[Entry], *, below: int, order: Order = BY_NAME, more: bool = False
) -> bytes:
    """The page for the folder ``path``, of which the last ``below`` names are below the root.

    ``more``: these are not all of its entries.
    """
    listed = ordered(entries, order)
    up = (
        ['<tr class="u"><td><a href="../">../</a></td><td class="n"></td><td class="n"></td></tr>']
        if below
        else []
    )
    # A name may hold what UTF-8 cannot carry only as U+FFFD by now; nothing is left to fail.
    return _PAGE.format(
        title=escape(f"Index of {shown(path)}"),
        crumbs=_crumbs(path, below),
        summary=_summary(listed, more),
        heads="".join(_head(key, label, order) for key, label in _COLUMNS),
        rows="\n".join([*up, *map(_row, listed)]),
    ).encode()


def _crumbs(path: bytes, below: int) -> str:
    """The names on the way here, each a link, but those outside of the root."""
    names = path.split(b"/")[:-1]
    split = len(names) - below
    steps = [b"/".join(names[:split]), *names[split:]]
    links = [
        f'<a href="{"../" * (below - depth)}">{escape(shown(step))}/</a>'
        for depth, step in enumerate(steps[:-1])
    ]
    return "".join([*links, f"{escape(shown(steps[-1]))}/"])


def _summary(entries: Sequence[Entry], more: bool) -> str:
    folders = sum(entry.folder for entry in entries)
    files = len(entries) - folders
    told = [
        f"{count} {what}{'' if count == 1 else 's'}"
        for count, what in ((folders, "folder"), (files, "file"))
        if count
    ]
    if files:
        told.append(_human(sum(entry.size for entry in entries if not entry.folder)))
    if more:
        return f"{', '.join(told)}, and more that is not shown"
    return ", ".join(told) or "Nothing is in here."


def _head(key: str, label: str, order: Order) -> str:
    """The head of a column: a link that sorts by it, the other way round where that is so already."""
    kind = "" if key == "name" else ' class="n"'
    if key != order.key:
        return f'<th{kind}><a href="?sort={key}&amp;order=asc">{label}</a></th>'
    other, sense, arrow = ("asc", "descending", "↓") if order.descending else ("desc", "ascending", "↑")
    link = f'<a href="?sort={key}&amp;order={other}">{label} {arrow}</a>'
    return f'<th{kind} aria-sort="{sense}">{link}</th>'


def _row(entry: Entry) -> str:
    size = "" if entry.folder else f'<span title="{entry.size} bytes">{_human(entry.size)}</span>'
    return (
        f'<tr{" class=d" if entry.folder else ""}><td><a href="{entry.href}">{escape(entry.text)}</a></td>'
        f'<td class="n">{size}</td><td class="n">{moment(entry.modified):%Y-%m-%d %H:%M}</td></tr>'
    )


def _human(size: int) -> str:
    if size < 1024:
        return f"{size} B"
    value = float(size)
    for unit in _UNITS[:-1]:
        value /= 1024
        if value < 1023.95:
            return f"{value:.1f} {unit}"
    return f"{value / 1024:.1f} {_UNITS[-1]}"
