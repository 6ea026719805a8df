"""The forms of a page, told by its tags: which controls there are, and whose they are (HTML standard,
4.10.18.3 and 13.2.6).

A control belongs to the form that was begun last and not ended yet, however the two are nested; so a form
that begins inside a table owns what browsers say that it owns. Without such a form it is that of the
innermost form element that it is in; a ``form`` attribute says it outright. What bars a control, and where a
list ends, follows from the elements that are open.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from portico.data.html.barring import Bars
from portico.data.html.control_values import TYPES
from portico.data.html.event import EndTag, Event, StartTag, Text
from portico.data.html.form import Control, Form, Option
from portico.data.html.joining import joiner
from portico.data.html.keeping import Kept
from portico.data.html.lexis import RAW, lower
from portico.data.html.nesting import TAGS
from portico.data.html.tokens import UNBUILT, Tokenizer
from portico.data.html.watched import Watched
from portico.limits import Limits

__all__ = ["PageForms", "forms_in"]

_BUTTONS = frozenset(("submit", "reset", "button"))
_SPACES = re.compile(r"[\t\n\f\r ]+")
_AROUND = " \t\n\f\r"


@dataclass(slots=True)
class PageForms:
    """``base``: the ``href`` of the first ``base`` of the page."""

    forms: list[Form] = field(default_factory=list)
    base: str | None = None


def forms_in(pieces: Iterable[str], base: str, *, limits: Limits, source: str) -> PageForms:
    """The forms of a page that comes in pieces: see ``portico.data.html.forms``."""
    reader = _Reader(limits, source)
    for piece in pieces:
        reader.take(reader.tokens.feed(piece))
    reader.take(reader.tokens.close())
    return reader.finished(base)


@dataclass(slots=True)
class _Label:
    target: str | None  # the id that it says
    control: Control | None = None
    text: str = ""


class _Reader:
    def __init__(self, limits: Limits, source: str) -> None:
        self.tokens = Tokenizer(limits, source, frozenset(_STARTS), passed=self._pass)
        self._page = PageForms()
        self._controls: list[tuple[Control, Form | None]] = []
        self._labels: list[_Label] = []
        self._open = Watched(UNBUILT * limits.html_depth, source)
        self._bars = Bars(self._open)
        self._kept = Kept(self.tokens, self._open, limits, source)
        self._form: Form | None = None  # begun, and not ended
        self._around: list[Form] = []  # whose elements are open, or what is in them is
        self._templates = 0
        self._raw = False  # whether the text that comes is that of a script or its like
        self._selects: list[Control] = []
        self._groups: list[tuple[str, bool]] = []
        self._waiting: list[_Label] = []  # open labels that no control has come for

    def take(self, events: Iterator[Event]) -> None:
        for event in events:
            match event:
                case StartTag():
                    self._start(event)
                case EndTag(name):
                    if self._templates or not self._open.end_foreign(name):
                        self._end(name)
                    if self.tokens.foreign and not self._open.foreign and not self._templates:
                        self.tokens.foreign.leave()
                case Text(text):
                    if not self._raw and not self._templates:
                        self._kept.text(text)

    def finished(self, base: str) -> PageForms:
        """All that the page has."""
        self._open.end_all()
        join, page = joiner(base), self._page
        if page.base is not None:
            join = joiner(join(page.base) or base)
        for form in page.forms:
            action = form.attributes.get("action", "").strip(_AROUND)
            form.action = join(action) if action else base
        self._settle_owners()
        self._settle_labels()
        for form in page.forms:
            _settle_radios(form)
        return page

    # -- tags

    def _pass(self, text: str, at: int, end: int) -> None:
        """What the tokenizer passes over."""
        if self._templates:
            return
        for name, _, ended in TAGS.findall(text, at, end):
            name = lower(name)  # noqa: PLW2901
            if name[0] == "/":
                self._end(name[1:])
            else:
                self._open.begin(name, ended=bool(ended))

    def _start(self, tag: StartTag) -> None:
        name = tag.name
        self._raw = name in RAW and name != "textarea"
        if self._templates:
            self._templates += name == "template"
            return
        if not self.tokens.foreign and self._open.foreign:
            self._open.end_all_foreign()
        if self.tokens.tag_is_foreign:
            if not tag.closed:
                self._open.begin_foreign(name)
        elif name in _STARTS:
            _STARTS[name](self, tag)
        elif name == "template":
            self._templates = 1
        else:
            self._open.begin(name, ended=tag.text is not None)

    def _end(self, name: str) -> None:
        self._raw = False
        if name == "template":
            self._templates = max(0, self._templates - 1)
        elif self._templates:
            return
        elif name != "form":
            self._open.end(name)
        elif self._form is not None:
            self._form = None
            self._open.end(name)

    def _base(self, tag: StartTag) -> None:
        if self._page.base is None and "href" in tag.attributes:
            self._page.base = tag.attributes["href"]

    def _begin_form(self, tag: StartTag) -> None:
        if self._form is not None:  # forms do not nest: the inner tag is as if it were not there
            return
        self._form = Form(attributes=tag.attributes)
        self._kept.tag(tag)
        self._page.forms.append(self._form)
        if not self._open.in_table:  # in one, it ends at once
            self._open.begin("form", self._around.pop)
            self._around.append(self._form)

    # -- controls

    def _input(self, tag: StartTag) -> None:
        self._open.end_select()
        kind = tag.attributes.get("type", "").lower()
        self._add(tag, kind if kind in TYPES else "text")

    def _begin_button(self, tag: StartTag) -> None:
        kind = tag.attributes.get("type", "").lower()
        self._open.end("button")
        control = self._add(tag, kind if kind in _BUTTONS else "submit")
        self._kept.gather("button", lambda text: setattr(control, "text", _words(text)))

    def _begin_textarea(self, tag: StartTag) -> None:
        control = self._add(tag, "textarea")
        self._kept.gather("textarea", lambda text: setattr(control, "text", _lines(text)))

    def _add(self, tag: StartTag, kind: str) -> Control:
        disabled = self._bars.count > 0 or "disabled" in tag.attributes
        control = Control(tag.name, kind, tag.attributes, disabled)
        control.checked = kind in ("checkbox", "radio") and "checked" in tag.attributes
        self._kept.tag(tag)
        self._controls.append((control, self._form or (self._around[-1] if self._around else None)))
        if kind != "hidden":
            for label in self._waiting:
                label.control = control
            self._waiting.clear()
        return control

    # -- lists

    def _begin_select(self, tag: StartTag) -> None:
        if self._open.end_select():  # as browsers have it, a second tag ends the first
            return
        self._selects.append(self._add(tag, "select"))
        self._kept.gather("select", lambda text: self._selects.pop())

    def _begin_group(self, tag: StartTag) -> None:
        self._open.end_options("optgroup")
        self._groups.append((tag.attributes.get("label", ""), "disabled" in tag.attributes))
        self._open.begin("optgroup", self._groups.pop)

    def _begin_option(self, tag: StartTag) -> None:
        self._open.end_options("option")
        if not self._selects or self._open.is_within("datalist", "select"):
            self._open.begin("option")
            return
        given = tag.attributes
        group, disabled = self._groups[-1] if self._groups else ("", False)
        option = Option(
            given.get("value", ""),
            given.get("label", ""),
            "selected" in given,
            disabled or "disabled" in given,
            group,
        )
        self._kept.tag(tag)
        self._selects[-1].options.append(option)
        self._kept.gather("option", lambda text: _name_option(option, "value" in given, _words(text)))

    # -- labels

    def _begin_label(self, tag: StartTag) -> None:
        label = _Label(tag.attributes.get("for"))
        self._kept.tag(tag)
        self._labels.append(label)
        if label.target is None:
            self._waiting.append(label)

        def end(text: str) -> None:
            label.text = _words(text)
            if self._waiting and self._waiting[-1] is label:
                self._waiting.pop()

        self._kept.gather("label", end)

    # -- at the end

    def _settle_owners(self) -> None:
        by_id = {form.id: form for form in reversed(self._page.forms) if form.id}
        for control, form in self._controls:
            told = control.attributes.get("form")
            owner = form if told is None else by_id.get(told)
            if owner is not None:
                owner.controls.append(control)

    def _settle_labels(self) -> None:
        by_id: dict[str, Control] = {}
        for control, _ in self._controls:
            if control.id and control.type != "hidden":
                by_id.setdefault(control.id, control)
        for label in self._labels:
            labelled = label.control if label.target is None else by_id.get(label.target)
            if labelled is not None:
                labelled.labels.append(label.text)


_STARTS: dict[str, Callable[[_Reader, StartTag], None]] = {
    "base": _Reader._base,
    "button": _Reader._begin_button,
    "datalist": lambda reader, tag: reader._bars.begin_datalist(),
    "fieldset": lambda reader, tag: reader._bars.begin_fieldset("disabled" in tag.attributes),
    "form": _Reader._begin_form,
    "input": _Reader._input,
    "label": _Reader._begin_label,
    "legend": lambda reader, tag: reader._bars.begin_legend(),
    "optgroup": _Reader._begin_group,
    "option": _Reader._begin_option,
    "select": _Reader._begin_select,
    "textarea": _Reader._begin_textarea,
}


def _settle_radios(form: Form) -> None:
    """Of the buttons of one name that the page has checked, the last one is."""
    seen: set[str] = set()
    for control in reversed(form.controls):
        if control.type == "radio" and control.checked and control.name:
            control.checked = control.name not in seen
            seen.add(control.name)


def _name_option(option: Option, has_value: bool, text: str) -> None:
    if not has_value:
        option.value = text
    option.label = option.label or text


def _words(text: str) -> str:
    """A text as people see it."""
    return _SPACES.sub(" ", text).strip(" ")


def _lines(text: str) -> str:
    """The text of a ``textarea``, whose first line end is only for the eye."""
    return text.removeprefix("\n").replace("\r\n", "\n").replace("\r", "\n")
