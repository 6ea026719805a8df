"""What is done with a document by another: a stylesheet (XSLT 1.0), and the schemas that it should fit.

Stylesheets and schemas are read as safely as documents; what they include comes from a resolver or not at
all. A stylesheet is a program all the same, and so is each XPath expression in it or in a schema of
Schematron: what it does is bounded, what one expression takes is not. For those of strangers, take a process
that can be ended.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from portico.data.sources import Source
from portico.data.xml.bytes import reading
from portico.data.xml.safety import Resolver, lxml_etree
from portico.data.xml.steps import Steps, counted, counting
from portico.data.xml.trees import load
from portico.data.xml.validators import failed, validator
from portico.errors import ConfigError, DataError
from portico.limits import Limits

__all__ = ["transform", "validate"]


def transform(
    tree: Any, stylesheet: Any, *, resolver: Resolver | None = None, regexp: bool = False, **parameters: Any
) -> Any:
    """The tree, or text, that a stylesheet makes of a tree or element: ``write`` writes it, ``str`` gives its
    text.

    ``stylesheet``: anything that ``source`` takes, or a tree. It reads nothing but what ``resolver`` gives,
    and writes nothing. ``regexp``: whether it may call EXSLT's regular expressions, of which one can take
    forever. ``parameters``: texts, numbers and truth values.

    Templates and loops are counted, also in what it includes: they end with the deadline in force, and after
    ``Limits.xml_steps``. Not bounded are the time of one XPath expression, and the memory of texts that
    a stylesheet makes of texts.

    Raises ``DataError`` with the line for a stylesheet that is none or fails, or ends with a message;
    ``LimitExceeded``; ``Timeout``; ``ConfigError`` for a parameter that is none of those.
    """
    etree = lxml_etree()
    limits = stylesheet.limits if isinstance(stylesheet, Source) else Limits()
    style, name = _document(stylesheet, None if resolver is None else counting(resolver))
    style = counted(
        deepcopy(style) if isinstance(stylesheet, (etree._Element, etree._ElementTree)) else style
    )
    if style.docinfo.URL is None:  # else lxml makes one up, and paths lose their first slash
        style.docinfo.URL = "stylesheet.xsl"
    values = {key: _parameter(key, value) for key, value in parameters.items()}
    steps = Steps(limits.xml_steps, name)
    try:
        made = etree.XSLT(style, extensions=steps.extension, access_control=_access(resolver), regexp=regexp)
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

    Raises ``DataError`` for a document that is not well-formed, for a schema that is none, and for one that
    libxml2 gives up on (patterns of a million states); that or ``LimitExceeded`` for one of more than 200
    files.
    """
    tree, name = _document(what, None)
    if schema is not None:
        return _errors(validator(schema, kind, resolver), tree, name)
    declared = tree.docinfo.internalDTD
    if declared is None:
        raise ConfigError(f"{name} has no document type of its own: pass a schema")
    return _errors(declared, tree, name)


def _errors(made: Any, tree: Any, name: str) -> list[DataError]:
    try:
        if made.validate(tree):
            return []
    except lxml_etree().LxmlError as error:  # of a schema that is beyond it
        raise failed(error, name) from None
    return [
        DataError(entry.message, name, line=entry.line if entry.line > 0 else None, path=entry.path or "")
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
