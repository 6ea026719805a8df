"""What disables the controls that are in it: a ``fieldset``, but for its legend, and a ``datalist``."""

from __future__ import annotations

from portico.data.html.watched import Watched

__all__ = ["Bars"]


class Bars:
    """``count``: open elements that disable what comes now."""

    def __init__(self, open_: Watched) -> None:
        self.count = 0
        self._open = open_
        self._with_legend: set[int] = set()  # places of fieldsets whose legend has come

    def begin_fieldset(self, disabled: bool) -> None:
        """A ``fieldset`` begins."""
        if disabled:
            self._with_legend.discard(self._bar("fieldset"))
        else:
            self._open.begin("fieldset")

    def begin_datalist(self) -> None:
        """A ``datalist`` begins."""
        self._bar("datalist")

    def begin_legend(self) -> None:
        """A ``legend`` begins: the first one of a fieldset is not disabled (4.10.15)."""
        fieldset = self._open.place_of_innermost("fieldset")
        if fieldset is None or fieldset in self._with_legend or not self._open.is_watched(fieldset):
            self._open.begin("legend")
            return
        self._with_legend.add(fieldset)
        self.count -= 1
        self._open.begin("legend", self._again)

    def _bar(self, name: str) -> int:
        self.count += 1
        return self._open.begin(name, self._no_more)

    def _no_more(self) -> None:
        self.count -= 1

    def _again(self) -> None:
        self.count += 1
