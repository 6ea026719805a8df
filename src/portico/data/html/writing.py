"""Records as a page with one table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from itertools import chain, islice
from typing import Any

from portico.data.shown import fields_of, shown
from portico.data.sinks import Sink
from portico.errors import DataError

__all__ = ["write_html"]

_LOOKED_AT = 100
"""Records by which the columns are told."""
_HEAD = """<!doctype html>
<html>
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font-family: system-ui, sans-serif }}
table {{ border-collapse: collapse }}
td, th {{ border: 1px solid; padding: .2em .5em; text-align: start; vertical-align: top }}
td {{ white-space: pre-line }}
</style>
</head>
<body>
<table>
"""
_TAIL = "</tbody>\n</table>\n</body>\n</html>\n"
_HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
"""Characters that no page can have."""


def write_html(
    records: Iterable[Any], out: Sink, *, title: str = "", fields: Sequence[str] | None = None
) -> None:
    """Write records as a page with one table, a row at a time.

    ``fields``: the columns; without them, those that the first 100 records have. Raises ``DataError`` for a
    later record with another one, which would be lost.
    """
    rest = (fields_of(each) for each in records)
    first = list(islice(rest, _LOOKED_AT))
    names = (
        list(fields) if fields is not None else list(dict.fromkeys(name for each in first for name in each))
    )
    known = None if fields is not None else frozenset(names)
    out.write(_HEAD.format(title=_escaped(title or "Table")))
    if title:
        out.write(f"<caption>{_escaped(title)}</caption>\n")
    out.write(
        f"<thead>\n<tr>{''.join(f'<th>{_escaped(name)}</th>' for name in names)}</tr>\n</thead>\n<tbody>\n"
    )
    for number, record in enumerate(chain(first, rest), 1):
        if known is not None and not known.issuperset(record):
            extra = ", ".join(repr(name) for name in record if name not in known)
            raise DataError(
                f"record {number} has {extra}, which the first {_LOOKED_AT} have not: pass fields=", out.name
            )
        cells = (_escaped(shown(record.get(name))) for name in names)
        out.write(f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>\n")
    out.write(_TAIL)


def _escaped(text: str) -> str:
    return _HARMFUL.sub("\ufffd", escape(text))
