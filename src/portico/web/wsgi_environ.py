"""The environment of a WSGI application, as far as it is the same for every request."""

from __future__ import annotations

from typing import Any

from portico.address import Address
from portico.web.wsgi_files import FileWrapper

__all__ = ["base_environ", "port_of"]

_OWN = ("REQUEST_METHOD", "SERVER_PROTOCOL", "REQUEST_URI", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING")


def base_environ(where: Address | None, secure: bool) -> dict[str, Any]:
    """The entries that all requests to a listener have in common, with room for those they do not."""
    environ: dict[str, Any] = {
        "SERVER_NAME": (where.host if where is not None else "") or "localhost",
        "SERVER_PORT": port_of(where) or ("443" if secure else "80"),
        "SERVER_SOFTWARE": "portico",
        "REMOTE_ADDR": "",
        "REMOTE_PORT": "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https" if secure else "http",
        "wsgi.errors": None,
        "wsgi.multithread": None,
        "wsgi.multiprocess": None,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        "wsgi.file_wrapper": FileWrapper,
        "wsgi.input": None,
        # Replaced for each request; here, so that copies have room for them.
        **dict.fromkeys(_OWN, ""),
    }
    if secure:
        environ["HTTPS"] = "on"
    return environ


def port_of(address: Address | None) -> str:
    """A port as WSGI has it; ``""`` for what has none."""
    return "" if address is None or address.port is None else str(address.port)
