"""The verdict of a run: a pure function of how claude ended, its last result, and the cause of an early end."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from agent.errors import ErrorCode
from agent.exits import Exit, ExitStatus
from agent.limits import DETAILS_CHARS
from agent.outcome.causes import Cause
from agent.text import one_line
from agent.transcript import Result, Summary


class Outcome(msgspec.Struct, frozen=True):
    """The end of a run, as the process, COMPLETE and the termination message tell it. `code` is None for a success."""

    exit: int
    #: A stable word for COMPLETE: `success`, or the obstacle.
    reason: str
    code: ErrorCode | None
    #: One or two sentences for a person, with claude's own words where it said something.
    message: str
    #: More of the evidence, bounded: the tail of claude's stderr, say.
    details: str = ""
    #: Another run can go on with claude's session: the API failed, and what was done so far is not lost.
    resumable: bool = False
    #: When the API's limit ends, in Unix time, where it said so.
    resets_at: float | None = None


class _Facts(msgspec.Struct, frozen=True):
    """The facts that the conditions of the table ask about."""

    status: ExitStatus
    summary: Summary
    result: Result | None
    oom: bool
    stopped_after_result: bool
    stderr: str
    interrupter: str = ""

    @property
    def good(self) -> bool:
        return self.result is not None and self.result.good

    @property
    def without_output(self) -> bool:
        """Whether claude ended in order, but without the output that it was asked for."""
        in_order = self.good and (self.status.code == 0 or self.stopped_after_result)
        return in_order and self.summary.wants_output and self.result is not None and not self.result.has_output

    @property
    def sigkill(self) -> bool:
        """Whether SIGKILL ended claude. If CLAUDE_BIN is a script around the CLI, its shell reports that as 137."""
        return self.status.signal == signal.SIGKILL or self.status.code == 128 + signal.SIGKILL

    @property
    def ended_by_signal(self) -> bool:
        """Whether a signal ended claude. The CLI catches SIGTERM and SIGHUP, and exits as a shell would report it."""
        return self.status.signal is not None or self.status.code in (129, 130, 143)

    @property
    def subtype(self) -> str:
        return self.result.subtype if self.result is not None else ""

    @property
    def terminal_reason(self) -> str:
        return (self.result.terminal_reason or "") if self.result is not None else ""

    @property
    def refused(self) -> bool:
        return self.result is not None and self.result.stop_reason == "refusal"

    @property
    def too_long(self) -> bool:
        """Whether the model's reply was cut off at the most tokens that it may have, again and again."""
        words = (self.result.api_error if self.result is not None else None, self.category)
        return "max_output_tokens" in words

    @property
    def api_failed(self) -> bool:
        """Whether the API failed. Older versions of the CLI give no terminal_reason and no status, only an error with
        the subtype success.
        """
        named = self.terminal_reason == "api_error" or self.http is not None
        return named or (self.subtype == "success" and not self.good and self.summary.last_api_error is not None)

    @property
    def http(self) -> int | None:
        return self.result.api_error_status if self.result is not None else None

    @property
    def category(self) -> str:
        """The CLI's word for the failure of the API that ended the run."""
        return self.summary.last_api_error.category if self.summary.last_api_error is not None else ""

    @property
    def limited(self) -> bool:
        return self.http == 429 or (self.api_failed and self.category == "rate_limit")

    @property
    def untouched(self) -> bool:
        """Whether the model never replied: nothing was spent, so that repeating the run loses nothing."""
        return self.summary.turns == 0

    @property
    def said(self) -> str:
        """The CLI's own words: those of its result, else the last of its stderr."""
        words = self.result.said if self.result is not None else ""
        return one_line(words, 400) or _last_words(self.stderr) or "it gave no reason"


class _Row(NamedTuple):
    holds: Callable[[_Facts], bool]
    exit: Exit
    reason: str
    code: ErrorCode | None
    sentence: str


def _ended(terminal: str, reason: str, code: ErrorCode, sentence: str) -> _Row:
    return _Row(lambda f: f.terminal_reason == terminal, Exit.TASK_FAILED, reason, code, sentence)


#: The CLI's words for the end of a turn (`terminal_reason`) that say more than its `subtype`. Those of the API's
#: failures have rows of their own.
_TERMINAL: tuple[tuple[str, str, ErrorCode, str], ...] = (
    ("prompt_too_long", "prompt_too_long", "api", "the conversation does not fit into the model's context: {said}"),
    ("blocking_limit", "prompt_too_long", "api", "the conversation does not fit into the model's context: {said}"),
    ("rapid_refill_breaker", "prompt_too_long", "api",
     "the conversation fills the model's context again right after it was compacted: {said}"),
    ("budget_exhausted", "budget", "budget",
     "claude reached its budget before the task was done: {said}; raise MAX_BUDGET_USD"),
    ("max_turns", "max_turns", "max_turns",
     "claude reached its limit of turns before the task was done: {said}; raise MAX_TURNS"),
    ("image_error", "image", "api", "the API cannot read an image of the conversation: {said}"),
    ("model_error", "model_error", "api", "the model's reply could not be used: {said}"),
    ("malformed_tool_use_exhausted", "malformed_tool_use", "api",
     "the model called tools in a wrong form, again and again: {said}"),
    ("structured_output_retry_exhausted", "structured_output", "task_failed",
     "the model gave no output that fits the schema: {said}"),
    ("stop_hook_prevented", "hook", "task_failed", "a hook ended the run: {said}"),
    ("hook_stopped", "hook", "task_failed", "a hook ended the run: {said}"),
    ("tool_deferred", "tool_deferred", "task_failed", "claude waits for a tool that nobody here runs: {said}"),
    ("tool_deferred_unavailable", "tool_deferred", "task_failed",
     "claude waits for a tool that nobody here runs: {said}"),
    ("background_requested", "background", "task_failed", "claude wants to go on in the background: {said}"),
    ("turn_setup_failed", "turn_setup", "task_failed", "claude could not begin its turn: {said}"),
)  # fmt: skip

