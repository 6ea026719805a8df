"""The forms of a page: which controls there are, and whose they are (HTML standard, 4.10.18.3 and 13.2.6).

Whose a control is follows from the tags alone: it belongs to the form that was begun last and not ended yet,
however the two are nested; so a form that begins inside a table owns what browsers say that it owns. A
``form`` attribute says it outright.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

__all__ = ["Control", "FormTag", "Option", "Page", "read_page"]

Attributes = dict[str, str]

_CONTROLS = frozenset(("button", "input", "select", "textarea"))
_TEXT_ONLY = frozenset(("title", "iframe", "noembed", "noframes", "xmp"))
"""Elements that have text in them, whatever it looks like, beside those that ``HTMLParser`` knows."""


@dataclass(slots=True)
class Option:
    """An option of a ``select``: ``label`` is what people see."""

    value: str
    label: str
    selected: bool
    disabled: bool


@dataclass(slots=True)
class Control:
    """A control as the page has it. ``kind``: ``textarea``, ``select``, or the type of an input or button."""

    tag: str
    kind: str
    attributes: Attributes
    disabled: bool
    owner: FormTag | None
    text: str = ""
    """Of a ``textarea``."""
    options: list[Option] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Its name, ``""`` without one."""
        return self.attributes.get("name", "")


@dataclass(eq=False, slots=True)
class FormTag:
    """A form as the page has it."""

    attributes: Attributes


@dataclass(slots=True)
class Page:
    """What a page has of forms. ``base`` is the ``href`` of its first ``base``."""

    forms: list[FormTag] = field(default_factory=list)
    controls: list[Control] = field(default_factory=list)
    base: str | None = None


def read_page(text: str) -> Page:
    """The forms and controls of a page, whatever its markup."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    reader.settle()
    return reader.page


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()
        self._form: FormTag | None = None
        self._text_only: str | None = None
        self._templates = 0
        self._datalists = 0
        self._fieldsets: list[list[bool | int]] = []  # disabled, legends so far, inside the first legend
        self._select: Control | None = None
        self._group_disabled = False
        self._option: Attributes | None = None
        self._label: list[str] = []
        self._textarea: Control | None = None
        self._text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._textarea is not None:
            self._text.append(self.get_starttag_text() or "")  # there are no tags in there
            return
        if self._text_only is not None:
            return
        if tag in _TEXT_ONLY:
            self._text_only = tag
        if tag == "template":
            self._templates += 1
        if self._templates or self._text_only is not None:
            return
        attributes: Attributes = {}
        for name, value in attrs:
            attributes.setdefault(name, value or "")
        begin = getattr(self, f"_begin_{tag}", None)
        if begin is not None:
            begin(attributes)
        elif tag in _CONTROLS and self._select is None:
            self._add(tag, attributes)

    def handle_endtag(self, tag: str) -> None:
        if self._textarea is not None:
            if tag == "textarea":
                self._end_textarea()
            else:
                self._text.append(f"</{tag}>")
            return
        if self._text_only is not None:
            if tag == self._text_only:
                self._text_only = None
        elif tag == "template":
            self._templates = max(0, self._templates - 1)
        elif not self._templates:
            end = getattr(self, f"_end_{tag}", None)
            if end is not None:
                end()

    def handle_data(self, data: str) -> None:
        if self._textarea is not None:
            self._text.append(data)
        elif self._option is not None:
            self._label.append(data)

    def settle(self) -> None:
        """What the page has not ended, its end does."""
        if self._textarea is not None:
            self._end_textarea()
        self._end_select()
        by_id = {form.attributes["id"]: form for form in reversed(self.page.forms) if "id" in form.attributes}
        for control in self.page.controls:
            if "form" in control.attributes:
                control.owner = by_id.get(control.attributes["form"])

    # -- what begins and ends

    def _begin_base(self, attributes: Attributes) -> None:
        if self.page.base is None and "href" in attributes:
            self.page.base = attributes["href"]

    def _begin_form(self, attributes: Attributes) -> None:
        if self._form is None:  # forms do not nest: the inner tag is as if it were not there
            self._form = FormTag(attributes)
            self.page.forms.append(self._form)

    def _end_form(self) -> None:
        self._form = None

    def _begin_fieldset(self, attributes: Attributes) -> None:
        self._fieldsets.append(["disabled" in attributes, 0, False])

    def _end_fieldset(self) -> None:
        if self._fieldsets:
            self._fieldsets.pop()

    def _begin_legend(self, attributes: Attributes) -> None:
        if self._fieldsets:
            self._fieldsets[-1][1] += 1
            self._fieldsets[-1][2] = self._fieldsets[-1][1] == 1

    def _end_legend(self) -> None:
        if self._fieldsets:
            self._fieldsets[-1][2] = False

    def _begin_datalist(self, attributes: Attributes) -> None:
        self._datalists += 1

    def _end_datalist(self) -> None:
        self._datalists = max(0, self._datalists - 1)

    def _begin_select(self, attributes: Attributes) -> None:
        if self._select is not None:  # as browsers have it, a second tag ends the first
            self._end_select()
            return
        self._select = self._add("select", attributes)
        self._group_disabled = False

    def _end_select(self) -> None:
        self._end_option()
        self._select = None

    def _begin_optgroup(self, attributes: Attributes) -> None:
        self._end_option()
        self._group_disabled = "disabled" in attributes

    def _end_optgroup(self) -> None:
        self._end_option()
        self._group_disabled = False

    def _begin_option(self, attributes: Attributes) -> None:
        self._end_option()
        if self._select is not None:
            self._option, self._label = attributes, []

    def _end_option(self) -> None:
        attributes, self._option = self._option, None
        if attributes is None or self._select is None:
            return
        text = " ".join("".join(self._label).split())
        self._select.options.append(
            Option(
                attributes.get("value", text),
                attributes.get("label") or text,
                "selected" in attributes,
                "disabled" in attributes or self._group_disabled,
            )
        )

    def _begin_input(self, attributes: Attributes) -> None:
        if self._select is not None:
            self._end_select()
        self._add("input", attributes)

    def _begin_textarea(self, attributes: Attributes) -> None:
        if self._select is not None:
            self._end_select()
        self._textarea, self._text = self._add("textarea", attributes), []

    def _end_textarea(self) -> None:
        if self._textarea is not None:
            text = "".join(self._text).replace("\r\n", "\n").replace("\r", "\n")
            self._textarea.text = text.removeprefix("\n")  # the first line end is only for the eye
        self._textarea = None

    def _add(self, tag: str, attributes: Attributes) -> Control:
        kind = tag
        if tag == "input":
            kind = attributes.get("type", "").lower() or "text"
        elif tag == "button":
            given = attributes.get("type", "").lower()
            kind = given if given in ("reset", "button") else "submit"
        barred = any(disabled and not in_legend for disabled, _, in_legend in self._fieldsets)
        control = Control(
            tag, kind, attributes, barred or "disabled" in attributes or self._datalists > 0, self._form
        )
        self.page.controls.append(control)
        return control
