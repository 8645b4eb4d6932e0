"""What a server may say, and everything else that it may send."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol.inbound import Ack, BadAck, Cancel, Command, parse_inbound


def test_ack() -> None:
    assert parse_inbound('{"type":"HEARTBEAT","runID":"r","ack":12}') == Ack("r", 12)


@pytest.mark.parametrize("ack", ["1.0", '"7"', "true", "null", "[1]", "{}"])
def test_ack_that_is_no_integer(ack: str) -> None:
    assert isinstance(parse_inbound(f'{{"runID":"r","ack":{ack}}}'), BadAck)


def test_cancel() -> None:
    message = '{"type":"STATUS","containerID":"c","runID":"r","data":{"status":"cancel"}}'
    assert parse_inbound(message) == Cancel("c", "r")
    assert parse_inbound(message[:-1] + ',"id":"k","by":"a"}') == Command("c", "r", "k", "a", "cancel")
    assert parse_inbound(message[:-1] + ',"id":7}') == Cancel("c", "r")


@pytest.mark.parametrize(
    "message",
    [
        "",
        "not json",
        b"\xff\xfe",
        b"binary",
        "[]",
        "null",
        '{"ack":1}',
        '{"type":"STATUS","data":{"status":"running"}}',
        '{"type":"STATUS"}',
        '{"type":"STATUS","data":"cancel"}',
        '{"type":"LOG","containerID":"c","timestamp":"t","data":{"level":"info"},"runID":"r","seq":1}',
        '{"type":"HEARTBEAT","data":{}}',
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"runID":"\\ud800","ack":1}',
    ],
)
def test_anything_else_is_ignored(message) -> None:
    assert parse_inbound(message) is None


@given(st.one_of(st.text(), st.binary()))
def test_never_raises(message) -> None:
    parse_inbound(message)


@given(st.dictionaries(st.sampled_from(["type", "runID", "containerID", "ack", "data"]), st.integers() | st.text()))
def test_never_raises_on_objects(message) -> None:
    parse_inbound(json.dumps(message))
