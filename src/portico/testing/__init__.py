"""What users' own tests need: what a stream *is*, as checks, and peers made of bytes.

``check_stream(make_pair)`` holds any transport against the rules of ``Stream``; ``STREAM_CHECKS`` are the
same checks by name, for a test runner that reports each on its own::

    @pytest.mark.parametrize("check", STREAM_CHECKS.values(), ids=STREAM_CHECKS)
    def test_my_transport(check):
        check(make_pair)

``scripted(...)`` is a stream whose peer is a list of bytes.
"""

from __future__ import annotations

from portico.testing import closing, deadlines, reading, writing
from portico.testing.checks import STREAM_CHECKS, PairFactory, StreamCheck, check_stream
from portico.testing.scripted import BLOCK, ScriptedTransport, scripted

__all__ = [
    "BLOCK",
    "STREAM_CHECKS",
    "PairFactory",
    "ScriptedTransport",
    "StreamCheck",
    "check_stream",
    "closing",
    "deadlines",
    "reading",
    "scripted",
    "writing",
]
