"""Credentials that a user keeps in ``~/.netrc``, for every program."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from portico.errors import ConfigError

if TYPE_CHECKING:
    from portico.client.auth import Basic

__all__ = ["Netrc", "read_netrc"]


class Netrc:
    """Credentials by host; false where there are none at all."""

    def __init__(self, path: Path, logins: dict[str, tuple[str, str]]) -> None:
        self._path = path
        self._logins = logins
        self._made: dict[str, Basic] = {}

    def __bool__(self) -> bool:
        return bool(self._logins)

    def for_host(self, host: str) -> Basic | None:
        """Those of a host, or of the entry ``default``. Raises ``ConfigError`` for what cannot be sent."""
        entry = host if host in self._logins else "default"
        login = self._logins.get(entry)
        if login is None:
            return None
        if entry not in self._made:
            from portico.client.auth import Basic

            try:
                self._made[entry] = Basic(*login)
            except ConfigError as error:
                raise ConfigError(f"{self._path}, the entry of {entry}: {error}") from None
        return self._made[entry]


def read_netrc() -> Netrc:
    """The file that ``NETRC`` names, or ``~/.netrc``, which need not be there.

    Raises ``ConfigError`` for one that cannot be read; it does not repeat what stands there.
    """
    path = Path(os.path.expanduser(os.environ.get("NETRC") or "~/.netrc"))
    if not os.path.exists(path):  # also where a home may not be looked into
        return Netrc(path, {})
    import netrc  # most users have none

    try:
        found = netrc.netrc(path).hosts
    except netrc.NetrcParseError as error:
        raise ConfigError(
            f"{path}, line {error.lineno}: not what is expected: machine HOST login USER password PASSWORD"
        ) from None
    except UnicodeError:
        raise ConfigError(f"{path}: it is not UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    logins = {host.lower(): (user or account, password) for host, (user, account, password) in found.items()}
    return Netrc(path, {host: login for host, login in logins.items() if any(login)})
