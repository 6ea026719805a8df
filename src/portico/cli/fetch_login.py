"""``--auth``: from what is typed to credentials."""

from __future__ import annotations

import sys
from typing import Any

import click

from portico.errors import ConfigError

__all__ = ["credentials", "login"]


def login(text: str | None, kind: str) -> list[str] | None:
    """``kind`` and credentials, to be kept; asks for a password that is missing, on a terminal."""
    if text is None:
        return None
    if kind != "bearer" and ":" not in text:
        if sys.stdin is None or not sys.stdin.isatty():
            raise ConfigError("--auth: USER:PASSWORD, where there is no terminal to ask for a password on")
        text = f"{text}:{click.prompt(f'Password for {text}', hide_input=True, err=True, default='')}"
    return [kind, text]


def credentials(given: list[str] | None) -> Any:
    """What a session takes as ``auth=``. Raises ``ConfigError``."""
    if given is None:
        return None
    from portico.client.auth import Basic, Bearer, Digest

    kind, text = given
    if kind == "bearer":
        return Bearer(text)
    makers = {"basic": Basic, "digest": Digest}
    if kind not in makers:
        raise ConfigError(f"nobody here knows credentials of the kind {kind!r}")
    user, _, password = text.partition(":")
    return makers[kind](user, password)
