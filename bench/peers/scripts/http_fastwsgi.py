"""fastwsgi cannot be run with ``python -m``: ``python start_fastwsgi.py PORT [MODULE:APP]``."""

import sys
from importlib import import_module

import fastwsgi

module, _, name = (sys.argv[2] if len(sys.argv) > 2 else "app_module:app").partition(":")
app = getattr(import_module(module), name)

fastwsgi.run(app, "127.0.0.1", int(sys.argv[1]))
