"""The time over the network: a small SNTP server and client (RFC 4330), in plain blocking code.

    python sntp.py serve                        # udp://127.0.0.1:1123, until Ctrl-C
    python sntp.py ask udp://127.0.0.1:1123     # how far this clock is from that one

The same handler runs on every engine, and behind any address: try ``serve unixgram:/tmp/time``.
"""

from __future__ import annotations

import struct
import sys
import time

from portico import Datagram, Datagrams, PorticoError, Server, datagrams, serve, timeout

PACKET = struct.Struct("!BBbb11I")  # flags, stratum, poll, precision; 3 words, then 4 time stamps of 2 words
EPOCH = 2_208_988_800  # seconds from 1900, where NTP begins, to 1970
CLIENT, SERVER = 3, 4
TRIES = 3


def stamp(seconds: float) -> tuple[int, int]:
    """A time as NTP writes it: whole seconds since 1900, and the fraction in 2**-32 seconds."""
    whole = int(seconds)
    return (whole + EPOCH) & 0xFFFFFFFF, int((seconds - whole) * (1 << 32))


def seconds(whole: int, fraction: int) -> float:
    """The other way round."""
    return (whole - EPOCH & 0xFFFFFFFF) + fraction / (1 << 32)  # the count begins anew in 2036


def answer(datagram: Datagram) -> None:
    """One question, one answer; what is no question is not worth one, least of all a longer one."""
    received = time.time()
    if len(datagram.data) != PACKET.size:
        return
    first, _, poll, _, *words = PACKET.unpack(datagram.data)
    version, mode = first >> 3 & 7, first & 7
    if mode != CLIENT or not 1 <= version <= 4:
        return
    asked = words[9:11]  # the client's own time stamp goes back to it, as a proof that this is its answer
    reply = (version << 3 | SERVER, 1, poll, -20, 0, 0, int.from_bytes(b"LOCL"), *stamp(received), *asked)
    datagram.reply(PACKET.pack(*reply, *stamp(received), *stamp(time.time())))


def ask(address: str) -> float:
    """Seconds by which the server's clock is ahead. Datagrams get lost: so ask more than once."""
    with datagrams(address) as there:
        for _ in range(TRIES):
            try:
                with timeout(1):
                    return ask_once(there)
            except TimeoutError:
                continue
    raise TimeoutError(f"{address} has not answered {TRIES} questions")


def ask_once(there: Datagrams) -> float:
    """RFC 4330, 5: the offset is the mean of what both ways seem to have taken, so that the way falls out."""
    sent = time.time()
    question = stamp(sent)
    there.send(PACKET.pack(4 << 3 | CLIENT, 0, 0, 0, *[0] * 9, *question))
    for datagram in there:
        arrived = time.time()
        if len(datagram.data) != PACKET.size:
            continue
        first, *_, echo1, echo2, in1, in2, out1, out2 = PACKET.unpack(datagram.data)
        # Whoever cannot see the question cannot repeat its time stamp.
        if first & 7 == SERVER and (echo1, echo2) == question:
            return ((seconds(in1, in2) - sent) + (seconds(out1, out2) - arrived)) / 2
    raise TimeoutError("the socket was closed")


def main(arguments: list[str]) -> int:
    match arguments:
        case ["serve", *addresses]:
            serve(answer, *(addresses or ["udp://127.0.0.1:1123"]), ready=announce)
        case ["ask", address]:
            print(f"{ask(address):+.6f} s")
        case _:
            print(__doc__)
            return 2
    return 0


def announce(server: Server) -> None:
    print(f"the time is at {', '.join(map(str, server.addresses))}", flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (PorticoError, TimeoutError) as error:
        sys.exit(f"sntp: {error}")
