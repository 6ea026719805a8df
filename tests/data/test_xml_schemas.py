"""Stylesheets and schemas: they say what is wrong and where, and read and write nothing by themselves."""

from __future__ import annotations

import re
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from portico.data import source, xml
from portico.deadline import timeout
from portico.errors import ConfigError, DataError, LimitExceeded, Timeout
from portico.limits import Limits

XSL = "xmlns:xsl='http://www.w3.org/1999/XSL/Transform' version='1.0'"
XS = "xmlns:xs='http://www.w3.org/2001/XMLSchema'"
RNG = (
    "xmlns='http://relaxng.org/ns/structure/1.0' datatypeLibrary='http://www.w3.org/2001/XMLSchema-datatypes'"
)
SCH = "xmlns='http://purl.oclc.org/dsdl/schematron'"

XSD = (
    f"<xs:schema {XS}><xs:element name='r'><xs:complexType><xs:sequence><xs:element name='n' type='xs:int' "
    "maxOccurs='9'/></xs:sequence></xs:complexType></xs:element></xs:schema>"
).encode()
RELAXNG = (
    f"<element name='r' {RNG}><oneOrMore><element name='n'><data type='int'/></element></oneOrMore></element>"
)
SCHEMATRON = (
    f"<schema {SCH}><pattern><rule context='n'><assert test='number(.)=number(.)'>no number: "
    "<value-of select='.'/></assert></rule></pattern></schema>"
)
DTD = b"<!ELEMENT r (n+)><!ELEMENT n (#PCDATA)><!ATTLIST n x (a|b) #REQUIRED>"
BAD = b"<r>\n<n>1</n>\n<n>x</n>\n<n>2</n>\n<n>y</n>\n</r>"


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (XSD, "not a valid value"),
        (RELAXNG.encode(), "doesn't allow|failed to validate"),
        (SCHEMATRON.encode(), "no number: x"),
    ],
    ids=["xsd", "relaxng", "schematron"],
)  # fmt: skip
def test_each_error_has_its_line(schema: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.xml"
    path.write_bytes(BAD)
    for what in (path, xml.load(path), xml.load(path).getroot()):
        for given in (schema, xml.load(schema), xml.load(schema).getroot()):
            errors = xml.validate(what, given)
            assert any(re.search(reason, error.reason) for error in errors), errors
            assert errors[0].source == str(path)
            if schema is XSD:
                assert [error.line for error in errors] == [3, 5]
                assert "line 3" in str(errors[0])
    assert xml.validate(b"<r><n>1</n></r>", schema) == []


def test_a_dtd(tmp_path: Path) -> None:
    (tmp_path / "x.dtd").write_bytes(DTD)
    data = b"<r>\n<n x='a'/>\n<n/>\n<n x='c'/></r>"
    for schema, options in ((tmp_path / "x.dtd", {}), (DTD, {"kind": "dtd"})):
        assert sorted({error.line for error in xml.validate(data, schema, **options)}) == [3, 4]
        assert xml.validate(b"<r><n x='a'>x</n></r>", schema, **options) == []
    internal = b"<!DOCTYPE r [" + DTD + b"]>" + data
    assert len(xml.validate(internal)) == 2
    with pytest.raises(ConfigError, match="pass a schema"):
        xml.validate(data)


@pytest.mark.parametrize(
    ("schema", "options"),
    [
        (f"<xs:schema {XS}><xs:element name='r' type='none'/></xs:schema>".encode(), {}),
        (f"<element name='r' {RNG}><nonsense/></element>".encode(), {}),
        (b"<!ELEMENT r (n", {"kind": "dtd"}),
        (b"<r", {}),
    ],
)
def test_a_schema_that_is_none(schema: bytes, options: dict[str, Any]) -> None:
    with pytest.raises(DataError) as caught:
        xml.validate(b"<r/>", schema, **options)
    assert caught.value.line


def test_what_tells_no_kind() -> None:
    with pytest.raises(ConfigError, match="kind="):
        xml.validate(b"<r/>", b"<r/>")
    with pytest.raises(ConfigError, match="kind="):
        xml.validate(b"<r/>", b"<r/>", kind="perl")


# -- what they include


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """A folder with parts of schemas, each of which would make ``<r/>`` valid."""
    (tmp_path / "part.xsd").write_text(f"<xs:schema {XS}><xs:element name='r'/></xs:schema>")
    (tmp_path / "part.rng").write_text(
        f"<grammar {RNG}><start><element name='r'><empty/></element></start></grammar>"
    )
    (tmp_path / "part.dtd").write_text("<!ELEMENT r EMPTY>")
    (tmp_path / "part.xsl").write_text(
        f"<xsl:stylesheet {XSL}><xsl:template match='/'><y/></xsl:template></xsl:stylesheet>"
    )
    (tmp_path / "part.xml").write_text("<secret>text</secret>")
    return tmp_path


SCHEMAS = {
    "xsd include": f"<xs:schema {XS}><xs:include schemaLocation='HERE/part.xsd'/></xs:schema>",
    "xsd import": (
        f"<xs:schema {XS} targetNamespace='u'><xs:import schemaLocation='HERE/part.xsd'/></xs:schema>"
    ),
    "xsd redefine": f"<xs:schema {XS}><xs:redefine schemaLocation='HERE/part.xsd'/></xs:schema>",
    "relaxng include": f"<grammar {RNG}><include href='HERE/part.rng'/></grammar>",
    "relaxng external": f"<grammar {RNG}><start><externalRef href='HERE/part.rng'/></start></grammar>",
    "dtd": "<!ENTITY % x SYSTEM 'HERE/part.dtd'> %x;",
}


@pytest.mark.parametrize("name", SCHEMAS)
@pytest.mark.parametrize("place", ["", "file://"])
def test_what_a_schema_includes_comes_from_a_resolver_or_not_at_all(
    name: str, place: str, beside: Path
) -> None:
    schema = SCHEMAS[name].replace("HERE", f"{place}{beside}").encode()
    options = {"kind": "dtd"} if name == "dtd" else {}
    with suppress(DataError):
        assert xml.validate(b"<r/>", schema, **options) != []
    assert xml.validate(b"<r/>", schema, resolver=xml.below(beside), **options) == []
    with pytest.raises(DataError):
        xml.validate(b"<r/>", schema.replace(b"part", b"none"), resolver=xml.below(beside), **options)


def test_a_relaxng_schema_in_parts_that_include_each_other(beside: Path) -> None:
    schema = f"<grammar {RNG}><include href='part.rng'/><include href='loop.rng'/></grammar>"
    (beside / "loop.rng").write_text(f"<grammar {RNG}><include href='loop.rng'/></grammar>")
    (beside / "x.rng").write_text(schema)
    with pytest.raises(DataError):
        xml.validate(b"<r/>", beside / "x.rng", resolver=xml.below(beside))


def test_a_schema_of_endless_parts() -> None:
    def endless(url: str) -> bytes:
        return f"<grammar {RNG}><include href='{url}x'/></grammar>".encode()

    with pytest.raises(LimitExceeded, match="more than 200 files"):
        xml.validate(b"<r/>", endless("x"), resolver=endless)


def test_what_a_document_proposes_as_its_schema_is_not_read(beside: Path) -> None:
    data = (
        "<r xmlns:i='http://www.w3.org/2001/XMLSchema-instance' "
        f"i:noNamespaceSchemaLocation='{beside}/part.xsd' i:schemaLocation='urn:x {beside}/part.xsd'/>"
    ).encode()
    assert xml.validate(data, f"<xs:schema {XS}/>".encode()) != []
    lax = f"<xs:schema {XS} targetNamespace='urn:x'/>".encode()
    assert xml.validate(data, lax) != []


def test_a_schematron_schema_reads_nothing(beside: Path) -> None:
    errors: list[DataError] = []
    schema = (
        f"<schema {SCH}><include href='{beside}/part.xml'/><pattern><rule context='r'>"
        f"<assert test=\"document('{beside}/part.xml')/secret='x'\">told: "
        f"<value-of select=\"document('{beside}/part.xml')/secret\"/></assert></rule></pattern></schema>"
    )
    with suppress(DataError):
        errors = xml.validate(b"<r/>", schema.encode())
    assert "told: text" not in str(errors)


def test_a_schema_that_declares_entities_is_refused() -> None:
    with pytest.raises(LimitExceeded, match="entities"):
        xml.validate(b"<r/>", b"<!DOCTYPE r [<!ENTITY e 'f'>]>" + XSD)


# -- stylesheets


def styled(content: str, root: bytes = b"<r><n>1</n><n>2</n></r>", **options: Any) -> str:
    style = f"<xsl:stylesheet {XSL}>\n{content}</xsl:stylesheet>"
    return str(xml.transform(xml.load(root), style.encode(), **options))


def test_a_stylesheet(tmp_path: Path) -> None:
    sheet = (
        "<xsl:output method='text'/><xsl:param name='x'/><xsl:param name='y'/><xsl:param name='z'/>"
        "<xsl:template match='/'><xsl:value-of select='sum(//n)'/><xsl:value-of select='$x'/>,"
        "<xsl:value-of select='$y + 1'/>,<xsl:value-of select='$z'/></xsl:template>"
    )
    assert styled(sheet, x='it\'s "ä"', y=1.5, z=True) == '3it\'s "ä",2.5,true'
    with pytest.raises(ConfigError, match="parameter x"):
        styled(sheet, x=[1])
    content = "<xsl:output encoding='iso-8859-1'/><xsl:template match='/'><a>ä</a></xsl:template>"
    style = f"<xsl:stylesheet {XSL}>{content}</xsl:stylesheet>"
    made = xml.transform(xml.load(b"<r/>"), style.encode())
    xml.write(made, tmp_path / "x.xml")
    assert b"iso-8859-1" in (tmp_path / "x.xml").read_bytes()
    assert xml.load(tmp_path / "x.xml").getroot().text == "ä"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("<xsl:template match='['/>", "compile|Cannot parse|failed"),
        (
            "<xsl:template match='/'><xsl:message terminate='yes'>stop here</xsl:message></xsl:template>",
            "stop here",
        ),
        (
            "<xsl:template match='/'><xsl:value-of select='nothing()'/></xsl:template>",
            "nothing|evaluation|value-of",
        ),
        (
            "<xsl:template match='/' name='a'><xsl:call-template name='a'/></xsl:template>",
            "infinite|recursion|depth",
        ),
    ],
)
def test_a_stylesheet_that_fails(content: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason) as caught:
        styled(content)
    assert caught.value.source == "the bytes"


