"""Choices in the lists of a form, by what it sends or by what people see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from portico.errors import ConfigError

if TYPE_CHECKING:
    from portico.data.html.form import Control

__all__ = ["chosen"]


def chosen(name: str, control: Control, value: Any) -> list[str]:
    """Options of a list, by value or by what people see. Raises ``ConfigError`` for one that is not there."""
    wanted = [str(each) for each in value] if isinstance(value, (list, tuple, set)) else [str(value)]
    if len(wanted) > 1 and not control.multiple:
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
