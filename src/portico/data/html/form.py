"""The forms of a page as data: what they are, and what is in their controls (HTML standard, 4.10)."""

from __future__ import annotations

from dataclasses import dataclass, field

from portico.data.html.control_values import initial, value_of_box

__all__ = ["Control", "Form", "Option"]

_ENCTYPES = ("multipart/form-data", "text/plain")


@dataclass(slots=True)
class Option:
    """An option of a list. ``value``: what it sends; ``label``: what people see; ``group``: the label of the
    ``optgroup`` that it is in."""

    value: str
    label: str
    selected: bool = False
    disabled: bool = False
    group: str = ""


@dataclass(slots=True)
class Control:
    """A control of a form, as the page has it.

    ``tag``: ``input``, ``button``, ``select`` or ``textarea``. ``type``: that of an input or button (``text``
    for one that is unknown), else the tag. ``attributes``: as they are written. ``disabled``: by itself, a
    ``fieldset`` or a ``datalist``. ``checked``: whether a check box or radio button is on. ``text``: what is
    in a ``textarea`` or on a ``button``. ``options``: of a ``select``. ``labels``: the texts of its labels.
    """

    tag: str
    type: str
    attributes: dict[str, str] = field(default_factory=dict)
    disabled: bool = False
    checked: bool = False
    text: str = ""
    options: list[Option] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What its value is sent under; ``""``: it is not sent."""
        return self.attributes.get("name", "")

    @property
    def id(self) -> str:
        """Its ``id``, ``""`` without one."""
        return self.attributes.get("id", "")

    @property
    def multiple(self) -> bool:
        """Whether it takes several values."""
        return "multiple" in self.attributes

    @property
    def value(self) -> str:
        """Its value, as a browser has it: what does not fit its type is none. Of a box what it sends when it
        is on; of a list the first that is selected."""
        if self.type in ("checkbox", "radio"):
            return value_of_box(self)
        return next(iter(self.values), "")

    @property
    def values(self) -> list[str]:
        """All that it would send now: nothing of a box that is off, several of a list for several. Buttons
        send theirs if they are pressed."""
        if self.type in ("checkbox", "radio"):
            return [value_of_box(self)] if self.checked else []
        found = initial(self)
        return found if isinstance(found, list) else [found]


@dataclass(slots=True)
class Form:
    """A form. ``action``: the URL that it is sent to, absolute where the page's is known; ``""`` for what can
    be none. ``attributes``: as they are written. ``controls``: in the order of the page, also those that
    stand elsewhere in it and belong to it."""

    action: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    controls: list[Control] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Its ``name``, ``""`` without one."""
        return self.attributes.get("name", "")

    @property
    def id(self) -> str:
        """Its ``id``, ``""`` without one."""
        return self.attributes.get("id", "")

    @property
    def method(self) -> str:
        """``get``, ``post`` or ``dialog``."""
        given = self.attributes.get("method", "").lower()
        return given if given in ("post", "dialog") else "get"

    @property
    def enctype(self) -> str:
        """The media type in which ``post`` sends it."""
        given = self.attributes.get("enctype", "").lower()
        return given if given in _ENCTYPES else "application/x-www-form-urlencoded"
