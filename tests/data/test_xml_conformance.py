"""The W3C's conformance suite: what is not well-formed is refused, what is valid is read, and the exceptions
stand here with their reasons."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from portico.data import xml
from portico.errors import DataError, LimitExceeded
from tests.data.xml_documents import Case, conformance

EVENTS: dict[str, Callable[[Case], Any]] = {
    "as a tree": lambda case: xml.load(case.path),
    "as records": lambda case: list(xml.records(case.path, "*")),
    "as events": lambda case: list(xml.events(case.path)),
}

LIES = {
    "hst-lhs-007": "a byte order mark of UTF-8 counts for more than a declaration of ISO-8859-1",
    "hst-lhs-008": "UTF-16 that calls itself UTF-8: how it begins counts for more",
}
"""Not well-formed, and read: as browsers and libxml2 do."""

VALID = {
    "valid-not-sa-031": "refers to an entity that another file declares",
    "not-sa03": "refers to a parameter entity that another file declares",
    "v-pe00": "refers to an entity that another file declares",
    "ibm-valid-P09-ibm09v03.xml": "refers to an entity that another file declares",
    "ibm-valid-P32-ibm32v02.xml": "refers to an entity that another file declares",
    "rmt-e2e-19": "refers to an entity that another file declares",
    "pr-xml-little": "refers to an entity that another file declares",
    "pr-xml-utf-16": "refers to an entity that another file declares",
    "pr-xml-utf-8": "refers to an entity that another file declares",
    "rmt-e2e-50": "is XML 1.1, and has a line end of that in a tag",
}
"""Valid, and refused."""

LIBXML2 = {
    "redefinition of element": ("el04", "ibm-invalid-P45-ibm45i01.xml"),
    "default value": (
        "attr09 attr10 attr13 attr14 ibm-invalid-P60-ibm60i04.xml rmt-e3e-06a rmt-e3e-06c rmt-e3e-06e "
        "rmt-e3e-06f"
    ).split(),
    "two IDs": ("ibm-invalid-P56-ibm56i02.xml", "ibm-invalid-P56-ibm56i06.xml"),
}
"""Well-formed, but with a document type that contradicts itself: lxml refuses it unasked."""

ENTITIES_FIRST = {
    "not-wf-sa-075": "an entity that refers to itself, in an attribute's default",
    "not-wf-sa-079": "an entity that refers to itself",
    "not-wf-sa-080": "an entity that refers to itself",
    "not-wf-not-sa-002": "an instruction called XML after a declaration",
    "rmt-ns10-043": "a colon in the name of an entity",
}
"""Not well-formed, and with entities: expat and libxml2 come upon these in a different order."""

BY_CHOICE = {
    "uri01": "a fragment in a system identifier, which libxml2 refuses",
    "ibm-not-wf-P69-ibm69n05.xml": "a parameter entity that is not declared",
    "rmt-ns10-006": "a namespace that is no URI, which libxml2 refuses",
}
"""Errors that a parser need not report."""


def verdict(read: Callable[[Case], Any], case: Case) -> str:
    try:
        read(case)
    except LimitExceeded as error:
        return error.limit
    except DataError as error:
        return "refused" if error.line or "which is not read" in error.reason else f"no line: {error}"
    return "read"


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return list(conformance())


@pytest.mark.parametrize("way", EVENTS)
def test_what_is_not_well_formed_is_refused(way: str, cases: list[Case]) -> None:
    wrong = [case for case in cases if case.kind == "not-wf"]
    assert len(wrong) > 1000
    read = [case for case in wrong if verdict(EVENTS[way], case) == "read"]
    # What is wrong with some stands in another file, which is not read; the last test reads those.
    elsewhere = {case.name for case in read if case.entities in ("parameter", "both")}
    assert [case.name for case in read if case.name not in LIES and case.name not in elsewhere] == []
    assert len(read) < 50


@pytest.mark.parametrize("way", EVENTS)
def test_what_is_valid_is_read(way: str, cases: list[Case]) -> None:
    right = [case for case in cases if case.kind == "valid"]
    assert len(right) > 700
    verdicts = {case: verdict(EVENTS[way], case) for case in right}
    refused = [case for case, found in verdicts.items() if found == "refused"]
    assert [case.name for case in refused if case.name not in VALID] == []
    entities = [case for case, found in verdicts.items() if found == "entities"]
    assert all("<!ENTITY" in text(case) for case in entities)
    assert set(verdicts.values()) <= {"read", "refused", "entities"}


def test_what_is_only_invalid_is_read(cases: list[Case]) -> None:
    excused = {name for names in LIBXML2.values() for name in names}
    odd = []
    for case in cases:
        if case.kind == "invalid" and case.name not in excused:
            odd += [case.name] if verdict(EVENTS["as a tree"], case) not in ("read", "entities") else []
    assert odd == []


def test_all_ways_agree(cases: list[Case]) -> None:
    """But on five refusals, of which the reason differs, and on what libxml2 refuses unasked."""
    excused = {*ENTITIES_FIRST, *BY_CHOICE, *(name for names in LIBXML2.values() for name in names)}
    verdicts = {case.name: {verdict(read, case) for read in EVENTS.values()} for case in cases}
    assert {name for name, found in verdicts.items() if len(found) > 1} == excused
    for name in ENTITIES_FIRST:
        assert verdicts[name] == {"refused", "entities"}


def test_with_all_allowed_no_exception_is_left_but_lies(cases: list[Case]) -> None:
    """With entities and other files, from below the suite's folder."""
    top = next(folder for folder in cases[0].path.parents if folder.name == "xmlconf")

    def read(case: Case) -> Any:
        beside = xml.below(top)
        return xml.load(
            case.path,
            allow={"entities", "external"},
            resolver=lambda url: beside(
                url if "/" in url and url.startswith("/") else str(case.path.parent / url)
            ),
        )

    odd = []
    for case in cases:
        found = verdict(read, case)
        if case.kind == "not-wf" and found == "read" and case.name not in LIES:
            odd.append((case.name, found))
        if case.kind == "valid" and found != "read" and case.name != "rmt-e2e-50":
            odd.append((case.name, found))
    assert odd == []


def text(case: Case) -> str:
    data = case.path.read_bytes()
    return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8", "replace").replace(
        "\0", ""
    )
