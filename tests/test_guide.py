"""What docs/sockets-and-servers.md says in its tables and sentences is so.

Its programs are run by ``tests/test_readme.py``.
"""

from __future__ import annotations

import re
from dataclasses import fields

import pytest

from portico import Address, Limits, errors
from portico.address.schemes import SCHEMES
from portico.admission import Admission
from portico.cli.connect import connect
from portico.cli.listen import listen
from portico.cli.manners import EXIT_CODES
from portico.engines import ENGINES, blame, make_engine
from portico.engines import lot as parking
from portico.engines import threads as threads_engine
from portico.engines.workers import engine as workers_engine
from portico.errors import ConfigError
from portico.server import Server
from portico.sockets.memory import Faults
from tests.peers import root

GUIDE = (root / "docs" / "sockets-and-servers.md").read_text(encoding="utf-8")
PROSE = re.sub(r"^```.*?^```$", "", GUIDE, flags=re.MULTILINE | re.DOTALL)


def table(first: str) -> dict[str, str]:
    """The table whose first heading is ``first``: its second column by the names in its first."""
    found = re.search(rf"^\| {first} \|.*\n\|[-|]+\n((?:\|.*\n)+)", PROSE, re.MULTILINE)
    assert found is not None, f"there is no table of {first}"
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in found[1].splitlines()]
    return {name: cells[0] for key, *cells in rows for name in re.findall(r"`([^`]+)`", key)}


def test_every_kind_of_address_is_in_the_table_and_can_be_read() -> None:
    written = {Address.parse(text).scheme for text in table("written")}
    told = set(re.findall(r"`(\w+)`", re.search(r"^.*can be written, too.*$", PROSE, re.MULTILINE)[0]))  # type: ignore[index]
    assert written | told == set(SCHEMES)


@pytest.mark.parametrize("scheme", ["ftp", "smtp", "rpc", "packet"])
def test_what_nothing_serves_yet_is_refused(scheme: str) -> None:
    with pytest.raises(ConfigError, match="no server speaks"):
        Server(print, SCHEMES[scheme].example)


def test_every_error_is_in_the_table() -> None:
    assert set(table("error")) == set(errors.__all__) - {"PorticoError"}


def test_every_engine_is_in_the_table_and_can_be_made() -> None:
    told = table("engine")
    assert {re.split(r"\W", name)[0] for name in told} == set(ENGINES)
    for name in told:
        make_engine(name.replace("[:N]", ":2").replace("[/ENGINE]", "/events"))


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (threads_engine.CONVERSATION_THREADS, "conversations at once for `threads` ({}; more wait in line)"),
        (workers_engine.FORKS, "connections at once for `forks` ({}; more wait in the kernel)"),
        (parking.REQUEST_THREADS, "those that block; up to N at once ({}), then up to `Limits.queue` wait"),
        (parking.REQUEST_THREADS, "runs in a pool** of N threads ({})"),
        (blame.HELD, "for more than {} s is reported"),
        (10, "gets `grace` seconds ({})"),
        (Limits().line, "A line may have {} bytes"),
        (Limits().read_all >> 20, "`read_all` takes {} MiB"),
    ],
)
def test_the_numbers_of_the_sentences_are_the_ones_in_force(value: float, sentence: str) -> None:
    assert sentence.format(value) in " ".join(PROSE.split())


OF_DATA = ("csv_", "json_", "xml_", "html_", "zstd_")


def test_the_limits_of_data_are_in_its_guide() -> None:
    page = (root / "docs" / "read.md").read_text(encoding="utf-8")
    names = [field.name for field in fields(Limits) if field.name.startswith(OF_DATA)]
    assert names
    assert [name for name in names if f"`{name}`" not in page] == []


def test_the_limits_are_as_they_are_told() -> None:
    told = table("limit")
    assert {name: float(value) for name, value in told.items()} == {
        name: getattr(Limits(), name) for name in told
    }
    elsewhere = (
        "cgi_",
        "telnet_",
        "body",
        "head",
        "response_",
        "chunk_",
        "request",
        "pipelined",
        "idle",
        "listing",
        "form_",
        "memory",
        *("answer", "cookie", "event", "unpack"),  # of the client, in its own guide
        *OF_DATA,
    )
    rest = {field.name for field in fields(Limits)} - set(told)
    assert {name for name in rest if not name.startswith(elsewhere)} == {"write_stall", "linger"}


def test_the_rules_of_admission_and_the_faults_are_all_there() -> None:
    assert set(table("rule")) == {field.name for field in fields(Admission)}
    assert set(table("fault")) == {field.name for field in fields(Faults)}


def test_the_methods_of_streams_are_there() -> None:
    from portico import Stream

    names = [re.match(r"\w+", name)[0] for name in table("method") if not name.startswith("for ")]  # type: ignore[index]
    assert len(names) > 8
    assert [name for name in names if not callable(getattr(Stream, name, None))] == []


def test_the_options_of_talking_by_hand_exist() -> None:
    known = {name for command in (connect, listen) for option in command.params for name in option.opts}
    known |= {
        name for command in (connect, listen) for option in command.params for name in option.secondary_opts
    }
    found = re.search(r"^\| you know \|.*\n\|[-|]+\n((?:\|.*\n)+)", PROSE, re.MULTILINE)
    assert found is not None
    named = {name for row in found[1].splitlines() for name in re.findall(r"`(--[\w-]+)`", row.split("|")[2])}
    assert len(named) > 15
    assert named - known == set()


def test_the_exit_codes_that_are_shown_are_those_of_their_errors() -> None:
    assert dict(EXIT_CODES)[errors.ConnectError] == 7
    assert "\n7\n" in GUIDE
