"""``python -m portico``: the same as ``portico``."""

from portico.cli.main import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
