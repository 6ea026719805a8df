"""The command's manners: one line for an error, an exit code by its class, quiet ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import click
import pytest

from portico import errors
from portico.cli import main as main_module
from portico.cli.ending import ending_by_signals
from portico.cli.main import COMMANDS, run
from portico.cli.manners import EXIT_CODES, Command, above_zero, exit_code, one_line, timeout_option

ENOUGH = 30.0


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> type[_Table]:
    """Adds a command ``try`` to the table, which raises what a test wants."""
    monkeypatch.setitem(COMMANDS, "try_it", (__name__, "Raises."))
    return _Table


class _Table:
    raises: BaseException | None = None
    seconds: float | None = None


@click.command(cls=Command, name="try_it")
@timeout_option(5.0)
def try_it(timeout: float | None) -> None:
    """Raise what the test wants."""
    _Table.seconds = timeout
    click.echo("begun")
    if _Table.raises is not None:
        raise _Table.raises


def program(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "portico", *args],
        capture_output=True, text=True, timeout=ENOUGH, env={**os.environ, **env},
    )  # fmt: skip


# -- errors


def _made(kind: type[errors.PorticoError]) -> errors.PorticoError:
    return kind("it failed")


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.AddressError, 2),
        (errors.ConfigError, 2),
        (errors.BindError, 2),
        (errors.ResolveError, 6),
        (errors.ConnectError, 7),
        (errors.Timeout, 28),
        (errors.TLSError, 35),
        (errors.CertificateError, 60),
        (errors.HTTPError, 22),
        (errors.RedirectError, 47),
        (errors.LocalProtocolError, 2),
        (errors.ConnectionLost, 56),
        (errors.EndOfStream, 18),
        (errors.Truncated, 56),
        (errors.StreamClosed, 1),
        (errors.RemoteError, 1),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(
    kind: type[errors.PorticoError],
    code: int,
    command: type[_Table],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(command, "raises", _made(kind))
    assert run(["try_it"]) == code
    out, err = capsys.readouterr()
    assert out == "begun\n"
    assert err.startswith("portico: ")
    assert "it failed" in err
    assert err.count("\n") == 1


def test_every_error_has_an_exit_code_and_no_rule_hides_another() -> None:
    kinds = [getattr(errors, name) for name in errors.__all__ if name != "Cancelled"]
    assert all(exit_code(_made(kind)) for kind in kinds)
    rules = [kind for kind, _ in EXIT_CODES]
    for number, rule in enumerate(rules):
        assert not any(issubclass(rule, earlier) for earlier in rules[:number]), rule


@pytest.mark.parametrize("args", [["--debug", "try_it"], ["try_it", "--debug"]])
def test_debug_shows_the_traceback_before_the_line(
    args: list[str],
    command: type[_Table],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(command, "raises", errors.ResolveError("it failed"))
    assert run(args) == 6
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert err.endswith("\nportico: it failed\n")


def test_debug_comes_from_the_environment_too(
    command: type[_Table], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "raises", errors.ResolveError("it failed"))
    monkeypatch.setenv("PORTICO_DEBUG", "1")
    assert run(["try_it"]) == 6
    assert "Traceback" in capsys.readouterr().err


def test_a_message_from_a_peer_cannot_move_the_cursor(
    command: type[_Table], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "raises", errors.ProtocolError("bad \x1b[2J\r\nportico: all is well\x9b"))
    assert run(["try_it"]) == 8
    assert capsys.readouterr().err == "portico: bad \\x1b[2J\\r\\nportico: all is well\\x9b\n"
    assert one_line("caf\u00e9 \u202e") == "caf\u00e9 \\u202e"


def test_a_bug_keeps_its_traceback(command: type[_Table], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "raises", ZeroDivisionError("bug"))
    with pytest.raises(ZeroDivisionError):
        run(["try_it"])


# -- usage


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nonesuch"], "No such command 'nonesuch' (see 'portico --help')"),
        (["serv"], "No such command 'serv'; did you mean serve? (see 'portico --help')"),
        (["--serv"], "No such option '--serv' (see 'portico --help')"),
        (["--nonesuch"], "No such option '--nonesuch' (see 'portico --help')"),
        (["try_it", "--nonesuch"], "(see 'portico try_it --help')"),
        (["try_it", "more"], "(see 'portico try_it --help')"),
        (["try_it", "--timeout", "soon"], "'soon' is not a valid float"),
        (["try_it", "--timeout", "0"], "0 is not a number above zero"),
        (["try_it", "--timeout", "-1"], "-1 is not a number above zero"),
        (["try_it", "--timeout", "nan"], "nan is not a number above zero"),
        (["try_it", "--timeout", "inf"], "inf is not a number above zero"),
    ],
)
@pytest.mark.usefixtures("command")
def test_wrong_usage_is_one_line_and_exit_code_2(
    args: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(args) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("portico: ")
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("portico loo", {"plain,lookup"}),
        ("portico serve si", {"file,si"}),
        ("portico serve --config por", {"file,por"}),
        ("portico data pri", {"file,pri"}),
        ("portico data x -o out", {"file,out"}),
        ("portico get --folder d", {"file,d"}),
        ("portico data --to js", {"plain,json", "plain,jsonl"}),
        ("portico serve --engine t", {"plain,threads"}),
        ("portico serve --engi", {"plain,--engine"}),
    ],
)
def test_shells_complete_commands_options_and_files(words: str, completed: set[str]) -> None:
    last = str(len(words.split()) - 1)
    done = program(COMP_WORDS=words, COMP_CWORD=last, _PORTICO_COMPLETE="bash_complete")
    assert set(done.stdout.split()) == completed


def test_without_a_command_there_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 2
    assert "lookup" in capsys.readouterr().err


def test_options_come_from_the_environment_and_the_command_line_wins(
    command: type[_Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "seconds", None)
    monkeypatch.setenv("PORTICO_TRY_IT_TIMEOUT", "2.5")
    assert run(["try_it"]) == 0
    assert command.seconds == 2.5
    assert run(["try_it", "--timeout", "3"]) == 0
    assert command.seconds == 3
    monkeypatch.setenv("PORTICO_TRY_IT_TIMEOUT", "soon")
    assert run(["try_it"]) == 2


def test_an_option_without_a_value_stays_without() -> None:
    assert above_zero(click.Context(try_it), try_it.params[0], None) is None


# -- the table


def test_every_row_of_the_table_is_a_command() -> None:
    for name, (module, about) in COMMANDS.items():
        command = getattr(import_module(module), name.replace("-", "_"))
        assert isinstance(command, Command)
        assert command.name == name
        assert about.endswith(".")


def test_options_are_called_as_their_variables() -> None:
    for name, (module, _) in COMMANDS.items():
        for option in getattr(import_module(module), name.replace("-", "_")).params:
            if isinstance(option, click.Option):
                assert f"--{option.name}".replace("_", "-") in option.opts, (name, option.opts)


def test_help_imports_no_command() -> None:
    script = (
        "import sys\nfrom portico.cli.main import run\nassert run(['--help']) == 0\n"
        "loaded = [name for name in sys.modules if name.startswith('portico.')]\n"
        "print(sorted(loaded), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=ENOUGH)
    assert done.returncode == 0, done.stderr
    assert "portico.cli.lookup" not in done.stderr
    assert all(name in done.stdout for name in COMMANDS)


# -- the program


def test_the_module_is_the_program() -> None:
    done = program("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("portico ")
    assert program("lookup", "0177.1").returncode == 2


def test_ctrl_c_while_it_is_imported_or_done_shows_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    class Main(ModuleType):
        def __getattr__(self, name: str) -> object:
            if name != "main":
                raise AttributeError(name)
            seen.append((name, signal.getsignal(signal.SIGINT)))
            return lambda: seen.append(("called", signal.getsignal(signal.SIGINT)))

    monkeypatch.setitem(sys.modules, "portico.cli.main", Main("portico.cli.main"))
    try:
        import_module("portico.__main__").main()
        seen.append(("after", signal.getsignal(signal.SIGINT)))
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    assert seen == [
        ("main", signal.SIG_DFL),
        ("called", signal.default_int_handler),
        ("after", signal.SIG_DFL),
    ]


@pytest.mark.parametrize(("number", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_signals_that_come_together_do_not_break_off_the_tidying_up(number: str, code: int) -> None:
    told = getattr(signal, number)
    before = signal.getsignal(told)
    tidied = []

    def work() -> None:
        try:
            signal.raise_signal(told)
        finally:
            signal.raise_signal(told)
            tidied.append(True)

    with pytest.raises((click.exceptions.Exit, KeyboardInterrupt)) as raised, ending_by_signals():
        work()
    assert tidied
    assert getattr(raised.value, "exit_code", 130) == code
    assert signal.getsignal(told) is before


def test_the_installed_program_is_the_same() -> None:
    installed = Path(sys.executable).with_name("portico")
    if not installed.exists():
        pytest.skip("not installed as a program")
    done = subprocess.run([installed, "--version"], capture_output=True, text=True, timeout=ENOUGH)
    assert done.stdout == program("--version").stdout


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["lookup", "http"]])
def test_a_closed_pipe_ends_it_quietly(args: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "portico", *args], stdout=writing, stderr=subprocess.PIPE, timeout=ENOUGH
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_ctrl_c_ends_a_look_up_that_hangs() -> None:
    script = """
import socket, sys, threading
def hang(*_):
    print("asked", flush=True)
    threading.Event().wait()
socket.getaddrinfo = hang
from portico.cli.main import main
main(["lookup", "slow.example"])
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "asked\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=ENOUGH)
    assert process.returncode == 130
    assert "Traceback" not in err


def test_main_leaves_with_the_code(command: type[_Table], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "raises", errors.ConnectError("nobody"))
    with pytest.raises(SystemExit) as left:
        main_module.main(["try_it"])
    assert left.value.code == 7


@pytest.mark.parametrize("arguments", ["--help", "fetch --help", "lookup 127.0.0.1", "fetch -I data:,x"])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_stdout_that_is_full_is_one_line(arguments: str) -> None:
    command = f"{sys.executable} -m portico {arguments} >/dev/full"
    done = subprocess.run(["sh", "-c", command], stderr=subprocess.PIPE, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (2, "portico: cannot write: No space left on device\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_stderr_that_is_full_changes_nothing() -> None:
    command = f"{sys.executable} -m portico fetch -I data:nonsense 2>/dev/full"
    assert subprocess.run(["sh", "-c", command], timeout=30).returncode == 2
