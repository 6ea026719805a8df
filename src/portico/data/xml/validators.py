"""Schemas, compiled: what they include comes from a resolver.

libxml2 asks lxml's resolvers for what an XML Schema includes; what a RelaxNG schema includes, and the
parameter entities of a DTD that is parsed alone, it opens itself. Those go other ways here.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urljoin

from portico.data.sources import Source
from portico.data.xml.bytes import reading
from portico.data.xml.safety import Resolver, lxml_etree, options, refusal, resolving
from portico.data.xml.trees import load
from portico.errors import ConfigError, DataError, LimitExceeded, PorticoError

__all__ = ["failed", "validator"]

_RELAXNG = "http://relaxng.org/ns/structure/1.0"
_KINDS = {
    "{http://www.w3.org/2001/XMLSchema}schema": "xsd",
    f"{{{_RELAXNG}}}grammar": "relaxng",
    f"{{{_RELAXNG}}}element": "relaxng",
    "{http://purl.oclc.org/dsdl/schematron}schema": "schematron",
}
_FILES = 200
"""That one schema includes; DocBook's has some forty."""
_DTD = "portico:dtd"


def validator(schema: Any, kind: str | None, resolver: Resolver | None) -> Any:
    """lxml's validator for a schema, which is a tree or what ``source`` takes.

    Raises ``DataError`` for one that is none, ``ConfigError`` where nothing tells its kind.
    """
    etree = lxml_etree()
    resolver = _bounded(resolver)
    if isinstance(schema, (etree._Element, etree._ElementTree)):
        tree = schema if isinstance(schema, etree._ElementTree) else etree.ElementTree(schema)
        return _of_tree(tree, tree.docinfo.URL or "the schema", kind, resolver)
    with reading(schema) as given:
        if kind == "dtd" or (kind is None and given.suffix in ("dtd", "ent", "mod")):
            return _dtd(given, resolver)
        allow = ("external",) if resolver is not None else ()
        return _of_tree(load(given, allow=allow, resolver=resolver), given.name, kind, resolver)


def _bounded(resolver: Resolver | None) -> Resolver | None:
    """Raises ``LimitExceeded`` for more files than a schema has."""
    if resolver is None:
        return None
    asked = count(1)

    def resolve(url: str) -> bytes | None:
        if next(asked) > _FILES:
            raise LimitExceeded(f"a schema that includes more than {_FILES} files", "files", 413)
        return resolver(url)

    return resolve


def failed(error: Any, name: str) -> PorticoError:
    """An error of lxml, with the place that its log tells, or of a resolver, as one of ours."""
    if isinstance(error, DataError):
        return error if error.source else DataError(error.reason, name)
    reason = str(error)
    if not _says(reason):
        messages = (entry.message for entry in error.error_log if _says(entry.message))
        reason = "; ".join(islice(dict.fromkeys(messages), 3)) or "it failed"
    line = next((entry.line for entry in error.error_log if entry.line), None)
    return DataError(reason, name, line=line)


def _says(message: str) -> bool:
    """Not where it is, nor the last letter of a message, which lxml takes for one."""
    return len(message) > 1 and not message.startswith(("runtime", "compilation", "unknown error"))


def _of_tree(tree: Any, name: str, kind: str | None, resolver: Resolver | None) -> Any:
    etree = lxml_etree()
    kind = kind or _KINDS.get(str(tree.getroot().tag))
    makers: dict[str | None, Callable[[], Any]] = {
        "xsd": lambda: etree.XMLSchema(tree),
        "relaxng": lambda: _relaxng(tree, resolver),
        "schematron": lambda: _schematron(tree),
    }
    if kind not in makers:
        raise ConfigError(
            f"{name}: nothing tells what schema it is; pass kind= xsd, relaxng, schematron or dtd"
        )
    try:
        return makers[kind]()
    except (etree.LxmlError, DataError) as error:
        raise failed(error, name) from None


def _schematron(tree: Any) -> Any:
    """``include=False``: that step would read files."""
    made = import_module("lxml.isoschematron").Schematron
    return made(tree, include=False, error_finder=made.ASSERTS_AND_REPORTS)


def _dtd(given: Source, resolver: Resolver | None) -> Any:
    """As the external subset of a document, all of whose parts a resolver gives."""
    etree = lxml_etree()
    content = given.read()
    parser = etree.XMLParser(**options(frozenset(("external",))))

    def resolve(url: str) -> bytes | None:
        if url == _DTD:
            return content
        return None if resolver is None else resolver(urljoin(given.name, url))

    try:
        tree = etree.fromstring(f'<!DOCTYPE a SYSTEM "{_DTD}"><a/>'.encode(), resolving(parser, resolve))
    except etree.XMLSyntaxError as error:
        raise refusal(error, given.name) from None
    except DataError as error:
        raise DataError(error.reason, given.name) from None
    return tree.getroottree().docinfo.externalDTD


def _relaxng(tree: Any, resolver: Resolver | None) -> Any:
    with TemporaryDirectory() as folder:
        return lxml_etree().RelaxNG(_Parts(Path(folder), resolver).gathered(tree))


class _Parts:
    """The parts of a RelaxNG schema, copied into a folder, where libxml2 opens them."""

    def __init__(self, folder: Path, resolver: Resolver | None) -> None:
        self._folder = folder
        self._resolver = resolver
        self._paths: dict[str, Path] = {}

    def gathered(self, tree: Any) -> Any:
        """A schema that includes what is in the folder; itself, if it includes nothing."""
        etree = lxml_etree()
        references = list(tree.iter(f"{{{_RELAXNG}}}include", f"{{{_RELAXNG}}}externalRef"))
        if not references:
            return tree
        copy = etree.ElementTree(etree.fromstring(etree.tostring(tree)))
        copy.docinfo.URL = tree.docinfo.URL
        for reference in copy.iter(f"{{{_RELAXNG}}}include", f"{{{_RELAXNG}}}externalRef"):
            url = urljoin(reference.base or "", reference.get("href", "").strip())
            reference.set("href", str(self._fetched(url)))
        return copy

    def _fetched(self, url: str) -> Path:
        if url in self._paths:
            return self._paths[url]
        path = self._paths[url] = self._folder / f"{len(self._paths)}.rng"
        content = None if self._resolver is None else self._resolver(url)
        if content is None:
            raise DataError(f"it refers to {url[:200]!r}, which is not read here")
        part = load(content)
        part.docinfo.URL = url
        self.gathered(part).write(str(path), encoding="utf-8")
        return path
