"""What is in the controls of a form: as the page has it, and what may be put there (4.10.5 to 4.10.10)."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from math import isfinite
from typing import TYPE_CHECKING, Any

from portico.data.html.control_times import KINDS, written

if TYPE_CHECKING:
    from portico.data.html.form import Control

__all__ = ["ONE_LINE", "TYPES", "initial", "sanitized", "value_of_box"]

ONE_LINE = frozenset(("text", "search", "tel", "password", "url", "email"))
TYPES = ONE_LINE | frozenset(
    "hidden number range color date month week time datetime-local checkbox radio file submit image reset "
    "button".split()
)
"""The types of ``input``; what is none of them is ``text``."""
_NUMBER = re.compile(r"-?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}", re.ASCII)
_TOO_MANY = 1 << 31
"""Rows of a list that browsers take for none."""
_ROWS = re.compile(r"[ \t\n\f\r]*\+?([0-9]{1,12})(?![0-9])", re.ASCII)


def initial(control: Control) -> Any:
    """What the page has filled in."""
    if control.type == "textarea":
        return control.text
    if control.type == "select":
        return _selected(control)
    if control.type in ("checkbox", "radio"):
        return control.checked
    if control.type == "file":
        return []
    return sanitized(control, control.attributes.get("value", ""))


def value_of_box(control: Control) -> str:
    """What a check box or radio button sends when it is on."""
    return control.attributes.get("value", "on")


def sanitized(control: Control, value: str) -> str:
    """A value as the type of its control has it: what does not fit is no value, as in a browser."""
    kind = control.type
    if kind in ONE_LINE:
        value = value.replace("\n", "").replace("\r", "")
    if kind in ("url", "email"):
        return value.strip(" \t\n\f\r")
    if kind == "number":
        return "" if _number(value) is None else value
    if kind == "range":
        return _in_range(control, value)
    if kind == "color":
        return value.lower() if _COLOUR.fullmatch(value) else "#000000"
    return written(kind, value) if kind in KINDS else value


def _selected(control: Control) -> list[str]:
    """What a list has selected: its marks, or without any, where one must be, the first that can be."""
    options = control.options
    marked = [option for option in options if option.selected]
    if not control.multiple:
        # A list that shows several rows need not have anything selected.
        rows = _ROWS.match(control.attributes.get("size", ""))
        if not marked and not (rows and 1 < int(rows[1]) < _TOO_MANY):
            marked = [option for option in options if not option.disabled][:1]
        marked = marked[-1:]
    return [option.value for option in marked if not option.disabled]


def _in_range(control: Control, value: str) -> str:
    """The value of a slider: between its ends, on one of its steps, and in the middle if none is given."""
    given = control.attributes
    least = _number(given.get("min", "")) or Decimal(0)
    most = _number(given.get("max", ""))
    most = max(least, Decimal(100) if most is None else most)
    there = _number(value)
    there = (least + most) / 2 if there is None else min(max(there, least), most)
    if given.get("step", "").lower() == "any":
        return _plain(there)
    step = _number(given.get("step", "")) or Decimal(1)
    step = step if step > 0 else Decimal(1)
    bases = (_number(given.get(name, "")) for name in ("min", "value"))
    base = next((number for number in bases if number is not None), Decimal(0))
    try:
        on_step = base + ((there - base) / step).to_integral_value(ROUND_HALF_UP) * step
    except InvalidOperation:  # so many steps that their number has no exact digits
        return _plain(there)
    return _plain(on_step if on_step <= most else on_step - step)


def _number(text: str) -> Decimal | None:
    """A number of HTML, if it is one that fits into a float."""
    return Decimal(text) if _NUMBER.fullmatch(text) and isfinite(float(text)) else None


def _plain(number: Decimal) -> str:
    return f"{number.normalize():f}" if abs(number.adjusted()) < 21 else str(float(number))