RUNS = {
    "calls that call twice": (
        "<xsl:template match='/'><xsl:call-template name='a'><xsl:with-param name='n' select='40'/>"
        "</xsl:call-template></xsl:template><xsl:template name='a'>\n<xsl:param name='n'/>x<xsl:if test='$n'>"
        + "<xsl:call-template name='a'><xsl:with-param name='n' select='$n - 1'/></xsl:call-template>" * 2
        + "</xsl:if></xsl:template>"
    ),
    "loops in loops": (
        "<xsl:template match='/'>"
        + "<xsl:for-each select='//n'><xsl:sort select='.' order='descending'/>" * 40
        + "<x/>"
        + "</xsl:for-each>" * 40
        + "</xsl:template>"
    ),
    "templates that apply": (
        "<xsl:template match='*'><xsl:param name='d' select='40'/><xsl:if test='$d'>"
        + "<xsl:apply-templates select='/*'><xsl:with-param name='d' select='$d - 1'/></xsl:apply-templates>"
        * 2
        + "</xsl:if></xsl:template>"
    ),
    "functions": (
        "<f:function name='m:f' xmlns:f='http://exslt.org/functions' xmlns:m='urn:m'><xsl:param name='n'/>"
        "<f:result select='m:f($n) + m:f($n)'/></f:function>"
        "<xsl:template match='/'><xsl:value-of select='m:f(1)' xmlns:m='urn:m'/></xsl:template>"
    ),
    "no end": "<xsl:template match='/' name='a'><xsl:call-template name='a'/></xsl:template>",
}


