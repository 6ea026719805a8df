"""The package loads what it offers when that is asked for, and nothing before."""

from __future__ import annotations

import subprocess
import sys

import pytest


def fresh(program: str) -> str:
    """What a program prints in an interpreter of its own."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_package_loads_next_to_nothing() -> None:
    loaded = fresh("import portico, sys; print(*sorted(m for m in sys.modules if m.startswith('portico')))")
    assert loaded == "portico portico.late"


def test_a_program_that_reads_a_form_loads_no_server() -> None:
    loaded = fresh("import portico.web.forms, sys; print(*sys.modules)").split()
    assert not {"socket", "logging", "tempfile", "greenlet", "portico.engines.door"} & set(loaded)


def test_a_request_without_credentials_or_proxies_loads_neither() -> None:
    loaded = fresh(
        "import os, sys; os.environ.pop('NETRC', 0); os.environ['HOME'] = '/nowhere'\n"
        "for name in list(os.environ): 'proxy' in name.lower() and os.environ.pop(name)\n"
        "import portico\n"
        "try: portico.get('http://127.0.0.1:1/')\n"
        "except portico.errors.ConnectError: print(*sys.modules)"
    ).split()
    assert not {"netrc", "hmac", "portico.client.auth", "portico.client.proxies"} & set(loaded)
    assert "portico.client.caller" in loaded


@pytest.mark.parametrize(
    "program",
    [
        "from portico import Server",
        "import portico; portico.serve; portico.errors.Timeout",
        "from portico import *; serve, Mounts",
        "import portico; assert {'serve', 'late', 'open'} <= set(dir(portico))",
        "import portico; portico.serve; assert len(dir(portico)) == len(set(dir(portico)))",
        "from portico import aio; assert {*aio.__all__} <= {*dir(aio)}; aio.Session; aio.open",
        "from portico import compat; assert {*compat.__all__} <= {*dir(compat)}; compat.HTTPServer",
        "from portico.server import Server; Server(lambda e, s: [], 'http://:0')",
        "from portico.server import Server; from portico.web.wsgi import WSGI; Server(WSGI(print), 'fd:0')",
    ],
)
def test_whatever_comes_first_works(program: str) -> None:
    fresh(program)


def test_a_name_that_does_not_exist_is_an_error() -> None:
    import portico

    with pytest.raises(AttributeError, match="'portico' has no attribute 'nothing'"):
        portico.nothing  # type: ignore[attr-defined]  # noqa: B018
