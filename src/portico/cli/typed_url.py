"""URLs as people type them, with what they leave out; one rule for all commands that fetch."""

from __future__ import annotations

import re

__all__ = ["full_url"]

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|(?:data|file|https?):(?![0-9])", re.IGNORECASE)
_PORT_ONLY = re.compile(r":([0-9]*)(?=[/?#]|\Z)")
_THIS_MACHINE = re.compile(
    r"(?:[^/?#@]*@)?(?:localhost|[^/?#@:]+\.localhost|127(?:\.[0-9]+){3}|\[::1\])(?=[:/?#]|\Z)",
    re.IGNORECASE,
)


def full_url(text: str, default_scheme: str | None = None) -> str:
    """A URL from what people type: ``:8000/x``, ``example.org/x``, ``//example.org``.

    Without a scheme it is http for this machine and https for all others, or else ``default_scheme``: what
    goes over the network is not sent in the clear unless somebody says so.
    """
    if _SCHEME.match(text):
        return text
    text = re.sub(r"\A:?//", "", text)
    port = _PORT_ONLY.match(text)
    if port is not None:
        text = f"localhost{port[0] if port[1] else ''}{text[port.end() :]}"
    scheme = default_scheme or ("http" if _THIS_MACHINE.match(text) else "https")
    return f"{scheme}://{text}"
