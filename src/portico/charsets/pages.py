"""The charset that a page names itself: the prescan of the HTML standard (13.2.3.2), byte for byte."""

from __future__ import annotations

import re

__all__ = ["named_by_page"]

_META = re.compile(rb"<meta(?=[\t\n\f\r /])", re.IGNORECASE)
_TAG = re.compile(rb"</?[A-Za-z][^\t\n\f\r >]*")
_OTHER = re.compile(rb"<[!/?][^>]*>?")
_ATTRIBUTE = re.compile(
    rb"""[\t\n\f\r /]*([^\t\n\f\r />][^\t\n\f\r />=]*)"""
    rb"""(?:[\t\n\f\r ]*=[\t\n\f\r ]*("[^"]*"|'[^']*'|(?=>)|[^\t\n\f\r >"'][^\t\n\f\r >]*))?"""
)
_UNCLOSED = re.compile(rb"[\t\n\f\r ]*=[\t\n\f\r ]*[\"']")
_IN_CONTENT = re.compile(
    rb"""charset[\t\n\f\r ]*=[\t\n\f\r ]*(?:"([^"]*)"|'([^']*)'|([^\t\n\f\r ;"'][^\t\n\f\r ;]*))""",
    re.IGNORECASE,
)


def named_by_page(head: bytes) -> list[str]:
    """The labels that the ``meta`` elements of a page's beginning name, in their order."""
    labels: list[str] = []
    at = head.find(b"<")
    while at >= 0:
        if head.startswith(b"<!--", at):
            end = head.find(b"-->", at + 2)
            at = len(head) if end < 0 else end + 3
        elif (tag := _META.match(head, at)) is not None:
            attributes, at = _attributes(head, tag.end())
            label = _label(attributes)
            if label is not None and at < len(head):  # a tag that is cut names nothing
                labels.append(label.decode("latin-1"))
        elif (tag := _TAG.match(head, at)) is not None:
            _, at = _attributes(head, tag.end())
        elif (tag := _OTHER.match(head, at)) is not None:
            at = tag.end()
        else:
            at += 1
        at = head.find(b"<", at)
    return labels


def _attributes(head: bytes, at: int) -> tuple[dict[bytes, bytes], int]:
    """The attributes of a tag, the first of each name, and where they end."""
    found: dict[bytes, bytes] = {}
    while (attribute := _ATTRIBUTE.match(head, at)) is not None:
        at = attribute.end()
        value = attribute[2] or b""
        if attribute[2] is None and _UNCLOSED.match(head, at):
            return {}, len(head)
        found.setdefault(attribute[1].lower(), value[1:-1] if value[:1] in (b'"', b"'") else value)
    return found, at


def _label(attributes: dict[bytes, bytes]) -> bytes | None:
    if b"charset" in attributes:
        return attributes[b"charset"]
    if attributes.get(b"http-equiv", b"").lower() != b"content-type":
        return None
    found = _IN_CONTENT.search(attributes.get(b"content", b""))
    return None if found is None else next(group for group in found.groups() if group is not None)
