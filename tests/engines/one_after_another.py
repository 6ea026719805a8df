"""A program that serves with several process engines in turn, with a handler of its own."""

from portico import Server, Stream, connect, timeout


def hello(stream: Stream) -> None:
    stream.write(b"hi")


if __name__ == "__main__":
    for engine in ("workers:1/threads", "forks:2", "workers:1/events"):
        server = Server(hello, "tcp://127.0.0.1:0", engine=engine)
        with timeout(20), server, connect(server.addresses[0]) as stream:
            assert stream.read_all() == b"hi"
    print("served")
