"""Forms of fetched pages: read, filled in, and submitted as a browser would (HTML standard, 4.10.22).

::

    form = session.get("https://shop.example/login").form("login")
    form["user"] = "ada"
    form["remember"] = True
    session.submit(form)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

from portico.charsets.text import known
from portico.client.body import Body, BytesBody
from portico.client.form_choices import chosen
from portico.client.url import URL
from portico.data.html.control_values import ONE_LINE, initial, sanitized, value_of_box
from portico.data.html.form import Control, Form
from portico.data.html.form_page import forms_in
from portico.errors import AddressError, ConfigError

if TYPE_CHECKING:
    from portico.client.response import Response

__all__ = ["HTMLForm", "form_of", "forms_of", "referrer"]

_LINE_ENDS = re.compile(r"\r\n|\r|\n")
_BUTTONS = frozenset(("submit", "image"))
_SENT_FROM = "*-._"
"""What the serializer of forms leaves as it is, beside letters and digits."""

Entry = tuple[str, Any]
"""A name, and text or (of a file) what ``files=`` takes."""


def forms_of(response: Response) -> list[HTMLForm]:
    """The forms of a page, in its order."""
    page = forms_in([response.text], str(response.url), limits=response.limits, source=str(response.url))
    base = response.url
    if page.base is not None:
        try:
            base = response.url.join(page.base)
        except AddressError:
            pass  # as if it were not there
    return [HTMLForm(form, response.url, base, response.charset) for form in page.forms]


def form_of(response: Response, which: str | int) -> HTMLForm:
    """A form of a page: by its number, its id or its name. Raises ``ConfigError``."""
    forms = forms_of(response)
    if isinstance(which, int):
        if -len(forms) <= which < len(forms):
            return forms[which]
        raise ConfigError(f"{response.url}: there are {len(forms)} forms, and no number {which}")
    wanted = which.removeprefix("#")
    for form in forms:
        if wanted and wanted in (form.id, form.name):
            return form
    there = ", ".join(form.id or form.name or f"number {n}" for n, form in enumerate(forms)) or "none"
    raise ConfigError(f"{response.url}: no form is {which!r}; there are: {there}")


class HTMLForm:
    """A form, to be filled in. ``form[name] = value`` sets a field, ``form[name]`` is its value.

    A value is text; of a check box ``True`` or ``False``, or of several of one name a list of those that are
    checked; of radio buttons and lists one that there is (or what people see in its place), of lists for
    several a list; of a file what ``files=`` takes, or a list. Raises ``ConfigError``, telling what there is,
    for a field or choice that is not there.
    """

    def __init__(self, form: Form, document: URL, base: URL, charset: str) -> None:
        self.id = form.id
        self.name = form.name
        self.document = document
        self._attributes = form.attributes
        self._controls = form.controls
        self._base = base
        self._charset = _charset(form.attributes.get("accept-charset", ""), charset)
        self._values: dict[int, Any] = {id(control): initial(control) for control in form.controls}

    # -- filling it in

    def __getitem__(self, name: str) -> Any:
        controls = self._named(name)
        kind = controls[0].type
        if kind == "checkbox":
            checked = [value_of_box(each) for each in controls if self._values[id(each)]]
            return bool(checked) if len(controls) == 1 else checked
        if kind == "radio":
            return next((value_of_box(each) for each in controls if self._values[id(each)]), None)
        found = [self._values[id(each)] for each in controls]
        return found[0] if len(found) == 1 else found

    def __setitem__(self, name: str, value: Any) -> None:
        controls = self._named(name)
        kind = controls[0].type
        if kind == "checkbox":
            self._check(name, controls, value)
        elif kind == "radio":
            self._choose(name, controls, value)
        elif kind == "select":
            self._values[id(controls[0])] = chosen(name, controls[0], value)
        elif kind == "file":
            self._values[id(controls[0])] = value if isinstance(value, list) else [value]
        else:
            several = value if isinstance(value, (list, tuple)) else [value]
            if len(several) > len(controls):
                raise ConfigError(f"form: {name!r} is there {len(controls)} times, not {len(several)}")
            for control, each in zip(controls, several, strict=False):
                self._values[id(control)] = sanitized(control, str(each))

    def __contains__(self, name: object) -> bool:
        return any(control.name == name for control in self._controls if control.type not in _BUTTONS)

    def __iter__(self) -> Iterator[str]:
        return iter(
            dict.fromkeys(each.name for each in self._controls if each.name and each.type not in _BUTTONS)
        )

    @property
    def fields(self) -> dict[str, Any]:
        """What is filled in now, by name."""
        return {name: self[name] for name in self}

    @property
    def buttons(self) -> list[str]:
        """What the form can be submitted with: the names, or the texts, of its buttons."""
        return [_button_name(control) for control in self._buttons()]

    # -- submitting it

    @property
    def method(self) -> str:
        """``GET`` or ``POST``, as its default button submits it."""
        return self._facts(self._default())[0]

    @property
    def action(self) -> URL:
        """Where its default button submits it to. Raises ``AddressError``."""
        return self._facts(self._default())[1]

    def submitted(self, button: str | bool | None = None) -> tuple[str, URL, Body | None]:
        """Method, URL and body of its submission. ``button``: by name, value or text; the first one if none
        is named, as when Enter is pressed; ``False``: none of them, as scripts do it. Raises ``ConfigError``
        for a button that is not there, ``AddressError`` for an action that is no URL."""
        pressed = None if button is False else self._pressed(button)
        method, action, enctype = self._facts(pressed)
        entries = list(self._entries(pressed))
        if method == "GET":
            return method, action.with_query(self._urlencoded(entries)), None
        return method, action, self._body(enctype, entries)

    def _facts(self, pressed: Control | None) -> tuple[str, URL, str]:
        own = {} if pressed is None else pressed.attributes
        method = own.get("formmethod", self._attributes.get("method", "")).lower()
        if method == "dialog":
            raise ConfigError("form: it closes a dialog of its page, and is not sent anywhere")
        action = own.get("formaction", self._attributes.get("action", "")).strip(" \t\n\f\r")
        url = self._base.join(action) if action else self.document
        if url.scheme not in ("http", "https"):
            raise ConfigError(f"form: its action is a {url.scheme}: URL, which nothing can be sent to")
        enctype = own.get("formenctype", self._attributes.get("enctype", "")).lower()
        return "POST" if method == "post" else "GET", url.without_user(), enctype

    def _body(self, enctype: str, entries: list[Entry]) -> Body:
        if enctype == "multipart/form-data":
            from portico.client.multipart import form_parts

            return form_parts(entries, self._charset)
        if enctype == "text/plain":
            lines = [f"{name}={_text(value)}\r\n" for name, value in _by_line(entries)]
            return BytesBody(self._encoded("".join(lines)), "text/plain")
        return BytesBody(self._urlencoded(entries).encode(), "application/x-www-form-urlencoded")

    def _urlencoded(self, entries: list[Entry]) -> str:
        pairs = [(self._encoded(name), self._encoded(_text(value))) for name, value in _by_line(entries)]
        return "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in pairs)

    def _encoded(self, text: str) -> bytes:
        return text.encode(self._charset, "xmlcharrefreplace")

    def _entries(self, pressed: Control | None) -> Iterator[Entry]:
        """The entry list (4.10.22.4), in the order of the page."""
        for control in self._controls:
            if control.disabled or (control.type in _BUTTONS and control is not pressed):
                continue
            if control.type in ("button", "reset"):
                continue
            if control.type == "image":
                prefix = f"{control.name}." if control.name else ""
                yield from ((f"{prefix}x", "0"), (f"{prefix}y", "0"))
            elif control.name:
                yield from self._entries_of(control)

    def _entries_of(self, control: Control) -> Iterator[Entry]:
        name, value = control.name, self._values[id(control)]
        if control.type == "select":
            yield from ((name, option) for option in value)
        elif control.type in ("checkbox", "radio"):
            if value:
                yield name, value_of_box(control)
        elif control.type == "file":
            yield from ((name, _File(each)) for each in value or [None])
        elif control.type == "hidden" and name.lower() == "_charset_":
            yield name, self._charset_name()
        else:
            yield name, value
        direction = control.attributes.get("dirname", "")
        if direction and control.type in (*ONE_LINE, "textarea"):
            yield direction, "ltr"

    def _charset_name(self) -> str:
        return {"utf-8": "UTF-8", "cp1252": "windows-1252"}.get(self._charset, self._charset)

    # -- buttons

    def _buttons(self) -> list[Control]:
        return [each for each in self._controls if each.type in _BUTTONS and not each.disabled]

    def _default(self) -> Control | None:
        return next(iter(self._buttons()), None)

    def _pressed(self, wanted: str | bool | None) -> Control | None:
        if wanted is None or wanted is True:
            return self._default()
        for control in self._buttons():
            if wanted in (control.name, control.attributes.get("value"), control.id, control.text or None):
                return control
        raise ConfigError(f"form: no button is {wanted!r}; there are: {', '.join(self.buttons) or 'none'}")

    # -- fields

    def _named(self, name: str) -> list[Control]:
        found = [each for each in self._controls if each.name == name and each.type not in _BUTTONS]
        if not found:
            raise ConfigError(f"form: there is no field {name!r}; there are: {', '.join(self) or 'none'}")
        return found

    def _check(self, name: str, controls: list[Control], value: Any) -> None:
        if isinstance(value, bool):
            wanted = [value_of_box(each) for each in controls] if value else []
        else:
            wanted = [str(each) for each in (value if isinstance(value, (list, tuple, set)) else [value])]
        there = [value_of_box(each) for each in controls]
        for each in wanted:
            if each not in there:
                raise ConfigError(f"form: {name!r} has no box {each!r}; there are: {', '.join(there)}")
        for control in controls:
            self._values[id(control)] = value_of_box(control) in wanted

    def _choose(self, name: str, controls: list[Control], value: Any) -> None:
        there = [value_of_box(each) for each in controls]
        if str(value) not in there:
            raise ConfigError(f"form: {name!r} has no choice {value!r}; there are: {', '.join(there)}")
        for control in controls:
            self._values[id(control)] = value_of_box(control) == str(value)

    def __repr__(self) -> str:
        what = self.id or self.name
        return f"<HTMLForm{f' {what!r}' if what else ''}: {', '.join(self)}>"


def referrer(document: URL, target: URL) -> str | None:
    """What a browser tells of the page that a form is on: all of its URL to its own origin, to others the
    origin alone, and nothing from https to http (Referrer Policy, ``strict-origin-when-cross-origin``)."""
    if document.secure and not target.secure:
        return None
    if document.origin == target.origin:
        return str(document.without_fragment().without_user())
    return f"{document.origin}/"


class _File:
    """A file in an entry list; ``None``: none was chosen."""

    def __init__(self, given: Any) -> None:
        self.given = given

    @property
    def filename(self) -> str:
        """Its name alone, which is all that forms without parts can say of it."""
        from portico.client.multipart import file_name

        return "" if self.given is None else file_name(self.given)


def _text(value: Any) -> str:
    return value.filename if isinstance(value, _File) else str(value)


def _by_line(entries: list[Entry]) -> list[Entry]:
    """Line ends as they are sent."""
    return [
        (_LINE_ENDS.sub("\r\n", name), value if isinstance(value, _File) else _LINE_ENDS.sub("\r\n", value))
        for name, value in entries
    ]


def _quoted(data: bytes) -> str:
    return quote_plus(data, _SENT_FROM).replace("~", "%7E")


def _charset(wanted: str, document: str) -> str:
    """What a form is sent in: the first of its own that is known, else its page's; never UTF-16."""
    for label in wanted.replace(",", " ").split():
        found = known(label)
        if found is not None:
            return "utf-8" if found.startswith("utf-16") else found
    return "utf-8" if document.startswith("utf-16") else document


def _button_name(control: Control) -> str:
    return control.name or control.attributes.get("value") or control.text or control.id or control.type
