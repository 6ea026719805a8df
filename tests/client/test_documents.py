"""Bodies as documents: pages."""

from __future__ import annotations

import asyncio

import pytest

import portico
from portico import aio
from portico.data.html import load
from portico.errors import LimitExceeded
from portico.limits import Limits
from tests.peers import need_module

need_module("selectolax")

PAGE = (
    "<title>Grün</title><p>one<p>two <a href=x>link</a><table><td>cell<form action=f><input name=a></table>"
)


@pytest.fixture
def answers():
    """What an application answers: content type and body."""
    return {"/a/page": ("text/html; charset=utf-8", PAGE.encode())}


def application(answers):
    def app(environ, start_response):
        kind, body = answers[environ["PATH_INFO"]]
        start_response("200 OK", [("Content-Type", kind)])
        return [body]

    return app


@pytest.fixture
def session(answers):
    with portico.Session(app=application(answers), base_url="http://shop.test/a/") as session:
        yield session


def test_html_is_the_page_that_load_gives(session):
    answer = session.get("page")
    page = answer.html()
    assert page.html == load(session.get("page")).html
    assert (page.title, page.base, page.source) == (
        "Grün",
        "http://shop.test/a/page",
        "http://shop.test/a/page",
    )
    assert page.first("p").text() == "one"
    assert [each.url for each in page.links(kinds=["a"])] == ["http://shop.test/a/x"]
    assert page.xpath("string(//td)") == "cell"
    assert [form.action for form in page.forms()] == ["http://shop.test/a/f"]
    assert answer.html().html == page.html  # the body is kept


@pytest.mark.parametrize("body", [b"", b"text", b"<>", b"\0", b"<p>" * 1000])
def test_everything_is_a_page(session, answers, body):
    answers["/a/page"] = "text/html", body
    assert session.get("page").html().root.name == "html"


def test_a_streamed_page_is_gathered(session):
    with session.get("page", stream=True) as answer:
        assert answer.html().title == "Grün"


def test_the_charset_is_that_of_the_response(session, answers):
    answers["/a/page"] = "text/html", "<meta charset=windows-1252><p>\x81ü€".encode()
    answer = session.get("page")
    assert answer.html().charset == "cp1252"
    assert answer.html().first("p").text() == answer.text.partition("<p>")[2]
    answer.charset = "utf-8"
    assert answer.html().first("p").text() == "\x81ü€"


def test_a_page_whose_tree_would_be_too_large_is_refused(answers):
    answers["/a/page"] = "text/html", b"<div>" * 5000
    for limits in (Limits(), Limits(html_depth=99)):
        with portico.Session(app=application(answers), base_url="http://a.test/a/", limits=limits) as session:
            with pytest.raises(LimitExceeded, match=r"http://a.test/a/page: a page of more than") as caught:
                session.get("page").html()
            assert caught.value.limit == "html_depth"


def test_forms_are_read_within_the_limits_of_the_session(answers):
    with (
        portico.Session(
            app=application(answers), base_url="http://a.test/a/", limits=Limits(html_controls=1)
        ) as session,
        pytest.raises(LimitExceeded, match=r"http://a.test/a/page: more than 1 controls"),
    ):
        session.get("page").forms()


def test_html_of_an_asynchronous_session(answers):
    async def titles():
        async with aio.Session(app=application(answers), base_url="http://a.test/a/") as session:
            answer = await session.get("page")
            return answer.html().title, [form.action.path for form in answer.forms()]

    assert asyncio.run(titles()) == ("Grün", ["/a/f"])
