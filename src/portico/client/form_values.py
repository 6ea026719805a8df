"""What is in the controls of a form, at first and when filled in (HTML standard, 4.10.5 to 4.10.10)."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, time
from typing import Any

from portico.client.forms_page import Control
from portico.errors import ConfigError

__all__ = ["ONE_LINE", "chosen", "initial", "sanitized", "value_of_box"]

ONE_LINE = frozenset(("text", "search", "tel", "password", "url", "email"))
_OTHER_KINDS = frozenset(
    "hidden number range color date month week time datetime-local checkbox radio file submit image reset "
    "button".split()
)
_NUMBER = re.compile(r"-?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}", re.ASCII)
_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_HOUR = r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,3})?)?"


def initial(control: Control) -> Any:
    """What the page has filled in."""
    if control.kind == "textarea":
        return control.text
    if control.kind == "select":
        return _selected(control)
    if control.kind in ("checkbox", "radio"):
        return "checked" in control.attributes
    if control.kind == "file":
        return []
    return sanitized(control, control.attributes.get("value", ""))


def chosen(name: str, control: Control, value: Any) -> list[str]:
    """Options of a list, by value or by what people see. Raises ``ConfigError`` for one that is not there."""
    wanted = [str(each) for each in value] if isinstance(value, (list, tuple, set)) else [str(value)]
    if len(wanted) > 1 and "multiple" not in control.attributes:
        raise ConfigError(f"form: {name!r} takes one choice, not {len(wanted)}")
    options = [option for option in control.options if not option.disabled]
    found = set()
    for each in wanted:
        by_value = (number for number, option in enumerate(options) if option.value == each)
        by_label = (number for number, option in enumerate(options) if option.label == each)
        number = next(by_value, next(by_label, None))
        if number is None:
            there = ", ".join(option.value for option in options) or "none"
            raise ConfigError(f"form: {name!r} has no choice {each!r}; there are: {there}")
        found.add(number)
    return [options[number].value for number in sorted(found)]


def value_of_box(control: Control) -> str:
    """What a check box or radio button sends when it is on."""
    return control.attributes.get("value", "on")


def sanitized(control: Control, value: str) -> str:
    """A value as the type of its control has it: what does not fit is no value, as in a browser."""
    kind = control.kind
    if kind in ONE_LINE or (control.tag == "input" and kind not in _OTHER_KINDS):
        value = value.replace("\n", "").replace("\r", "")
    if kind in ("url", "email"):
        return value.strip(" \t\n\f\r")
    if kind == "number":
        return value if _NUMBER.fullmatch(value) else ""
    if kind == "range":
        return _in_range(control, value)
    if kind == "color":
        return value.lower() if _COLOUR.fullmatch(value) else "#000000"
    if kind in _TIMES:
        pattern, read = _TIMES[kind]
        return value if re.fullmatch(pattern, value, re.ASCII) and _can(read, value) else ""
    return value


def _selected(control: Control) -> list[str]:
    """What a list has selected: its marks, or without any, where one must be, the first that can be."""
    options = control.options
    marked = [option for option in options if option.selected]
    if "multiple" not in control.attributes:
        size = control.attributes.get("size", "")
        if not marked and not (size.isdigit() and int(size) > 1):
            marked = [option for option in options if not option.disabled][:1]
        marked = marked[-1:]
    return [option.value for option in marked if not option.disabled]


def _in_range(control: Control, value: str) -> str:
    """The value of a slider: between its ends, and in the middle if none is given."""
    least = _number(control.attributes.get("min", ""), 0.0)
    most = _number(control.attributes.get("max", ""), 100.0)
    middle = least + (most - least) / 2 if most > least else least
    there = _number(value, middle)
    if least <= there <= most and _NUMBER.fullmatch(value):
        return value
    return f"{max(least, min(there, most)):g}" if most > least else f"{least:g}"


def _number(text: str, otherwise: float) -> float:
    return float(text) if _NUMBER.fullmatch(text) else otherwise


def _can(read: Callable[[str], object], value: str) -> bool:
    try:
        read(value)
    except ValueError:
        return False
    return True


_TIMES: dict[str, tuple[str, Callable[[str], object]]] = {
    "date": (_DAY, date.fromisoformat),
    "month": ("[0-9]{4}-[0-9]{2}", lambda text: date.fromisoformat(f"{text}-01")),
    "week": ("[0-9]{4}-W[0-9]{2}", lambda text: date.fromisoformat(f"{text}-1")),
    "time": (_HOUR, time.fromisoformat),
    "datetime-local": (f"{_DAY}[T ]{_HOUR}", datetime.fromisoformat),
}
