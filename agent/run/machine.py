"""The state machine: which phase follows which event. It has no task, no clock and no I/O.

A `Cause` says why a run left the straight path. The first cause is latched; so is whether claude ended by itself before
it (`exited`). A late `connected`, `cloned` or `exited` is legal and changes at most that latch. A second interrupt is
legal too: the supervisor shortens deadlines then. Any other event raises TransitionNotAllowed and leaves the
phase as it is; that would be a bug.

Every callback is named explicitly, because the library silently never calls a misspelt one. Every callback is
synchronous, because a single `async def` would move the whole machine to asyncio.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from statemachine import StateMachine
from statemachine.states import States

from agent.outcome import Cause, CauseKind, Outcome
from agent.protocol import Phase

#: Brings one of the machine's events to it, and enters the phase that follows.
Fire = Callable[[Callable[..., Any]], None]


class Lives(NamedTuple):
    """The lifetimes that may be alive in a phase, the event that ends it, and the time that it takes at most."""

    alive: tuple[str, ...]
    left_by: str
    #: A format string: the document fills in the values of `limits`.
    bound: str


LIVES = {
    Phase.PENDING: Lives(("watch", "link", "work"), "start, interrupt", "{limits.cli_check:g} s (`claude --version`)"),
    Phase.CONNECTING: Lives(("watch", "vitals", "link"), "connected, interrupt", "SERVER_WAIT"),
    Phase.CLONING: Lives(("watch", "vitals", "link", "work"), "cloned, interrupt", "TIMEOUT"),
    Phase.SETTING_UP: Lives(
        ("watch", "vitals", "link", "work", "output"), "prepared, interrupt", "SETUP_TIMEOUT; TIMEOUT"
    ),
    Phase.RUNNING: Lives(("watch", "vitals", "link", "work", "output"), "exited, interrupt", "TIMEOUT"),
    Phase.WAITING: Lives(
        ("watch", "vitals", "link", "work", "output"),
        "resumed, exited, interrupt",
        "WAIT_FOR_LIMIT, all waits of the run together",
    ),
    Phase.VERIFYING: Lives(
        ("watch", "vitals", "link", "work", "output"),
        "rejected, exited, interrupt",
        "VERIFY_TIMEOUT, then RESULT_GRACE for claude to end; TIMEOUT",
    ),
    Phase.STOPPING: Lives(
        ("watch", "vitals", "link", "work", "output", "sweep"),
        "stopped: nothing of the work is left",
        "KILL_GRACE, {limits.kill_wait:g} s for the kernel, {limits.sweep:g} s for the sweep",
    ),
    Phase.DRAINING: Lives(
        ("watch", "vitals", "link", "output", "harvest"),
        "drained: pipes at their end, work saved",
        "{limits.drain:g} s for the pipes; beside it {limits.harvest:g} s for the work, {limits.push:g} s with "
        "PUSH_BRANCH; after a signal what is left of the stop, at least {limits.harvest_after_signal:g} s",
    ),
    Phase.REPORTING: Lives(
        ("watch", "vitals", "link"),
        "reported: COMPLETE confirmed",
        "DELIVERY_WAIT; {limits.flush_after_fault:g} s after a fault at most; after a signal what is left of the "
        "stop, {limits.flush_at_least:g} to {limits.flush_after_signal:g} s; without an answer so far "
        "{limits.first_answer:g} s at most",
    ),
}


class RunMachine(StateMachine):
    """A run, from PENDING to one of four final states."""

    states = States.from_enum(
        Phase,
        initial=Phase.PENDING,
        final={Phase.SUCCEEDED, Phase.FAILED, Phase.TIMED_OUT, Phase.CANCELLED},
        use_enum_instance=True,
    )

    #: The configuration holds and claude runs `--version`.
    start = states.PENDING.to(states.CONNECTING) | states.STOPPING.to.itself()
    #: A server answered, or none is needed to go on.
    connected = (
        states.CONNECTING.to(states.CLONING)
        | states.PENDING.to.itself()
        | states.CLONING.to.itself()
        | states.SETTING_UP.to.itself()
        | states.RUNNING.to.itself()
        | states.WAITING.to.itself()
        | states.VERIFYING.to.itself()
        | states.STOPPING.to.itself()
        | states.DRAINING.to.itself()
        | states.REPORTING.to.itself()
    )
    cloned = (
        states.CLONING.to(states.SETTING_UP, cond="has_setup")
        | states.CLONING.to(states.RUNNING)
        | states.STOPPING.to.itself()
        | states.DRAINING.to.itself()
    )
    #: SETUP_COMMAND succeeded.
    prepared = states.SETTING_UP.to(states.RUNNING) | states.STOPPING.to.itself()
    #: claude has a good result, which VERIFY_COMMAND is to judge.
    resulted = states.RUNNING.to(states.VERIFYING)
    #: VERIFY_COMMAND failed; claude is told, and goes on.
    rejected = states.VERIFYING.to(states.RUNNING)
    #: The API is limited, overloaded or away, and WAIT_FOR_LIMIT lets the run wait.
    limited = states.RUNNING.to(states.WAITING) | states.WAITING.to.itself()
    #: claude goes on.
    resumed = states.WAITING.to(states.RUNNING)
    #: claude ended, by itself or because it was told to.
    exited = (
        states.RUNNING.to(states.STOPPING, on="latch_exit")
        | states.VERIFYING.to(states.STOPPING, cond="verified", on="latch_exit")
        | states.VERIFYING.to.itself()
        | states.WAITING.to(states.STOPPING, on="latch_exit")
        | states.STOPPING.to.itself()
        | states.DRAINING.to.itself()
        | states.REPORTING.to.itself()
    )
    #: Any reason to leave the straight path.
    interrupt = (
        states.PENDING.to(states.STOPPING, on="latch_cause")
        | states.CONNECTING.to(states.STOPPING, on="latch_cause")
        | states.CLONING.to(states.STOPPING, on="latch_cause")
        | states.SETTING_UP.to(states.STOPPING, on="latch_cause")
        | states.RUNNING.to(states.STOPPING, on="latch_cause")
        | states.WAITING.to(states.STOPPING, on="latch_cause")
        | states.VERIFYING.to(states.STOPPING, on="latch_cause")
        | states.STOPPING.to.itself(on="latch_cause")
        | states.DRAINING.to.itself(on="latch_cause")
        | states.REPORTING.to.itself()
    )
    #: No work task and no descendant is left.
    stopped = states.STOPPING.to(states.DRAINING)
    #: The pipes are at their end, the work is saved.
    drained = states.DRAINING.to(states.REPORTING)
    #: COMPLETE is confirmed, or its deadline has passed.
    reported = (
        states.REPORTING.to(states.SUCCEEDED, cond="succeeded")
        | states.REPORTING.to(states.TIMED_OUT, cond="timed_out")
        | states.REPORTING.to(states.CANCELLED, cond="cancelled")
        | states.REPORTING.to(states.FAILED)
    )

    def __init__(self, *, has_setup: bool = False) -> None:
        """`has_setup`: a SETUP_COMMAND runs between the clone and claude."""
        self.has_setup = has_setup
        #: VERIFY_COMMAND has had its last word.
        self.verified = False
        self.cause: Cause | None = None
        self.exited_by_itself = False
        self.outcome: Outcome | None = None
        super().__init__()

    @property
    def phase(self) -> Phase:
        value: Phase = self.current_state_value
        return value

    def latch_exit(self) -> None:
        self.exited_by_itself = True

    def latch_cause(self, cause: Cause) -> None:
        """The first cause wins; one that comes after claude ended by itself explains nothing, unless it is a fault."""
        if self.cause is None and (not self.exited_by_itself or cause.kind is CauseKind.FAULT):
            self.cause = cause

    def succeeded(self) -> bool:
        return self._settled.exit == 0

    def timed_out(self) -> bool:
        return self._cause_is(CauseKind.DEADLINE, CauseKind.IDLE)

    def cancelled(self) -> bool:
        return self._cause_is(CauseKind.SIGNAL, CauseKind.REQUEST)

    @property
    def _settled(self) -> Outcome:
        if self.outcome is None:
            raise AssertionError("the outcome is settled before COMPLETE, which comes before reported")
        return self.outcome

    def _cause_is(self, *kinds: CauseKind) -> bool:
        return self.cause is not None and self.cause.kind in kinds
