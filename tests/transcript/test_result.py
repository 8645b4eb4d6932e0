"""The result message: its one line, and what is kept of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.limits import MIB, Limits
from tests.support.claude_lines import (
    INIT,
    feed,
    last,
    line,
)


@pytest.mark.parametrize(
    ("fields", "level", "message"),
    [
        ({"subtype": "success", "is_error": False, "num_turns": 12, "total_cost_usd": 0.4142},
         "info", "result: success, 12 turns, $0.41"),
        ({"subtype": "success", "is_error": True, "num_turns": 1, "terminal_reason": "api_error", "result": "401\n!"},
         "error", "result: api_error, 1 turn: 401 !"),
        ({"subtype": "error_max_turns", "is_error": True, "num_turns": 4, "errors": ["Reached 3"]},
         "error", "result: error_max_turns, 4 turns: Reached 3"),
        ({"subtype": "error_during_execution", "is_error": True, "terminal_reason": "aborted_tools",
          "errors": ["[ede_diagnostic] x=1"]}, "error", "result: aborted_tools, 0 turns"),
        ({"subtype": "success", "is_error": "no", "num_turns": True, "total_cost_usd": 1e400},
         "error", "result: failed, 0 turns"),
        ({}, "error", "result: failed, 0 turns"),
    ],
)  # fmt: skip
def test_results(fields: dict[str, Any], level: str, message: str) -> None:
    raw = line("result", **fields).replace(b"Infinity", b"1e400")
    assert last(raw) == (level, "result", message)


def test_the_last_result_counts_and_keeps_what_complete_needs() -> None:
    denial = {"tool_name": "Write", "tool_use_id": "t1",
              "tool_input": {"file_path": "/workspace/a", "content": "x" * MIB}}  # fmt: skip
    first = line("result", subtype="success", is_error=False, num_turns=2, session_id="s")
    second = line("result", subtype="success", is_error=False, num_turns=1, usage={"input_tokens": 5}, result="é" * MIB,
                  modelUsage={"m": {"costUSD": 1}}, permission_denials=[denial], structured_output=[1])  # fmt: skip
    _, summary = feed(INIT, first, second)
    result = summary.last_result
    assert result is not None
    assert (summary.results, result.num_turns, result.usage, result.model_usage, result.structured_output) == (
        2, 1, {"input_tokens": 5}, {"m": {"costUSD": 1}}, [1],
    )  # fmt: skip
    assert [denial.call for denial in result.permission_denials] == ["Write a"]
    assert result.text == "é" * (Limits().result_bytes // 2 - 1) + "…"


def test_an_output_that_is_too_long_for_complete_stays_whole_for_its_file() -> None:
    output = ["x" * Limits().result_bytes]
    _, summary = feed(INIT, line("result", structured_output=output))
    result = summary.last_result
    assert result is not None
    assert (result.has_output, result.structured_output) == (True, None)
    assert json.loads(result.output or b"") == output
    _, summary = feed(INIT, line("result"))
    assert summary.last_result is not None
    assert not summary.last_result.has_output


def test_a_claude_with_the_tool_for_it_was_asked_for_an_output() -> None:
    assert feed(line("system", subtype="init", tools=["Bash", "StructuredOutput"]))[1].wants_output
    assert not feed(INIT)[1].wants_output
