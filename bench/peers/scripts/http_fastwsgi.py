"""fastwsgi cannot be run with ``python -m``: ``python start_fastwsgi.py PORT``."""

import sys

import fastwsgi
from app_module import app

fastwsgi.run(app, "127.0.0.1", int(sys.argv[1]))
