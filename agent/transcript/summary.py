"""What is known of a claude run so far: the vocabulary between the transcript and those who judge or report it."""

from __future__ import annotations

from typing import Any

import msgspec


class Todo(msgspec.Struct, frozen=True):
    """Progress of claude's own to-do list, and the item it is at."""

    done: int
    total: int
    active: str = ""

    @property
    def percent(self) -> int:
        return 100 * self.done // self.total if self.total else 0


class ApiError(msgspec.Struct, frozen=True):
    """The last failure of the Messages API that claude gave up on."""

    #: HTTP status; None without an answer (refused, timed out, not logged in).
    status: int | None
    #: The CLI's word: authentication_failed, billing_error, rate_limit, server_error, invalid_request ...
    category: str
    message: str


class Denial(msgspec.Struct, frozen=True):
    """A tool call that the permissions did not allow."""

    tool_name: str
    tool_use_id: str
    #: The call as one line.
    call: str


class Result(msgspec.Struct, frozen=True):
    """One `result` message, bounded. There may be several in a run, and the last one counts.

    `usage` is that of this result only and misses an aborted turn; `model_usage` and `total_cost_usd` add up over
    the process and do not. Fields of another type than expected are as if absent.
    """

    subtype: str
    #: True unless the CLI said `false`: `subtype` is "success" for failures of the API too.
    is_error: bool
    num_turns: int | None = None
    total_cost_usd: float | None = None
    duration_ms: int | None = None
    session_id: str | None = None
    terminal_reason: str | None = None
    #: The CLI's refinement of an API failure: connection_failed, usage_limit_reached, max_output_tokens ...
    api_error: str | None = None
    api_error_status: int | None = None
    errors: tuple[str, ...] = ()
    text: str = ""
    usage: dict[str, Any] | None = None
    model_usage: dict[str, Any] | None = None
    permission_denials: tuple[Denial, ...] = ()
    structured_output: Any = None

    @property
    def good(self) -> bool:
        """Three of the five facts. No turn means that the model was never asked: a slash command, say."""
        return not self.is_error and self.subtype == "success" and (self.num_turns or 0) > 0

    @property
    def said(self) -> str:
        """claude's own words about a failure; its internal diagnostics are for nobody."""
        return "; ".join(error for error in self.errors if not error.startswith("[ede_diagnostic]")) or self.text


class Summary(msgspec.Struct, frozen=True):
    """A run up to now; bounded whatever claude writes."""

    lines: int = 0
    size: int = 0
    #: Lines that were no JSON object, or had to be repaired to be one.
    bad_lines: int = 0
    inits: int = 0
    results: int = 0
    last_result: Result | None = None
    session_id: str | None = None
    model: str | None = None
    cli_version: str | None = None
    #: Replies of the model to the main conversation, its own errors and subagents aside.
    turns: int = 0
    tool_calls: int = 0
    last_tool: str | None = None
    #: Paths that claude's tools wrote, relative to the working directory where inside it, in order of first change.
    files: tuple[str, ...] = ()
    todo: Todo | None = None
    #: Background tasks that keep the process alive after a result.
    open_tasks: tuple[str, ...] = ()
    api_retries: int = 0
    #: The most answers in a row that refused the credentials of one request. The first may be a gateway's hiccup or a
    #: token just being renewed.
    refusals: int = 0
    last_api_error: ApiError | None = None
    mcp_failed: tuple[str, ...] = ()

    @property
    def settled(self) -> bool:
        """Nothing is left to do for claude: a result, no open task, and no turn that began since (each begins with an
        init, also the one that a background task's end sets off)."""
        return self.last_result is not None and not self.open_tasks and self.inits <= self.results
