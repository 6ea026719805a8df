"""``portico.toml``: one file that says all about a server. ``settings`` and ``mounts`` list its keys."""

from portico.web.config.file import Source, read_file
from portico.web.config.problems import Problem, Problems
from portico.web.config.settings import Settings

__all__ = ["Problem", "Problems", "Settings", "Source", "read_file"]
