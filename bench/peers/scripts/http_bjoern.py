"""bjoern has no command of its own: ``python start_bjoern.py PORT [MODULE:APP]``."""

import sys
from importlib import import_module

import bjoern

module, _, name = (sys.argv[2] if len(sys.argv) > 2 else "app_module:app").partition(":")
app = getattr(import_module(module), name)

bjoern.run(app, "127.0.0.1", int(sys.argv[1]))