#: The first row that holds is the verdict. Success is five facts: exit status 0; a last result exists; its is_error is
#: false; its subtype is success; its num_turns > 0 (the last three are `Result.good`).
_TABLE = (
    # It counts as done for the CLI, which reminds the model once and then lets it go.
    _Row(lambda f: f.without_output, Exit.TASK_FAILED, "structured_output", "task_failed",
         "claude gave no output that fits OUTPUT_SCHEMA: {said}"),
    # The CLI lingers after its result now and then; RESULT_GRACE ends that, and the work is done.
    _Row(lambda f: f.good and f.stopped_after_result, Exit.SUCCEEDED, "exited_after_kill", None,
         "claude finished the task; it did not exit by itself and was stopped"),
    _Row(lambda f: f.good and f.status.code == 0, Exit.SUCCEEDED, "success", None, "claude finished the task"),
    _Row(lambda f: f.sigkill and f.oom, Exit.KILLED, "oom", "oom",
         "claude was killed: the container ran out of memory; give it more"),
    _Row(lambda f: f.sigkill, Exit.KILLED, "killed", "killed",
         "claude was killed (SIGKILL) and not by this agent: most often the node ran out of memory"),
    _Row(lambda f: f.status.code == Exit.CLI_MISSING and f.summary.lines == 0, Exit.CLI_MISSING, "cli_missing",
         "cli_missing", "claude is not there any more: {said}"),
    _Row(lambda f: f.status.code == Exit.CLI_NOT_EXECUTABLE and f.summary.lines == 0, Exit.CLI_NOT_EXECUTABLE,
         "cli_not_executable", "cli_missing", "claude cannot be executed: {said}"),
    _Row(lambda f: f.ended_by_signal and (f.good or f.result is None), Exit.TASK_FAILED, "signal", "killed",
         "claude was ended by a signal that this agent did not send ({status})"),
    # claude loses its tail and its result, with status 0, when nobody drains its stdout for some seconds.
    _Row(lambda f: f.result is None and f.status.code == 0, Exit.TASK_FAILED, "no_result", "no_result",
         "claude exited with status 0 but gave no result, so whether the task is done is not known: {said}"),
    _Row(lambda f: f.result is None, Exit.TASK_FAILED, "no_result", "no_result",
         "claude ended before any result ({status}): {said}"),
    _Row(lambda f: f.good, Exit.TASK_FAILED, "exit_status", "task_failed",
         "claude reported success but ended with {status}: {said}"),
    _Row(lambda f: f.subtype == "error_max_turns", Exit.TASK_FAILED, "max_turns", "max_turns",
         "claude reached its limit of turns before the task was done: {said}; raise MAX_TURNS"),
    _Row(lambda f: f.subtype == "error_max_structured_output_retries", Exit.TASK_FAILED, "structured_output",
         "task_failed", "the model gave no output that fits the schema: {said}"),
    _Row(lambda f: f.subtype == "error_max_budget_usd", Exit.TASK_FAILED, "budget", "budget",
         "claude reached its budget before the task was done: {said}; raise MAX_BUDGET_USD"),
    _Row(lambda f: f.refused, Exit.TASK_FAILED, "refusal", "api",
         "the model, or the API's safeguards, refused to answer: {said}"),
    _Row(lambda f: f.too_long, Exit.TASK_FAILED, "max_tokens", "api",
         "the model's reply was longer than it may be: {said}; raise CLAUDE_CODE_MAX_OUTPUT_TOKENS (CLAUDE_ENV)"),
    *(_ended(*row) for row in _TERMINAL),
    _Row(lambda f: f.http in (401, 403) or (f.api_failed and f.category == "authentication_failed"), Exit.AUTH,
         "auth", "auth", "the API refused the credentials: {said}"),
    _Row(lambda f: f.api_failed and f.category == "cloud_credential_error", Exit.AUTH, "auth", "auth",
         "claude has no credentials that its cloud accepts: {said}"),
    _Row(lambda f: f.limited, Exit.RETRYABLE, "rate_limit",
         "rate_limit", "the API's rate limit is reached: {said}"),
    _Row(lambda f: f.api_failed and f.category == "billing_error", Exit.TASK_FAILED, "billing", "api",
         "the API refused to work on this account: {said}"),
    _Row(lambda f: f.http == 404 or (f.api_failed and f.category == "model_not_found"), Exit.TASK_FAILED,
         "model_not_found", "api", "the API does not know the model: {said}"),
    _Row(lambda f: f.api_failed and f.untouched and _is_outage(f), Exit.RETRYABLE, "api_unavailable", "api",
         "the API could not be reached, or was overloaded, before the first reply: {said}"),
    _Row(lambda f: f.api_failed and _is_outage(f), Exit.RETRYABLE, "api_unavailable", "api",
         "the API could not be reached any more, or was overloaded: {said}"),
    _Row(lambda f: f.api_failed, Exit.TASK_FAILED, "api_error", "api", "the API failed: {said}"),
    _Row(lambda f: f.terminal_reason.startswith("aborted") and bool(f.interrupter), Exit.TASK_FAILED, "interrupted",
         "killed", "an operator ({by}) interrupted claude, and nobody told it what to do instead"),
    _Row(lambda f: f.terminal_reason.startswith("aborted"), Exit.TASK_FAILED, "interrupted", "killed",
         "claude was interrupted by a signal that this agent did not send"),
    _Row(lambda f: f.subtype == "error_during_execution", Exit.TASK_FAILED, "error_during_execution", "task_failed",
         "claude failed: {said}"),
    _Row(lambda f: f.result is not None and not f.result.is_error and not f.result.num_turns, Exit.TASK_FAILED,
         "no_turns", "task_failed",
         "the model was never asked: {said} (a task that starts with / is taken for a command of the CLI)"),
    _Row(lambda f: True, Exit.TASK_FAILED, "error", "task_failed", "claude reported a failure{subtype}: {said}"),
)  # fmt: skip


