"""What a web server can mount, and what a program behind one can use."""

from portico.web.run_cgi import run_cgi

__all__ = ["run_cgi"]
