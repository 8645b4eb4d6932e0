"""Descriptions of claude's messages: for each a line that a person can read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec
from msgspec import Raw

from agent.limits import MESSAGE_CHARS
from agent.protocol import Level, timestamp
from agent.text import count, one_line
from agent.transcript.stream_json import NONE, Line, integer, items, mapping, text

#: The complete list of metadata.kind of a LOG with source `claude`.
Kind = Literal[
    "init",  # claude has started, or continues after a background task
    "text", "thinking",  # the words of the model
    "tool_use",  # a tool is called
    "tool_result", "tool_error", "file_change", "todo",  # its effect
    "user",  # a message in the user's name: an interruption, a subagent's task
    "result",  # the end of a turn of the conversation; the last one counts
    "permission_denied", "api_error", "api_retry", "model_fallback", "rate_limit",
    "task", "hook", "compact", "progress",
    "partial",  # a piece of a message that will come whole
    "control", "system",
    "other",  # a type that this agent does not know
    "raw",  # no JSON object: metadata.claude is the line as a string
    "oversize",  # longer than the line limit, skipped: metadata.claude tells its length
]  # fmt: skip


class Note(msgspec.Struct, frozen=True):
    """The description of a line, for its LOG; `status` holds the fields of a STATUS beside it, if there is one."""

    level: Level
    kind: Kind
    message: str
    status: dict[str, Any] | None = None


class _Input(msgspec.Struct):
    """The arguments of tools that name the subject of a call."""

    file_path: Raw = NONE
    notebook_path: Raw = NONE
    path: Raw = NONE
    command: Raw = NONE
    pattern: Raw = NONE
    url: Raw = NONE
    query: Raw = NONE
    description: Raw = NONE
    subject: Raw = NONE
    skill: Raw = NONE


_input = msgspec.json.Decoder(_Input)

_PATHS = {
    "Read": "file_path", "Write": "file_path", "Edit": "file_path", "MultiEdit": "file_path",
    "NotebookEdit": "notebook_path", "LS": "path",
}  # fmt: skip
_SUBJECTS = {
    "Bash": "command", "Glob": "pattern", "Grep": "pattern", "WebFetch": "url", "WebSearch": "query",
    "ToolSearch": "query", "Agent": "description", "Task": "description", "Skill": "skill", "TaskCreate": "subject",
}  # fmt: skip
#: Tools shown without arguments, since the to-do list that they change is shown instead.
_BARE = {"TodoWrite", "TaskList"}
#: Tools whose success changes the file that they name.
WRITERS = {"Write", "Edit", "MultiEdit", "NotebookEdit"}


def tool_call(name: str, arguments: Raw, cwd: str) -> tuple[str, str]:
    """Describe a call, as "Edit src/login.js" or "Bash: npm test"; also returns the path that it names, or ""."""
    field = _PATHS.get(name) or _SUBJECTS.get(name)
    if field is not None:
        try:
            subject = text(getattr(_input.decode(arguments), field))
        except msgspec.DecodeError:  # the model may call with arguments that are no object
            subject = ""
        if subject and name in _PATHS:
            path = subject.removeprefix(cwd.rstrip("/") + "/") if cwd else subject
            return one_line(f"{name} {path}"), path
        if subject:
            return one_line(f"{name}: {subject}"), ""
    given = memoryview(arguments)[: 4 * MESSAGE_CHARS].tobytes().decode("utf-8", "replace")
    if name in _BARE or given in ("", "{}"):
        return one_line(name), ""
    return one_line(f"{name} {given}"), ""


def describe(line: Line) -> Note:
    """Describe a line for which no earlier line matters. An unknown kind of line gets its type as its message."""
    describer = _SYSTEM.get(line.subtype) if line.type == "system" else _OTHERS.get(line.type)
    if describer is not None:
        return describer(line)
    if line.type == "system":
        known = one_line(text(line.content)) or line.subtype
        return Note(_LEVELS.get(text(line.level), "debug"), "system", one_line(known) or "system")
    return Note("debug", "other", one_line(f"{line.type}/{line.subtype}" if line.subtype else line.type) or "no type")


_LEVELS: dict[str, Level] = {
    "info": "info", "notice": "info", "suggestion": "info", "warning": "warn", "warn": "warn", "error": "error",
}  # fmt: skip


def _permission_denied(line: Line) -> Note:
    why = line.message if isinstance(line.message, str) else ""
    return Note("warn", "permission_denied", one_line(f"permission denied: {text(line.tool_name)}: {why}"))


def _model_fallback(line: Line) -> Note:
    return Note("warn", "model_fallback", one_line(text(line.content)) or line.subtype.replace("_", " "))


def _hook(line: Line) -> Note:
    name, outcome = text(line.hook_name), text(line.outcome)
    if outcome in ("", "success"):
        return Note("debug", "hook", one_line(f"hook {name} {outcome or line.subtype.removeprefix('hook_')}"))
    exit_code = integer(line.exit_code)
    how = outcome if exit_code is None else f"{outcome}, exit status {exit_code}"
    return Note("warn", "hook", one_line(f"hook {name}: {how}: {text(line.stderr)}".rstrip(": ")))


def _compact(line: Line) -> Note:
    tokens = mapping(line.compact_metadata)
    before, after = tokens.get("pre_tokens"), tokens.get("post_tokens")
    detail = f": {before:,} -> {after:,} tokens" if isinstance(before, int) and isinstance(after, int) else ""
    return Note("info", "compact", f"conversation compacted{detail}")


def _thinking_tokens(line: Line) -> Note:
    return Note("debug", "thinking", "thinking")


def _writes_lost(line: Line) -> Note:
    return Note("warn", "system", one_line(f"claude could not save its session: {text(line.error_code)}"))


def _task(line: Line) -> Note:
    what = one_line(text(line.description) or text(line.summary) or text(line.task_id), 120)
    if line.subtype == "task_started":
        return Note("info", "task", f"task started: {what}")
    if line.subtype == "task_notification":
        return Note("info", "task", one_line(f"task {text(line.status) or 'ended'}: {what}"))
    return Note("debug", "task", f"{line.subtype.replace('_', ' ')}: {what}")


def _background_tasks(line: Line) -> Note:
    return Note("debug", "task", f"{count(len(items(line.tasks, dict)), 'background task')} open")


def _tool_progress(line: Line) -> Note:
    seconds = integer(line.elapsed_time_seconds) or 0
    return Note("debug", "progress", one_line(f"{text(line.tool_name)} running for {seconds} s"))


def _rate_limit(line: Line) -> Note:
    info = mapping(line.rate_limit_info)
    status, window = str(info.get("status", "")), str(info.get("rateLimitType", ""))
    used, resets = info.get("utilization"), info.get("resetsAt")
    message = f"rate limit {window}: {status}"
    if isinstance(used, int | float):
        message += f", {used:.0%} used"
    if isinstance(resets, int | float) and 0 < resets < 2**33:
        message += f", resets {timestamp(resets)}"
    return Note("debug" if status == "allowed" else "warn", "rate_limit", one_line(message))


def _status(line: Line) -> Note:
    return Note("debug", "progress", one_line(text(line.status)) or "status")


def _control(line: Line) -> Note:
    return Note("debug", "control", one_line(line.type))


def _partial(line: Line) -> Note:
    return Note("debug", "partial", "part of a message")


_SYSTEM: dict[str, Callable[[Line], Note]] = {
    "permission_denied": _permission_denied,
    "model_fallback": _model_fallback,
    "model_refusal_fallback": _model_fallback,
    "model_refusal_no_fallback": _model_fallback,
    "model_consent_fallback": _model_fallback,
    "hook_started": _hook,
    "hook_progress": _hook,
    "hook_response": _hook,
    "compact_boundary": _compact,
    "thinking_tokens": _thinking_tokens,
    "session_writes_lost": _writes_lost,
    "task_started": _task,
    "task_progress": _task,
    "task_updated": _task,
    "task_notification": _task,
    "background_tasks_changed": _background_tasks,
    "status": _status,
}

_OTHERS: dict[str, Callable[[Line], Note]] = {
    "tool_progress": _tool_progress,
    "rate_limit_event": _rate_limit,
    "stream_event": _partial,
    "control_request": _control,
    "control_response": _control,
    "control_cancel_request": _control,
    "keep_alive": _control,
}
