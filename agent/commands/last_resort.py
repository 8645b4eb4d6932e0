"""Ends of a run that are not ordinary: it could not be put together, the supervisor failed, or a third signal came.

COMPLETE, the exit status and the termination message agree here too.
"""

from __future__ import annotations

import contextlib
import os
import signal

import msgspec
import trio

from agent.config import Config
from agent.journal import Journal
from agent.outcome import Outcome, causes, judge
from agent.protocol import events
from agent.report import Console, Reporter, complete_fields, termination_message, write_termination_message
from agent.run import Link, LocalWork, Work


def answer_alone(error: Exception, config: Config, console: Console, journal: Journal | None = None) -> int:
    """End a run that could not be put together. Nothing reached the server yet; COMPLETE waits in the journal."""
    outcome = judge(None, None, causes.by_fault("the start", error))
    outcome = msgspec.structs.replace(outcome, message=console.redact(outcome.message))
    if journal is not None:
        fields = complete_fields(outcome, duration=0, signal=None, summary=None, changes=None, survivors=())
        error_event = events.error(outcome.message, code=outcome.code or "internal", details=outcome.details)
        journal.append([error_event, events.complete(fields, outcome.message, failed=True)])
    line = termination_message(
        outcome, confirmed_seq=0, undelivered=journal.queued if journal else 0,
        last_seq=journal.last_seq if journal else 0, journal=journal.path if journal else None,
    )  # fmt: skip
    trouble = write_termination_message(config.termination_log, line)
    console.say("error", outcome.details)
    if trouble:
        console.say("warn", trouble)
    console.say("error", f"exit {outcome.exit} ({outcome.reason}): {outcome.message}")
    return outcome.exit


async def answer_for(bug: Exception, work: Work, reporter: Reporter, link: Link) -> Outcome:
    """End a run whose supervisor failed: end every process, report it, and deliver for two seconds.

    Cancelling: cuts the delivery short.
    """
    work.emergency_sweep()
    cause = causes.by_fault("the supervisor", bug)
    outcome = reporter.outcome
    if outcome is None:
        outcome = judge(None, None, cause)
        work.conclude(reporter.complete(outcome, signal=None, changes=None, survivors=()), reporter.publish)
    else:
        reporter.fault(cause)
    if link.sender is not None:
        with trio.move_on_after(link.sender.limits.flush_after_signal), contextlib.suppress(Exception):
            await link.sender.run(None)
    return outcome


def leave(work: LocalWork, reporter: Reporter, console: Console, resources: contextlib.ExitStack, number: int) -> None:
    """End the process at once, after a third signal. The journal keeps undelivered messages, COMPLETE included."""
    code = 128 + number
    try:
        work.emergency_sweep()
        if reporter.outcome is None:
            cancelled = judge(None, None, causes.by_signal(number))
            name = signal.Signals(number).name
            fields = reporter.complete(cancelled, signal=name, changes=None, survivors=())
            work.conclude(fields, reporter.publish)
        if reporter.outcome is not None:
            code = reporter.finish(reporter.outcome)
        console.close(within=0.2)
        resources.close()
    finally:
        os._exit(code)
