"""Refused credentials: two in a row for one request are certain, anything less is not."""

from __future__ import annotations

import json

import pytest

from agent.claude.refusal import RefusalWatch


def retry(status: int | None, attempt: int) -> bytes:
    return json.dumps({"type": "system", "subtype": "api_retry", "attempt": attempt, "max_retries": 10,
                       "retry_delay_ms": 1.5, "error_status": status, "error": "x"}).encode()  # fmt: skip


@pytest.mark.parametrize(
    ("statuses", "certain"),
    [
        ([401], []),
        ([401, 401], [2]),
        ([401, 403, 401, 401], [2]),
        ([401, 500, 401], []),
        ([401, 500, 401, 401], [4]),
        ([500, 529, None, 429], []),
    ],
)
def test_refusals_in_a_row(statuses: list[int | None], certain: list[int]) -> None:
    watch = RefusalWatch(2)
    assert [n for n, status in enumerate(statuses, 1) if watch.feed(retry(status, n))] == certain


def test_each_request_counts_anew() -> None:
    watch = RefusalWatch(2)
    assert not watch.feed(retry(401, 1))
    assert not watch.feed(retry(401, 1))
    assert watch.feed(retry(401, 2))


@pytest.mark.parametrize(
    "line",
    [b"", b"[]", b'"api_retry"', b'{"type":"user","text":"\\"api_retry\\""}', b'{"subtype":"api_retry"',
     b'{"type":"system","subtype":"api_retry","error_status":"401","attempt":2}', b'{"type":"x","subtype":"api_retry"}',
     b'{"type":"system","subtype":"api_retry","error":"\xff","error_status":401}'],
)  # fmt: skip
def test_other_lines_count_for_nothing(line: bytes) -> None:
    watch = RefusalWatch(1)
    if b"\xff" not in line:
        assert not watch.feed(line)
    assert watch.feed(retry(401, 1))
