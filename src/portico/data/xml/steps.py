"""Stylesheets that come to an end: each template, loop and function in them counts its steps.

libxslt bounds how deep templates call each other, not how often, and cannot be interrupted from outside. It
can call a function: one that counts, and raises, stands first in whatever may be repeated.
"""

from __future__ import annotations

from typing import Any

from portico.data.xml.safety import Resolver, lxml_etree, options, resolving
from portico.deadline import check
from portico.errors import LimitExceeded

__all__ = ["Steps", "counted", "counting"]

_XSL = "http://www.w3.org/1999/XSL/Transform"
_FUNCTION = "urn:portico:steps", "step"
_REPEATED = (f"{{{_XSL}}}template", f"{{{_XSL}}}for-each", "{http://exslt.org/functions}function")
_FIRST = (f"{{{_XSL}}}param", f"{{{_XSL}}}sort")
"""What must stand before all else in those."""
_BETWEEN_LOOKS = 256
"""Steps: a tenth of a millisecond, or as long as the expressions in them take."""


class Steps:
    """What a stylesheet calls. Raises ``LimitExceeded`` after ``most`` steps, ``Timeout`` where the deadline
    in force has passed."""

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._taken = 0

    @property
    def extension(self) -> dict[tuple[str, str], Any]:
        """For ``etree.XSLT``."""
        return {_FUNCTION: self._step}

    def _step(self, context: Any) -> bool:
        self._taken += 1
        if self._taken > self._most:
            raise LimitExceeded(
                f"{self._name}: more than {self._most} steps; what is trusted takes more with "
                "limits=Limits(xml_steps=…) of its source",
                "xml_steps",
                413,
            )
        if not self._taken % _BETWEEN_LOOKS:
            check(f"transform by {self._name}")
        return False


def counted(tree: Any) -> Any:
    """A stylesheet that has been made to count."""
    for body in tree.iter(*_REPEATED):
        step = lxml_etree().Element(f"{{{_XSL}}}if", nsmap={"xsl": _XSL, "steps": _FUNCTION[0]})
        step.set("test", f"steps:{_FUNCTION[1]}()")
        step.sourceline = body.sourceline  # for errors that come up in it
        body.insert(_after_first(body), step)
        if step.getprevious() is None:  # a text stays where it was, behind
            step.tail, body.text = body.text, None
        else:
            step.tail, step.getprevious().tail = step.getprevious().tail, None
    return tree


def _after_first(body: Any) -> int:
    return max((at for at, child in enumerate(body, 1) if child.tag in _FIRST), default=0)


def counting(resolver: Resolver) -> Resolver:
    """A resolver whose stylesheets count."""

    def resolve(url: str) -> bytes | None:
        content = resolver(url)
        if content is None or _XSL.encode() not in content.replace(b"\0", b""):
            return content
        etree = lxml_etree()
        parser = resolving(etree.XMLParser(**options(frozenset(("external",)))), resolver)
        try:
            root = etree.fromstring(content, parser, base_url=url)
        except etree.XMLSyntaxError:
            return content  # which libxslt refuses, too, and says where
        return bytes(etree.tostring(counted(root)))

    return resolve
