"""Stylesheets and schemas: they say what is wrong and where, and read and write nothing by themselves."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from portico.data import xml
from portico.errors import ConfigError, DataError, LimitExceeded

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
