"""What a document may do while it is parsed: nothing but be read, unless the caller names more.

A document type declaration is read, for many real documents have one. What it can do with it is refused:

* entities of its own (``allow={"entities"}`` expands those that stand in it, to no more than libxml2 lets
  them grow: five times what came, after the first megabyte);
* entities and declarations elsewhere (``"external"``) and pieces included by XInclude (``"xinclude"``), which
  only a ``resolver`` of the caller provides: nothing here opens a file or a connection for a document;
* parts beyond libxml2's bounds (``"huge"``): 256 levels, 10 MB in one text, tag or comment, names of 50 KB.

Encodings that browsers do not read, UTF-7 above all, are refused too: they let harmless bytes turn into
markup.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from portico.errors import ConfigError, DataError, LimitExceeded

__all__ = ["ALLOWANCES", "Resolver", "allowed", "below", "check_document", "check_references", "fatal",
           "lxml_etree", "options", "refusal", "resolving"]  # fmt: skip

ALLOWANCES = frozenset(("entities", "external", "xinclude", "huge"))
"""What may be opened, one by one."""

Resolver = Callable[[str], "bytes | None"]
"""From a URL to what is there; ``None``: it is not to be had, and the document is refused."""

_PREDEFINED = frozenset(("lt", "gt", "amp", "apos", "quot"))
"""These may be declared, but only as what they are (XML 1.0, 4.6)."""
_PLACE = re.compile(r"(?:, line \d+, column \d+|\s*\(line \d+\))\Z")


def lxml_etree() -> Any:
    """``lxml.etree``. Raises ``ConfigError`` without lxml."""
    try:
        import lxml.etree
    except ImportError:
        raise ConfigError("XML takes lxml: pip install 'portico[data]'") from None
    return lxml.etree


def allowed(allow: Collection[str], resolver: Resolver | None) -> frozenset[str]:
    """Raises ``ConfigError`` for a name that is none, and for ``external`` or ``xinclude`` without a
    resolver."""
    names = frozenset((allow,) if isinstance(allow, str) else allow)
    for name in sorted(names):
        if name not in ALLOWANCES:
            raise ConfigError(f"allow={name!r}: expected some of {', '.join(sorted(ALLOWANCES))}")
    if names & {"external", "xinclude"} and resolver is None:
        raise ConfigError("what a document takes from elsewhere comes from resolver=, which is missing")
    return names


def options(allow: frozenset[str]) -> dict[str, Any]:
    """For a parser of lxml."""
    return {
        "resolve_entities": True if "external" in allow else "internal" if "entities" in allow else False,
        "load_dtd": "external" in allow,
        "attribute_defaults": "external" in allow,
        "no_network": True,
        "huge_tree": "huge" in allow,
    }


def resolving(parser: Any, resolver: Resolver | None) -> Any:
    """The parser, which asks only the resolver for whatever a document refers to."""

    def resolve(guard: Any, url: str | None, public: str | None, context: Any) -> Any:
        content = None if resolver is None else resolver(url or "")
        if content is None:
            raise DataError(f"it refers to {(url or public or '')[:200]!r}, which is not read here")
        return guard.resolve_string(content, context, base_url=url)

    parser.resolvers.add(type("Guard", (lxml_etree().Resolver,), {"resolve": resolve})())
    return parser


def below(folder: str | os.PathLike[str]) -> Resolver:
    """A resolver that reads the files of a folder, and nothing outside: symbolic links are followed first."""
    root = Path(folder).resolve()

    def resolve(url: str) -> bytes | None:
        parts = urlsplit(url)
        if parts.scheme not in ("", "file") or parts.netloc not in ("", "localhost"):
            return None
        path = (root / (unquote(parts.path) if parts.scheme else url)).resolve()
        return path.read_bytes() if path.is_relative_to(root) and path.is_file() else None

    return resolve


def check_document(tree: Any, name: str, allow: frozenset[str]) -> None:
    """Look at what stands before the root element. Raises ``LimitExceeded`` for a document that declares
    entities and may not."""
    declared = tree.docinfo.internalDTD
    if not allow & {"entities", "external"} and declared is not None:
        entity = next((each for each in declared.iterentities() if each.name not in _PREDEFINED), None)
        if entity is not None:
            raise LimitExceeded(
                f"{name}: it declares entities ({str(entity.name)[:40]!r}), which are not expanded here; "
                'allow={"entities"} expands them',
                "entities",
                413,
            )


def check_references(log: Any, name: str) -> None:
    """Raises ``DataError`` where a reference was passed over because its declaration may be elsewhere."""
    code = lxml_etree().ErrorTypes.WAR_UNDECLARED_ENTITY
    for entry in log:
        if entry.type == code:
            raise DataError(
                f"{entry.message}: what is declared elsewhere is not read here; "
                'allow={"external"} and resolver= read it',
                name,
                line=entry.line,
                column=entry.column,
            )


def fatal(log: Any, name: str) -> DataError | None:
    """What lxml has met and does not raise: an entity that is not declared, after which it tells of nothing
    more, and at the end only that there is no element."""
    most = lxml_etree().ErrorLevels.FATAL
    entry = next((each for each in log if each.level == most), None)
    return entry and DataError(entry.message, name, line=entry.line, column=entry.column)


def refusal(error: Any, name: str) -> DataError | LimitExceeded:
    """An error of lxml as one of ours."""
    codes = lxml_etree().ErrorTypes
    reason = _PLACE.sub("", str(error.msg or "it is empty"))
    line, column = error.position or (0, 0)
    code = getattr(error, "code", 0)
    said = DataError(reason, name, line=line or 1, column=column or 1)
    if "XML_PARSE_HUGE" in reason or "too long" in reason or "too big" in reason:
        return LimitExceeded(f'{said}; allow={{"huge"}} takes more', "size", 413)
    if "xcessive depth" in reason:  # which has no code of its own
        return LimitExceeded(f'{said}; allow={{"huge"}} takes more', "depth", 413)
    if code in (codes.ERR_ENTITY_LOOP, codes.ERR_RESOURCE_LIMIT):
        return LimitExceeded(f"{said}; it is refused", "entities", 413)
    return said
