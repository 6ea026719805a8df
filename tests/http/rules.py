r"""The corpus of our own: the RFCs' rules one by one, as data in ``corpus/*.txt``.

::

    # a remark
    = GET <> HTTP/1.1\r\nHost: a\r\n\r\n      a template: ``<>`` is where the cases that follow stand
    ok        /              | 3.2.1         accepted, one request
    ok2:hello ...            | reason        two requests, the first with this body
    ok!       ...            | reason        accepted, and the server closes (what follows is not read)
    ok,400    ...            | reason        one is accepted, what follows is refused (or incomplete: ok,cut)
    400       /a b           | reason        refused, with this status; the server closes
    cut       ...            | reason        incomplete: the server waits

Bytes are escaped as in Python; ``\e`` is nothing at all. Blanks around a case are not part of it.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["Rule", "rules"]

FOLDER = Path(__file__).parent / "corpus"
_VERDICT = re.compile(
    r"(?:ok(?P<count>[0-9]?)(?P<closes>!?)(?::(?P<body>\S+))?,?)?(?:(?P<status>[45][0-9]{2})|cut)?"
)


@dataclass(frozen=True)
class Rule:
    """One case. ``accepted`` requests, then ``status`` when something was refused; ``base`` is a case with
    the same template that is accepted and leaves the connection open."""

    name: str
    why: str
    raw: bytes
    base: bytes
    accepted: int
    body: bytes | None
    status: int | None
    closes: bool
    cut: bool


@cache
def rules() -> list[Rule]:
    """All cases of all files."""
    return [rule for path in sorted(FOLDER.glob("*.txt")) for rule in _read(path)]


def _read(path: Path) -> list[Rule]:
    found: list[Rule] = []
    template, base = b"", b""
    for number, line in enumerate(path.read_text(encoding="ascii").splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        if line.startswith("= "):
            template, base = _bytes(line[2:]), b""
            continue
        verdict, _, rest = line.partition(" ")
        text, bar, why = rest.rpartition(" | ")
        match = _VERDICT.fullmatch(verdict)
        assert bar, f"{path.name}:{number} gives no reason"
        assert match, f"{path.name}:{number} has no verdict"
        raw = template.replace(b"<>", _bytes(text.strip()))
        if verdict.startswith("ok") and not match["closes"] and "," not in verdict:
            base = base or raw
        found.append(
            Rule(
                name=f"{path.stem}:{number}",
                why=why.strip(),
                raw=raw,
                base=base,
                accepted=int(match["count"] or 1) if verdict.startswith("ok") else 0,
                body=None if match["body"] is None else _bytes(match["body"]),
                status=None if match["status"] is None else int(match["status"]),
                closes=match["closes"] == "!" or match["status"] is not None,
                cut=verdict.endswith("cut"),
            )
        )
    return found


def _bytes(text: str) -> bytes:
    return codecs.decode(text.replace(r"\e", ""), "unicode_escape").encode("latin-1")
