"""Content codings that are damaged, and those that blow up."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

from portico.errors import EndOfStream, LimitExceeded, ProtocolError
from portico.limits import Limits
from tests.client.hostile import Step, answer, flood, read
from tests.client.hostile_case import Case

__all__ = ["CASES", "bombs"]

OK = b"HTTP/1.1 200 OK\r\n"


PLAIN = b"hello world " * 100


ZIPPED = gzip.compress(PLAIN)


def packed(name: str, coding: bytes, body: bytes, error: Any = None, **more: Any) -> Case:
    return Case(f"coding: {name}", [[read, answer(body, b"Content-Encoding: " + coding)]], error, **more)


CODINGS = [
    packed("gzip cut", b"gzip", ZIPPED[:-10], EndOfStream),
    packed("gzip without its sum", b"gzip", ZIPPED[:-8], EndOfStream),
    packed("gzip with a wrong sum", b"gzip", ZIPPED[:-8] + b"\0" * 8, ProtocolError),
    packed("gzip and garbage", b"gzip", ZIPPED + b"garbage", ProtocolError),
    packed("gzip twice in a row", b"gzip", ZIPPED * 2, content=PLAIN * 2),
    packed("no gzip at all", b"gzip", PLAIN, ProtocolError),
    packed("gzip of nothing", b"gzip", b"", content=b""),
    packed("only a header of gzip", b"gzip", ZIPPED[:5], EndOfStream),
    packed("gzip of an unknown method", b"gzip", b"\x1f\x8b\x07" + ZIPPED[3:], ProtocolError),
    packed("deflate with zlib's frame", b"deflate", zlib.compress(PLAIN), content=PLAIN),
    packed("bare deflate", b"deflate", zlib.compress(PLAIN)[2:-4], content=PLAIN),
    packed("deflate that is garbage", b"deflate", b"\xff" * 100, ProtocolError),
    packed("br that is garbage", b"br", b"\xff" * 100, ProtocolError),
    packed("zstd that is garbage", b"zstd", b"\xff" * 100, ProtocolError),
    packed("zstd cut", b"zstd", b"\x28\xb5\x2f\xfd\x04", (EndOfStream, ProtocolError)),
    packed("unknown", b"rot13", PLAIN, ProtocolError, says="rot13"),
    packed("identity", b"identity", PLAIN, content=PLAIN),
    packed("gzip called x-gzip", b"x-gzip", ZIPPED, content=PLAIN),
    packed("gzip in capitals", b"GZIP", ZIPPED, content=PLAIN),
    packed("gzip in gzip", b"gzip, gzip", gzip.compress(ZIPPED), content=PLAIN),
    packed("deflate in gzip", b"deflate, gzip", gzip.compress(zlib.compress(PLAIN)), content=PLAIN),
    packed("a hundred of them", b", ".join([b"gzip"] * 100), ZIPPED, ProtocolError),
    packed("garbage", b"gzip;q=1, \xff", ZIPPED, ProtocolError),
    Case(
        "coding: HEAD",
        [[read, b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 100\r\n\r\n"]],
        method="HEAD",
        content=b"",
    ),
    Case(
        "coding: 204", [[read, b"HTTP/1.1 204 No\r\nContent-Encoding: gzip\r\n\r\n"]], content=b"", status=204
    ),
    Case(
        "coding: 304",
        [[read, b"HTTP/1.1 304 No\r\nContent-Encoding: gzip\r\nContent-Length: 100\r\n\r\n"]],
        content=b"",
        status=304,
    ),
    Case(
        "coding: gzip cut by the connection",
        [[read, b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 999\r\n\r\n" + ZIPPED[:20]]],
        EndOfStream,
    ),
]


def gzip_for_ever() -> list[Step]:
    machine = zlib.compressobj(9, zlib.DEFLATED, 31)
    first = machine.compress(bytes(8 << 20)) + machine.flush(zlib.Z_FULL_FLUSH)
    again = machine.compress(bytes(8 << 20)) + machine.flush(zlib.Z_FULL_FLUSH)
    return [read, OK + b"Content-Encoding: gzip\r\n\r\n", first, flood(again)]


def chosen(coding: str) -> bytes:
    if coding == "br":
        import brotli  # type: ignore[import-untyped]

        return bytes(brotli.compress(bytes(256 << 20), quality=5))
    import zstandard

    return zstandard.compress(bytes(256 << 20), 3)


def bombs() -> list[Case]:
    """Made when they are wanted: they take a second to compress."""
    bomb = gzip.compress(bytes(64 << 20), 9)
    nested = gzip.compress(gzip.compress(bomb))
    return [
        Case("bomb: gzip without end", [gzip_for_ever()], LimitExceeded, within=20),
        packed("bomb of gzip", b"gzip", bomb, LimitExceeded),
        packed("bomb of gzip, many streams", b"gzip", bomb * 100, LimitExceeded),
        packed("bomb of gzip in gzip in gzip", b"gzip, gzip, gzip", nested, LimitExceeded),
        packed("bomb of br", b"br", chosen("br"), LimitExceeded),
        packed("bomb of zstd", b"zstd", chosen("zstd"), LimitExceeded),
        packed("bomb of deflate", b"deflate", zlib.compress(bytes(64 << 20), 9), LimitExceeded),
        Case(
            "a body without end",
            [[read, OK + b"\r\n", flood(bytes(65536))]],
            LimitExceeded,
            session={"limits": Limits(answer=32 << 20)},
            within=20,
        ),
        Case("an endless header", [[read, OK + b"A: ", flood(b"a" * 65536)]], LimitExceeded),
        Case("endless headers", [[read, OK, flood(b"A: b\r\n" * 1000)]], LimitExceeded),
        Case(
            "endless 103",
            [[read, flood(b"HTTP/1.1 103 E\r\nA: " + b"a" * 60000 + b"\r\n\r\n")]],
            (ProtocolError, LimitExceeded),
        ),
        Case(
            "a million chunks of a byte",
            [
                [
                    read,
                    OK + b"Transfer-Encoding: chunked\r\n\r\n",
                    *[b"1\r\na\r\n" * 100_000] * 10,
                    b"0\r\n\r\n",
                ]
            ],
            content=b"a" * 1_000_000,
            within=60,
            session={"timeout": 60},
        ),
    ]


CASES = [*CODINGS]
