import pytest

from portico.errors import ConfigError
from portico.web.caching import IMMUTABLE, CacheRules, is_hashed


def said(rules, path):
    parts = path.encode().split(b"/")
    return rules.of(parts, parts[-1])


def test_one_value_holds_for_all():
    assert said(CacheRules("no-cache"), "a/b.txt") == "no-cache"
    assert said(CacheRules(""), "a/b.txt") == ""


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("index.html", "no-cache"),
        ("a/b/page.html", "no-cache"),
        ("assets/app.js", "max-age=60"),
        ("assets/deep/er/app.js", "max-age=60"),
        ("other/assets/app.js", "private"),
        ("robots.txt", ""),
        ("a/robots.txt", "private"),
        ("a/\N{LATIN SMALL LETTER U WITH DIAERESIS}.css", "umlaut"),
    ],
)
def test_the_first_pattern_that_fits_decides(path, value):
    rules = CacheRules(
        {
            "*.html": "no-cache",
            "/assets/*": "max-age=60",
            "/robots.txt": "",
            "\N{LATIN SMALL LETTER U WITH DIAERESIS}.*": "umlaut",
            "*": "private",
        }
    )
    assert said(rules, path) == value


@pytest.mark.parametrize(
    ("name", "hashed"),
    [
        ("app.3f9a1c7e.js", True),
        ("main.3f9a1c7e2b.chunk.css", True),
        ("style-9b2f0c1d4e5a6b7c8d9e.css", True),
        ("index-BKx91aZq.js", True),
        ("logo.d41d8cd98f00b204e9800998ecf8427e.svg", True),
        ("app.js", False),
        ("jquery-3.7.1.min.js", False),
        ("report-20240131.csv", False),
        ("advanced-contents.html", False),
        ("README-Advanced.md", False),
        ("file.deadbeef.txt", False),
        ("3f9a1c7e", False),
        ("IMG-20240131T1200.jpg", False),
        ("app.3f9a1c7e", False),
    ],
)
def test_a_name_that_carries_a_hash_is_told_from_words_dates_and_versions(name, hashed):
    assert is_hashed(name.encode()) is hashed


def test_hashed_names_are_kept_for_ever_when_that_is_wanted():
    rules = CacheRules({"*": "no-cache"}, immutable=True)
    assert said(rules, "a/app.3f9a1c7e.js") == IMMUTABLE
    assert said(rules, "a/app.js") == "no-cache"
    assert said(CacheRules("no-cache"), "app.3f9a1c7e.js") == "no-cache"


@pytest.mark.parametrize("rules", [{"": "x"}, {"/": "x"}, {"*.html": "a\nb"}, "a\r\nX: y", "\N{EURO SIGN}"])
def test_a_rule_that_cannot_work_is_refused(rules):
    with pytest.raises(ConfigError):
        CacheRules(rules)
