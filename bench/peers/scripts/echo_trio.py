"""The echo on trio: ``python echo_trio.py PORT``."""

import sys

import trio


async def echo(stream: trio.SocketStream) -> None:
    try:
        async for data in stream:
            await stream.send_all(data)
    except trio.BrokenResourceError:
        pass  # the load leaves with a message under way


async def main(port: int) -> None:
    await trio.serve_tcp(echo, port, host="127.0.0.1", backlog=1024)


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]))
