"""The ``Link`` field: what leads to the next page."""

from __future__ import annotations

import pytest

from portico.client.links import links_of
from portico.client.session import Session
from portico.client.url import URL

BASE = URL.parse("https://api.test/a/b?page=1")


@pytest.mark.parametrize(
    ("field", "found"),
    [
        ("</x>; rel=next", {"next": "/x"}),
        ('<?page=2>; rel="next", <?page=9>; rel="last"', {"next": "/a/b?page=2", "last": "/a/b?page=9"}),
        ('<a,b;c> ; Rel = "NEXT prev" , <d>;rel=next', {"next": "/a/a,b;c", "prev": "/a/a,b;c"}),
        ('<x>; title="a, <y>; \\"b\\""; rel=up', {"up": "/a/x"}),
        ('<x>; rel="a"; rel="b"', {"a": "/a/x"}),
        ("<>; rel=self", {"self": "/a/b?page=1"}),
        ("<x>", {"https://api.test/a/x": "/a/x"}),
        (",, <x>; rel=next,,", {"next": "/a/x"}),
        ("<http://u@v@w>; rel=next, <x>; rel=last", {"last": "/a/x"}),
        ('<x>; rel=next noise, <y>; rel="last"', {"next": "/a/x"}),
        ("noise", {}),
        ("", {}),
        ("<x>" + "; a" * 30_000 + '; b="' + "\\" * 30_000, {"https://api.test/a/x": "/a/x"}),
    ],
)
def test_links_are_found_by_what_they_are(field, found):
    links = links_of([field], BASE)
    assert {relation: link["url"] for relation, link in links.items()} == {
        relation: f"https://api.test{path}" for relation, path in found.items()
    }


def test_an_answer_leads_to_the_next_one():
    def app(environ, start_response):
        page = int(environ["QUERY_STRING"] or 1)
        more = [("Link", f'</?{page + 1}>; rel="next"; title="more"')] if page < 3 else []
        start_response("200 OK", more)
        return [b"%d" % page]

    with Session(app=app) as session:
        url, pages = "http://api.test/", []
        while url:
            answer = session.get(url)
            pages.append(answer.text)
            url = answer.links.get("next", {}).get("url")
        assert session.get("http://api.test/").links["next"]["title"] == "more"
    assert pages == ["1", "2", "3"]
