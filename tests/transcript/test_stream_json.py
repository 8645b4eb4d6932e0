"""Lines that are not what they should be: repaired where possible, a string where not, never an exception."""

from __future__ import annotations

import json

import msgspec
import pytest

from agent.limits import KIB
from agent.transcript import stream_json
from tests.support.claude_lines import (
    assistant,
    feed,
    last,
    readable,
    strict,
)


@pytest.mark.parametrize(
    ("raw", "claude"),
    [
        (b"[SandboxDebug] hello", "[SandboxDebug] hello"),
        (b"", ""),
        (b"5", "5"),
        (b'"text"', '"text"'),
        (b"[]", "[]"),
        (b'{"type":"assistant"', '{"type":"assistant"'),
        (rb'{"a":"\ud800",}', r'{"a":"\ud800",}'),
        (b'{"a":NaN}', '{"a":NaN}'),
        (b'{"a":1}{"b":2}', '{"a":1}{"b":2}'),
        (b"\xff\x1b[31mred", "\ufffd\x1b[31mred"),
        (b'{"a":' * 100_000, '{"a":' * 100_000),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", '{"a":' + "[" * 100_000 + "]" * 100_000 + "}"),
    ],
)
def test_what_is_no_json_object_goes_out_as_a_string(raw: bytes, claude: str) -> None:
    [event], summary = feed(raw)
    found = strict(event)
    assert (found["level"], found["metadata"]) == ("info", {"source": "claude", "kind": "raw", "claude": claude})
    assert readable(event.message)
    assert summary.bad_lines == 1


@pytest.mark.parametrize(
    ("inner", "deep"),
    [
        (b"[" * 390 + b"]" * 390, False),
        (b"[" * 1000 + b"]" * 1000, True),
        (b'[{"a":' * 450 + b"1" + b"}]" * 450, True),
        (b"[" + b",".join([b'[{"b":[]}]'] * 5000) + b"]", False),  # much, and not deep
        (b'"' + b"[{" * 5000 + b'"', False),
        (rb'"\\\"' + b"[" * 5000 + b'"', False),
        (b'"' + rb"\\" + b'",' + b'"x":' + b"[" * 1000 + b"]" * 1000, True),
    ],
    ids=["390", "1000", "mixed", "wide", "string", "escaped quote", "behind a backslash"],
)
def test_nesting_has_a_bound_of_ours(inner: bytes, deep: bool) -> None:
    """Python's own bound is another one in each version, and in 3.14 the size of the stack."""
    line = b'{"type":"x","a":' + inner + b"}"
    assert deep or json.loads(line)
    assert (stream_json.parse(line)[0] is None) is deep


@pytest.mark.parametrize(
    ("raw", "repaired"),
    [
        (b'{"type":"x","a":"\xff\xc3"}', '{"type":"x","a":"\ufffd\ufffd"}'),
        (b'{"type":"x","a":"\xed\xa0\x80"}', '{"type":"x","a":"\ufffd\ufffd\ufffd"}'),
        (rb'{"type":"x","a":"\ud800"}', r'{"type":"x","a":"\ufffd"}'),
        (rb'{"type":"x","a":"\uDC00\ud83d\uDE00\ud83dx"}', r'{"type":"x","a":"\ufffd\ud83d\uDE00\ufffdx"}'),
        (rb'{"type":"x","a":"\\ud800\\\ud800"}', r'{"type":"x","a":"\\ud800\\\ufffd"}'),
        (rb'{"type":"x","\ud800":1}', r'{"type":"x","\ufffd":1}'),
    ],
)
def test_bad_utf8_and_half_surrogate_pairs_are_repaired(raw: bytes, repaired: str) -> None:
    [event], summary = feed(raw)
    assert event.data.endswith(b',"claude":' + repaired.encode() + b"}}")
    assert strict(event)["metadata"]["kind"] == "other"
    assert summary.bad_lines == 1


def test_a_repaired_reply_reads_as_one() -> None:
    raw = assistant({"type": "text", "text": "HERE"}).replace(b"HERE", rb"good \ud800 \"quoted\"")
    assert last(raw) == ("info", "text", 'good \ufffd "quoted"')


@pytest.mark.parametrize(
    "raw",
    [
        b'{"type":5,"subtype":[]}',
        b'{"type":"assistant","message":{"content":{}}}',
        b'{"type":"assistant","message":{"content":[5]}}',
        b'{"type":"assistant","message":[]}',
        b'{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":7}]}}',
        b'{"type":"system","subtype":"init","tools":5,"mcp_servers":[1,null],"cwd":{}}',
        b'{"type":"system","subtype":"api_retry","attempt":"x","retry_delay_ms":[]}',
        b'{"type":"result","permission_denials":{},"errors":"x","usage":[]}',
        b'{"type":"rate_limit_event","rate_limit_info":{"resetsAt":1e300,"utilization":"x"}}',
        b'{"type":"assistant","type":"user"}',
        b' {"type":"x"} \r',
    ],
)
def test_known_fields_of_unknown_types_pass_through(raw: bytes) -> None:
    events, summary = feed(raw)
    assert events[0].data.endswith(b',"claude":' + raw + b"}}")
    strict(events[0])
    assert summary.bad_lines == 0


@pytest.mark.parametrize("at", [0, 1, 2])
def test_bad_utf8_is_found_across_the_pieces_of_a_long_line(at: int) -> None:
    raw = b'{"a":"' + b"x" * (16 * KIB - 6 - at) + "日".encode()
    assert stream_json.parse(raw + b'"}')[1] == raw + b'"}'
    assert stream_json.parse(raw[:-1] + b'"}')[1] == raw[:-3] + "\ufffd".encode() + b'"}'
    assert stream_json.parse(raw[:-1])[1] == raw[:-3] + "\ufffd".encode()


def test_excerpts_of_strings_are_cut_between_characters() -> None:
    for text in ("日本語", "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"), 'a"\\b', "\x1bü"):
        for ascii in (True, False):
            raw = msgspec.Raw(json.dumps(text * 50, ensure_ascii=ascii).encode())
            for limit in range(30, 90):
                cut = stream_json.text(raw, limit)
                assert cut
                assert cut.endswith("…")
                assert (text * 50).startswith(cut[:-1])
