"""Numbers as Prometheus reads them: its text exposition format, version 0.0.4."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from math import inf

__all__ = ["CONTENT_TYPE", "HELP", "exposition", "series"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n"}
_SERIES = re.compile(r"(?P<name>[a-z_]+?)(?P<part>_bucket|_sum|_count)?(?P<labels>\{.*\})?")

HELP: Mapping[str, tuple[str, str]] = {
    "portico_requests_total": ("counter", "Requests answered, by mount and class of status."),
    "portico_request_seconds": ("histogram", "Seconds from a request's first byte to its answer's last."),
    "portico_request_bytes_total": ("counter", "Bytes of request bodies."),
    "portico_response_bytes_total": ("counter", "Bytes of response bodies."),
    "portico_connections": ("gauge", "Open connections, by what they do."),
    "portico_connections_total": ("counter", "Connections accepted."),
    "portico_refused_connections_total": ("counter", "Connections turned away by admission, by reason."),
    "portico_refused_requests_total": ("counter", "Requests refused by the server itself, by reason."),
    "portico_dropped_datagrams_total": ("counter", "Datagrams for which there was no room."),
    "portico_forwarded_ignored_total": ("counter", "Words of proxies that were not believed, by reason."),
    "portico_log_lines_dropped_total": ("counter", "Lines of logs that could not be written in time."),
    "portico_upstream_errors_total": ("counter", "Failures of upstreams, by upstream and reason."),
    "portico_upstream_connections": ("gauge", "Connections to upstreams in use."),
    "portico_leader_changes_total": (
        "counter",
        "How often a thread that was held by a request had to be replaced.",
    ),
    "portico_longest_block_seconds": (
        "gauge",
        "The longest time that a request held the thread which led when it began.",
    ),
    "portico_pool_busy": ("gauge", "Threads inside request handlers."),
    "portico_pool_size": ("gauge", "Threads that may be inside request handlers."),
    "portico_pool_queue": ("gauge", "Requests that wait for a thread."),
    "portico_processes": ("gauge", "Processes that run the handler."),
    "portico_process_starts_total": ("counter", "Processes that began to run the handler."),
}
"""Each metric's type and meaning."""


def series(name: str, labels: Iterable[tuple[str, str]] = ()) -> str:
    """A name with labels: ``portico_requests_total{mount="/",status="2xx"}``."""
    pairs = ",".join(f'{label}="{_escaped(value)}"' for label, value in labels)
    return f"{name}{{{pairs}}}" if pairs else name


def exposition(numbers: Mapping[str, float]) -> bytes:
    """All numbers, by their names with labels, in groups with a type and a meaning each."""
    groups: dict[str, list[str]] = {}
    for full, value in numbers.items():
        groups.setdefault(_group(full), []).append(f"{full} {_number(value)}")
    lines: list[str] = []
    for name, (kind, meaning) in HELP.items():
        if name in groups:
            lines += [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}", *groups[name]]
    return "".join(f"{line}\n" for line in lines).encode()


def _group(full: str) -> str:
    found = _SERIES.fullmatch(full)
    name = full if found is None else found["name"]
    return name if name in HELP else full.partition("{")[0]


def _number(value: float) -> str:
    if value == inf:
        return "+Inf"
    return str(int(value)) if value == int(value) else repr(value)


def _escaped(value: str) -> str:
    return "".join(_ESCAPES.get(char, char) for char in value)
