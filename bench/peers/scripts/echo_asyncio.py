"""The echo on asyncio's streams: ``python echo_asyncio.py PORT [asyncio|uvloop] [CERTIFICATE]``."""

import asyncio
import ssl
import sys


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass  # the load leaves with a message under way
    finally:
        writer.close()


async def main(port: int, certificate: str | None) -> None:
    context = None
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
    server = await asyncio.start_server(echo, "127.0.0.1", port, ssl=context, backlog=1024)
    async with server:
        await server.serve_forever()


def run(port: int, loop: str = "asyncio", certificate: str | None = None) -> None:
    factory = None
    if loop == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main(port, certificate))


if __name__ == "__main__":
    run(int(sys.argv[1]), *sys.argv[2:])
