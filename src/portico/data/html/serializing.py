"""URLs as the URL standard writes them (4.5): percent-encoded, the host in its one spelling, without a port
that goes without saying."""

from __future__ import annotations

import re
from urllib.parse import quote

from portico.address.hosts import canonical_host, canonical_ipv6
from portico.errors import AddressError

__all__ = ["SPECIAL", "serialized"]

SPECIAL = {"http": "80", "https": "443", "ftp": "21", "ws": "80", "wss": "443"}
"""Schemes whose URLs have a host and a path, and their ports (4.2)."""
_PARTS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*+)://([^/?#]*+)([^?#]*+)(?:\?([^#]*+))?(?:#(.*))?\Z", re.DOTALL)
_NO_HOST = re.compile(r"[\x00-\x20#/:<>?@\[\\\]^|\x7f]|\A\Z")
"""Forbidden host code points (3.1), but for the percent sign, which may encode others."""
_OPAQUE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*+:")
_DONE = re.compile(
    r"https?://[a-z][a-z0-9-]*+(?:\.[a-z][a-z0-9-]*+)*+/[A-Za-z0-9!$%&()*+,\-./:;=@_~?#|\[\]]*+\Z"
)
"""Most URLs: there is nothing to be written otherwise."""

# What stays as it is (1.3); a percent sign does everywhere, whether it encodes something or not.
_IN_PATH = "!$%&'()*+,/:;=@[\\]|"
_IN_QUERY = "!$%&()*+,/:;=?@[\\]^`{|}"
_IN_FRAGMENT = "!#$%&'()*+,/:;=?@[\\]^{|}"
_IN_USER = "!$%&'()*+,:"
_PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))


def serialized(url: str) -> str:
    """A URL, written so. What has no scheme stays as it is, and so does a host that a client would refuse.
    Raises ``ValueError`` for a host that no URL can have."""
    if _DONE.match(url):
        return url
    found = _PARTS.match(url)
    if found is None or found[1].lower() not in SPECIAL:
        return quote(url, _PRINTABLE) if _OPAQUE.match(url) else url
    scheme, path = found[1].lower(), quote(found[3], _IN_PATH) or "/"
    query = "" if found[4] is None else f"?{quote(found[4], _IN_QUERY)}"
    fragment = "" if found[5] is None else f"#{quote(found[5], _IN_FRAGMENT)}"
    return f"{scheme}://{_authority(found[2], SPECIAL[scheme])}{path}{query}{fragment}"


def _authority(written: str, usual: str) -> str:
    user, at, place = written.rpartition("@")
    host, colon, port = place.rpartition(":")
    if not colon or "]" in port:
        host, port = place, ""
    try:
        host = f"[{canonical_ipv6(host[1:-1])}]" if host[:1] + host[-1:] == "[]" else canonical_host(host)
    except AddressError:
        if _NO_HOST.search(host):
            raise ValueError(f"{host!r} is no host") from None
        return written
    port = port.lstrip("0") or ("0" if port else "")
    return f"{quote(user, _IN_USER)}{at}{host}{f':{port}' if port not in ('', usual) else ''}"