@pytest.mark.parametrize("name", RUNS)
def test_a_stylesheet_that_would_not_end(name: str) -> None:
    style = f"<xsl:stylesheet {XSL} extension-element-prefixes='f' xmlns:f='http://exslt.org/functions'>"
    given = source(f"{style}{RUNS[name]}</xsl:stylesheet>".encode(), limits=Limits(xml_steps=20_000))
    with pytest.raises((LimitExceeded, DataError), match=r"20000 steps|recursion|depth"):
        xml.transform(xml.load(b"<r><n>1</n><n>2</n></r>"), given)


def test_the_deadline_ends_a_stylesheet() -> None:
    with timeout(0.05), pytest.raises(Timeout, match="transform by the bytes"):
        styled(RUNS["loops in loops"])
    with pytest.raises(LimitExceeded, match=r"2000000 steps.*xml_steps"):
        styled(RUNS["calls that call twice"])


def test_what_is_included_counts_too(tmp_path: Path) -> None:
    for name in ("include", "import"):
        style = f"<xsl:stylesheet {XSL}>{RUNS['loops in loops']}</xsl:stylesheet>"
        for data in (style.encode(), style.encode("utf-16")):
            (tmp_path / "part.xsl").write_bytes(data)
            main = f"<xsl:stylesheet {XSL}><xsl:{name} href='part.xsl'/></xsl:stylesheet>".encode()
            given = source(main, limits=Limits(xml_steps=20_000))
            with pytest.raises(LimitExceeded, match="20000 steps"):
                xml.transform(xml.load(b"<r><n/><n/></r>"), given, resolver=xml.below(tmp_path))
    (tmp_path / "part.xsl").write_text("<xsl:stylesheet")
    with pytest.raises(DataError, match="part"):
        xml.transform(xml.load(b"<r/>"), main, resolver=xml.below(tmp_path))


