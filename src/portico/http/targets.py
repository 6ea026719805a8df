"""Request targets and hosts: what may stand there (RFC 9112, 3.2; RFC 3986, 3.2).

No control character, blank, ``#`` or non-ASCII byte gets this far: the request line's pattern has none.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import Final

from portico.errors import ProtocolError

__all__ = ["check_host", "check_target"]

_NAME: Final = r"(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})"
_FUTURE: Final = r"[vV][0-9A-Fa-f]+\.[A-Za-z0-9\-._~!$&'()*+,;=:]+"
_LITERAL: Final = rf"\[(?:{_FUTURE}|(?P<v6>[0-9A-Fa-f:.]{{2,45}}))\]"
# Zeros before a port are silly and valid; without a bound they would be a way to hide something.
_PORT: Final = r":(?P<port>[0-9]{0,10})"
_HOST: Final = re.compile(rf"(?:(?:{_LITERAL}|{_NAME}+)(?:{_PORT})?)?")
_CONNECT: Final = re.compile(rf"(?:{_LITERAL}|{_NAME}+){_PORT}")
_ABSOLUTE: Final = re.compile(rf"(?i:https?)://(?:{_LITERAL}|{_NAME}+)(?:{_PORT})?(?:[/?].*)?")


def _matches(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    found = pattern.fullmatch(text)
    if found is None or int(found["port"] or 0) > 65535:
        return None
    return found if found["v6"] is None or _is_address(found["v6"]) else None


def _is_address(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


def check_host(host: str) -> None:
    """Raise ``ProtocolError`` (400) unless ``host`` is a valid ``Host`` value (RFC 9110, 7.2).

    It may be empty, for a target that has no authority; user information is not part of it.
    """
    if _matches(_HOST, host) is None:
        raise ProtocolError(f"Host is not valid: {host[:80]!r}")


def check_target(method: str, target: str) -> None:
    """Raise ``ProtocolError`` (400) unless ``target`` has a form that ``method`` allows.

    User information in an absolute-form target is refused, as RFC 9110, 4.2.4 advises.
    """
    if method == "CONNECT":
        found = _matches(_CONNECT, target)
        valid = found is not None and found["port"] != ""
    elif target == "*":
        valid = method == "OPTIONS"
    else:
        valid = target.startswith("/") or _matches(_ABSOLUTE, target) is not None
    if not valid:
        raise ProtocolError(f"{method[:20]} cannot have the target {target[:80]!r}")
