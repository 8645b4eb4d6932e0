"""Which values are secrets, and what they look like."""

import base64
import json
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.redaction.secret_forms import MASK, MAX_PART, MIN_PART, anchors, encode, forms, is_ordinary, parts

ORDINARY = [
    "true", "False", "production", "localhost", "main", "8080", "1.2.3", "3.14159", "30m", "512MiB", "2026-01-01",
    "********", "========", "/usr/bin", "/usr/local/bin:/usr/bin:/bin", "~/.config/claude",
    "https://api.anthropic.com", "https://proxy.local:8443/v1", "api.example.com", "http://localhost:3000/",
    "en_US.UTF-8", "us-east-1", "eu-central-1", "claude-sonnet-4-5-20250929", "claude-3.5-haiku", "sonnet",
    "us.anthropic.claude-opus-4-1-20250805-v1:0", "claude-opus-4-1@20250805", "redacted", "[redacted]",
]  # fmt: skip

SECRET = [
    "hunter2", "s3cr3t!", "abcdef", "correct-horse-battery", "p@ssword", "1234567890123456", "0x1f2e3d4c",
    "main-branch-42", "/a1B2c3D4e5", "https://hooks.example.com/services/T00/B00/XXXX", "https://me:pw@example.com",
    "d94a8fcb-1b8c-4d0f-9a70-0d8d1c5d2b61", "tr0ub4dor", "postgres://u:p@db/x", "TRUE-42", "claude2fast!",
]  # fmt: skip


@pytest.mark.parametrize("value", ORDINARY)
def test_ordinary_values_are_no_secrets(value: str) -> None:
    assert is_ordinary(value)
    assert parts(value) == []


@pytest.mark.parametrize("value", SECRET)
def test_others_are(value: str) -> None:
    assert parts(value) == [value]


@pytest.mark.parametrize("value", ["", "a", "a1b2c", "  a1b2c \n"])
def test_short_values_are_no_secrets(value: str) -> None:
    assert parts(value) == []


def test_white_space_around_a_value_is_no_part_of_it() -> None:
    assert parts(" hunter2\n") == ["hunter2"]


@settings(deadline=None)
@given(st.text("[]redacts1", max_size=20))
@example("]hunter2[")
@example("acted]hunter2[redact")
def test_no_value_begins_or_ends_like_a_mask(value: str) -> None:
    mask = MASK.decode()
    for part in parts(value):
        assert not any(part.startswith(mask[at:]) or part.endswith(mask[:at]) for at in range(1, len(mask)))
        assert part in value


def test_lines_are_parts_and_their_headers_are_not() -> None:
    key = "-----BEGIN X KEY-----\r\nabcdefgh1\r\n  ijklmnop2\r\nshort\r\n-----END X KEY-----\r\n"
    assert parts(key) == [key.strip(), "abcdefgh1", "ijklmnop2"]


def test_leaves_of_json_are_parts() -> None:
    document = json.dumps({"a": "hunter2-hunter2", "b": [{"c": "x1y2z3w4"}, "short", "service_account", 5]}, indent=2)
    assert set(parts(document)) == {document, "hunter2-hunter2", "x1y2z3w4"}
    assert parts('{"not json: "hunter2"') == ['{"not json: "hunter2"']


@settings(deadline=None)
@given(st.integers(MAX_PART + 1, 5 * MAX_PART))
def test_a_long_value_is_cut_into_pieces_that_overlap(length: int) -> None:
    value = "".join(chr(0x4E00 + at) for at in range(length))
    found = parts(value)
    ends = [value.index(piece) for piece in found]
    assert all(MIN_PART <= len(piece) <= MAX_PART for piece in found)
    assert ends[0] == 0
    assert ends[-1] + len(found[-1]) == length
    assert all(after < before + MAX_PART for before, after in pairwise(ends))


@settings(deadline=None)
@given(st.binary(min_size=6, max_size=20), st.binary(max_size=5), st.binary(max_size=5))
def test_base64_forms_stand_in_any_base64_that_holds_the_value(value: bytes, before: bytes, after: bytes) -> None:
    patterns = {form.pattern for form in forms(value.decode("latin-1"))}
    encoded = base64.b64encode(before + encode(value.decode("latin-1")) + after)
    found = [pattern for pattern in patterns if pattern in encoded]
    assert any(len(pattern) >= len(encode(value.decode("latin-1"))) * 8 // 6 - 1 for pattern in found)


def test_line_breaks_of_either_kind() -> None:
    patterns = {form.pattern for form in forms("abcdef1\r\nghijkl2")}
    assert {b"abcdef1ghijkl2", b"abcdef1\nghijkl2".hex().encode(), b"abcdef1\r\nghijkl2".hex().encode()} <= patterns
    assert patterns == {form.pattern for form in forms("abcdef1\nghijkl2")}


def test_a_value_that_is_no_utf8_keeps_its_bytes() -> None:
    assert next(iter(forms("caf\udce9-au-lait"))).pattern == b"caf\xe9-au-lait"
    assert encode("\ud83d") == b"\xed\xa0\xbd"


@settings(deadline=None)
@given(st.text(st.characters(), min_size=6, max_size=60))
@example("a+b/c+d/e+f/g+h/")
@example('"\\"\\"\\a')
@example("密码密码密码")
def test_anchors_are_short_and_in_the_value(value: str) -> None:
    found = anchors(value)
    assert found
    assert all(1 <= len(anchor) <= 32 for anchor in found)


def test_an_anchor_is_the_end_of_the_longest_plain_run() -> None:
    assert b"dcba9876" in anchors("tok_0123456789dcba9876")
    assert b"tok_0123" not in anchors("tok_0123456789dcba9876")
