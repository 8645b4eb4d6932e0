"""The verdict: five facts for success, one reason with one exit code for everything else."""

from __future__ import annotations

import json
import re
import signal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.exits import Exit, ExitStatus
from agent.outcome.causes import Cause, CauseKind
from agent.outcome.verdict import Outcome, after_delivery
from agent.outcome.verdict import judge as verdict
from agent.transcript.summary import ApiError, Result, Summary
from tests.support.real_cli import claude_cli

GOOD = Result("success", False, num_turns=3, text="Done.")
STATUS_0 = ExitStatus(code=0)
STATUS_1 = ExitStatus(code=1)
SIGKILLED = ExitStatus(signal=signal.SIGKILL)


def judge(status: ExitStatus | None, result: Result | None = None, /, turns: int = 3, **facts: Any) -> Outcome:
    error = facts.pop("api_error", None)
    lines = facts.pop("lines", 5)
    summary = Summary(lines=lines, turns=turns, last_result=result, results=int(result is not None),
                      last_api_error=error, wants_output=facts.pop("wants_output", False))  # fmt: skip
    return verdict(status, summary, facts.pop("cause", None), **facts)


def failed(subtype: str = "success", **fields: Any) -> Result:
    return Result(subtype, True, **{"num_turns": 1, **fields})


def api(status: int | None, category: str, message: str = "why") -> dict[str, Any]:
    return {"api_error": ApiError(status, category, message)}


@pytest.mark.cli
def test_every_terminal_reason_of_the_installed_cli_has_a_verdict_of_its_own() -> None:
    lists = set(
        re.findall(rb'\[((?:"[a-z_]+",)*"aborted_tools",(?:"[a-z_]+",)*"completed")\]', claude_cli().read_bytes())
    )
    (found,) = {tuple(json.loads(b"[%s]" % each)) for each in lists}
    assert len(found) > 10
    for reason in set(found) - {"completed"}:
        assert judge(STATUS_1, failed(terminal_reason=reason)).reason != "error", reason


def test_success_is_five_facts() -> None:
    outcome = judge(STATUS_0, GOOD, stderr_tail="a warning")
    assert outcome == Outcome(Exit.SUCCEEDED, "success", None, "claude finished the task")


@pytest.mark.parametrize(
    ("status", "result"),
    [
        (STATUS_1, GOOD),
        (STATUS_0, None),
        (STATUS_0, msgspec.structs.replace(GOOD, is_error=True)),
        (STATUS_0, msgspec.structs.replace(GOOD, subtype="error_of_tomorrow")),
        (STATUS_0, msgspec.structs.replace(GOOD, num_turns=0)),
        (STATUS_0, msgspec.structs.replace(GOOD, num_turns=None)),
    ],
)
def test_any_one_of_the_five_missing_is_a_failure(status: ExitStatus, result: Result | None) -> None:
    assert judge(status, result).exit == Exit.TASK_FAILED


@pytest.mark.parametrize("status", [STATUS_0, STATUS_1, ExitStatus(code=143), SIGKILLED])
def test_stopped_after_a_good_result_is_a_success(status: ExitStatus) -> None:
    outcome = judge(status, GOOD, stopped_after_result=True)
    assert (outcome.exit, outcome.code) == (0, None)
    assert outcome.reason == "exited_after_kill"


@pytest.mark.parametrize("turns", [0, 3])
def test_trouble_of_the_api_is_resumable(turns: int) -> None:
    limited = Summary(turns=turns, session_id="S", resets_at=1.8e9, last_result=failed(api_error_status=429))
    outcome = verdict(STATUS_1, limited, None)
    assert (outcome.exit, outcome.resumable, outcome.resets_at) == (75, True, 1.8e9)
    overloaded = msgspec.structs.replace(limited, last_result=failed(api_error_status=529))
    outcome = verdict(STATUS_1, overloaded, None)
    assert (outcome.exit, outcome.resumable, outcome.resets_at) == (75, True, None)
    outcome = verdict(STATUS_1, msgspec.structs.replace(limited, session_id=None), None)
    assert (outcome.exit, outcome.resumable) == (75, False)


@pytest.mark.parametrize("result", [GOOD, failed("error_max_turns"), failed(api_error_status=401)])
def test_nothing_else_is_resumable(result: Result) -> None:
    outcome = verdict(STATUS_1, Summary(turns=3, session_id="S", resets_at=1.8e9, last_result=result), None)
    assert (outcome.resumable, outcome.resets_at) == (False, None)


