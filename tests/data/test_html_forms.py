"""Forms of pages as data: what Chromium makes of the same markup."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.data import html, source
from portico.errors import LimitExceeded
from portico.limits import Limits
from tests.peers import need, need_module

BROKEN = [
    line.replace("\\n", "\n") for line in (Path(__file__).parent / "html_forms.txt").read_text().splitlines()
]

SCRIPT = """() => [...document.forms].map(form => [
    form.id, form.name, form.action, form.method, form.enctype,
    [...document.querySelectorAll('input,button,select,textarea')].filter(
        one => one.form === form).map(one => [
        one.localName, one.name, one.localName === 'select' || one.localName === 'textarea' ? '' : one.type,
        one.localName === 'button' ? '' : one.type === 'file' ? '' : one.value,
        one.matches(':disabled') || !!one.closest('datalist'), !!one.checked,
        [...(one.options || [])].map(option => [
            option.value, option.label, option.disabled || !!option.closest('optgroup:disabled')]),
        [...(one.labels || [])].map(label => label.control === one),
    ])])"""


def summary(form):
    return [
        form.id, form.name, form.action, form.method, form.enctype,
        [
            [
                each.tag, each.name, "" if each.tag in ("select", "textarea") else each.type,
                "" if each.tag == "button" else each.value, each.disabled, each.checked,
                [[option.value, option.label, option.disabled] for option in each.options],
                [True for _ in each.labels],
            ]
            for each in form.controls
        ],
    ]  # fmt: skip


@pytest.fixture(scope="module")
def chromium():
    sync_api = need_module("playwright.sync_api")
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=need("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        served = [""]
        page.route("**/*", lambda route: route.fulfill(body=served[0], content_type="text/html"))

        def forms(markup):
            served[0] = markup
            page.goto("http://shop.test/a/b?c")
            return page.evaluate(SCRIPT)

        yield forms
        browser.close()


@pytest.mark.parametrize("markup", BROKEN)
def test_broken_pages_have_the_forms_that_chromium_has(chromium, markup):
    markup = f"<!doctype html><meta charset=utf-8>{markup}"
    assert [summary(form) for form in html.forms(markup.encode(), "http://shop.test/a/b?c")] == chromium(
        markup
    )


@pytest.mark.parametrize("markup", BROKEN)
def test_a_page_may_come_in_any_pieces(markup):
    data = markup.encode()
    whole = html.forms(data, "http://shop.test/")
    for size in (1, 7):
        pieces = (data[at : at + size] for at in range(0, len(data), size))
        assert html.forms(source(pieces, encoding="utf-8"), "http://shop.test/") == whole


PAGE = """<base href="/shop/"><form id=order name=o action="buy?now" method=post enctype=multipart/form-data>
<label>Your <b>name</b> <input name=who value=" Zoë "></label>
<label for=many>How many</label><input id=many type=number name=n value=3>
<input type=checkbox name=gift checked> <input type=radio name=size value=s checked>
<input type=radio name=size value=m checked>
<select name=land><optgroup label=Europe><option value=ch>Switzerland
<option value=fr selected> France</optgroup><optgroup label=Asia disabled>
<option>Japan</select>
<select name=tongues multiple><option>de
<option selected>fr<option selected>it</select><textarea name=note>
two
lines</textarea><input type=file name=photo><fieldset disabled><input name=off></fieldset>
<button name=do value=buy>Buy <i>it</i></button></form><input form=order name=last type=hidden value=x>
<form><select><option>1</select></form>"""


def test_a_form_is_data():
    order, other = html.forms(PAGE.encode(), "http://a.test/b/c")
    assert (order.id, order.name, order.action, order.method, order.enctype) == (
        "order", "o", "http://a.test/shop/buy?now", "post", "multipart/form-data",
    )  # fmt: skip
    assert [(each.name, each.type, each.value, each.values) for each in order.controls] == [
        ("who", "text", " Zoë ", [" Zoë "]),
        ("n", "number", "3", ["3"]),
        ("gift", "checkbox", "on", ["on"]),
        ("size", "radio", "s", []),
        ("size", "radio", "m", ["m"]),
        ("land", "select", "fr", ["fr"]),
        ("tongues", "select", "fr", ["fr", "it"]),
        ("note", "textarea", "two\nlines", ["two\nlines"]),
        ("photo", "file", "", []),
        ("off", "text", "", [""]),
        ("do", "submit", "buy", ["buy"]),
        ("last", "hidden", "x", ["x"]),
    ]
    by_name = {each.name: each for each in order.controls}
    assert by_name["who"].labels == ["Your name"]
    assert by_name["n"].labels == ["How many"]
    assert [each.name for each in order.controls if each.disabled] == ["off"]
    assert by_name["do"].text == "Buy it"
    assert by_name["tongues"].multiple
    assert by_name["land"].options == [
        html.Option("ch", "Switzerland", group="Europe"),
        html.Option("fr", "France", selected=True, group="Europe"),
        html.Option("Japan", "Japan", disabled=True, group="Asia"),
    ]
    assert (other.action, other.method, other.enctype) == (
        "http://a.test/b/c", "get", "application/x-www-form-urlencoded",
    )  # fmt: skip


def test_without_a_url_actions_stay_as_they_are():
    assert [each.action for each in html.forms(b"<form action=' x '></form><form></form>")] == ["x", ""]
    assert [each.action for each in html.forms(b"<base href=http://b/c/><form action=x>")] == ["http://b/c/x"]
    assert [each.action for each in html.forms(b"<form action='http://[x'>", "http://a/")] == [""]


def test_a_loaded_page_has_the_same_forms():
    need_module("selectolax")
    assert html.load(PAGE.encode(), "http://a.test/b/c").forms() == html.forms(
        PAGE.encode(), "http://a.test/b/c"
    )


def pieces(unit, number, before="", after=""):
    def made():
        yield before.encode()
        for _ in range(number // 1000):
            yield unit.encode() * 1000
        yield after.encode()

    return source(made(), encoding="utf-8")


ATTACKS = [
    ("<option>", 1_000_000, "<form><select>", "html_controls"),
    ("<input form=x>", 1_000_000, "<form>", "html_controls"),
    ("<label>", 1_000_000, "<form>", "html_controls"),
    ("<form></form>", 1_000_000, "", "html_controls"),
    ("a=b ", 5_000, "<form ", "html_attributes"),
    ("x" * 1000, 20_000, "<form><input value='", "html_token"),
]


@pytest.mark.parametrize(
    ("unit", "number", "before", "limit"), ATTACKS, ids=[each[0][:9] for each in ATTACKS]
)
def test_a_page_that_is_too_much_is_refused_while_it_comes(unit, number, before, limit):
    with pytest.raises(LimitExceeded, match="the pieces: ") as caught:
        html.forms(pieces(unit, number, before))
    assert caught.value.limit == limit


@pytest.mark.parametrize(("limits", "markup", "limit"), [
    (Limits(html_controls=3), "<form><label><input></label><input>", "html_controls"),
    (Limits(answer=100), f"<form><textarea>{'x' * 101}", "answer"),
    (Limits(answer=100), f"<form><input value={'x' * 101}>", "answer"),
    (Limits(html_depth=1), f"<form>{'<div>' * 64}", "html_depth"),
        (Limits(html_depth=1), f"<form>{'<svg>' * 65}", "html_depth"),
    (Limits(html_attributes=2), "<input a b c>", "html_attributes"),
])  # fmt: skip
def test_each_bound_is_one_of_limits(limits, markup, limit):
    for data in (markup.encode(), iter(bytes([byte]) for byte in markup.encode())):
        with pytest.raises(LimitExceeded) as caught:
            html.forms(source(data, limits=limits, encoding="utf-8"))
        assert caught.value.limit == limit


@pytest.mark.parametrize(("unit", "forms", "controls"), [
    ("<form>", 1, 1), ("<fieldset disabled>", 1, 1), ("<select>", 1, 50_001), ("<b><p>", 1, 1),
    ("<div><form></div>", 1, 1), ("<fieldset disabled><legend>", 1, 1), ("<template>", 1, 0),
    ("</div></b>", 1, 1), ("<svg>", 1, 0), ("<table><form>", 1, 1), ("<button>", 1, 100_001),
])  # fmt: skip
def test_what_is_nested_a_hundred_thousand_times_is_read(unit, forms, controls):
    found = html.forms(pieces(unit, 100_000, "<form>", "<input name=last>"))
    assert (len(found), len(found[0].controls)) == (forms, controls)


def test_a_long_text_that_never_ends_is_the_value():
    (form,) = html.forms(pieces("<b>&amp;" + "x" * 90, 100_000, "<form><textarea>"))
    assert len(form.controls[0].value) == 94 * 100_000


TAGS = """<form> </form> <form_id=f> <input_form=f> <input> <select> </select> <option> </option> </template>
    <optgroup_disabled> <textarea> </textarea> <fieldset_disabled> </fieldset> <legend> </legend> <label>
    </label> <button> </button> <table> </table> <tr> <td> </td> <div> </div> <p> </p> <b> </b> <a> </a> <svg>
    </svg> <template> <datalist> </datalist> <foreignObject> <title> </title> <li> text <!-- --> <script>
    </script>""".split()


@given(st.lists(st.sampled_from(TAGS), max_size=40))
def test_no_order_of_tags_breaks_it(tags):
    markup = "".join(tags).replace("_", " ")
    whole = html.forms(source(markup.encode(), encoding="utf-8"))
    single = html.forms(source((bytes([byte]) for byte in markup.encode()), encoding="utf-8"))
    assert whole == single
    assert all(form.attributes.keys() <= {"id"} for form in whole)
