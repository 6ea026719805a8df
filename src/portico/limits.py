"""Every bound of the network stack in one frozen value, each default with its reason.

A ``Limits`` travels as an argument, never as a global: two servers in one process may differ.
``Limits().but(body=1 << 20)`` gives a changed copy. Sizes are bytes, times are seconds; ``None``
means unbounded where the type allows it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from portico.errors import ConfigError

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The bounds in force. Raises ``ConfigError`` for a value that is not a positive number."""

    # Streams
    line: int = 65536
    """Longest line that ``read_line`` takes: no sane text protocol has longer ones."""
    read_all: int = 64 << 20
    """What ``read_all`` gathers: a reader that wants more should stream."""

    # Datagrams
    datagram: int = 65535
    """Longest datagram that is taken: UDP has no longer ones. What is longer is dropped, or an error."""
    datagram_memory: int = 16 << 20
    """What a listener holds of datagrams not handled yet, 4 KiB added for each; then new ones are dropped."""
    datagram_stall: float = 2.0
    """A reply that the system has no room for is given up after so long: a flooder may never read."""

    # HTTP, sizes
    request_line: int = 8192
    """RFC 9112, 3: recipients should take at least 8000 octets."""
    headers: int = 100
    """Number of header fields; browsers send about twenty."""
    header_bytes: int = 65536
    """The whole head. Large cookies stay below 16 KiB; what is larger is an attack or a bug."""
    body: int | None = 1 << 30
    """A request's body, after chunked coding is undone."""
    body_memory: int = 1 << 18
    """A body larger than this is kept in a temporary file while it arrives."""
    chunk_extension_bytes: int = 4096
    """All chunk extensions of one body together: they are legal and useless."""
    response_memory: int = 1 << 20
    """So much of a streamed answer may wait for a slow reader before its producer has to wait."""
    memory: int = 32 << 20
    """What unfinished heads, bodies and answers of all connections may hold in memory together, in each
    process; beyond it, bodies and answers go to temporary files, and large heads are refused (503)."""
    pipelined: int = 100
    """Requests answered from one read before others get their turn."""

    # HTTP and TLS, times
    handshake: float = 10.0
    """A TLS handshake takes two round trips; ten seconds is generous on a bad mobile link."""
    head: float = 15.0
    """From the first byte of a head to its blank line."""
    idle: float = 60.0
    """A kept-alive connection without a request; browsers reuse within a minute or not at all."""
    body_rate: int = 500
    """Least bytes a second of an arriving body, averaged, after ``body_grace``."""
    body_grace: float = 60.0
    """Seconds a body may take before its rate is judged: ``git push`` says nothing while it packs."""
    write_stall: float = 30.0
    """An answer of which the peer takes nothing for so long is given up."""
    linger: float = 2.0
    """After an early error answer: so long is input still swallowed, lest a reset eat the answer."""
    request: float | None = None
    """A whole request, from its first byte to the answer's last; off by default."""

    # The client
    answer: int = 256 << 20
    """What a client gathers of one answer (``content``, ``text``, ``json()``): larger ones are to be
    streamed."""

    event: int = 1 << 20
    """Bytes of one server-sent event that a client takes."""
    cookie_bytes: int = 4096
    """Name and value of one cookie, as browsers bound them."""
    cookies_per_domain: int = 180
    """Then the oldest of the domain go; Chromium has the same number."""
    cookies: int = 3300
    """Of all domains."""

    # Compressed data
    unpacked: int | None = 8 << 30
    """Bytes that are made of one compressed body or source: what is larger is meant to fill a disk."""
    unpack_ratio: int | None = 200
    """How many times the bytes that came, beyond 32 MiB: real texts and logs stay below 100."""

    # Data: packed sources
    zstd_window: int = 128 << 20
    """How far ``zstd --long`` and ``--ultra`` may refer back, which is held in memory: the program itself
    takes as much unless it is told otherwise. Answers of HTTP have 8 MiB (RFC 9659)."""

    # Forms; all of a body is bounded by ``body``
    form_fields: int = 1000
    """Fields of a form, files not counted; the largest forms of real sites have some hundreds."""
    form_files: int = 100
    """Files of a form."""
    form_memory: int = 2 << 20
    """Names and values of all fields together, files not counted: a long text in a field is a megabyte."""
    form_header_bytes: int = 8192
    """The header of one part of a form: three short lines, of which the file's name is the longest."""

    # Files
    listing: int = 20000
    """Names that the list of a folder shows; more of them is no list that anybody reads."""

    # Servers
    connections: int = 20000
    """Open connections of one server; beyond it, accepting pauses."""
    backlog: int = 2048
    """Connections that the kernel may hold before they are accepted."""
    peers: int = 65536
    """Peers whose rate is remembered (``Admission``), 10 MiB at most; the one not seen for longest goes."""
    queue: int = 1024
    """Requests that wait for a free thread; beyond it they are refused (503)."""
    load: float = 60.0
    """A new worker that has not loaded the handler by then is killed; large models take half a minute."""
    drain_quiet: float = 5.0
    """While draining: an idle kept connection gets so long for one more request."""

    # Telnet
    telnet_subnegotiation: int = 4096
    """Bytes of one subnegotiation: the longest that is in use, an environment, stays below a kilobyte."""
    telnet_negotiations: int = 10000
    """Of a whole connection: a login takes twenty, each password that is asked for two more."""

    # Programs
    cgi_seconds: float = 300.0
    """A CGI program that runs longer is killed: a minute is too short for the clone of a large repository."""
    cgi_queue: int = 16
    """Requests that wait because too many CGI programs run already; each of them holds a thread."""
    cgi_wait: float = 10.0
    """They wait for so long; then they are refused (503)."""
    cgi_output: int = 1 << 30
    """What a CGI program may write."""
    cgi_header_bytes: int = 65536
    """The header part of a CGI program's answer."""

    # Data, CSV
    csv_field: int = 4 << 20
    """Characters of one field: outlines of countries are megabytes, a quote that never closes is endless."""
    csv_record: int = 16 << 20
    """Characters of one record, counted in steps as they come: so much of it is in memory."""
    csv_columns: int = 1 << 16
    """Fields of one record: spreadsheets stop at 16,384, tables of genes have 60,000."""

    # Data: JSON documents
    json_depth: int = 512
    """Arrays and objects in each other: real documents stay below 50, and Python's own limit is near 1000."""
    json_digits: int = 4300
    """Of a whole number: reading one takes time by the square of its length. Python has the same default."""
    json_values: int = 20_000_000
    """Values that are made at once: of three characters, ``{},``, come 72 bytes of memory."""
    json_record: int = 64 << 20
    """Characters of one line, or of one element, that is taken out of a stream."""

    # Data, HTML
    html_token: int = 16 << 20
    """Characters of one tag or comment: an image inside an attribute is some megabytes."""
    html_attributes: int = 1000
    """Of one tag: each is compared with all before it; pages that are made by programs have some tens."""
    html_nodes: int = 4 << 20
    """Elements and texts of a page's tree, a quarter of a kilobyte each: a page of 5 MB has half a million.
    Broken markup of a hundred kilobytes can make millions."""
    html_depth: int = 4096
    """Elements within elements: browsers stop at 512, and each level makes every tag dearer."""
    html_controls: int = 1 << 18
    """Controls, options and labels of a page's forms, half a kilobyte each: lists of all countries in each
    row of a long table are tens of thousands."""
    html_cells: int = 4 << 20
    """Cells of one table, those that spans fill among them: one tag can span 65 million."""

    # Documents of XML
    xml_prolog: int = 1 << 20
    """Bytes before the root element: the largest document types that are written out have some 100 KB."""
    xml_record: int = 16 << 20
    """Bytes of one record, from its start tag on, ten at least for each tag and attribute: its tree takes
    about ten times as much memory."""
    xml_nodes: int = 16 << 20
    """Tags and attributes of a whole tree, each ``<`` and ``=``, which take a hundred bytes to 250: in real
    documents of 256 MB there are some ten million, in hostile ones a hundred."""
    xml_depth: int = 256
    """Levels, as libxml2 bounds them: documents that people write stay below 30."""
    xml_text: int = 10_000_000
    """Characters of one text or comment, or bytes of one tag, as libxml2 bounds them."""
    xml_attributes: int = 1000
    """Of one element, namespaces that it declares among them; ten are many."""
    xml_names: int = 1 << 19
    """Characters of all different names: parsers keep each of them. 25,000 are in no vocabulary."""
    xml_steps: int = 2_000_000
    """Templates and rounds of loops of one transformation: a document of 20 MB has so many elements."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None and "None" in str(field.type):
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
                raise ConfigError(f"limit {field.name}={value!r}: expected a number above zero")

    def but(self, **changes: Any) -> Limits:
        """A copy with some limits changed. Raises ``ConfigError`` for a name that is no limit."""
        known = {field.name for field in fields(self)}
        for name in changes:
            if name not in known:
                raise ConfigError(f"no limit is called {name!r}; there are: {', '.join(sorted(known))}")
        return replace(self, **changes)
