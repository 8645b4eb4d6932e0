"""The vocabulary: every message is one line of valid JSON with the plain protocol's four fields first."""

import json
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from agent.protocol import events
from agent.protocol.events import Envelope, redelivered
from agent.protocol.kinds import KINDS

ENVELOPE = Envelope('c "1"', "RUN")


def message(event, seq=1) -> dict:
    text = ENVELOPE.message(event.type, event.data, seq, events.timestamp(0))
    assert b"\n" not in text
    return json.loads(text)


@given(st.text(), st.integers(1, 2**53))
def test_envelope(text: str, seq: int) -> None:
    parsed = message(events.log("info", text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")), seq)
    assert list(parsed)[:4] == ["type", "containerID", "timestamp", "data"]
    assert (parsed["containerID"], parsed["runID"], parsed["seq"]) == ('c "1"', "RUN", seq)


def test_timestamp_is_what_javascript_writes() -> None:
    assert events.timestamp(0) == "1970-01-01T00:00:00.000Z"
    assert events.timestamp(1767225600.1239) == "2026-01-01T00:00:00.123Z"


@given(st.integers(0, 4_102_444_800_000))
def test_whole_milliseconds_stay_as_they_are(milliseconds: int) -> None:
    again = datetime.fromisoformat(events.timestamp(milliseconds / 1000)) - datetime(1970, 1, 1, tzinfo=UTC)
    assert again // timedelta(milliseconds=1) == milliseconds


def test_claude_log_carries_the_raw_bytes() -> None:
    raw = b'{"type":"x",  "n":1e400}'
    event = events.claude_log("info", "said", "text", raw)
    assert raw in event.data
    assert event.source == "claude"


def test_claude_lines_reach_the_server_whatever_the_console_shows() -> None:
    event = events.claude_log("debug", "said", "partial", b"{}")
    assert event.level == "debug"
    assert json.loads(event.data)["level"] == "info"


def test_what_is_kept() -> None:
    assert not events.log("error", "x").keep
    assert events.status("running", "x").keep
    assert not events.status("running", "43 %", keep=False).keep
    assert not KINDS[events.error("x", code="clone").type].droppable
    assert not KINDS[events.complete({}, "x", failed=False).type].droppable


def test_error_without_details_has_none() -> None:
    assert "details" not in message(events.error("x", code="api"))["data"]
    assert message(events.error("x", code="api", details="why"))["data"]["details"] == "why"


def test_a_copy_differs_in_its_end_alone() -> None:
    original = ENVELOPE.message("LOG", b"{}", 7, "t")
    copy = redelivered(original)
    assert copy.startswith(original[:-1])
    assert json.loads(copy) == {**json.loads(original), "redelivered": True}


def test_heartbeat_has_no_number() -> None:
    parsed = json.loads(ENVELOPE.heartbeat({"phase": "RUNNING"}, "t"))
    assert "seq" not in parsed
    assert parsed["runID"] == "RUN"


def test_a_known_ulid() -> None:
    assert events.ulid(1469918176.385, bytes(10)) == "01ARYZ6S410000000000000000"


@given(st.floats(0, 2**47 / 1000), st.floats(0, 2**47 / 1000), st.binary(min_size=10, max_size=10))
def test_ulids_sort_by_time(a: float, b: float, entropy: bytes) -> None:
    one, two = events.ulid(a, entropy), events.ulid(b, entropy)
    assert len(one) == 26
    assert (int(a * 1000) < int(b * 1000)) == (one < two)
