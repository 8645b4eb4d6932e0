"""The data of COMPLETE, made of the outcome and the summary of a run. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from agent.outcome import Outcome
from agent.protocol import timestamp
from agent.transcript import Result, Summary


def result_fields(result: Result, summary: Summary) -> dict[str, Any]:
    """Make COMPLETE.result: the last result of claude, with the bill of the whole run."""
    bill = summary.bill
    return {
        "is_error": result.is_error,
        "subtype": result.subtype,
        "num_turns": bill.num_turns,
        "cost": bill.cost,
        "session_cost": bill.session_cost,
        "usage": bill.usage,
        "model_usage": bill.model_usage,
        "session_id": result.session_id or summary.session_id,
        "terminal_reason": result.terminal_reason,
        "text": result.text,
        **({"structured_output": result.structured_output} if result.has_output else {}),
        "permission_denials": [
            {"tool_name": denial.tool_name, "tool_use_id": denial.tool_use_id, "call": denial.call}
            for denial in bill.permission_denials
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
    """Make COMPLETE.data without `stream`, which the journal adds. `duration` is in seconds."""
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
    if outcome.resumable and summary is not None:
        fields |= {"resumable": True, "session_id": summary.session_id}
    if outcome.resets_at is not None:
        fields["resetsAt"] = timestamp(outcome.resets_at)
    if summary is not None and summary.published:
        fields["published"] = [
            {name: value for name, value in msgspec.structs.asdict(done).items() if value is not None}
            for done in summary.published
        ]
    if changes is not None:
        fields["changes"] = dict(changes)
    if survivors:
        fields["survivors"] = list(survivors)
    return fields
