"""A user's name and password: what can be carried of them at all."""

from __future__ import annotations

import re

from portico.client.params import encoded
from portico.errors import ConfigError

__all__ = ["check_basic", "check_login"]

_CONTROL = re.compile("[\x00-\x1f\x7f]")


def check_login(what: str, user: str, password: str) -> None:
    """Raise ``ConfigError``, which repeats neither, for what no scheme carries (RFC 7617, 2)."""
    for part in (user, password):
        encoded(part, what)
        if _CONTROL.search(part):
            raise ConfigError(f"{what}: a control character, perhaps the end of the line it was read from")


def check_basic(what: str, user: str, password: str) -> None:
    """The same for Basic, where the name ends at the first colon."""
    check_login(what, user, password)
    if ":" in user:
        raise ConfigError(f"{what}: a user's name cannot have a colon in it (RFC 7617, 2)")
