"""Shapes of `data`, one Struct for each kind of message, with the ranges and units that the schema publishes.

The agent splices bytes and rarely encodes these Structs. They define what the bytes mean; receivers and tests decode
with them. Unknown fields are allowed everywhere, so that a later agent may add some.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

from agent.errors import ErrorCode

Level = Literal["debug", "info", "warn", "error"]
Source = Literal["agent", "git", "setup", "claude", "stderr", "verify", "operator"]

Count = Annotated[int, Meta(ge=0)]
Seq = Annotated[int, Meta(ge=1)]
Timestamp = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")]


def _is(description: str, *, ge: int | None = None, le: int | None = None) -> Meta:
    return Meta(description=description, ge=ge, le=le)


class Part(Struct, frozen=True, kw_only=True):
    """A part of a split LOG. The texts of all parts joined are the JSON of the original data."""

    id: Annotated[str, _is("the same in all parts, unique within the run")]
    i: Annotated[int, _is("number of the part", ge=1)]
    n: Annotated[int, _is("how many parts there are", ge=1)]
    text: str


class Gap(Struct, frozen=True, kw_only=True, rename="camel"):
    """Lost messages: the numbers fromSeq to toSeq, where toSeq is the marker's own seq."""

    from_seq: Seq
    to_seq: Seq
    count: Annotated[int, _is("how many messages are lost", ge=0)]
    bytes: Annotated[int, _is("their size, as far as is known", ge=0)]
    reason: Annotated[str, _is("journal_limit, journal_unreadable, or the error of the disk, such as ENOSPC")]


class CommandState(Struct, frozen=True, kw_only=True):
    """The state of an operator's command, of which this LOG is the acknowledgement."""

    id: Annotated[str, _is("the sender's ID of the command")]
    command: str
    by: Annotated[str, _is("the sender's name, as the server claims it")]
    state: Literal["accepted", "delivered", "refused"]
    reason: Annotated[str, _is("the reason of a refusal")] | UnsetType = UNSET


