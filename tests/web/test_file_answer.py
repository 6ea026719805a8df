"""An open file as an answer, for whoever has one: the rest is tested through Static."""

import os

import pytest

from portico.web.file_answer import answer_file
from tests.web.recording import RecordingExchange


@pytest.mark.parametrize(
    ("headers", "status", "body"),
    [
        ([], 200, b"0123456789"),
        ([("Range", "bytes=2-3")], 206, b"23"),
        ([("If-None-Match", "*")], 304, b""),
    ],
)
def test_a_file_is_sent_as_far_as_conditions_and_ranges_leave_it(tmp_path, headers, status, body):
    (tmp_path / "a").write_bytes(b"0123456789")
    with open(tmp_path / "a", "rb") as file:
        facts = os.fstat(file.fileno())
        exchange = RecordingExchange("GET", "/", headers)
        exchange.run(lambda each: answer_file(each, file.fileno(), facts, "text/x-own", [("X-Own", "1")]))
        assert not file.closed
    assert (exchange.status, exchange.sent, exchange.sent_header("X-Own")) == (status, body, "1")


def test_what_cannot_be_sent_is_a_plain_error(tmp_path):
    (tmp_path / "a").write_bytes(b"0123456789")
    with open(tmp_path / "a", "rb") as file:
        facts = os.fstat(file.fileno())
        for headers, status in (([("If-Match", '"x"')], 412), ([("Range", "bytes=10-")], 416)):
            exchange = RecordingExchange("GET", "/", headers)
            exchange.run(lambda each: answer_file(each, file.fileno(), facts, "text/plain", []))
            assert exchange.status == status
    assert exchange.sent_header("Content-Range") == "bytes */10"
