"""Service names and port numbers (RFC 6335), without a socket.

The names everybody uses are built in, because slim containers have no ``/etc/services``. That file is
read once, when the first other name is asked for; so a wrong service name is found while an address is
read, not when it is used. ``getservbyname`` would do neither: it needs the file, and its answer lies in
one static buffer that all threads share.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

__all__ = ["port_services", "service_port"]

_FILE = "/etc/services"
_NAME = re.compile(r"[a-z](?:-?[a-z0-9]){0,14}", re.ASCII)
"""RFC 6335, 5.1, but beginning with a letter: ``80x`` is a mistyped port, not a service."""
_LINE = re.compile(r"(\S+)\s+(\d{1,5})/(tcp|udp)((?:\s+[^\s#]+)*)", re.ASCII)

_BUILT_IN = {
    "echo": 7,
    "discard": 9,
    "daytime": 13,
    "ftp": 21,
    "ssh": 22,
    "telnet": 23,
    "smtp": 25,
    "domain": 53,
    "http": 80,
    "pop3": 110,
    "ntp": 123,
    "imap2": 143,
    "ldap": 389,
    "https": 443,
    "submissions": 465,
    "submission": 587,
    "ldaps": 636,
    "ftps": 990,
    "imaps": 993,
    "pop3s": 995,
    "mysql": 3306,
    "postgresql": 5432,
    "xmpp-client": 5222,
    "http-alt": 8080,
}
_ONLY_UDP = {"ntp"}


def service_port(name: str, protocol: str = "tcp") -> int | None:
    """The port of a service such as ``http``, in any case; ``None`` when nobody knows it.

    ``protocol`` is ``tcp`` or ``udp``. A name that is assigned for the other one only is still
    answered: IANA reserves its port in both (RFC 6335).
    """
    name = name.lower()
    if not _NAME.fullmatch(name):
        return None
    known = _BUILT_IN.get(name)
    if known is not None:
        return known
    ports = _database()
    return ports.get((name, protocol), ports.get((name, "udp" if protocol == "tcp" else "tcp")))


def port_services(port: int) -> list[tuple[str, str]]:
    """The services of a port as ``(name, "tcp" or "udp")``, the most usual name first."""
    found: dict[tuple[str, str], None] = {}
    for name, number in _BUILT_IN.items():
        if number == port:
            found[name, "udp" if name in _ONLY_UDP else "tcp"] = None
    for key, number in _database().items():
        if number == port:
            found[key] = None
    first: dict[str, str] = {}
    for name, protocol in found:
        first.setdefault(protocol, name)
    return [(name, protocol) for protocol, name in sorted(first.items())]


@cache
def _database() -> dict[tuple[str, str], int]:
    try:
        text = Path(_FILE).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}  # a machine without the file still knows the built-in names
    return read_database(text)


def read_database(text: str) -> dict[tuple[str, str], int]:
    """``{(name or alias, protocol): port}`` from the text of a services(5) file; odd lines are skipped."""
    ports: dict[tuple[str, str], int] = {}
    aliases: dict[tuple[str, str], int] = {}
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None or int(match[2]) > 65535:
            continue
        ports.setdefault((match[1].lower(), match[3]), int(match[2]))
        for alias in match[4].split():
            aliases.setdefault((alias.lower(), match[3]), int(match[2]))
    return {**ports, **{key: port for key, port in aliases.items() if key not in ports}}
