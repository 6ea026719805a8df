"""The echo as a user of Portico writes it."""

from __future__ import annotations

from portico import Stream


def echo(stream: Stream) -> None:
    while data := stream.read():
        stream.write(data)
