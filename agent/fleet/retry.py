"""Retry: which ends of an attempt are worth another one, and how that one differs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from agent.exits import CANCELLED, FINAL, Exit
from agent.fleet.results import Attempt, State
from agent.limits import Limits


def state_after(attempt: Attempt, *, stopped: bool, overdue: bool, again: bool) -> State:
    """Decide what a task is after an attempt: final, or PAUSED before the next one.

    Args:
        stopped: the fleet stopped it.
        overdue: the fleet stopped it because it was beyond its time.
        again: another attempt is allowed.
    """
    code = attempt.exitCode
    if code == Exit.SUCCEEDED:
        return State.SUCCEEDED
    if overdue or code in FINAL:
        return State.FAILED
    if stopped or code in CANCELLED:
        return State.CANCELLED
    return State.PAUSED if again else State.FAILED


def pause(attempts: Sequence[Attempt], limits: Limits, unix_time: float) -> float:
    """Seconds before the next attempt, after these; until the API's limit ends, where the last one said when."""
    usual = min(limits.fleet_pause * 2.0 ** (len(attempts) - 1), limits.fleet_pause_max)
    told = attempts[-1].resetsAt if attempts else None
    try:
        end = datetime.fromisoformat(told).timestamp() + limits.limit_margin if told else 0.0
    except ValueError:
        end = 0.0
    return max(usual, min(end - unix_time, limits.fleet_limit_wait))


def changed(values: dict[str, str], attempts: Sequence[Attempt]) -> dict[str, str]:
    """Change a task's variables for the attempt after these: it goes on with the session, and on the branch."""
    if not attempts:
        return values
    again = {"RESUME_SESSION": "auto"} | values
    branch = next(
        (name for attempt in reversed(attempts) if (name := (attempt.changes or {}).get("branch")) is not None), None
    )
    if isinstance(branch, str) and values.get("PUSH_BRANCH"):
        again |= {"REPO_REF": branch, "PUSH_BRANCH": branch}
    return again
