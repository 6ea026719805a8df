"""``python -m portico``, and the program ``portico``."""

from __future__ import annotations

import signal

__all__ = ["main"]


def main() -> None:
    """Run the command line, and leave with its exit code.

    While all that takes is imported, Ctrl-C ends the program at once: Python would show where it was.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from portico.cli.main import main as run

    signal.signal(signal.SIGINT, before)
    run()


if __name__ == "__main__":
    main()
