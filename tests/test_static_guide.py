"""What docs/static-files.md says in tables and sentences is so; ``test_readme.py`` runs its programs."""

from __future__ import annotations

import inspect
import re

import pytest

from portico.web import kept
from portico.web.codings import LEAST
from portico.web.ranges import MAX_RANGES
from portico.web.static import Static
from tests.peers import root

GUIDE = (root / "docs" / "static-files.md").read_text(encoding="utf-8")
PROSE = " ".join(re.sub(r"^```.*?^```$", "", GUIDE, flags=re.MULTILINE | re.DOTALL).split())


def test_every_option_is_in_the_table_with_its_default() -> None:
    told = dict(re.findall(r"^\| `(\w+)` \| `([^`]*)` \| .", GUIDE, re.MULTILINE))
    options = [each for each in inspect.signature(Static).parameters.values() if each.name != "root"]
    assert {each.kind for each in options} == {inspect.Parameter.KEYWORD_ONLY}
    assert told == {each.name: repr(each.default).replace("'", '"') for each in options}


@pytest.mark.parametrize(
    "sentence",
    [
        f"More than {MAX_RANGES} in one request",
        f"files below {LEAST} bytes",
        "last three seconds is not kept" if kept._SETTLED == 3_000_000_000 else "?",
        "opened anew after a second" if kept._TRUST == 1.0 else "?",
    ],
)
def test_the_numbers_of_the_sentences_are_the_ones_in_force(sentence: str) -> None:
    assert sentence in PROSE
