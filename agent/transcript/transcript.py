"""The transcript of claude's stdout: makes events of its lines, and keeps the summary of the run.

Each line becomes exactly one LOG that carries the whole message, byte for byte as it came, but for the pieces of a
message that will come whole. A line that tells of progress (an API retry, the to-do list) gets a STATUS beside it.
Nothing that a line holds can raise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from agent.limits import Limits
from agent.lines import Oversize
from agent.protocol import Event, Level, claude_log, encode_json, status
from agent.text import count, one_line
from agent.transcript import bill, stream_json
from agent.transcript.background_tasks import open_after
from agent.transcript.control import (
    COMMANDED,
    MessageState,
    QuestionWithdrawn,
    Replied,
    ResultGiven,
    Said,
    learn_usage,
    own_reply,
    read_question,
)
from agent.transcript.describe import WRITERS, Note, tool_call
from agent.transcript.kinds import Kind
from agent.transcript.notices import describe, resets_at
from agent.transcript.publications import published_by
from agent.transcript.result import describe_result, read_result
from agent.transcript.stream_json import Block, Line, integer, items, mapping, text, value
from agent.transcript.summary import ApiError, Summary
from agent.transcript.todo import TODO_TOOLS, TodoList

#: The model's name on messages that the CLI writes itself: errors of the API, answers of slash commands.
_SYNTHETIC = "<synthetic>"

#: A result that is no JSON is taken for one nonetheless: claude would wait for more input.
_RESULT = b'"type":"result"'

#: HTTP statuses that refuse the credentials. The CLI retries them ten times, for 190 s, as if they were an outage.
REFUSED = frozenset({401, 403})

#: Reasons in `tool_result_meta` why a tool did not run to its end. Every other one is a denial, but for this: where the
#: run is interrupted, the CLI says that the user rejected the tool, whether it was asked about, ran, or neither.
_INTERRUPTED = frozenset({"interrupted", "cancelled"})
_REJECTED = "user-rejected"

_SEVERITY: dict[Level, int] = {"debug": 0, "info": 1, "warn": 2, "error": 3}


class _Call(msgspec.Struct, frozen=True):
    """A tool call whose result has not come yet."""

    name: str
    message: str
    path: str
    #: The call that began the subagent whose call this is; None for the conversation's own.
    parent: str | None = None
    #: The CLI's name for it, which it tells of a command that has run for three seconds.
    task: str = ""


class OpenCalls(msgspec.Struct, frozen=True):
    """The calls of a tool that have no result yet."""

    #: Their IDs, the oldest first, by the agent whose they are.
    by_agent: tuple[tuple[str, ...], ...] = ()
    #: The CLI's names for them, by ID, as far as it has told them.
    tasks: Mapping[str, str] = {}
    #: The names of what runs in the background: its call has its result.
    background: tuple[str, ...] = ()


class Transcript:
    """Takes every line in order; `summary` is the run up to the last of them."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        # These change with most lines, and a new summary for each line would cost as much as its decoding.
        self._lines = self._size = self._bad_lines = self._turns = self._tool_calls = 0
        self._last_tool: str | None = None
        self._summary = Summary()
        #: Is told what the run must act on; must not raise.
        self.listener: Callable[[Said], None] = lambda said: None
        #: Answers to control requests of ours.
        self.replies = 0
        self._cwd = ""
        self._turn_id: str | None = None
        self._calls: dict[str, _Call] = {}
        self._todo = TodoList(limits.remembered)
        #: Answers in a row, up to now, that refused the credentials of the present request.
        self._refused = 0
        #: Tokens of the thoughts that are being written, as the CLI estimates them.
        self._thinking = 0

    @property
    def summary(self) -> Summary:
        """The run up to the last line."""
        return msgspec.structs.replace(
            self._summary,
            lines=self._lines,
            size=self._size,
            bad_lines=self._bad_lines,
            turns=self._turns,
            tool_calls=self._tool_calls,
            last_tool=self._last_tool,
        )

    def running(self, tool: str) -> OpenCalls:
        """The calls of a tool that have no result yet."""
        found: dict[str | None, tuple[str, ...]] = {}
        tasks = {}
        for id, call in self._calls.items():
            if call.name == tool:
                found[call.parent] = (*found.get(call.parent, ()), id)
                if call.task:
                    tasks[id] = call.task
        return OpenCalls(tuple(found.values()), tasks, self._summary.open_tasks)

    def feed(self, line: bytes, *, utf8: bool = False) -> list[Event]:
        """Take a line, redacted and without its newline; returns its events.

        `utf8` says that the line is known to be UTF-8.
        """
        self._lines += 1
        self._size += len(line)
        message, raw = stream_json.parse(line, utf8=utf8)
        if raw is not line or message is None:
            self._bad_lines += 1
        if message is None:
            said = raw.decode()
            if _RESULT in raw:
                self.listener(ResultGiven())
            return [claude_log("info", one_line(said), "raw", encode_json(said))]
        reply = own_reply(message)
        if reply is not None:
            id, answer = reply
            if id.startswith(COMMANDED):
                self.listener(Replied(id))
            else:
                self.replies += 1
                self._learn(usage=learn_usage(self._summary.usage, answer))
            return []
        if self._is_piece(message):
            return []
        note = self._note(message, raw)
        events = [claude_log(note.level, note.message, note.kind, raw)]
        if note.status is not None:
            events.append(status("running", note.message, keep=False, level="debug", **note.status))
        return events

    def oversize(self, line: Oversize) -> list[Event]:
        """Take note of a line that was skipped; returns its event, without text: half a secret is not recognised."""
        self._lines += 1
        self._size += line.length
        self._bad_lines += 1
        type = line.type
        if type == "result":
            self.listener(ResultGiven())
        message = f"a line of {line.length:,} bytes is too long and was skipped" + (f" ({type})" if type else "")
        return [claude_log("warn", message, "oversize", encode_json({"length": line.length, "type": type}))]

    def _is_piece(self, line: Line) -> bool:
        """Whether a line is a piece of a message that comes whole, which is as much as all its pieces together."""
        if line.type == "system" and line.subtype == "thinking_tokens":
            self._thinking = integer(line.estimated_tokens) or 0
            return True
        return line.type == "stream_event"

    def _note(self, line: Line, raw: bytes) -> Note:
        match line.type, line.subtype:
            case "assistant", _:
                return self._assistant(line, raw)
            case "user", _:
                return self._user(line, raw)
            case "command_lifecycle", _:
                self.listener(MessageState(text(line.command_uuid, 80), text(line.state, 40)))
            case "control_request", _:
                if (question := read_question(line)) is not None:
                    self.listener(question)
            case "control_cancel_request", _:
                self.listener(QuestionWithdrawn(text(line.request_id, 200)))
            case "result", _:
                self.listener(ResultGiven())
                return self._result(line)
            case "rate_limit_event", _:
                self._learn_limit(mapping(line.rate_limit_info))
            case "system", "init":
                return self._init(line)
            case "system", "api_retry":
                return self._api_retry(line)
            case "system", "task_started" | "task_updated" | "task_notification" | "background_tasks_changed":
                call = self._calls.get(text(line.tool_use_id))
                if call is not None and line.subtype == "task_started":
                    self._calls[text(line.tool_use_id)] = msgspec.structs.replace(call, task=text(line.task_id, 80))
                open_tasks = open_after(self._summary.open_tasks, line)
                self._learn(open_tasks=open_tasks[-self._limits.remembered :])
            case "system", "code_change_published" | "vcs_state_changed":
                note, publication = published_by(line)
                known = self._summary.published
                if publication is not None and publication not in known:
                    self._learn(published=(*known, publication)[: self._limits.remembered])
                return note
        return describe(line, raw)

    def _learn(self, **changes: Any) -> None:
        self._summary = msgspec.structs.replace(self._summary, **changes)

    # --- the conversation

    def _assistant(self, line: Line, raw: bytes) -> Note:
        message = line.message
        if not isinstance(message, stream_json.Message):
            return describe(line, raw)
        if message.model != _SYNTHETIC and line.parent_tool_use_id is None and message.id != self._turn_id:
            self._turn_id = message.id
            self._turns += 1
        category = text(line.error)
        if category or value(line.is_api_error_message) is True:
            said = one_line(_words(message)) or one_line(category)
            error = ApiError(integer(line.api_error_status), one_line(category), said)
            self._learn(last_api_error=error)
            self._learn_limit(mapping(line.api_error_params).get("rate_limit_info"))
            return Note("error", "api_error", said or "API error")
        if isinstance(message.content, str):
            return _within(line, [Note("info", "text", one_line(message.content))])
        note = _within(line, [self._said(block, line.parent_tool_use_id) for block in message.content])
        if value(line.aborted) is True:
            return Note(note.level, note.kind, one_line(f"(broken off) {note.message}"), note.status)
        return note

    def _said(self, block: Block, parent: str | None) -> Note:
        if block.type == "text":
            return Note("info", "text", one_line(text(block.text)))
        if block.type in ("tool_use", "server_tool_use", "mcp_tool_use"):
            message, path = tool_call(block.name, block.input, self._cwd)
            self._calls[block.id] = _Call(block.name, message, path, parent)
            if len(self._calls) > self._limits.remembered:
                del self._calls[next(iter(self._calls))]
            self._tool_calls += 1
            self._last_tool = one_line(block.name)
            return Note("info", "tool_use", message)
        if block.type in ("thinking", "redacted_thinking"):
            tokens, self._thinking = self._thinking, 0
            how_much = f"thinking, {count(tokens, 'token')}" if tokens else "thinking"
            return Note("debug", "thinking", one_line(f"{how_much}: {text(block.thinking)}".rstrip(": ")))
        return Note("debug", "other", one_line(block.type))

    def _user(self, line: Line, raw: bytes) -> Note:
        message = line.message
        if not isinstance(message, stream_json.Message):
            return describe(line, raw)
        if isinstance(message.content, str):
            return _within(line, [Note("debug", "user", one_line(f"user: {message.content}"))])
        return _within(line, [self._answered(block, line) for block in message.content])

    def _answered(self, block: Block, line: Line) -> Note:
        if block.type == "text":
            return Note("debug", "user", one_line(f"user: {text(block.text)}"))
        if block.type != "tool_result":
            return Note("debug", "other", one_line(block.type))
        call = self._calls.pop(block.tool_use_id, _Call("tool", "tool", ""))
        if block.is_error:
            said = _output(block).replace("<tool_use_error>", "").replace("</tool_use_error>", "")
            kind, how = _unfinished(line, block.tool_use_id)
            if kind == "tool_interrupted":
                return Note("warn", kind, f"{one_line(call.message, 80)} {how}")  # the CLI's words are for the model
            return Note("warn", kind, one_line(f"{one_line(call.message, 80)} {how}: {said}".rstrip(": ")))
        if call.name in WRITERS and call.path:
            return self._file_changed(call)
        if call.name in TODO_TOOLS and line.parent_tool_use_id is None:
            return self._todo_changed(call, line)
        return Note("debug", "tool_result", one_line(f"{call.name} -> {_output(block)}"))

    def _file_changed(self, call: _Call) -> Note:
        files = self._summary.files
        if call.path not in files and len(files) < self._limits.remembered:
            self._learn(files=(*files, one_line(call.path)))
        return Note("debug", "file_change", one_line(f"changed {call.path}"))

    def _todo_changed(self, call: _Call, line: Line) -> Note:
        todo = self._todo.apply(call.name, mapping(line.tool_use_result))
        if todo is None or todo == self._summary.todo:
            return Note("debug", "tool_result", one_line(call.message))
        self._learn(todo=todo)
        progress = {"stage": "todo", "done": todo.done, "total": todo.total, "percent": todo.percent}
        at = f": {todo.active}" if todo.active else ""
        return Note("info", "todo", one_line(f"to-do {todo.done}/{todo.total}{at}"), {"progress": progress})

    # --- the run

    def _init(self, line: Line) -> Note:
        self._cwd = text(line.cwd)
        version, model = one_line(text(line.claude_code_version)), one_line(text(line.model))
        servers = [(str(s.get("name")), str(s.get("status"))) for s in items(line.mcp_servers, dict)]
        failed = [one_line(f"{name} ({state})", 80) for name, state in servers if state not in _MCP_FINE]
        self._learn(
            inits=self._summary.inits + 1,
            session_id=one_line(text(line.session_id)) or self._summary.session_id,
            model=model or self._summary.model,
            cli_version=version or self._summary.cli_version,
            mcp_failed=tuple(failed[: self._limits.remembered]),
            wants_output=self._summary.wants_output or "StructuredOutput" in items(line.tools, str),
        )
        troubles = [f"MCP servers that are not available: {', '.join(failed)}"] if failed else []
        troubles += _skipped("an MCP server", items(line.mcp_server_errors, dict), "name")
        troubles += _skipped("a plugin", items(line.plugin_errors, dict), "plugin")
        if troubles:
            return Note("warn", "init", one_line("; ".join(troubles), _TROUBLE_CHARS))
        if self._summary.inits > 1:
            return Note("debug", "init", "claude goes on")
        mode, tools = text(line.permission_mode), items(line.tools, str)
        return Note(
            "info", "init", one_line(f"claude {version}, {model}, permissions: {mode}, {count(len(tools), 'tool')}")
        )

    def _learn_limit(self, info: object) -> None:
        """Learn when the limit ends that the API refuses requests for. Anything but a refusal lifts it."""
        if isinstance(info, dict):
            self._learn(resets_at=resets_at(info) if info.get("status") == "rejected" else None)

    def _api_retry(self, line: Line) -> Note:
        attempt, most = integer(line.attempt), integer(line.max_retries)
        delay, answer = integer(line.retry_delay_ms) or 0, integer(line.error_status)
        before = self._refused if (attempt or 0) > 1 else 0  # the CLI counts the attempts of each request anew
        self._refused = before + 1 if answer in REFUSED else 0
        refusals = max(self._summary.refusals, self._refused)
        self._learn(api_retries=self._summary.api_retries + 1, refusals=refusals)
        reason = one_line(text(line.error), 80) or "unknown"
        shown = f"{reason}, HTTP {answer}" if answer is not None else reason
        retry = {"attempt": attempt, "of": most, "delay": delay, "reason": reason, "status": answer}
        return Note(
            "warn", "api_retry", f"API retry {attempt} of {most} in {delay / 1000:.1f} s ({shown})", {"retry": retry}
        )

    def _result(self, line: Line) -> Note:
        result = read_result(line, self._cwd, self._limits)
        self._learn(
            results=self._summary.results + 1,
            last_result=result,
            bill=bill.add(self._summary.bill, result, self._limits),
            session_id=result.session_id or self._summary.session_id,
        )
        return describe_result(result)


