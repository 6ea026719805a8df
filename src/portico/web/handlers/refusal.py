"""An answer that is raised."""

from __future__ import annotations

from collections.abc import Sequence

from portico.errors import LocalProtocolError, PorticoError

__all__ = ["Refuse"]


class Refuse(PorticoError):
    """Raise it in a request handler to answer ``status`` (400 to 599) with the standard error page.

    ``detail`` is plain text for people and is shown; ``headers`` go with the answer.
    """

    def __init__(self, status: int, detail: str = "", headers: Sequence[tuple[str, str]] = ()) -> None:
        if not 400 <= status <= 599:
            raise LocalProtocolError(f"Refuse({status}): expected an error status, 400 to 599")
        super().__init__(detail or f"refused with {status}")
        self.status = status
        self.detail = detail
        self.headers = list(headers)
