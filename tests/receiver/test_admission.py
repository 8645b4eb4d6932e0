"""Who may connect."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from websockets.datastructures import Headers
from websockets.http11 import Request

from agent.limits import Limits
from agent.receiver.admission import Admission, given_token

LIMITS = Limits(receiver_connections=2, receiver_retry=15)


def request(path: str = "/", **headers: str) -> Request:
    return Request(path, Headers(headers))


@pytest.mark.parametrize(
    ("path", "authorization", "token"),
    [
        ("/", "Bearer abc", b"abc"),
        ("/", "bEARER  abc ", b"abc"),
        ("/?token=abc", "", b"abc"),
        ("/?token=abc", "Bearer xyz", b"xyz"),
        ("/?token=abc", "Basic xyz", b"abc"),
        ("/?token=%C3%A4", "", "ä".encode()),
        ("/", "", b""),
    ],
)
def test_the_token_of_a_header_counts_more_than_that_of_an_address(path: str, authorization: str, token: bytes):
    assert given_token(request(path, Authorization=authorization)) == token


def test_a_right_token_is_admitted_and_others_are_not():
    admission = Admission(LIMITS, "s3cret", [], lambda text: None)
    assert admission.refusal(request(Authorization="Bearer s3cret")) is None
    for refused in (request(), request("/?token=no"), request("/?token=%ff")):
        refusal = admission.refusal(refused)
        assert refusal is not None
        assert refusal.status is HTTPStatus.UNAUTHORIZED


def test_a_browser_needs_a_token():
    refusal = Admission(LIMITS, None, [], lambda text: None).refusal(request(Origin="https://evil.example"))
    assert refusal is not None
    assert refusal.status is HTTPStatus.FORBIDDEN


def test_too_many_are_told_to_come_again_and_that_is_noted_once_for_each_crowd():
    connected, notes = [1, 2], list[str]()
    admission = Admission(LIMITS, None, connected, notes.append)
    for _ in range(3):
        refusal = admission.refusal(request())
        assert refusal is not None
        assert (refusal.status, refusal.headers) == (HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "15"})
    assert admission.turned_away == 3
    assert len(notes) == 1
    connected.pop()
    admission.left()
    assert admission.refusal(request()) is None
    connected.append(2)
    admission.refusal(request())
    assert len(notes) == 2