#: Of the line about what is missing at the start.
_TROUBLE_CHARS = 600
_MCP_FINE = {"connected", "disabled"}


def _skipped(what: str, errors: list[dict[str, Any]], key: str) -> list[str]:
    """Say what claude skipped; nothing else tells of it."""
    return [one_line(f"claude skipped {what}: {error.get(key)}: {error.get('message')}", 160) for error in errors]


def _words(message: stream_json.Message) -> str:
    """The text of a message."""
    if isinstance(message.content, str):
        return message.content
    return " ".join(text(block.text) for block in message.content)


def _unfinished(line: Line, call: str) -> tuple[Kind, str]:
    """Kind and words of a tool call that has no good result. The CLI says why where the tool did not run to its end."""
    for about in items(line.tool_result_meta, dict):
        if about.get("id") == call and (why := about.get("non_execution_kind")):
            decision = about.get("permission_decision")
            rejected = isinstance(decision, dict) and decision.get("decision") == "reject"
            if why in _INTERRUPTED or (why == _REJECTED and not rejected):
                return "tool_interrupted", "was interrupted"
            return "tool_denied", "was denied"
    return "tool_error", "failed"


def _output(block: Block) -> str:
    """The output of a tool, or its beginning."""
    said = text(block.content)
    if said:
        return said
    for part in items(block.content, dict):
        if isinstance(part.get("text"), str):
            return str(part["text"])
        if part.get("type"):
            return f"[{part['type']}]"
    return ""


def _within(line: Line, notes: list[Note]) -> Note:
    """Merge the notes of a line's blocks into one, and mark it if the line is a subagent's."""
    if len(notes) == 1:
        note = notes[0]
    elif not notes:
        note = Note("debug", "other", f"empty {line.type} message")
    else:
        worst = max(notes, key=lambda note: _SEVERITY[note.level])
        statuses = [note.status for note in notes if note.status is not None]
        message = one_line(" | ".join(note.message for note in notes))
        note = Note(worst.level, worst.kind, message, statuses[-1] if statuses else None)
    if line.parent_tool_use_id is None:
        return note
    who = one_line(text(line.task_description), 40) or "subagent"
    return Note(note.level, note.kind, one_line(f"[{who}] {note.message}"), note.status)
