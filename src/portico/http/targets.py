"""Request targets and hosts: what may stand there (RFC 9112, 3.2; RFC 3986, 3.2).

No control character, blank, ``#`` or non-ASCII byte gets this far: the request line's pattern has none.
"""

from __future__ import annotations

import re
from typing import Final

from portico.errors import ProtocolError

__all__ = ["check_host", "check_target"]

_NAME: Final = r"(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})"
_LITERAL: Final = r"\[(?=[^\]]*:[^\]]*:)[0-9A-Fa-f:.]{2,45}\]"
_HOST: Final = re.compile(rf"(?:{_LITERAL}|{_NAME}*)(?::(?P<port>[0-9]{{0,5}}))?")
_CONNECT: Final = re.compile(rf"(?:{_LITERAL}|{_NAME}+):(?P<port>[0-9]{{1,5}})")
_ABSOLUTE: Final = re.compile(
    rf"(?i:https?)://(?:{_LITERAL}|{_NAME}+)(?::(?P<port>[0-9]{{0,5}}))?(?:[/?].*)?"
)


def _matches(pattern: re.Pattern[str], text: str) -> bool:
    found = pattern.fullmatch(text)
    return found is not None and int(found["port"] or 0) <= 65535


def check_host(host: str) -> None:
    """Raise ``ProtocolError`` (400) unless ``host`` is a valid ``Host`` value (RFC 9110, 7.2).

    It may be empty, for a target that has no authority; user information is not part of it.
    """
    if not _matches(_HOST, host):
        raise ProtocolError(f"Host is not valid: {host[:80]!r}")


def check_target(method: str, target: str) -> None:
    """Raise ``ProtocolError`` (400) unless ``target`` has a form that ``method`` allows.

    User information in an absolute-form target is refused, as RFC 9110, 4.2.4 advises.
    """
    if method == "CONNECT":
        valid = _matches(_CONNECT, target)
    elif target == "*":
        valid = method == "OPTIONS"
    else:
        valid = target.startswith("/") or _matches(_ABSOLUTE, target)
    if not valid:
        raise ProtocolError(f"{method[:20]} cannot have the target {target[:80]!r}")