def test_to_count_changes_nothing_else() -> None:
    content = (
        "<xsl:template match='/'>a <xsl:for-each select='//n'>b<xsl:sort select='.' order='descending'/>\n"
        "</xsl:for-each></xsl:template>"
    )
    with pytest.raises(DataError):  # a text before xsl:sort was wrong, and is
        styled(content)
    assert ">a 2,1,<" in styled(
        "<xsl:template match='/'><r>a <xsl:for-each select='//n'><xsl:sort order='descending'/>"
        "<xsl:value-of select='.'/>,</xsl:for-each></r></xsl:template>"
    )
    assert ">dy<" in styled(
        "<xsl:template match='/'><r><xsl:call-template name='a'/></r></xsl:template>"
        "<xsl:template name='a'><xsl:param name='p' select=\"'d'\"/><!-- c --><xsl:value-of select='$p'/>y"
        "</xsl:template>"
    )
    style = xml.load(
        f"<xsl:stylesheet {XSL}><xsl:template match='/'>x</xsl:template></xsl:stylesheet>".encode()
    )
    before = etree.tostring(style)
    for given in (style, style.getroot()):
        assert str(xml.transform(xml.load(b"<r/>"), given)).endswith("x\n")
    assert etree.tostring(style) == before
    assert "steps" not in styled("<xsl:template match='/'><a><xsl:copy-of select='/'/></a></xsl:template>")


def test_regular_expressions_are_called_where_that_is_allowed() -> None:
    names = {"re": "http://exslt.org/regular-expressions"}
    tree = xml.load(b"<r><n>ab1</n></r>")
    with pytest.raises(ConfigError, match="nregistered"):
        xml.xpath(tree, "re:test(//n, '[0-9]')", namespaces=names)
    assert xml.xpath(tree, "re:test(//n, '[0-9]')", namespaces=names, regexp=True) is True
    content = (
        "<xsl:template match='/' xmlns:re='http://exslt.org/regular-expressions'>"
        "<xsl:value-of select=\"re:test(//n, '[0-9]')\"/></xsl:template>"
    )
    with pytest.raises(DataError):
        styled(content)
    assert "true" in styled(content, regexp=True)


def test_an_expression_reads_nothing(beside: Path) -> None:
    tree = xml.load(b"<r/>")
    for expression in (
        f"document('{beside}/part.xml')", f"document('file://{beside}/part.xml')",
        "unparsed-text('/etc/passwd')",
        "system-property('xsl:vendor')", f"unparsed-entity-uri('{beside}')", f"doc('{beside}/part.xml')",
    ):  # fmt: skip
        with pytest.raises(ConfigError, match="xpath"):
            xml.xpath(tree, expression)


HARD = {
    "a pattern that others take forever for": ("<xs:pattern value='(a+)+'/>", "a" * 5000 + "b", "pattern"),
    "one with many ways": ("<xs:pattern value='(a?){30}a{30}'/>", "a" * 29, "pattern"),
    "one of a million states": (
        "<xs:pattern value='((a{1,100}){1,100}){1,100}'/>",
        "a" * 30 + "b",
        "Internal error",
    ),
}


