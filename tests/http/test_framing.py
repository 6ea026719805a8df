"""The one function that decides how long a body is."""

from __future__ import annotations

import pytest

from portico.errors import ProtocolError
from portico.http.framing import (
    body_framing,
    framing_fields,
    is_bodiless,
    keeps_alive,
    wants_continue,
    wants_upgrade,
)
from portico.http.messages import UNTIL_CLOSE
from portico.http.states import Role


def of_request(lengths=(), codings=(), *, method="POST", http11=True):
    return body_framing(Role.CLIENT, method=method, lengths=lengths, codings=codings, http11=http11)


def of_response(lengths=(), codings=(), *, method="GET", status=200, http11=True):
    return body_framing(
        Role.SERVER, method=method, lengths=lengths, codings=codings, http11=http11, status=status
    )


def refused(function, *args, **options) -> int:
    with pytest.raises(ProtocolError) as caught:
        function(*args, **options)
    return caught.value.status


@pytest.mark.parametrize(
    ("method", "status"),
    [
        ("HEAD", 200),
        ("GET", 204),
        ("GET", 304),
        ("GET", 100),
        ("GET", 199),
        ("CONNECT", 200),
        ("CONNECT", 299),
    ],
)
def test_steps_1_and_2_some_responses_have_no_body_whatever_they_say(method, status):
    assert is_bodiless(method, status)
    assert of_response(["10"], [], method=method, status=status) == 0
    assert of_response([], ["chunked"], method=method, status=status) == 0
    assert of_response(["1"], ["gzip"], method=method, status=status) == 0


def test_a_refused_connect_has_a_body_like_any_other_response():
    assert of_response(["3"], method="CONNECT", status=407) == 3


@pytest.mark.parametrize("of_message", [of_request, of_response])
def test_step_3_a_length_beside_a_transfer_coding_is_refused(of_message):
    assert refused(of_message, ["3"], ["chunked"]) == 400


@pytest.mark.parametrize("of_message", [of_request, of_response])
@pytest.mark.parametrize("value", ["chunked", "Chunked", "CHUNKED"])
def test_step_4_chunked_is_chunked_in_any_case(of_message, value):
    assert of_message([], [value]) is None


@pytest.mark.parametrize("of_message", [of_request, of_response])
@pytest.mark.parametrize(
    ("values", "status"),
    [
        (["gzip"], 400),
        (["identity"], 400),
        (["chunked, gzip"], 400),
        (["chunked", "gzip"], 400),
        (["chunked, chunked"], 400),
        (["chunked", "chunked"], 400),
        (["chunked, gzip, chunked"], 400),
        ([""], 400),
        ([", chunked"], 400),
        (["chunked,"], 400),
        (["chunked;q=1"], 400),
        (["chunked gzip"], 400),
        (['"chunked"'], 400),
        (["\xe7hunked"], 400),
        (["gzip, chunked"], 501),
        (["gzip", "chunked"], 501),
        (["identity, chunked"], 501),
        (["pigeons"], 501),
        (["pigeons, chunked"], 501),
        (["chunkedchunked"], 501),
        (["xchunked"], 501),
    ],
)
def test_step_4_any_other_transfer_coding_is_refused(of_message, values, status):
    assert refused(of_message, [], values) == status


@pytest.mark.parametrize("of_message", [of_request, of_response])
def test_step_4_a_transfer_coding_in_http_1_0_is_refused(of_message):
    assert refused(of_message, [], ["chunked"], http11=False) == 400


BAD_LENGTHS = [
    "",
    "-1",
    "+1",
    "1 2",
    "1,1",
    "5, 5",
    "1_0",
    "0x10",
    "1e3",
    "1.0",
    "\u0661",
    "\xb2",
    "a",
    "1" * 19,
    "0" * 51 + "1",
    "18446744073709551616",
]


@pytest.mark.parametrize("of_message", [of_request, of_response])
@pytest.mark.parametrize("value", BAD_LENGTHS)
def test_step_5_a_length_that_is_not_plain_digits_is_refused(of_message, value):
    assert refused(of_message, [value]) == 400


def test_step_5_lengths_that_differ_are_refused():
    assert refused(of_request, ["3", "4"]) == 400
    assert refused(of_response, ["3", "4"]) == 400
    assert refused(of_response, ["3", "03"]) == 400


def test_step_5_a_request_says_its_length_once_while_responses_may_repeat_it():
    assert refused(of_request, ["3", "3"]) == 400
    assert of_response(["3", "3"]) == 3


def test_step_6_a_length_is_a_length():
    assert of_request(["0"]) == 0
    assert of_request(["003"]) == 3
    assert of_response(["9" * 18]) == 10**18 - 1


def test_step_7_a_request_that_says_nothing_has_no_body():
    assert of_request() == 0


def test_step_8_a_response_that_says_nothing_goes_on_until_the_close():
    assert of_response() == UNTIL_CLOSE


def test_a_connect_request_that_claims_content_is_refused():
    assert refused(of_request, ["1"], method="CONNECT") == 400
    assert refused(of_request, [], ["chunked"], method="CONNECT") == 400
    assert of_request(["0"], method="CONNECT") == 0


@pytest.mark.parametrize(
    ("values", "in_11", "in_10"),
    [
        ([], True, False),
        (["close"], False, False),
        (["Close"], False, False),
        (["keep-alive"], True, True),
        (["Keep-Alive"], True, True),
        (["keep-alive, close"], False, False),
        (["keep-alive", "close"], False, False),
        (["upgrade ,\tclose"], False, False),
        (["closed"], True, False),
    ],
)
def test_connection_options_say_whether_the_connection_lives_on(values, in_11, in_10):
    assert keeps_alive(values, True) is in_11
    assert keeps_alive(values, False) is in_10


def test_an_expectation_is_100_continue_or_refused():
    assert wants_continue(["100-continue"], True)
    assert wants_continue(["100-Continue"], True)
    assert not wants_continue([], True)
    assert not wants_continue(["100-continue"], False)
    assert refused(wants_continue, ["a-miracle"], True) == 417
    assert refused(wants_continue, ["100-continue", "more"], True) == 417


def test_an_upgrade_counts_only_with_its_connection_option_in_http_1_1():
    assert wants_upgrade(["websocket"], ["keep-alive, Upgrade"], True) == "websocket"
    assert wants_upgrade(["a", "b"], ["upgrade"], True) == "a, b"
    assert wants_upgrade(["websocket"], ["keep-alive"], True) is None
    assert wants_upgrade(["websocket"], [], True) is None
    assert wants_upgrade(["websocket"], ["upgrade"], False) is None
    assert wants_upgrade([""], ["upgrade"], True) is None


def test_framing_fields_keep_every_value_in_order():
    fields = framing_fields([("content-length", "1"), ("host", "a"), ("content-length", "2")])
    assert fields.content_length == ["1", "2"]
    assert fields.host == ["a"]
    assert fields.transfer_encoding == ()
