"""bjoern has no command of its own: ``python start_bjoern.py PORT``."""

import sys

import bjoern
from app_module import app

bjoern.run(app, "127.0.0.1", int(sys.argv[1]))