def test_stopped_after_a_bad_result_is_none() -> None:
    result = failed("error_max_turns", errors=("Reached maximum number of turns (3)",))
    assert judge(ExitStatus(code=143), result, stopped_after_result=True).reason == "max_turns"


def test_a_success_without_the_output_that_was_asked_for_is_none() -> None:
    output = msgspec.structs.replace(GOOD, has_output=True)
    for result, exit, reason in ((GOOD, 1, "structured_output"), (output, 0, "success")):
        outcome = judge(STATUS_0, result, wants_output=True)
        assert (outcome.exit, outcome.reason) == (exit, reason)
    lingered = judge(ExitStatus(code=143), GOOD, wants_output=True, stopped_after_result=True)
    assert lingered.reason == "structured_output"
    assert judge(STATUS_1, failed("error_max_structured_output_retries")).reason == "structured_output"


@pytest.mark.parametrize(
    ("status", "result", "facts", "exit", "reason", "code"),
    [
        (SIGKILLED, None, {}, 137, "killed", "killed"),
        (SIGKILLED, GOOD, {}, 137, "killed", "killed"),
        (SIGKILLED, None, {"oom": True}, 137, "oom", "oom"),
        (ExitStatus(code=137), None, {"oom": True}, 137, "oom", "oom"),
        (STATUS_0, GOOD, {"oom": True}, 0, "success", None),
        (ExitStatus(code=143), None, {}, 1, "signal", "killed"),
        (ExitStatus(signal=signal.SIGSEGV), None, {}, 1, "signal", "killed"),
        (ExitStatus(code=143), GOOD, {}, 1, "signal", "killed"),
        (ExitStatus(code=127), None, {"lines": 0}, 127, "cli_missing", "cli_missing"),
        (ExitStatus(code=126), None, {"lines": 0}, 126, "cli_not_executable", "cli_missing"),
        (ExitStatus(code=127), None, {}, 1, "no_result", "no_result"),
        (STATUS_0, None, {}, 1, "no_result", "no_result"),
        (STATUS_1, None, {}, 1, "no_result", "no_result"),
        (STATUS_1, GOOD, {}, 1, "exit_status", "task_failed"),
        (STATUS_1, failed("error_max_turns", terminal_reason="max_turns"), {}, 1, "max_turns", "max_turns"),
        (STATUS_1, failed("error_max_budget_usd"), {}, 1, "budget", "budget"),
        (STATUS_1, failed(terminal_reason="prompt_too_long", api_error_status=400), {}, 1, "prompt_too_long", "api"),
        (STATUS_1, failed(terminal_reason="api_error", stop_reason="refusal"), api(None, "invalid_request"),
         1, "refusal", "api"),
        (STATUS_1, failed(terminal_reason="api_error", api_error="max_output_tokens"), {}, 1, "max_tokens", "api"),
        (STATUS_1, failed(terminal_reason="api_error"), api(None, "max_output_tokens"), 1, "max_tokens", "api"),
        (STATUS_1, failed("error_max_structured_output_retries"), {}, 1, "structured_output", "task_failed"),
        (STATUS_1, failed(terminal_reason="blocking_limit"), {}, 1, "prompt_too_long", "api"),
        (STATUS_1, failed(terminal_reason="rapid_refill_breaker"), {}, 1, "prompt_too_long", "api"),
        (STATUS_1, failed(terminal_reason="budget_exhausted"), {}, 1, "budget", "budget"),
        (STATUS_1, failed(terminal_reason="image_error"), {}, 1, "image", "api"),
        (STATUS_1, failed(terminal_reason="model_error"), {}, 1, "model_error", "api"),
        (STATUS_1, failed(terminal_reason="malformed_tool_use_exhausted"), {}, 1, "malformed_tool_use", "api"),
        (STATUS_1, failed(terminal_reason="structured_output_retry_exhausted"), {}, 1, "structured_output",
         "task_failed"),
        (STATUS_1, failed(terminal_reason="stop_hook_prevented"), {}, 1, "hook", "task_failed"),
        (STATUS_1, failed(terminal_reason="hook_stopped"), {}, 1, "hook", "task_failed"),
        (STATUS_1, failed(terminal_reason="tool_deferred"), {}, 1, "tool_deferred", "task_failed"),
        (STATUS_1, failed(terminal_reason="tool_deferred_unavailable"), {}, 1, "tool_deferred", "task_failed"),
        (STATUS_1, failed(terminal_reason="background_requested"), {}, 1, "background", "task_failed"),
        (STATUS_1, failed("error_during_execution", terminal_reason="turn_setup_failed"), {}, 1, "turn_setup",
         "task_failed"),
        (STATUS_0, msgspec.structs.replace(GOOD, stop_reason="refusal"), {}, 0, "success", None),
        (STATUS_1, failed(api_error_status=401), {}, 77, "auth", "auth"),
        (STATUS_1, failed(api_error_status=403), {}, 77, "auth", "auth"),
        (STATUS_1, failed(terminal_reason="api_error"), api(None, "authentication_failed"), 77, "auth", "auth"),
        (STATUS_1, failed(terminal_reason="api_error"), api(None, "cloud_credential_error"), 77, "auth", "auth"),
        (STATUS_1, failed(api_error_status=429), {"turns": 0}, 75, "rate_limit", "rate_limit"),
        (STATUS_1, failed(terminal_reason="api_error"), api(None, "rate_limit"), 75, "rate_limit", "rate_limit"),
        (STATUS_1, failed(api_error_status=400), api(400, "billing_error"), 1, "billing", "api"),
        (STATUS_1, failed(api_error_status=404), {"turns": 0}, 1, "model_not_found", "api"),
        (STATUS_1, failed(api_error_status=400), api(400, "invalid_request") | {"turns": 0}, 1, "api_error", "api"),
        (STATUS_1, failed(api_error_status=529), {"turns": 0}, 75, "api_unavailable", "api"),
        (STATUS_1, failed(api_error_status=529), {"turns": 1}, 75, "api_unavailable", "api"),
        (STATUS_1, failed(api_error_status=500), {}, 75, "api_unavailable", "api"),
        (STATUS_1, failed(terminal_reason="api_error", api_error="connection_failed"), api(None, "server_error"),
         75, "api_unavailable", "api"),
        (STATUS_1, failed(api_error_status=401), {"turns": 9}, 77, "auth", "auth"),
        (STATUS_1, failed(api_error_status=400), api(400, "invalid_request"), 1, "api_error", "api"),
        (STATUS_1, failed(terminal_reason="api_error"), api(None, "server_error") | {"turns": 0},
         75, "api_unavailable", "api"),
        (STATUS_1, failed(terminal_reason="api_error"), {"turns": 0}, 1, "api_error", "api"),
        # An older CLI: neither terminal_reason nor status in its result.
        (STATUS_1, failed(), api(None, "server_error") | {"turns": 0}, 75, "api_unavailable", "api"),
        (STATUS_0, failed("error_during_execution", terminal_reason="aborted_tools"), {}, 1, "interrupted", "killed"),
        (STATUS_1, failed("error_during_execution"), {}, 1, "error_during_execution", "task_failed"),
        (STATUS_0, Result("success", False, num_turns=0), {"turns": 0}, 1, "no_turns", "task_failed"),
        (STATUS_1, failed("error_of_tomorrow"), {}, 1, "error", "task_failed"),
    ],
)  # fmt: skip
def test_the_table(
    status: ExitStatus, result: Result | None, facts: dict[str, Any], exit: int, reason: str, code: str | None
) -> None:
    outcome = judge(status, result, **facts)
    assert (outcome.exit, outcome.reason, outcome.code) == (exit, reason, code)


