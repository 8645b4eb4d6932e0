"""claude's whole answer, from the lines that go by."""

from __future__ import annotations

import json

import pytest

from agent.protocol import events
from agent.report.answer import Answer


def result(**fields: object) -> events.Event:
    return events.claude_log("info", "result", "result", json.dumps({"type": "result", **fields}).encode())


def test_the_last_result_counts_in_full_length() -> None:
    answer = Answer()
    assert answer.text == ""
    answer.take([result(result="first"), events.claude_log("info", "x", "text", b'{"result":"none"}')])
    answer.take([events.log("info", "result", kind="result")])
    assert answer.text == "first"
    answer.take([result(result="é\n" * 100_000)])
    assert answer.text == "é\n" * 100_000


@pytest.mark.parametrize("fields", [{}, {"result": None}, {"result": ["x"]}])
def test_a_result_without_a_text(fields: dict[str, object]) -> None:
    answer = Answer()
    answer.take([result(**fields)])
    assert answer.text == ""
