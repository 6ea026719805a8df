"""What is done with a document by another: a stylesheet (XSLT 1.0), and the schemas that it should fit.

Stylesheets and schemas are read as safely as documents; what they include comes from a resolver or not at
all. A stylesheet is a program all the same: it can run for long, so take it from who is trusted.
"""

from __future__ import annotations

from typing import Any

from portico.data.xml.bytes import reading
from portico.data.xml.safety import Resolver, lxml_etree
from portico.data.xml.trees import load
from portico.data.xml.validators import failed, validator
from portico.errors import ConfigError, DataError

__all__ = ["transform", "validate"]


def transform(tree: Any, stylesheet: Any, *, resolver: Resolver | None = None, **parameters: Any) -> Any:
    """The tree, or text, that a stylesheet makes of a tree or element: ``write`` writes it, ``str`` gives its
    text.

    ``stylesheet``: anything that ``source`` takes, or a tree. It reads nothing but what ``resolver`` gives,
    and writes nothing. ``parameters``: texts, numbers and truth values.

    Raises ``DataError`` with the line for a stylesheet that is none or fails, or ends with a message;
    ``ConfigError`` for a parameter that is none of those.
    """
    etree = lxml_etree()
    style, name = _document(stylesheet, resolver)
    if style.docinfo.URL is None:  # else lxml makes one up, and paths lose their first slash
        style.docinfo.URL = "stylesheet.xsl"
    values = {key: _parameter(key, value) for key, value in parameters.items()}
    try:
        made = etree.XSLT(style, access_control=_access(resolver))
        return made(tree, **values)
    except (etree.LxmlError, DataError) as error:
        raise failed(error, name) from None


def _access(resolver: Resolver | None) -> Any:
    """Nothing is written. What is read comes from the resolver: libxslt asks that after its own rules."""
    reads = resolver is not None
    return lxml_etree().XSLTAccessControl(
        read_file=reads, read_network=reads, write_file=False, create_dir=False, write_network=False
    )


def _parameter(name: str, value: Any) -> Any:
    if isinstance(value, bool):
        return "true()" if value else "false()"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return lxml_etree().XSLT.strparam(value)
    raise ConfigError(f"parameter {name}={value!r}: expected a text, a number or a truth value")


def validate(
    what: Any, schema: Any = None, *, kind: str | None = None, resolver: Resolver | None = None
) -> list[DataError]:
    """All that is wrong with a document by a schema, in the document's order: nothing, if it is valid. Each
    has a ``line``, and says what should be there.

    ``what``: a tree, or anything that ``source`` takes. ``schema``: the same, in XML Schema, RelaxNG (in
    XML), Schematron or a DTD; ``None``: the document's own internal DTD. ``kind``: ``"xsd"``, ``"relaxng"``,
    ``"schematron"``, ``"dtd"``; else the schema's first element tells. What the schema includes comes from
    ``resolver``; what the document proposes as its schema is not looked at.

    Raises ``DataError`` for a document that is not well-formed, and for a schema that is none.
    """
    tree, name = _document(what, None)
    if schema is not None:
        return _errors(validator(schema, kind, resolver), tree, name)
    declared = tree.docinfo.internalDTD
    if declared is None:
        raise ConfigError(f"{name} has no document type of its own: pass a schema")
    return _errors(declared, tree, name)


def _errors(made: Any, tree: Any, name: str) -> list[DataError]:
    if made.validate(tree):
        return []
    return [
        DataError(entry.message, name, line=entry.line or None, path=entry.path or "")
        for entry in made.error_log
    ]


def _document(what: Any, resolver: Resolver | None) -> tuple[Any, str]:
    """A tree, and what it is called in errors."""
    etree = lxml_etree()
    if isinstance(what, etree._Element):
        what = etree.ElementTree(what)
    if isinstance(what, etree._ElementTree):
        return what, what.docinfo.URL or "the document"
    with reading(what) as given:
        allow = ("external",) if resolver is not None else ()
        return load(given, allow=allow, resolver=resolver), given.name
