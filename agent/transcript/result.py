"""The `result` message: the CLI's own account of a turn of the conversation."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from agent.limits import Limits
from agent.text import count, money, one_line
from agent.transcript.bill import cost_of
from agent.transcript.describe import Note, tool_call
from agent.transcript.stream_json import NONE, Line, integer, items, number, text, value
from agent.transcript.summary import Denial, Result


class _Denial(msgspec.Struct):
    tool_name: str = ""
    tool_use_id: str = ""
    tool_input: Raw = NONE


_denials = msgspec.json.Decoder(list[_Denial])


def read_result(line: Line, cwd: str, limits: Limits) -> Result:
    """Read every field. A field of another type than expected, or one that is too long, counts as absent."""
    usage, model_usage, share = (
        found if isinstance(found := value(raw, limits.result_bytes), dict) else None
        for raw in (line.usage, line.model_usage, line.model_usage_since_last_result)
    )
    return Result(
        subtype=one_line(line.subtype, 80),
        is_error=value(line.is_error) is not False,
        num_turns=integer(line.num_turns),
        total_cost_usd=number(line.total_cost_usd),
        duration_ms=integer(line.duration_ms),
        session_id=one_line(text(line.session_id)) or None,
        terminal_reason=one_line(text(line.terminal_reason), 80) or None,
        stop_reason=one_line(text(line.stop_reason), 80) or None,
        api_error=one_line(text(line.api_error), 80) or None,
        api_error_status=integer(line.api_error_status),
        errors=tuple(items(line.errors, str)),
        text=text(line.result, limits.result_bytes),
        usage=usage,
        model_usage=model_usage,
        share=share,
        permission_denials=_read_denials(line.permission_denials, cwd, limits),
        has_output=line.structured_output is not NONE,
        structured_output=value(line.structured_output, limits.result_bytes),
        output=_output(line.structured_output, limits),
    )


def _output(raw: Raw, limits: Limits) -> bytes | None:
    return bytes(raw) if raw is not NONE and len(memoryview(raw)) <= limits.output_bytes else None


def _read_denials(raw: Raw, cwd: str, limits: Limits) -> tuple[Denial, ...]:
    try:
        denials = _denials.decode(raw)
    except msgspec.DecodeError:  # absent, or of another shape
        return ()
    return tuple(
        Denial(
            one_line(denial.tool_name, 80),
            one_line(denial.tool_use_id, 80),
            tool_call(denial.tool_name, denial.tool_input, cwd)[0],
        )
        for denial in denials[: limits.remembered]
    )


def describe_result(result: Result) -> Note:
    """Describe a result, for example as "result: success, 12 turns, $0.41"."""
    named = result.terminal_reason or (result.subtype if result.subtype != "success" else "")
    word = "success" if result.good else named or "failed"
    parts = [f"result: {word}", count(result.num_turns or 0, "turn")]
    cost = result.total_cost_usd if result.share is None else cost_of(result.share)
    if cost is not None:
        parts.append(money(cost))
    message = ", ".join(parts)
    if result.good:
        return Note("info", "result", message)
    return Note("error", "result", one_line(f"{message}: {result.said}".rstrip(": ")))
