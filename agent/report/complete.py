"""State of a run -> what the wire, the health file and the termination message say of it. Nothing here acts."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.outcome.verdict import Outcome
from agent.protocol.events import encode_json
from agent.transcript.summary import Result, Summary

#: Kubernetes shows at most this much of a termination message.
TERMINATION_BYTES = 4096


def result_fields(result: Result, summary: Summary) -> dict[str, Any]:
    """COMPLETE.result: the last result of claude, its bill included."""
    return {
        "is_error": result.is_error,
        "subtype": result.subtype,
        "num_turns": result.num_turns,
        "cost": result.total_cost_usd,
        "usage": result.usage,
        "model_usage": result.model_usage,
        "session_id": result.session_id or summary.session_id,
        "terminal_reason": result.terminal_reason,
        "text": result.text,
        "permission_denials": [
            {"tool_name": denial.tool_name, "tool_use_id": denial.tool_use_id, "call": denial.call}
            for denial in result.permission_denials
        ],
    }


def complete_fields(
    outcome: Outcome,
    *,
    duration: float,
    signal: str | None,
    summary: Summary | None,
    changes: Mapping[str, Any] | None,
    survivors: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """COMPLETE.data but for `stream`, which the journal adds. `duration` is seconds."""
    fields: dict[str, Any] = {
        "exitCode": outcome.exit,
        "message": outcome.message,
        "duration": round(duration * 1000),
        "reason": outcome.reason,
    }
    if signal is not None:
        fields["signal"] = signal
    if summary is not None and summary.last_result is not None:
        fields["result"] = result_fields(summary.last_result, summary)
    elif summary is not None and summary.session_id is not None:
        fields["result"] = None
        fields["session_id"] = summary.session_id
    if changes is not None:
        fields["changes"] = dict(changes)
    if survivors:
        fields["survivors"] = list(survivors)
    return fields


def termination_message(
    exit: int, reason: str, message: str, *, last_seq: int, confirmed_seq: int, undelivered: int, journal: Path | None
) -> bytes:
    """One line of JSON, at most TERMINATION_BYTES; `message`, which is redacted already, is what gives way."""
    fields: dict[str, Any] = {
        "exitCode": exit,
        "reason": reason,
        "message": message,
        "lastSeq": last_seq,
        "confirmedSeq": confirmed_seq,
        "undelivered": undelivered,
    }
    if undelivered and journal is not None:
        fields["journal"] = str(journal)
    line = encode_json(fields)
    if len(line) >= TERMINATION_BYTES:
        fields["message"] = message.encode()[: TERMINATION_BYTES // 4].decode(errors="ignore") + " ..."
        line = encode_json(fields)
    return line + b"\n"


def write_termination_message(path: Path | None, line: bytes) -> str | None:
    """Write where the orchestrator reads; return what went wrong, for a person."""
    if path is None:
        return None
    try:
        # Where claude may write beside it, it may have become a link to our files, or a pipe that nobody reads.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        fd = os.open(path, flags, 0o644)
        try:
            os.write(fd, line)
        finally:
            os.close(fd)
    except OSError as error:
        return f"TERMINATION_LOG {path} cannot be written: {error.strerror}"
    return None
