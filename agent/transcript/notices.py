"""Words for the messages that need no memory: one table for the subtypes of `system`, and one for the other types.

A row has a describer, or level, kind and words, in which {field} is a field of the message. The CLI's own bookkeeping
is in SILENT: it is sent as everything is, and not shown to people. A name in no table gets its name as its words.

`python -m tools.kinds_table` prints the table of docs/protocol.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from msgspec import Raw

from agent.protocol import Level, timestamp
from agent.text import count, one_line
from agent.transcript.describe import Note
from agent.transcript.kinds import Kind
from agent.transcript.stream_json import Line, integer, items, mapping, text


class Row(NamedTuple):
    """Level, kind and words of a message."""

    level: Level
    kind: Kind
    words: str


Describer = Callable[[Line], Note] | Row

_LEVELS: dict[str, Level] = {
    "info": "info", "notice": "info", "suggestion": "info", "warning": "warn", "warn": "warn", "error": "error",
}  # fmt: skip


def describe(line: Line, raw: bytes) -> Note:
    """Describe a line for which no earlier line matters; `raw` is the line itself."""
    is_system = line.type == "system"
    name = line.subtype if is_system else line.type
    describer = (SYSTEM if is_system else OTHERS).get(name)
    if isinstance(describer, Row):
        words = one_line(describer.words.format_map(_Words(mapping(Raw(raw)))))
        return Note(describer.level, describer.kind, words.rstrip(":, ") or _plain(name))
    if describer is not None:
        return describer(line)
    if name in (SILENT_SYSTEM if is_system else SILENT_OTHERS):
        return Note("debug", "silent", _plain(name))
    if is_system:
        known = one_line(text(line.content)) or name
        return Note(_LEVELS.get(text(line.level), "debug"), "system", one_line(known) or "system")
    return Note("debug", "other", one_line(f"{line.type}/{line.subtype}" if line.subtype else line.type) or "no type")


class _Words(dict[str, Any]):
    """Fields as words: a scalar, the length of a list, and nothing for what is absent or an object."""

    def __getitem__(self, name: str) -> str:
        found = self.get(name)
        if isinstance(found, list):
            return f"{len(found):,}"
        if isinstance(found, int) and not isinstance(found, bool):
            return f"{found:,}"
        return "" if found is None or isinstance(found, dict) else str(found)[:1000]


def _plain(name: str) -> str:
    return one_line(name.replace("_", " "))


# --- subtypes of system


def _permission_denied(line: Line) -> Note:
    why = line.message if isinstance(line.message, str) else ""
    return Note("warn", "permission_denied", one_line(f"permission denied: {text(line.tool_name)}: {why}"))


def _model_fallback(line: Line) -> Note:
    return Note("warn", "model_fallback", one_line(text(line.content)) or _plain(line.subtype))


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


def _task(line: Line) -> Note:
    what = one_line(text(line.description) or text(line.summary) or text(line.task_id), 120)
    if line.subtype == "task_started":
        return Note("info", "task", f"task started: {what}")
    if line.subtype == "task_notification":
        return Note("info", "task", one_line(f"task {text(line.status) or 'ended'}: {what}"))
    return Note("debug", "task", f"{_plain(line.subtype)}: {what}")


def _background_tasks(line: Line) -> Note:
    return Note("debug", "task", f"{count(len(items(line.tasks, dict)), 'background task')} open")


def _status(line: Line) -> Note:
    return Note("debug", "progress", one_line(text(line.status)) or "status")


SYSTEM: Final[dict[str, Describer]] = {
    "permission_denied": _permission_denied,
    "permission_retry": Row("info", "system", "{content}"),
    "permission_check_status": Row("debug", "progress", "the permission of a tool call: {status}"),
    "model_fallback": _model_fallback,
    "model_refusal_fallback": _model_fallback,
    "model_refusal_no_fallback": _model_fallback,
    "model_consent_fallback": _model_fallback,
    "api_error": Row("warn", "api_retry", "API error, attempt {retry_attempt} of {max_retries}"),
    "hook_started": _hook,
    "hook_progress": _hook,
    "hook_response": _hook,
    "stop_hook_summary": Row("debug", "hook", "stop hooks: {hook_count} ran, {hook_errors} failed: {stop_reason}"),
    "compact_boundary": _compact,
    "thinking": Row("debug", "thinking", "thinking: {content}"),
    "task_started": _task,
    "task_progress": _task,
    "task_updated": _task,
    "task_notification": _task,
    "background_tasks_changed": _background_tasks,
    "agents_killed": Row("warn", "task", "background agents were ended"),
    "scheduled_task_fire": Row("info", "task", "{content}"),
    "task_summary": Row("debug", "progress", "{detail}"),
    "post_turn_summary": Row("info", "progress", "{status_category}: {status_detail}"),
    "away_summary": Row("info", "system", "{content}"),
    "turn_duration": Row("debug", "progress", "the turn took {duration_ms} ms"),
    "turn_preempted": Row("info", "progress", "the turn was ended for a newer message: {reason}"),
    "status": _status,
    "notification": Row("info", "system", "{text}"),
    "local_command": Row("info", "system", "{content}"),
    "local_command_output": Row("info", "system", "{content}"),
    "bridge_state": Row("debug", "system", "remote control: {state}"),
    "bridge_status": Row("info", "system", "{content}"),
    "cloud_session_status": Row("info", "system", "{content}"),
    "session_writes_lost": Row("warn", "system", "claude could not save its session: {error_code}"),
    "mirror_error": Row("warn", "system", "a copy of claude's session was not saved: {error}"),
    "session_title_changed": Row("debug", "system", "the session is called {title}"),
    "instruction_size_warning": Row(
        "warn", "system",
        "{file_count} files of instructions have {total_chars} characters; claude follows {total_limit_chars} well",
    ),
    "files_persisted": Row("debug", "system", "{files} files stored, {failed} failed"),
    "file_attachments_missing": Row("warn", "system", "{missing} of {sent_count} attached files did not arrive"),
    "plugin_install": Row("info", "system", "plugin {name} {status}: {error}"),
    "memory_recall": Row("debug", "system", "{memories} memories recalled"),
    "memory_saved": Row("info", "system", "{written_paths} memories saved"),
    "elicitation_complete": Row("info", "system", "MCP server {mcp_server_name} has its answer"),
    "peer_message_hold": Row("info", "system", "a message of another session is {state}: {from_name}"),
    "feedback_draft_queued": Row("info", "system", "claude drafted feedback, which is not sent: {title}"),
    "worker_shutting_down": Row("warn", "system", "claude shuts down: {reason}"),
    "ui_log": Row("debug", "system", "plugin {plugin}: {text}"),
    "ui_notify": Row("info", "system", "plugin {plugin}: {text}"),
    "ui_toast": Row("info", "system", "plugin {plugin}: {text}"),
    "ui_status": Row("debug", "system", "plugin {plugin}: {text}"),
}  # fmt: skip

#: Bookkeeping for a user interface, a cloud service or the session's file.
SILENT_SYSTEM: Final = frozenset(
    """
    alive_before_init checkpoint_done cloud_session_delta commands_changed control_request_progress dev_intent
    file_snapshot inherited_asks_settled late_allow_not_run per_turn_effort_changed placed rewind_stand_in
    session_metadata session_state_changed shell_cwd start_folder task_list_statuses tool_host_result
    turn_began_before_init turn_handoff_available turn_starting ui_focus ui_invalidate ui_notify_cancel ui_panes
    ui_placed ui_scroll upgrade_relay_marker voice_call_talk
    """.split()  # noqa: SIM905 - a list of names in quotes would be harder to read
)

# --- other types

#: Unix times from the year 2242 on are nonsense.
_LATEST: Final = 2**33


def _tool_progress(line: Line) -> Note:
    seconds = integer(line.elapsed_time_seconds) or 0
    return Note("debug", "progress", one_line(f"{text(line.tool_name)} running for {seconds} s"))


def resets_at(info: dict[str, Any]) -> float | None:
    """Read when a limit ends, in Unix time, from a `rate_limit_info`; None if it does not tell."""
    time = info.get("resetsAt")
    if isinstance(time, bool) or not isinstance(time, int | float):
        return None
    return time if 0 < time < _LATEST else None


def _rate_limit(line: Line) -> Note:
    info = mapping(line.rate_limit_info)
    status, window = str(info.get("status", "")), str(info.get("rateLimitType", ""))
    used, resets = info.get("utilization"), resets_at(info)
    message = f"rate limit {window}: {status}"
    if isinstance(used, int | float):
        message += f", {used:.0%} used"
    if resets is not None:
        message += f", resets {timestamp(resets)}"
    return Note("debug" if status == "allowed" else "warn", "rate_limit", one_line(message))


def _control(line: Line) -> Note:
    return Note("debug", "control", one_line(line.type))


OTHERS: Final[dict[str, Describer]] = {
    "tool_progress": _tool_progress,
    "rate_limit_event": _rate_limit,
    "control_request": _control,
    "control_response": _control,
    "control_cancel_request": _control,
    "keep_alive": _control,
    "auth_status": Row("info", "system", "login: {error}"),
    "conversation_reset": Row("info", "system", "the conversation begins anew: {trigger}"),
    "tool_use_summary": Row("info", "progress", "{summary}"),
    "tombstone": Row("debug", "system", "an earlier message does not count any more"),
    "os_notification": Row("info", "system", "{message}"),
    "active_goal": Row("debug", "progress", "claude works towards a goal"),
    "compact_progress": Row("debug", "progress", "the conversation is being compacted"),
}
SILENT_OTHERS: Final = frozenset(
    """
    api_metrics apply_flag_settings attachment autocompact_state command_lifecycle hint_clears open_message_selector
    prompt_suggestion refusal_continuation response_length set_expanded_view set_in_progress_tool_use_ids stream_mode
    transcript_mirror
    """.split()  # noqa: SIM905 - as above
)