def test_claudes_own_words_are_in_the_message() -> None:
    assert "Invalid API key" in judge(STATUS_1, failed(api_error_status=401, text="Invalid API key")).message
    assert "turns (3)" in judge(STATUS_1, failed("error_max_turns", errors=("maximum number of turns (3)",))).message
    stderr = "Error: Invalid MCP configuration:\nmcpServers: Invalid input\n"
    outcome = judge(STATUS_1, None, stderr_tail=stderr)
    assert outcome.message.endswith("Error: Invalid MCP configuration: mcpServers: Invalid input")
    assert outcome.details == stderr.strip()


@pytest.mark.parametrize(("subtype", "named"), [("", ""), ("success", ""), ("of_tomorrow", " (of_tomorrow)")])
def test_a_failure_is_not_called_a_success(subtype: str, named: str) -> None:
    assert judge(STATUS_1, failed(subtype, text="No.")).message == f"claude reported a failure{named}: No."


def test_words_of_any_length_and_kind_stay_one_bounded_line() -> None:
    outcome = judge(STATUS_1, failed(api_error_status=500, text="{x} \x1b[31m\n" * 100_000), stderr_tail="y" * 100_000)
    assert outcome.message.isprintable()
    assert len(outcome.message) < 600
    assert len(outcome.details) <= 4096