class Metadata(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Fields of a LOG for programs. Which of them are there depends on source and kind."""

    source: Source
    kind: str | UnsetType = UNSET
    claude: Annotated[Any, _is("the whole message of claude")] = UNSET
    part: Part | UnsetType = UNSET
    gap: Gap | UnsetType = UNSET
    recordedGap: Annotated[Gap, _is("a gap of the recorded run, in a replay")] | UnsetType = UNSET
    text: (
        Annotated[str, _is("the patch, if kind is patch; an operator's words, if it is command or text")] | UnsetType
    ) = UNSET
    encoding: Annotated[Literal["base64"], _is("of text, if the patch is not UTF-8")] | UnsetType = UNSET
    details: Annotated[str, _is("the evidence for a warning")] | UnsetType = UNSET
    length: Annotated[int, _is("bytes of a line that was too long", ge=0)] | UnsetType = UNSET
    ignored: Annotated[list[str], _is("paths of the clone that claude does not obey")] | UnsetType = UNSET
    refused: Annotated[list[str], _is("instructions kept from claude, with the reasons")] | UnsetType = UNSET
    command: CommandState | UnsetType = UNSET


class _Marked(Struct):
    class _Metadata(Struct):
        gap: Gap | None = None

    metadata: _Metadata | None = None


_decode_marked = msgspec.json.Decoder(_Marked).decode


def gap_of(data: bytes | msgspec.Raw) -> Gap | None:
    """Return the gap that a LOG with this `data` marks, None if it marks none. Takes any bytes."""
    if b'"gap":' not in bytes(data):  # decoding each LOG would cost a receiver more than all the rest
        return None
    try:
        marked = _decode_marked(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return marked.metadata.gap if marked.metadata else None


class LogData(Struct, frozen=True, kw_only=True):
    """Data of a LOG."""

    level: Level
    message: Annotated[str, _is("one line for a person")]
    metadata: Metadata | UnsetType = UNSET


class Progress(Struct, frozen=True, kw_only=True):
    """Progress of the clone, or of claude's to-do list (stage todo)."""

    stage: str
    percent: Annotated[float, _is("null if the end is unknown", ge=0, le=100)] | None = None
    done: Count | None = None
    total: Count | None = None
    bytes: Annotated[int, _is("received so far", ge=0)] | None = None
    finished: bool | UnsetType = UNSET


class Retry(Struct, frozen=True, kw_only=True):
    """A retry of the API by claude."""

    attempt: Count | None = None
    of: Annotated[int, _is("attempts at most", ge=0)] | None = None
    delay: Annotated[int, _is("milliseconds until the attempt", ge=0)] | None = None
    reason: str | None = None
    status: Annotated[int, _is("HTTP status of the answer, null if none came")] | None = None


class Question(Struct, frozen=True, kw_only=True):
    """A question of claude: may it use a tool? Open with `tool`, closed with `answer`."""

    id: Annotated[str, _is("the ID that an answer has to name")]
    tool: str | UnsetType = UNSET
    input: Annotated[Any, _is("the input of the tool")] = UNSET
    suggestions: Annotated[list[Any], _is("the rules that allow_always would add")] | UnsetType = UNSET
    cut: (
        Annotated[bool, _is("longer than 16 KiB: views show its beginning and its end, allow_always is refused")]
        | UnsetType
    ) = UNSET
    answer: Annotated[str, _is("the answer, in words")] | UnsetType = UNSET


class Resumed(Struct, frozen=True, kw_only=True, rename={"source": "from"}):
    """A session that goes on (RESUME_SESSION)."""

    session: Annotated[str, _is("claude's session")]
    source: (
        Annotated[
            Literal["patch", "branch", "workspace"],
            _is("where its work came from: its patch in OUTPUT_DIR, the repository, or the workspace; absent for none"),
        ]
        | UnsetType
    ) = UNSET


class Wait(Struct, frozen=True, kw_only=True):
    """A wait for an API that cannot be used (WAIT_FOR_LIMIT)."""

    reason: Annotated[str, _is("as COMPLETE.reason would be: rate_limit, api_unavailable")]
    until: Annotated[Timestamp, _is("when claude goes on")]


class StatusData(Struct, frozen=True, kw_only=True):
    """Data of a STATUS. A STATUS without progress and retry names a phase, and is never dropped."""

    status: Annotated[Literal["starting", "running", "waiting", "completed", "failed"], _is("the phase in plain words")]
    message: Annotated[str, _is("one line for a person")] | UnsetType = UNSET
    phase: str | UnsetType = UNSET
    progress: Progress | UnsetType = UNSET
    retry: Retry | UnsetType = UNSET
    question: Question | UnsetType = UNSET
    wait: Annotated[Wait, _is("with phase WAITING")] | UnsetType = UNSET
    repo: Annotated[str, _is("REPO_URL without credentials, in the first STATUS")] | UnsetType = UNSET
    ref: Annotated[str, _is("REPO_REF, in the first STATUS")] | None = None
    head: Annotated[str, _is("the cloned commit, null for an empty repository")] | None = None
    branch: Annotated[str, _is("the cloned branch, null for a tag or a commit")] | None = None
    resumed: Annotated[Resumed, _is("in the STATUS with `head`")] | UnsetType = UNSET
    reason: Annotated[str, _is("COMPLETE.reason, in the last STATUS")] | UnsetType = UNSET
    title: Annotated[str, _is("the first line of TASK, shortened")] | UnsetType = UNSET
    labels: Annotated[dict[str, str], _is("LABELS")] | UnsetType = UNSET
    versions: Annotated[dict[str, str], _is("of agent and claude")] | UnsetType = UNSET
    sessionID: Annotated[str, _is("claude's session")] | None = None


class ErrorData(Struct, frozen=True, kw_only=True):
    """Data of an ERROR."""

    error: Annotated[str, _is("one sentence for a person")]
    code: Annotated[ErrorCode, _is("stable, for programs")] | UnsetType = UNSET
    details: Annotated[str, _is("the evidence, such as the end of git's output")] | UnsetType = UNSET


class Tokens(Struct, frozen=True, kw_only=True, rename="camel"):
    """Tokens that the session used so far, of all models."""

    input: Annotated[int, _is("tokens that were sent", ge=0)]
    output: Annotated[int, _is("tokens that came back", ge=0)]
    cache_read: Annotated[int, _is("tokens read from the prompt cache", ge=0)]
    cache_write: Annotated[int, _is("tokens written to the prompt cache", ge=0)]


class Context(Struct, frozen=True, kw_only=True):
    """The context of the main conversation."""

    used: Annotated[int, _is("tokens in it", ge=0)]
    limit: Annotated[int, _is("tokens that it can take", ge=0)]


class HeartbeatData(Struct, frozen=True, kw_only=True, rename="camel"):
    """Data of a HEARTBEAT: vital signs of this moment. Null means unknown."""

    timestamp: Timestamp
    uptime: Annotated[float, _is("seconds since the start of the agent", ge=0)] | UnsetType = UNSET
    phase: str | UnsetType = UNSET
    last_seq: Annotated[int, _is("highest number given", ge=0)] | UnsetType = UNSET
    confirmed_seq: Annotated[int, _is("highest number confirmed", ge=0)] | UnsetType = UNSET
    queued: Annotated[int, _is("messages that are not confirmed", ge=0)] | UnsetType = UNSET
    journal_bytes: Annotated[int, _is("size of the journal", ge=0)] | UnsetType = UNSET
    dropped: Annotated[int, _is("messages that were dropped", ge=0)] | UnsetType = UNSET
    idle: Annotated[float, _is("seconds since claude's last byte", ge=0)] | None = None
    turns: Annotated[int, _is("turns of claude", ge=0)] | UnsetType = UNSET
    last_tool: Annotated[str, _is("the tool that claude called last")] | None = None
    cost: Annotated[float, _is("US dollars so far, as the CLI estimates them", ge=0)] | UnsetType = UNSET
    tokens: Tokens | UnsetType = UNSET
    context: Context | UnsetType = UNSET
    cpu: Annotated[float, _is("cores in use", ge=0)] | None = None
    memory: Annotated[int, _is("bytes in use", ge=0)] | None = None
    memory_limit: Annotated[int, _is("bytes that may be used", ge=0)] | None = None
    pids: Annotated[int, _is("processes and threads", ge=0)] | None = None
    disk: Annotated[int, _is("bytes free in the workspace", ge=0)] | None = None


class PreviewData(Struct, frozen=True, kw_only=True):
    """Data of a PREVIEW. The whole message follows as a LOG, whatever was seen of its pieces."""

    kind: Annotated[
        Literal["text", "thinking", "tool_use", "output"],
        _is("what grows: words, thoughts, the input of a tool call, the output of a command that runs"),
    ]
    id: Annotated[str, _is("the ID of claude's message, / and the number of the block; in output, the tool_use_id")]
    piece: Annotated[int, _is("1, 2, 3 ... within the ID; a number that is missing is lost", ge=1)]
    text: (
        Annotated[str, _is("goes on where the piece before ended; in output, the last lines, in place of those before")]
        | UnsetType
    ) = UNSET
    tool: Annotated[str, _is("the tool that is called or runs")] | UnsetType = UNSET
    size: Annotated[int, _is("so far: characters of the call's input, bytes of the output", ge=0)] | UnsetType = UNSET
    tokens: Annotated[int, _is("of the thoughts so far, as the CLI estimates them", ge=0)] | UnsetType = UNSET
    parent: Annotated[str, _is("the tool_use_id of the call that a subagent works for")] | UnsetType = UNSET


class Denial(Struct, frozen=True, kw_only=True):
    """A tool call that claude's permissions did not allow."""

    tool_name: str
    tool_use_id: str
    call: Annotated[str, _is("one line for a person")]


class Result(Struct, frozen=True, kw_only=True):
    """The last result of claude, in its own words, with the bill of all results of the run."""

    is_error: bool
    subtype: str
    num_turns: Annotated[int, Meta(ge=0, description="of the run")] | None = None
    cost: Annotated[float, _is("US dollars, of the run")] | None = None
    session_cost: Annotated[float, _is("US dollars, with all earlier runs of a resumed session")] | None = None
    usage: Annotated[dict[str, Any], _is("tokens of the run; turns that were broken off are missing")] | None = None
    session_id: str | None = None
    permission_denials: list[Denial] | UnsetType = UNSET
    text: Annotated[str, _is("claude's last words")] | None = None
    model_usage: Annotated[dict[str, Any], _is("tokens and cost of the run by model")] | None = None
    terminal_reason: str | None = None
    structured_output: Annotated[Any, _is("JSON that fits OUTPUT_SCHEMA; null if it is too long for COMPLETE")] = UNSET


class OtherChanges(Struct, frozen=True, kw_only=True):
    """Work that is not in the workspace as it stands."""

    kind: Annotated[
        Literal["branch", "tag", "ref", "detached", "stash", "worktree", "submodule"], _is("the place of the work")
    ]
    name: Annotated[str, _is("a ref, stash@{0}, the short name of a commit, or a path")]
    base: Annotated[str | None, _is("the commit that figures and patch are against")]
    head: Annotated[str | None, _is("the last commit")]
    files: Annotated[int, _is("changed files", ge=0)]
    insertions: Annotated[int, _is("lines", ge=0)]
    deletions: Annotated[int, _is("lines", ge=0)]
    commits: Annotated[int, _is("commits of head that neither the clone nor claude's HEAD has", ge=0)]
    patch: Annotated[str, _is("the patch's name in OUTPUT_DIR")] | UnsetType = UNSET
    branch: Annotated[str, _is("the branch that PUSH_BRANCH made of it")] | UnsetType = UNSET
    commit: Annotated[str, _is("the last commit of that branch")] | UnsetType = UNSET


class Changes(Struct, frozen=True, kw_only=True):
    """The changes of the run against the cloned commit."""

    base: Annotated[str | None, _is("the cloned commit, null if the repository was empty")]
    head: Annotated[str | None, _is("claude's HEAD")] = None
    files: Annotated[int, _is("changed files", ge=0)] | UnsetType = UNSET
    insertions: Annotated[int, _is("lines", ge=0)] | UnsetType = UNSET
    deletions: Annotated[int, _is("lines", ge=0)] | UnsetType = UNSET
    commits: Annotated[int, _is("commits of head that base does not have", ge=0)] | UnsetType = UNSET
    untracked: Annotated[int, _is("files that are new to git and not ignored", ge=0)] | UnsetType = UNSET
    branch: Annotated[str, _is("the branch that PUSH_BRANCH made")] | UnsetType = UNSET
    commit: Annotated[str, _is("the last commit of that branch")] | UnsetType = UNSET
    compareURL: Annotated[str, _is("the comparison at GitHub")] | UnsetType = UNSET
    others: Annotated[list[OtherChanges], _is("work elsewhere; absent without any")] | UnsetType = UNSET


class Verify(Struct, frozen=True, kw_only=True, rename="camel"):
    """The verdict of VERIFY_COMMAND on the work: of its last attempt."""

    state: Annotated[
        Literal["passed", "failed", "unfinished"], _is("unfinished: the run was ended while the command ran")
    ]
    attempts: Annotated[int, _is("how often the command was started", ge=1)]
    exit: Annotated[int, _is("its exit status; null if it has none", ge=0, le=255)] | None = None
    signal: Annotated[str, _is("the signal that ended it")] | UnsetType = UNSET
    timed_out: Annotated[Literal[True], _is("it was not over after VERIFY_TIMEOUT")] | UnsetType = UNSET
    duration: Annotated[float, _is("milliseconds", ge=0)] | UnsetType = UNSET
    output: Annotated[str, _is("the end of its output")] | UnsetType = UNSET


class Published(Struct, frozen=True, kw_only=True):
    """Work that claude sent elsewhere, as far as the CLI saw it in the commands that it ran."""

    kind: Literal["pull_request", "push"]
    action: Annotated[str, _is("created, edited, merged, commented, closed ...")] | UnsetType = UNSET
    url: Annotated[str, _is("of the pull request, merge request or change")] | UnsetType = UNSET
    branch: str | UnsetType = UNSET


class Survivor(Struct, frozen=True, kw_only=True):
    """A process of claude's that outlived it. It was killed, unless `left`."""

    pid: Annotated[int, _is("in the namespace of the agent", ge=1)]
    name: str
    left: Literal[True] | UnsetType = UNSET


class Stream(Struct, frozen=True, kw_only=True, rename="camel"):
    """Totals that a consumer compares with what it received. docs/protocol.md defines each field."""

    last_seq: Seq
    counts: Annotated[dict[str, Count], _is("messages of each type but COMPLETE")] | None
    bytes: Annotated[int, _is("size of the same messages", ge=0)] | None
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")] | None
    dropped: Annotated[int, _is("messages that were dropped", ge=0)]
    gaps: Annotated[int, _is("gap markers", ge=0)]
    redelivered: Annotated[int, _is("copies sent so far", ge=0)]


class CompleteData(Struct, frozen=True, kw_only=True, rename="camel"):
    """Data of COMPLETE: the end of the run, and totals of its messages."""

    exit_code: Annotated[int, Meta(ge=0, le=255)]
    message: Annotated[str, _is("one sentence for a person")] | UnsetType = UNSET
    duration: Annotated[float, _is("milliseconds", ge=0)] | UnsetType = UNSET
    reason: Annotated[str, _is("stable, for programs")] | UnsetType = UNSET
    signal: Annotated[str, _is("the signal that the agent received")] | None = None
    result: Result | None = None
    session_id: Annotated[str, _is("claude's session, if it gave no result or another run can go on with it")] | (
        UnsetType
    ) = field(name="session_id", default=UNSET)
    resumable: (
        Annotated[Literal[True], _is("the API failed: another run can go on with the session (RESUME_SESSION)")]
        | UnsetType
    ) = UNSET
    resets_at: Annotated[Timestamp, _is("when the API's limit ends, as far as it said so")] | UnsetType = UNSET
    resumed: Resumed | UnsetType = UNSET
    changes: Changes | None = None
    verify: Annotated[Verify, _is("absent if VERIFY_COMMAND never ran")] | UnsetType = UNSET
    published: Annotated[list[Published], _is("in order; absent without any")] | UnsetType = UNSET
    survivors: list[Survivor] | UnsetType = UNSET
    stream: Stream
