"""``python -m portico``, and the program ``portico``."""

from __future__ import annotations

import signal

__all__ = ["main"]


def main() -> None:
    """Run the command line, and leave with its exit code.

    While all that takes is imported, and when all is done, Ctrl-C ends the program at once: Python would show
    where it was.
    """
    before = signal.getsignal(signal.SIGINT)
    deadly = signal.SIG_DFL if before is signal.default_int_handler else before
    signal.signal(signal.SIGINT, deadly)
    from portico.cli.main import main as run

    signal.signal(signal.SIGINT, before)
    try:
        run()
    finally:
        signal.signal(signal.SIGINT, deadly)


if __name__ == "__main__":
    main()
