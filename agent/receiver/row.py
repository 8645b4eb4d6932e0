"""A run in one row: what a fleet's table shows of it, kept up to date message by message. No I/O, no clock.

All of it was written by others. Whatever makes no sense is left out; nothing here is markup or safe to print as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec
from msgspec import Struct, field

from agent.exits import CANCELLED
from agent.protocol import COMPLETE, ERROR, HEARTBEAT, LOG, STATUS
from agent.receiver.messages import Message
from agent.receiver.open_lists import questions_after, todos_after
from agent.receiver.run import Run
from agent.text import one_line

State = Literal["running", "waiting", "disconnected", "succeeded", "failed", "cancelled"]
#: Why a person should look first, the most urgent one before the others.
Attention = Literal["question", "failed", "idle", "disconnected"]
#: States that last.
ENDED = ("succeeded", "failed", "cancelled")

_TITLE, _NAME, _LINE, _LABELS = 500, 200, 300, 20


class Row(Struct, kw_only=True):
    """Row of one run. Field names are those of the JSON; docs/hub.md gives meaning and units."""

    id: str
    runID: str
    containerID: str
    state: State = "running"
    attention: Attention | None = None
    connected: bool = False
    phase: str | None = None
    title: str | None = None
    repo: str | None = None
    ref: str | None = None
    branch: str | None = None
    head: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    sessionID: str | None = None
    #: Timestamps of the agent, but `updated`, which is the hub's.
    started: str = ""
    updated: str = ""
    ended: str | None = None
    seq: int = 0
    events: int = 0
    bytes: int = 0
    missing: int = 0
    dropped: int = 0
    errors: int = 0
    now: str | None = None
    tool: str | None = None
    todo: dict[str, float] | None = None
    todos: list[dict[str, str]] = field(default_factory=list)
    progress: dict[str, Any] | None = None
    retry: dict[str, Any] | None = None
    question: dict[str, Any] | None = None
    questions: list[dict[str, Any]] = field(default_factory=list)
    idle: float | None = None
    turns: float | None = None
    cost: float | None = None
    tokens: float | None = None
    uptime: float | None = None
    cpu: float | None = None
    memory: float | None = None
    memoryLimit: float | None = None
    pids: float | None = None
    disk: float | None = None
    queued: float | None = None
    exitCode: int | None = None
    reason: str | None = None
    message: str | None = None
    duration: float | None = None
    verify: dict[str, Any] | None = None
    changes: dict[str, Any] | None = None
    patch: bool = False
    comparison: dict[str, Any] | None = None

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED

    def take(self, message: Message, now: str) -> None:
        """Follow one message that was accepted, or a HEARTBEAT."""
        self.updated = now
        if not self.started:
            self.started = one_line(message.timestamp, 40) or now
        update = _UPDATES.get(message.type)
        if update is not None:
            update(self, message)
        self.judge()

    def count(self, run: Run, size: int) -> None:
        """Take over the figures of a run after a message of `size` bytes was stored."""
        self.seq, self.events = run.next - 1, run.events
        self.missing, self.dropped = run.missing, run.dropped
        self.bytes += size
        if (found := run.comparison) is not None:
            self.comparison = {
                "whole": found.whole,
                "events": found.events,
                "missing": found.missing,
                "dropped": found.dropped,
                "problems": [one_line(problem) for problem in found.problems],
                "unchecked": found.unchecked,
                "summary": found.summary,
            }

    def judge(self, *, idle_after: float = 300.0) -> None:
        """Decide `state` and `attention` from the rest."""
        if self.exitCode is not None or self.ended is not None:
            self.state = "succeeded" if self.exitCode == 0 else "cancelled" if self.exitCode in CANCELLED else "failed"
            self.question, self.questions = None, []
        elif not self.connected:
            self.state = "disconnected"
        else:
            self.state = "waiting" if self.question else "running"
        self.attention = (
            "question" if self.state == "waiting"
            else "failed" if self.state == "failed"
            else "disconnected" if self.state == "disconnected"
            else "idle" if self.state == "running" and (self.idle or 0) >= idle_after
            else None
        )  # fmt: skip

    def _log(self, message: Message) -> None:
        log = _read(message, _LOG)
        if log is None:
            return
        metadata = log.metadata
        if metadata is not None:
            if metadata.kind == "patch":
                self.patch = True
                return
            if metadata.part is not None and metadata.part.i != 1:
                return
            if metadata.kind == "todo":
                self.todos = todos_after(self.todos, message.fields())
        if log.level != "debug" and (metadata is None or metadata.kind != "silent"):
            self.now = one_line(log.message, _LINE)

    def _status(self, message: Message) -> None:
        fields = message.fields()
        for name in ("title", "repo", "ref", "branch", "head", "sessionID"):
            if isinstance(value := fields.get(name), str):
                setattr(self, name, one_line(value, _TITLE))
        for name in ("labels", "versions"):
            if isinstance(value := fields.get(name), dict):
                setattr(self, name, _strings(value))
        phase = _text(fields.get("phase"))
        if phase is not None:
            self.phase, self.progress, self.retry = phase, None, None
        progress = fields.get("progress")
        if isinstance(progress, dict):
            taken = {"stage": _text(progress.get("stage"))} | _numbers(progress, ("percent", "done", "total", "bytes"))
            if taken["stage"] == "todo":
                self.todo = _numbers(progress, ("done", "total"))
            else:
                self.progress = taken
        retry = fields.get("retry")
        if isinstance(retry, dict):
            self.retry = _numbers(retry, ("attempt", "of", "delay", "status")) | {"reason": _text(retry.get("reason"))}
        self.questions = questions_after(self.questions, fields, len(bytes(message.data)))
        self.question = self.questions[0] if self.questions else None
        if (text := _text(fields.get("message"))) is not None:
            self.now = text

    def _error(self, message: Message) -> None:
        self.errors += 1
        if (said := _text(message.fields().get("error"))) is not None:
            self.now = said

    def _heartbeat(self, message: Message) -> None:
        fields = message.fields()
        for name in VITALS:
            if name in fields:
                setattr(self, name, _number(fields[name]))
        if "lastTool" in fields:
            self.tool = _text(fields["lastTool"])
        if not self.has_ended and (phase := _text(fields.get("phase"))) is not None:
            self.phase = phase

    def _complete(self, message: Message) -> None:
        fields = message.fields()
        code = fields.get("exitCode")
        self.exitCode = code if type(code) is int and abs(code) < 2**31 else None
        self.ended = one_line(message.timestamp, 40) or self.updated
        self.reason, self.message = _text(fields.get("reason")), _text(fields.get("message"))
        self.duration = _number(fields.get("duration"))
        result, verify, changes = fields.get("result"), fields.get("verify"), fields.get("changes")
        if isinstance(result, dict):
            self.cost = _number(result.get("cost")) if "cost" in result else self.cost
            self.turns = _number(result.get("num_turns")) if "num_turns" in result else self.turns
            usage = result.get("usage")
            if isinstance(usage, dict):
                self.tokens = sum(_number(usage.get(name)) or 0 for name in _USAGE)
        if isinstance(verify, dict) and verify.get("state") in _VERDICTS:
            self.verify = {"state": verify["state"], **_numbers(verify, ("attempts", "exit", "duration"))} | {
                "signal": _text(verify.get("signal")), "timedOut": verify.get("timedOut") is True
            }  # fmt: skip
        if isinstance(changes, dict):
            self.changes = _numbers(changes, ("files", "insertions", "deletions", "commits", "untracked")) | {
                name: _text(changes.get(name)) for name in ("branch", "commit", "compareURL")
            }
        self.progress = self.retry = self.queued = self.idle = None


#: Fields of a HEARTBEAT that change over time.
VITALS = ("uptime", "idle", "turns", "cost", "tokens", "cpu", "memory", "memoryLimit", "pids", "disk", "queued")
_VERDICTS = ("passed", "failed", "unfinished")
_USAGE = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
_UPDATES: dict[str, Callable[[Row, Message], None]] = {
    LOG.name: Row._log,
    STATUS.name: Row._status,
    ERROR.name: Row._error,
    HEARTBEAT.name: Row._heartbeat,
    COMPLETE.name: Row._complete,
}


class _Part(Struct):
    i: int = 1


class _Metadata(Struct):
    kind: str | None = None
    part: _Part | None = None


class _Log(Struct):
    message: str = ""
    level: str = "info"
    metadata: _Metadata | None = None


_LOG = msgspec.json.Decoder(_Log)


def _read(message: Message, decoder: msgspec.json.Decoder[_Log]) -> _Log | None:
    try:
        return decoder.decode(message.data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _text(value: object) -> str | None:
    return one_line(value, _LINE) if isinstance(value, str) else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # JSON knows neither infinity nor NaN, and 2^53 is the last integer that a browser keeps.
    return value if -(2**53) < value < 2**53 else None


def _numbers(fields: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: _number(fields.get(name)) for name in names}


def _strings(fields: dict[str, Any]) -> dict[str, str]:
    """The first scalars of an object as short texts."""
    scalars = [(name, value) for name, value in fields.items() if isinstance(value, str | int | float)]
    return {one_line(name, _NAME): one_line(str(value), _NAME) for name, value in scalars[:_LABELS]}
