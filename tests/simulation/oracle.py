"""What a run must come to, told from the trail of its inbox by other means than the machine and the verdict.

The first thing that ends the straight path decides; once claude has ended by itself only a fault outranks its verdict.
"""

from __future__ import annotations

from agent.claude.watchdog import Bark
from agent.errors import AgentError
from agent.protocol.inbound import Command
from agent.protocol.phase import Phase
from agent.run.inbox import CancelRequested, Commanded, Ended, Failed, MemoryExceeded, Report, Signalled
from agent.steps.finished import Finished
from tests.simulation.run import Simulated

#: Exit codes that a claude may bring about by itself: its own verdict, killed, the API's refusals.
_OF_CLAUDE = frozenset({0, 1, 75, 77, 126, 127, 137})
_DISPENSABLE = ("vitals", "harvest", "sweep")


def allowed_exits(run: Simulated) -> frozenset[int]:
    """The exit codes that COMPLETE may carry."""
    if run.crash is not None and not any(phase is Phase.REPORTING for _, phase in run.phases):
        return frozenset({70})
    if "config" in run.chance.faults:
        return frozenset({78})
    ended_by_itself = False
    for _, report, phase in run.trail:
        if phase is Phase.REPORTING:
            break
        # Nothing above has led here, so claude's own end has. With a VERIFY_COMMAND it may be long past.
        ended_by_itself |= phase is Phase.STOPPING
        code = _code_of(report, cancels=run.config.allow_remote_cancel)
        if code is not None and (not ended_by_itself or isinstance(report, Failed)):
            return frozenset({code})
        works = phase in (Phase.RUNNING, Phase.WAITING) and run.config.verify_command is None
        if works and _ends_claude(report):
            ended_by_itself = True
    return _verdicts(run)


def _code_of(report: Report, *, cancels: bool) -> int | None:
    """The exit code of a report that leaves the straight path."""
    match report:
        case Signalled(number):
            return 128 + number
        case CancelRequested():
            return 79
        case Commanded(Command(command="cancel")) if cancels:
            return 79
        case MemoryExceeded():
            return 137
        case Ended("deadline", cancelled=False) | Ended("watchdog", Bark.IDLE):
            return 124
        case Ended("watchdog", Bark.REFUSED):
            return 77
        case Ended("setup", Finished() as setup) if not setup.good:
            return 75 if setup.temporary else 72
        case Failed(task, error) if task.split(":")[0] not in _DISPENSABLE:
            if isinstance(error, AgentError):
                return int(error.exit)
            return None if task == "sender" else 70
    return None


def _ends_claude(report: Report) -> bool:
    match report:
        case Ended("claude", cancelled=False) | Ended("watchdog", Bark.LINGERS):
            return True
    return False


def _verdicts(run: Simulated) -> frozenset[int]:
    """claude ended by itself: what its script says."""
    faults = run.chance.faults
    if run.config.verify_command is not None:
        return _OF_CLAUDE  # success_is_proven has the rule
    if run.history.interrupted or "claude.limited" in faults:
        return _OF_CLAUDE  # what it was told next may have gone well or not
    if not faults & {"claude.dies", "claude.bad_exit", "claude.failed", "claude.no_result", "claude.cut_line"}:
        long_result = run.history.oversized and max(run.history.oversized) == max(run.history.lines, default=0)
        if not long_result and run.world.claude is not None and not run.history.lost_result:
            return frozenset({0})
    # The exit status of a claude that was told to exit, since it lingered, is not its own.
    told = any(report == Ended("watchdog", Bark.LINGERS) for _, report, _ in run.trail)
    if not told and faults & {"claude.bad_exit", "claude.failed", "claude.no_result"} and "claude.dies" not in faults:
        return frozenset({1, 75}) if "claude.two_results" not in faults else frozenset({0, 1, 75})
    return _OF_CLAUDE
