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
Source = Literal["agent", "git", "claude", "stderr"]

Count = Annotated[int, Meta(ge=0)]
Seq = Annotated[int, Meta(ge=1)]
Timestamp = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")]
Seconds = Annotated[float, Meta(ge=0)]
Bytes = Annotated[int, Meta(ge=0)]


class Part(Struct, frozen=True, kw_only=True):
    """One part of a split LOG; the texts joined are the JSON of the original data."""

    id: str
    i: Seq
    n: Seq
    text: str


class Gap(Struct, frozen=True, kw_only=True, rename="camel"):
    """Lost messages: the numbers fromSeq to toSeq, where toSeq is the marker's own seq."""

    from_seq: Seq
    to_seq: Seq
    count: Count
    bytes: Bytes
    reason: str


class Metadata(Struct, frozen=True, kw_only=True, omit_defaults=True):
    source: Source
    kind: str | UnsetType = UNSET
    claude: Annotated[Any, Meta(description="the whole message of claude")] = UNSET
    part: Part | UnsetType = UNSET
    gap: Gap | UnsetType = UNSET
    text: Annotated[str, Meta(description="the patch, where kind is patch")] | UnsetType = UNSET
    encoding: Annotated[Literal["base64"], Meta(description="of text, where the patch is not UTF-8")] | UnsetType = (
        UNSET
    )
    details: Annotated[str, Meta(description="the evidence for a warning")] | UnsetType = UNSET
    length: Annotated[int, Meta(ge=0, description="bytes of a line that was too long")] | UnsetType = UNSET
    ignored: Annotated[list[str], Meta(description="paths of the clone that claude does not obey")] | UnsetType = UNSET
    refused: (
        Annotated[list[str], Meta(description="instructions that claude does not get, each with the reason")]
        | UnsetType
    ) = UNSET


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
    level: Level
    message: Annotated[str, Meta(description="one line for a person")]
    metadata: Metadata | UnsetType = UNSET


class Progress(Struct, frozen=True, kw_only=True):
    stage: str
    percent: Annotated[float, Meta(ge=0, le=100)] | None = None
    done: Count | None = None
    total: Count | None = None
    bytes: Bytes | None = None
    finished: bool | UnsetType = UNSET


class Retry(Struct, frozen=True, kw_only=True):
    """A retry of the API by claude."""

    attempt: Count | None = None
    of: Annotated[int, Meta(ge=0, description="attempts at most")] | None = None
    delay: Annotated[int, Meta(ge=0, description="milliseconds until the attempt")] | None = None
    reason: str | None = None
    status: Annotated[int, Meta(description="HTTP status of the answer; null where none came")] | None = None


class StatusData(Struct, frozen=True, kw_only=True):
    status: Literal["starting", "running", "completed", "failed"]
    message: str | UnsetType = UNSET
    phase: str | UnsetType = UNSET
    progress: Progress | UnsetType = UNSET
    retry: Retry | UnsetType = UNSET
    repo: str | UnsetType = UNSET
    ref: str | None = None
    head: Annotated[str, Meta(description="the cloned commit; null for an empty repository")] | None = None
    branch: Annotated[str, Meta(description="the cloned branch; null for a tag or a commit")] | None = None
    reason: Annotated[str, Meta(description="COMPLETE.reason, in the last STATUS")] | UnsetType = UNSET
    title: str | UnsetType = UNSET
    labels: dict[str, str] | UnsetType = UNSET
    versions: dict[str, str] | UnsetType = UNSET
    sessionID: str | None = None


class ErrorData(Struct, frozen=True, kw_only=True):
    error: str
    code: ErrorCode | UnsetType = UNSET
    details: str | UnsetType = UNSET


class HeartbeatData(Struct, frozen=True, kw_only=True, rename="camel"):
    timestamp: Timestamp
    uptime: Seconds | UnsetType = UNSET
    phase: str | UnsetType = UNSET
    last_seq: Count | UnsetType = UNSET
    confirmed_seq: Count | UnsetType = UNSET
    queued: Count | UnsetType = UNSET
    journal_bytes: Bytes | UnsetType = UNSET
    dropped: Count | UnsetType = UNSET
    idle: Annotated[Seconds, Meta(description="seconds since claude's last byte")] | None = None
    turns: Count | UnsetType = UNSET
    last_tool: str | None = None
    cpu: Annotated[float, Meta(ge=0, description="cores in use")] | None = None
    memory: Bytes | None = None
    memory_limit: Bytes | None = None
    pids: Count | None = None
    disk: Annotated[Bytes, Meta(description="bytes free in the workspace")] | None = None


class Denial(Struct, frozen=True, kw_only=True):
    """A tool call that claude's permissions did not allow."""

    tool_name: str
    tool_use_id: str
    call: Annotated[str, Meta(description="one line for a person")]


class Result(Struct, frozen=True, kw_only=True):
    """The last result of claude, in its own words."""

    is_error: bool
    subtype: str
    num_turns: Count | None = None
    cost: Annotated[float, Meta(description="US dollars")] | None = None
    usage: dict[str, Any] | None = None
    session_id: str | None = None
    permission_denials: list[Denial] | UnsetType = UNSET
    text: Annotated[str, Meta(description="claude's last words")] | None = None
    model_usage: dict[str, Any] | None = None
    terminal_reason: str | None = None


class Changes(Struct, frozen=True, kw_only=True):
    """The changes of the run against the cloned commit."""

    base: Annotated[str | None, Meta(description="the cloned commit; null when the repository was empty")]
    head: Annotated[str | None, Meta(description="claude's HEAD")] = None
    files: Count | UnsetType = UNSET
    insertions: Count | UnsetType = UNSET
    deletions: Count | UnsetType = UNSET
    commits: Annotated[int, Meta(ge=0, description="of head, that base does not have")] | UnsetType = UNSET
    untracked: Annotated[int, Meta(ge=0, description="files new to git and not ignored")] | UnsetType = UNSET
    branch: Annotated[str, Meta(description="what PUSH_BRANCH made")] | UnsetType = UNSET
    commit: Annotated[str, Meta(description="its last commit")] | UnsetType = UNSET
    compareURL: Annotated[str, Meta(description="at GitHub")] | UnsetType = UNSET


class Survivor(Struct, frozen=True, kw_only=True):
    """A process of claude's that outlived it. It was killed, unless `left`."""

    pid: Seq
    name: str
    left: Literal[True] | UnsetType = UNSET


class Stream(Struct, frozen=True, kw_only=True, rename="camel"):
    """Totals that a consumer compares with what it received. docs/protocol.md defines each field."""

    last_seq: Seq
    counts: Annotated[dict[str, Count], Meta(description="of each kind but COMPLETE")] | None
    bytes: Bytes | None
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")] | None
    dropped: Count
    gaps: Count
    redelivered: Count


class CompleteData(Struct, frozen=True, kw_only=True, rename="camel"):
    exit_code: Annotated[int, Meta(ge=0, le=255)]
    message: str | UnsetType = UNSET
    duration: Annotated[float, Meta(ge=0, description="milliseconds")] | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    signal: str | None = None
    result: Result | None = None
    #: Of claude, where it gave no result.
    session_id: str | UnsetType = field(name="session_id", default=UNSET)
    changes: Changes | None = None
    survivors: list[Survivor] | UnsetType = UNSET
    stream: Stream