def judge(
    status: ExitStatus | None,
    summary: Summary | None,
    cause: Cause | None,
    *,
    oom: bool = False,
    stopped_after_result: bool = False,
    stderr_tail: str = "",
    interrupter: str = "",
) -> Outcome:
    """Judge a run.

    Args:
        status: How claude ended; None if it never ran, which only a cause can explain.
        summary: The summary of its output; None as above.
        cause: The cause of an early end. It came before claude's exit, and so outranks it.
        oom: Whether the kernel killed a process of the container for lack of memory while claude ran.
        stopped_after_result: Whether claude was stopped because it outlived a good result by RESULT_GRACE.
        stderr_tail: The last lines of claude's stderr; they explain a claude that gave no result.
        interrupter: The name of the operator who interrupted claude last, as one line.
    """
    details = stderr_tail.strip()[-DETAILS_CHARS:]
    if cause is not None:
        return Outcome(cause.exit, cause.reason, cause.code, cause.message, cause.details or details)
    if status is None:
        return Outcome(Exit.INTERNAL, "internal", "internal", "the run ended without a reason: a bug of the agent")
    summary = summary or Summary()
    facts = _Facts(status, summary, summary.last_result, oom, stopped_after_result, stderr_tail, interrupter)
    row = next(row for row in _TABLE if row.holds(facts))
    subtype = f" ({facts.subtype})" if facts.subtype not in ("", "success") else ""
    message = row.sentence.format(status=status, said=facts.said, subtype=subtype, by=interrupter)
    outcome = Outcome(row.exit, row.reason, row.code, message, "" if row.code is None else details)
    if row.exit is not Exit.RETRYABLE:
        return outcome
    # The CLI keeps the session from its start on, so that it can go on with one that has no reply yet.
    return msgspec.structs.replace(
        outcome, resumable=summary.session_id is not None, resets_at=summary.resets_at if facts.limited else None
    )


def trouble(summary: Summary) -> Outcome | None:
    """The trouble of the API that the last result tells of, as `judge` would find it; None if it tells of none."""
    outcome = judge(ExitStatus(code=1), summary, None)
    return outcome if outcome.exit == Exit.RETRYABLE else None


def after_delivery(outcome: Outcome, *, undelivered: int, strict: bool) -> Outcome:
    """The outcome once the delivery is over: with STRICT_DELIVERY=1 a success becomes exit 74 where the server has not
    confirmed all messages.

    COMPLETE is among the messages, so that only the process and the termination message can tell of it.
    """
    if outcome.exit != 0 or not undelivered or not strict:
        return outcome
    message = f"{outcome.message}; the server has not confirmed all of it (STRICT_DELIVERY=1)"
    return msgspec.structs.replace(outcome, exit=int(Exit.UNDELIVERED), message=message)


def _is_outage(facts: _Facts) -> bool:
    """Whether the API did not answer, or failed itself. A 4xx would be the same again."""
    return facts.http >= 500 if facts.http is not None else facts.category in ("server_error", "overloaded", "unknown")


def _last_words(stderr: str) -> str:
    """The last whole lines of stderr, as one."""
    words: list[str] = []
    for line in reversed(stderr.splitlines()[-20:]):
        words.insert(0, one_line(line, 300))
        if sum(map(len, words)) > 200:
            break
    return one_line(" ".join(words), 400)
