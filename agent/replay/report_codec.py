"""The codec of reports: from the supervisor's inbox to its recorded form, and back."""

from __future__ import annotations

from typing import Any, cast, get_args

import msgspec

from agent.claude import Bark
from agent.errors import AgentError, ErrorCode
from agent.exits import Exit, ExitStatus
from agent.protocol import Command
from agent.replay.format import Fault, Inbox
from agent.repository import Cloned
from agent.run import Failed, Report, Swept
from agent.steps import Finished

_VALUES: dict[str, Any] = {"Commanded": Command}
_TYPES: dict[str, Any] = {
    "check": str, "clone": Cloned, "setup": Finished, "verify": Finished, "claude": ExitStatus, "sweep": Swept,
    "watchdog": Bark,
}  # fmt: skip


def record(report: Report, phase: str) -> Inbox:
    """Encode a report and the phase that it met."""
    return Inbox(
        type(report).__name__,
        phase,
        task=getattr(report, "task", ""),
        value=_plain(getattr(report, "value", None)),
        cancelled=getattr(report, "cancelled", False),
        fault=_fault(report.error) if isinstance(report, Failed) else None,
        number=getattr(report, "number", None),
        used=getattr(report, "used", 0),
        limit=getattr(report, "limit", 0),
    )


def value(inbox: Inbox) -> Any:
    """Decode the value of a report.

    Raises:
        ValueError: the value does not fit the task.
    """
    if inbox.report in _VALUES:
        return msgspec.convert(inbox.value, _VALUES[inbox.report])
    if inbox.cancelled or inbox.report != "Ended" or inbox.task not in _TYPES:
        return inbox.value
    return msgspec.convert(inbox.value, _TYPES[inbox.task])


def error(inbox: Inbox) -> Exception | None:
    """Decode the error of a report, None if it has none.

    Raises:
        ValueError: its exit code or error code is unknown.
    """
    fault = inbox.fault
    if fault is None:
        return None
    if fault.code not in get_args(ErrorCode):
        raise ValueError(f"{fault.code!r} is no code of an ERROR")
    exit = Exit(fault.exit)
    if exit is Exit.INTERNAL:
        return RuntimeError(fault.message)
    return AgentError(fault.message, details=fault.details, exit=exit, code=cast("ErrorCode", fault.code))


def _plain(value: Any) -> Any:
    """Convert a value to JSON types; None where it is no data (the claude that `begin` returns)."""
    try:
        return msgspec.to_builtins(value)
    except TypeError:
        return None


def _fault(error: Exception) -> Fault:
    if isinstance(error, AgentError):
        return Fault(type(error).__name__, str(error), int(error.exit), error.code, error.details)
    return Fault(type(error).__name__, str(error))