def test_a_cause_outranks_whatever_claude_came_to() -> None:
    cause = Cause(CauseKind.DEADLINE, Exit.TIMEOUT, "timeout", "timeout", "TIMEOUT reached")
    for status, result in ((STATUS_0, GOOD), (SIGKILLED, None), (None, None)):
        outcome = judge(status, result, cause=cause, oom=True, stopped_after_result=True)
        assert (outcome.exit, outcome.reason, outcome.code, outcome.message) == (
            124, "timeout", "timeout", "TIMEOUT reached",
        )  # fmt: skip


def test_a_cause_keeps_its_own_details_and_else_takes_claudes_stderr() -> None:
    def details(own: str) -> str:
        cause = Cause(CauseKind.FAULT, Exit.CLONE_FAILED, "clone", "clone_failed", "no", own)
        return verdict(None, None, cause, stderr_tail="tail\n").details

    assert details("git said no") == "git said no"
    assert details("") == "tail"


def test_no_claude_and_no_cause_is_a_bug_of_ours() -> None:
    assert verdict(None, None, None).exit == Exit.INTERNAL


def test_a_claude_that_said_nothing_at_all_needs_no_summary() -> None:
    assert verdict(STATUS_0, None, None).reason == "no_result"


statuses = st.builds(ExitStatus, code=st.integers(0, 255)) | st.builds(ExitStatus, signal=st.integers(1, 64))
words = st.sampled_from(["", "success", "error_max_turns", "api_error", "aborted_tools", "server_error", "\x00{}"])
numbers = st.none() | st.sampled_from([0, 1, 400, 401, 429, 500])
results = st.builds(
    Result, words, st.booleans(), num_turns=numbers, api_error_status=numbers, terminal_reason=st.none() | words
)
errors = st.builds(ApiError, numbers, words, words)
summaries = st.builds(
    Summary, last_result=st.none() | results, last_api_error=st.none() | errors, turns=st.integers(0, 2)
)


@given(statuses, summaries, st.booleans(), st.booleans(), st.text())
def test_every_verdict_is_whole(status: ExitStatus, summary: Summary, oom: bool, stopped: bool, stderr: str) -> None:
    outcome = verdict(status, summary, None, oom=oom, stopped_after_result=stopped, stderr_tail=stderr)
    assert (outcome.exit == 0) == (outcome.code is None)
    assert outcome.exit in set(Exit)
    assert outcome.reason
    assert "\n" not in outcome.message
    good = summary.last_result is not None and summary.last_result.good
    assert (outcome.exit == 0) == (good and (status.code == 0 or stopped))


def test_an_exit_status_reads_well() -> None:
    assert [str(s) for s in (STATUS_1, SIGKILLED, ExitStatus(signal=63))] == ["exit status 1", "SIGKILL", "signal 63"]


@pytest.mark.parametrize(
    ("exit", "undelivered", "strict", "expected"),
    [(0, 1, True, 74), (0, 1, False, 0), (0, 0, True, 0), (1, 1, True, 1), (143, 5, True, 143)],
)
def test_only_a_success_that_is_not_confirmed_fails_by_its_delivery(
    exit: int, undelivered: int, strict: bool, expected: int
) -> None:
    outcome = Outcome(exit, "a word", None, "a sentence")
    settled = after_delivery(outcome, undelivered=undelivered, strict=strict)
    assert settled.exit == expected
    assert settled.reason == "a word"
    assert ("STRICT_DELIVERY" in settled.message) == (expected == 74)


def test_who_interrupted_claude_is_named() -> None:
    aborted = failed("error_during_execution", terminal_reason="aborted_tools")
    by_operator = judge(STATUS_0, aborted, interrupter="ada")
    assert (by_operator.exit, by_operator.reason) == (1, "interrupted")
    assert by_operator.message == "an operator (ada) interrupted claude, and nobody told it what to do instead"
    assert "did not send" in judge(STATUS_0, aborted).message
    assert judge(STATUS_0, GOOD, interrupter="ada").exit == 0
