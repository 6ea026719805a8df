"""A document written anew, with its entities expanded and without its document type.

lxml tells of elements within entities as if they stood in the tree, where they do not; so a document whose
entities are allowed goes through expat before its elements are taken one by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from portico.data.sources import Source, source
from portico.data.xml.event import Event
from portico.data.xml.parser import events

__all__ = ["expanded"]

_TEXT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
_VALUE = _TEXT | str.maketrans({'"': "&quot;", "\t": "&#9;", "\n": "&#10;"})
_HELD = 1 << 16


def expanded(given: Source) -> Source:
    """The same document, without comments and instructions. Each name declares its own namespace."""
    return source(_pieces(given), name=given.name, limits=given.limits, packing="identity")


def _pieces(given: Source) -> Iterator[bytes]:
    held, size = [], 0
    with closing(events(given, allow=("entities",))) as found:
        for event in found:
            text = _written(event)
            held.append(text)
            size += len(text)
            if size >= _HELD:
                yield "".join(held).encode()
                held, size = [], 0
    yield "".join(held).encode()


def _written(event: Event) -> str:
    if event.kind == "text":
        return event.text.translate(_TEXT)
    if event.kind == "end":
        return f"</{event.local}>" if not event.namespace else f"</n:{event.local}>"
    if event.kind != "start":
        return ""
    parts = ["<", f"n:{event.local}" if event.namespace else event.local]
    parts += [f' xmlns:n="{event.namespace.translate(_VALUE)}"'] if event.namespace else []
    for number, (name, value) in enumerate(event.attributes.items()):
        uri, _, local = name[1:].rpartition("}") if name.startswith("{") else ("", "", name)
        prefix = "xml:" if uri == _XML else f"n{number}:" if uri else ""
        declared = f' xmlns:{prefix[:-1]}="{uri.translate(_VALUE)}"' if uri and uri != _XML else ""
        parts.append(f'{declared} {prefix}{local}="{value.translate(_VALUE)}"')
    parts.append(">")
    return "".join(parts)


_XML = "http://www.w3.org/XML/1998/namespace"
