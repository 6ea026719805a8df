"""Starting the program behind ``--exec`` and ``--shell``."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Sequence

from portico.cli.talk_notes import Facts
from portico.errors import ConfigError
from portico.sockets.pipe import exit_stream, pipe_stream
from portico.sockets.stream import Stream
from portico.web.cgi_process import Process

__all__ = ["kill_now", "read_command", "start_program"]

_SHELL = "/bin/sh"


def read_command(execute: str | None, shell: str | None) -> list[str] | None:
    """The words of ``--exec`` (split as a shell would, run without one) or ``--shell``.

    Raises ``ConfigError``, also for a program that is not there.
    """
    if execute is not None and shell is not None:
        raise ConfigError("--exec and --shell both name a program: give one")
    if shell is not None:
        return [_SHELL, "-c", shell]
    if execute is None:
        return None
    try:
        words = shlex.split(execute)
    except ValueError as error:
        raise ConfigError(f"--exec {execute}: {error}; quote it as for a shell") from error
    if not words:
        raise ConfigError("--exec: the program is missing")
    if shutil.which(words[0]) is None:
        raise ConfigError(f"--exec {execute}: there is no program {words[0]!r}")
    return words


def start_program(command: Sequence[str], facts: Facts) -> Process:
    """Start it for a peer, whose addresses it finds in its environment: ``PORTICO_PEER`` and the like.

    What it writes to stderr goes to ours. Raises ``ConfigError`` when it cannot be started.
    """
    try:
        popen = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **_environ(facts)},
            bufsize=0,
            start_new_session=True,  # what it starts is ended with it
        )
    except OSError as error:
        raise ConfigError(f"cannot run {command[0]!r}: {error.strerror}") from error
    ending = _ending(popen)
    return Process(popen, _streams(popen, command[0]), ending)


def kill_now(process: Process) -> None:
    """End a program by force, and what it started; somebody else reaps it."""
    if not process.exited:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it was quicker


def _streams(popen: subprocess.Popen[bytes], name: str) -> tuple[Stream, Stream, Stream]:
    assert popen.stdin is not None
    assert popen.stdout is not None
    feeding = pipe_stream(None, os.dup(popen.stdin.fileno()), f"the input of {name}")
    output = pipe_stream(os.dup(popen.stdout.fileno()), None, f"the output of {name}")
    popen.stdin.close()
    popen.stdout.close()
    return feeding, output, output  # its error output is ours: there is none to read


def _ending(popen: subprocess.Popen[bytes]) -> Stream | None:
    try:
        return exit_stream(popen.pid)
    except OSError as error:
        os.killpg(popen.pid, signal.SIGKILL)
        popen.communicate()  # closes its pipes and reaps it
        raise ConfigError(f"cannot watch a program: {error.strerror}; raise the limit (ulimit -n)") from error


def _environ(facts: Facts) -> dict[str, str]:
    named = {"PORTICO_PROTOCOL": "tls" if facts.tls is not None else facts.transport}
    for side, address in (("PEER", facts.peer), ("LOCAL", facts.local)):
        if address is not None:
            named[f"PORTICO_{side}"] = str(address)
            if address.port is not None:
                named |= {f"PORTICO_{side}_HOST": address.host, f"PORTICO_{side}_PORT": str(address.port)}
    return named
