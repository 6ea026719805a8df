"""What ``portico fetch`` does: send, or only prepare; and print."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from portico import deadline
from portico.cli.ending import ending_by_signals
from portico.cli.fetch_output import output_file
from portico.cli.fetch_print import Head, Printer, Raw, Shown
from portico.cli.fetch_record import exchange_record, request_record
from portico.cli.fetch_request import Wanted, wanted
from portico.cli.manners import TRUST, in_words
from portico.client.request import Request
from portico.client.response import Response
from portico.errors import CertificateError, ConfigError, PorticoError

__all__ = ["run"]

_LETTERS = "HBhbm"
_SHOWN = 1 << 20
"""Bytes of a request's body that are printed again."""


def run(words: Sequence[str], options: dict[str, Any]) -> None:
    """Carry out a command line. Raises ``PorticoError``."""
    want = wanted(words, options)
    path = options["output"]
    if path is None and sys.stdout is None:
        raise ConfigError("stdout is closed; --output takes the answer")
    with (
        ending_by_signals(),
        in_words(TRUST, CertificateError),
        deadline.timeout(options["timeout"]),
        nullcontext(None) if path is None else output_file(path) as out,
    ):
        told = _Told(options, out)
        if want.scheme in ("http", "https", "http+unix"):
            response = _over_http(want, options, told)
        else:
            response = _opened(want, options, told)
    if response is not None and options["check"]:
        response.raise_for_status()


def _over_http(want: Wanted, options: dict[str, Any], told: _Told) -> Response | None:
    from portico.cli.fetch_http import client

    with client(want, options) as ours:
        told.proxies = ours.proxies
        if options["offline"]:
            told.prepared(ours.prepare())
            return None
        try:
            response = ours.send(save=bool(options["session"]))
        except PorticoError as error:
            if error.request is not None:
                told.asked(error.request)
            raise
        with response:
            told.asked(response.request)
            told.answered(response)
        return response


def _opened(want: Wanted, options: dict[str, Any], told: _Told) -> Response:
    """What no server is asked for: ``file:``, ``data:``, schemes that somebody has added."""
    from portico.client.opener import open as open_url

    if not want.bare or options["offline"]:
        raise ConfigError(f"{want.scheme}: URLs are read; methods, items, bodies and --offline are of http")
    with open_url(want.url, check=False) as response:
        told.answered(response)
    return response


class _Told:
    """What is printed of an exchange: in which parts, in which form, and where to."""

    def __init__(self, options: dict[str, Any], out: Any) -> None:
        self.proxies: Any = None
        self._terminal = out is None and sys.stdout.isatty()
        self._out = sys.stdout.buffer if out is None else out
        self._what = _what(options, self._terminal)
        self._as_json = options["json"]
        self._printer = self._chosen(options, out)
        self._sent: Head | None = None

    def prepared(self, request: Request) -> None:
        """A request that is not sent."""
        from portico.cli.fetch_wire import wire_bytes

        self._remember(request)
        if self._as_json:
            self._record({"request": request_record(request, self._sent)})
        elif isinstance(self._printer, Raw) and "H" in self._what and "B" in self._what:
            self._printer.body(wire_bytes(request, self.proxies), "")
        else:
            self._request(request)

    def asked(self, request: Request) -> None:
        """A request that was sent, or was to be."""
        self._remember(request)
        if not self._as_json and self._request(request) and set(self._what) & set("hbm"):
            self._printer.gap()

    def answered(self, response: Response) -> None:
        """An answer. Reads its body, if that is to be printed. Raises what reading it does."""
        if self._as_json:
            self._record(exchange_record(response, self._sent))
            return
        if "h" in self._what:
            self._printer.head(Head.of_answer(response))
        if "b" in self._what:
            self._printer.body(response.iter_bytes(), response.headers.get("content-type", ""))
        if "m" in self._what:
            self._printer.note(f"\nelapsed: {response.elapsed.total:.3f} s")

    def _remember(self, request: Request) -> None:
        if self._as_json or "H" in self._what:
            from portico.cli.fetch_wire import prepared_head

            self._sent = Head.of_bytes(prepared_head(request, self.proxies))

    def _request(self, request: Request) -> bool:
        """Print a request; whether there was anything to print."""
        if self._sent is not None:
            self._printer.head(self._sent)
        body = request.body if "B" in self._what else None
        if body is not None:
            kind = request.headers.get("content-type", "")
            if body.replayable and (body.length is not None and body.length <= _SHOWN):
                self._printer.body(iter(body.chunks()), kind)
            elif isinstance(self._printer, Shown):
                self._printer.note("(a body that is long, or was sent as it came, is not shown again)")
        return self._sent is not None or body is not None

    def _chosen(self, options: dict[str, Any], out: Any) -> Printer:
        pretty = options["pretty"] or ("all" if self._terminal else "none")
        if out is not None or (pretty == "none" and not self._terminal):
            return Raw(self._out)
        plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
        return Shown(
            colours=pretty in ("all", "colors") and (not plain or options["pretty"] is not None),
            formats=pretty in ("all", "format"),
            streams=options["stream"],
        )

    def _record(self, record: dict[str, Any]) -> None:
        self._out.write(f"{json.dumps(record)}\n".encode())
        self._out.flush()


def _what(options: dict[str, Any], terminal: bool) -> str:
    """The letters of the parts to print. Raises ``ConfigError``."""
    chosen = [options["print"], "h" if options["headers"] else None, "b" if options["body"] else None]
    chosen.append("HBhbm"[: 3 + options["verbose"]] if options["verbose"] else None)
    said = [each for each in chosen if each]
    if not said:
        return "HB" if options["offline"] else "hb" if terminal else "b"
    what = "".join(said)
    wrong = set(what) - set(_LETTERS)
    if wrong:
        raise ConfigError(f"--print {options['print']}: the letters are H, B, h, b and m")
    return what