@pytest.mark.parametrize("name", HARD)
def test_patterns_of_a_schema_take_no_time(name: str) -> None:
    pattern, text, reason = HARD[name]
    schema = (
        f"<xs:schema {XS}><xs:element name='r'><xs:simpleType><xs:restriction base='xs:string'>{pattern}"
        "</xs:restriction></xs:simpleType></xs:element></xs:schema>"
    ).encode()
    try:
        errors = xml.validate(f"<r>{text}</r>".encode(), schema)
    except DataError as error:
        errors = [error]
    assert reason in str(errors)


def test_a_schema_of_huge_numbers() -> None:
    many = "maxOccurs='999999999'"
    for inner in (
        f"<xs:element name='n' {many}/>",
        f"<xs:sequence {many}><xs:element name='n' {many}/></xs:sequence>",
        "<xs:element name='n' minOccurs='999999' maxOccurs='999999'/>",
    ):
        content = f"<xs:complexType><xs:sequence>{inner}</xs:sequence></xs:complexType>"
        schema = f"<xs:schema {XS}><xs:element name='r'>{content}</xs:element></xs:schema>".encode()
        assert (xml.validate(b"<r><n/><n/></r>", schema) == []) == (" minOccurs" not in inner)


def test_a_schema_that_includes_without_end() -> None:
    asked: list[str] = []

    def endless(url: str) -> bytes:
        asked.append(url)
        return f"<xs:schema {XS}><xs:include schemaLocation='{url}x'/></xs:schema>".encode()

    with pytest.raises((DataError, LimitExceeded)):
        xml.validate(b"<r/>", endless("x"), resolver=endless)
    assert len(asked) == 201


@pytest.mark.parametrize("kind", ["xsd", "relaxng", "schematron", "dtd"])
def test_a_schema_asks_no_network(kind: str) -> None:
    schema = {**SCHEMAS, "schematron": f"<schema {SCH}><include href='HERE/x'/></schema>"}
    for name, text in schema.items():
        if name.startswith(kind):
            with socket.create_server(("127.0.0.1", 0)) as listener:
                listener.settimeout(0)
                here = f"http://127.0.0.1:{listener.getsockname()[1]}"
                with suppress(DataError, ConfigError):
                    xml.validate(b"<r/>", text.replace("HERE", here).encode(), kind=kind)
                with pytest.raises(BlockingIOError):
                    listener.accept()


READS = {
    "include": "<xsl:include href='HERE/part.xsl'/>",
    "import": "<xsl:import href='HERE/part.xsl'/>",
    "document": "<xsl:template match='/'><xsl:value-of select=\"document('HERE/part.xml')\"/></xsl:template>",
}


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("place", ["", "file://"])
def test_a_stylesheet_reads_what_a_resolver_gives_or_nothing(name: str, place: str, beside: Path) -> None:
    content = READS[name].replace("HERE", f"{place}{beside}")
    with pytest.raises(DataError) as caught:
        styled(content)
    assert "text" not in str(caught.value)
    made = styled(content, resolver=xml.below(beside))
    assert "<y/>" in made or "text" in made
    with pytest.raises(DataError):
        styled(content.replace("part", "none"), resolver=xml.below(beside))


def test_a_stylesheet_does_not_ask_the_network() -> None:
    for content in READS.values():
        with pytest.raises(DataError):
            styled(content.replace("HERE", "http://127.0.0.1:1"))


@pytest.mark.parametrize("resolver", [None, lambda url: None])
def test_a_stylesheet_writes_nothing(resolver: Any, tmp_path: Path) -> None:
    for namespace, name in {
        "http://exslt.org/common": "document",
        "http://www.jclark.com/xt": "document",
        "http://xmlsoft.org/XSLT/": "document",
        "http://www.w3.org/1999/XSL/Transform": "document",
        "http://www.w3.org/1999/XSL/Transform ": "document",
        "http://icl.com/saxon": "output",
        "org.apache.xalan.xslt.extensions.Redirect": "write",
    }.items():
        for place in (str(tmp_path), f"file://{tmp_path}", "http://127.0.0.1:1"):
            style = (
                f"<xsl:stylesheet {XSL} xmlns:e='{namespace}' extension-element-prefixes='e'>"
                "<xsl:template match='/'>"
                f"<e:{name} href='{place}/x' file='{place}/x' select=\"'{place}/x'\"><b/></e:{name}>"
                "</xsl:template></xsl:stylesheet>"
            )
            with suppress(DataError):
                xml.transform(xml.load(b"<r/>"), style.encode(), resolver=resolver)
    assert list(tmp_path.iterdir()) == []
