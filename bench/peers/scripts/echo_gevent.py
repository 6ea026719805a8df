"""The echo on gevent: ``python echo_gevent.py PORT [CERTIFICATE]``."""

import sys

from gevent.server import StreamServer


def echo(socket, address) -> None:
    try:
        while data := socket.recv(65536):
            socket.sendall(data)
    except ConnectionError:
        pass  # the load leaves with a message under way


if __name__ == "__main__":
    tls = {"certfile": sys.argv[2], "keyfile": sys.argv[2]} if len(sys.argv) > 2 else {}
    StreamServer(("127.0.0.1", int(sys.argv[1])), echo, backlog=1024, **tls).serve_forever()
