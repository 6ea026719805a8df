"""gevent's WSGI server has no command: ``python http_gevent.py PORT``."""

import sys

from app_module import app
from gevent.pywsgi import WSGIServer

if __name__ == "__main__":
    WSGIServer(("127.0.0.1", int(sys.argv[1])), app, backlog=1024, log=None).serve_forever()
