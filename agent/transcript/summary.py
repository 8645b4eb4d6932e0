"""The summary of a claude run so far: kept by the transcript, read by the watchdog, the verdict and the reports."""

from __future__ import annotations

from typing import Any

import msgspec


class Todo(msgspec.Struct, frozen=True):
    """Progress of claude's own to-do list, and the item in progress."""

    done: int
    total: int
    active: str = ""

    @property
    def percent(self) -> int:
        """Items done, in percent and rounded down."""
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


class Publication(msgspec.Struct, frozen=True):
    """Work that left the container: a pull request, or a push."""

    #: `pull_request`, whatever its host calls it, or `push`.
    kind: str
    #: The action on a pull request: created, edited, merged, commented, closed ...
    action: str | None = None
    url: str | None = None
    #: None where the CLI does not know it.
    branch: str | None = None


class Result(msgspec.Struct, frozen=True):
    """A `result` message, bounded. A run may have several, and the last one counts.

    `usage` is that of this result only and lacks an aborted turn; `model_usage` and `total_cost_usd` add up over the
    session and include it. Fields of another type than expected count as absent.
    """

    subtype: str
    #: True unless the CLI said `false`. `subtype` alone does not tell: it is "success" for failures of the API too.
    is_error: bool
    num_turns: int | None = None
    total_cost_usd: float | None = None
    duration_ms: int | None = None
    session_id: str | None = None
    terminal_reason: str | None = None
    #: The API's word for the end of the last reply: end_turn, refusal ...
    stop_reason: str | None = None
    #: The CLI's refinement of an API failure: connection_failed, usage_limit_reached, max_output_tokens ...
    api_error: str | None = None
    api_error_status: int | None = None
    errors: tuple[str, ...] = ()
    text: str = ""
    usage: dict[str, Any] | None = None
    model_usage: dict[str, Any] | None = None
    #: Of `model_usage`, what came since the result before this one; None from an older CLI.
    share: dict[str, Any] | None = None
    permission_denials: tuple[Denial, ...] = ()
    #: Output that fits OUTPUT_SCHEMA: whether there is some, as a value, and as JSON. Too long for a limit: None.
    has_output: bool = False
    structured_output: Any = None
    output: bytes | None = None

    @property
    def good(self) -> bool:
        """Whether the result tells of a success; that is three of the five facts in verdict.py.

        Without a turn the model was never asked: a slash command ends so.
        """
        return not self.is_error and self.subtype == "success" and (self.num_turns or 0) > 0

    @property
    def said(self) -> str:
        """claude's own words about a failure, without its internal diagnostics."""
        return "; ".join(error for error in self.errors if not error.startswith("[ede_diagnostic]")) or self.text


class Bill(msgspec.Struct, frozen=True):
    """The bill of a run: all its results together (agent/transcript/bill.py). None: no result has it."""

    num_turns: int | None = None
    #: US dollars: of this run, and of the session with all runs of it.
    cost: float | None = None
    session_cost: float | None = None
    usage: dict[str, Any] | None = None
    #: Of this run, by model.
    model_usage: dict[str, Any] | None = None
    permission_denials: tuple[Denial, ...] = ()


class Usage(msgspec.Struct, frozen=True):
    """Usage of the running session so far, as the CLI estimates it; None until it was asked."""

    #: US dollars.
    cost: float | None = None
    #: Tokens of all models: input, output, read from the cache, written to it.
    tokens: tuple[int, ...] | None = None
    #: Tokens in the context of the main conversation, and how many it can take.
    context: int | None = None
    context_limit: int | None = None


class Summary(msgspec.Struct, frozen=True):
    """The run up to now. Its size is bounded, whatever claude writes."""

    lines: int = 0
    size: int = 0
    #: Lines that were no JSON object, or had to be repaired to be one.
    bad_lines: int = 0
    inits: int = 0
    results: int = 0
    last_result: Result | None = None
    bill: Bill = Bill()
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
    #: When the limit ends that the API named last, in Unix time; None where it named none, or lifted it since.
    resets_at: float | None = None
    mcp_failed: tuple[str, ...] = ()
    #: In order; each once.
    published: tuple[Publication, ...] = ()
    #: claude was asked for an output that fits a schema: it has the tool for it.
    wants_output: bool = False
    usage: Usage = Usage()

    @property
    def settled(self) -> bool:
        """Whether nothing is left for claude to do: it gave a result, no task is open, and no turn began since.

        Each turn begins with an init, also the turn that the end of a background task starts.
        """
        return self.last_result is not None and not self.open_tasks and self.inits <= self.results
