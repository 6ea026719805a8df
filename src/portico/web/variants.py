"""Which form of a file goes to a client: by what it accepts, and what lies beside the file."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from portico.sync import Lock
from portico.web.caching import CacheRules
from portico.web.codings import LEAST, choose
from portico.web.file_answer import SMALL
from portico.web.folder import Folder, Found
from portico.web.kept import Kept
from portico.web.packing import pack_file
from portico.web.representation import Headers, Representation, read_span
from portico.web.types import compressible, media_type

if TYPE_CHECKING:
    from portico.http.exchange import Exchange

__all__ = ["Variants"]

_ENDINGS = {"br": b".br", "zstd": b".zst", "gzip": b".gz"}
"""What lies beside a file, the smallest first: it was made once, at leisure."""
_MOST = 32 << 20
"""Beyond it the first byte would be late, as gzip takes a second: what is larger is sent as it is."""
_ALONE = 1 << 20
"""Texts of this size are compressed one at a time: many may ask for one at once, and it is made once."""


class Variants:
    """The forms of the files of a folder. The options are those of ``Static``."""

    def __init__(
        self,
        folder: Folder,
        types: Mapping[bytes, str],
        rules: CacheRules,
        extra: Headers,
        *,
        precompressed: bool,
        compress: tuple[str, ...],
        memory: int,
    ) -> None:
        self._folder = folder
        self._types = types
        self._rules = rules
        self._extra = extra
        self._precompressed = precompressed
        self._compress = compress
        self._packing = Lock()
        self.kept = Kept(memory)

    def plain(self, found: Found) -> Representation:
        """A file as it is, for an answer that is not about it."""
        kind = media_type(found.name, self._types)
        return self._form(_Making(found, kind, self._headers(found), (found,), keep=False), fd=found.fd)

    def pick(self, exchange: Exchange, found: Found, *, ranged: bool, keep: bool) -> Representation | None:
        """The form for a request; ``None``: the client accepts none of them.

        ``ranged``: a part is asked for; what is compressed now has none. ``keep``: the path
        of the request leads to this file and no other. The caller closes a descriptor of the form's own.
        """
        kind = media_type(found.name, self._types)
        beside, packable = self._offered(found, kind)
        made = _Making(found, kind, self._headers(found), (found,), keep)
        if not beside and not packable:
            return self._make(exchange, made)
        made.extra.append(("Vary", "Accept-Encoding"))
        made = made._replace(offered=(*beside, *packable), keep=keep and not ranged)
        coding = _agreed(exchange.header("accept-encoding"), beside, packable, ranged)
        if coding in beside:
            return self._make_of_another(exchange, made, coding)
        if coding is None:
            return None
        return self._make(exchange, made._replace(coding=coding, packed=bool(coding)))

    def _headers(self, found: Found) -> Headers:
        cache = self._rules.of(found.parts, found.name)
        return [*self._extra, ("Cache-Control", cache)] if cache else [*self._extra]

    def _offered(self, found: Found, kind: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """In which codings a file lies beside this one, and into which it may be put now."""
        if not (self._precompressed or self._compress) or not compressible(kind):
            return (), ()
        looked_for = _ENDINGS if self._precompressed else ()
        beside = tuple(coding for coding in looked_for if self._lies_beside(found, coding))
        return beside, self._compress if LEAST <= found.facts.st_size <= _MOST else ()

    def _lies_beside(self, found: Found, coding: str) -> bool:
        """Whether there is a compressed file, no older than this one: a stale one would be wrong."""
        try:
            facts = os.stat(self._folder.path(found.parts) + _ENDINGS[coding])
        except OSError:
            return False
        return stat.S_ISREG(facts.st_mode) and _is_fresh(facts, found.facts)

    def _make_of_another(self, exchange: Exchange, made: _Making, coding: str) -> Representation:
        """The form that lies beside the file, or the file itself where that one cannot be had."""
        parts = [*made.found.parts[:-1], made.found.name + _ENDINGS[coding]]
        try:
            other = self._folder.open(parts)
        except OSError:
            return self._form(made, fd=made.found.fd)
        form = None
        try:
            if not other.folder and _is_fresh(other.facts, made.found.facts):
                sources = (made.found, other)
                form = self._make(exchange, made._replace(found=other, sources=sources, coding=coding))
        finally:
            if form is None or form.fd != other.fd:
                other.close()
        return form or self._form(made, fd=made.found.fd)

    def _make(self, exchange: Exchange, made: _Making) -> Representation:
        if not (made.packed and made.keep and made.found.facts.st_size >= _ALONE):
            return self._kept_or_new(exchange, made)
        with self._packing:
            return self._kept_or_new(exchange, made)

    def _kept_or_new(self, exchange: Exchange, made: _Making) -> Representation:
        """A form as it was kept, or made anew, and perhaps kept."""
        checks = [(self._folder.path(each.parts), each.facts) for each in made.sources]
        form = self.kept.again(exchange, made.offered, made.coding, checks) if made.keep else None
        if form is not None:
            return form.by_descriptor(made.found.fd)
        form = self._pack(made) if made.packed else self._read(made)
        if made.keep:
            self.kept.add(exchange, made.offered, made.coding, checks, form)
        return form

    def _read(self, made: _Making) -> Representation:
        """A file that may be kept, read; another as it is."""
        fd, size = made.found.fd, made.found.facts.st_size
        if not made.keep or size > min(SMALL, self.kept.most):
            return self._form(made, fd=fd)
        data = read_span(fd, 0, size)
        # It is being changed? Whoever sends it will see.
        return self._form(made, data=data) if len(data) == size else self._form(made, fd=fd)

    def _pack(self, made: _Making) -> Representation:
        """A file compressed; where that cannot be, as it is."""
        fd, size = made.found.fd, made.found.facts.st_size
        packed = pack_file(fd, size, made.coding, SMALL)
        if packed is None:
            return self._form(made._replace(packed=False, coding=""), fd=fd)
        return self._form(made, data=packed.data, keeper=packed.keeper, size=packed.size)

    def _form(self, made: _Making, **content: Any) -> Representation:
        return Representation(
            made.found.facts,
            made.kind,
            made.extra,
            coding=made.coding,
            packed=made.packed,
            now=time.time(),
            **content,
        )


class _Making(NamedTuple):
    """What a form is made of. ``sources`` are the files that it depends on, ``found`` that which is sent."""

    found: Found
    kind: str
    extra: Headers
    sources: tuple[Found, ...]
    keep: bool
    offered: tuple[str, ...] = ()
    coding: str = ""
    packed: bool = False


def _agreed(
    accepted: str | None, beside: tuple[str, ...], packable: tuple[str, ...], ranged: bool
) -> str | None:
    coding = choose(accepted, beside if ranged else (*beside, *packable))
    if coding is None and ranged:
        return choose(accepted, (*beside, *packable))
    return coding


def _is_fresh(packed: os.stat_result, plain: os.stat_result) -> bool:
    """Whether a compressed file was made of what the other holds now: programs that compress give it the
    time of the other, some of them without nanoseconds, some in whole seconds."""
    made, changed = packed.st_mtime_ns, plain.st_mtime_ns
    return made >= changed or made in (changed - changed % 1000, changed - changed % 1_000_000_000)
