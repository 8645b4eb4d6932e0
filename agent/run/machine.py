"""The table that decides: which phase follows which event. No task, no clock, no I/O.

Why a run left the straight path is a `Cause`. The first one wins: it is latched, and so is whether claude ended by
itself (`exited`). A late `connected`, `cloned` or `exited` is legal and changes nothing but that latch; so does a
second interrupt, which only shortens deadlines (the supervisor's business). Anything else raises TransitionNotAllowed
and leaves the phase as it is: a bug.

Callbacks are named explicitly and are synchronous, always: the library silently never calls a misspelt one, and one
`async def` among them would move the whole machine to asyncio.
"""

from __future__ import annotations

from typing import NamedTuple

from statemachine import State, StateMachine

from agent.outcome import Cause, CauseKind, Outcome
from agent.protocol import Phase


class Lives(NamedTuple):
    """Which lifetimes may be alive in a phase, what ends it, and after what time at the latest."""

    alive: tuple[str, ...]
    left_by: str
    bound: str


LIVES = {
    Phase.PENDING: Lives(("watch", "link", "work"), "start, interrupt", "10 s (`claude --version`)"),
    Phase.CONNECTING: Lives(("watch", "vitals", "link"), "connected, interrupt", "SERVER_WAIT"),
    Phase.CLONING: Lives(("watch", "vitals", "link", "work"), "cloned, interrupt", "TIMEOUT"),
    Phase.RUNNING: Lives(("watch", "vitals", "link", "work", "output"), "exited, interrupt", "TIMEOUT"),
    Phase.STOPPING: Lives(
        ("watch", "vitals", "link", "work", "output", "sweep"),
        "stopped: nothing of the work is left",
        "KILL_GRACE + 2 s",
    ),
    Phase.DRAINING: Lives(
        ("watch", "vitals", "link", "output", "harvest"),
        "drained: pipes at their end, work saved",
        "5 s, 1 s after a signal",
    ),
    Phase.REPORTING: Lives(
        ("watch", "vitals", "link"),
        "reported: COMPLETE confirmed",
        "10 min, 30 s or 2 s by cause; without an answer so far 5 s at most",
    ),
}


class RunMachine(StateMachine):
    """One run, from PENDING to one of four final states."""

    PENDING = State(initial=True)
    CONNECTING = State()
    CLONING = State()
    RUNNING = State()
    STOPPING = State()
    DRAINING = State()
    REPORTING = State()
    SUCCEEDED = State(final=True)
    FAILED = State(final=True)
    TIMED_OUT = State(final=True)
    CANCELLED = State(final=True)

    #: The configuration holds and claude runs `--version`.
    start = PENDING.to(CONNECTING) | STOPPING.to.itself()
    #: A server answered, or none is needed to go on.
    connected = (
        CONNECTING.to(CLONING)
        | PENDING.to.itself()
        | CLONING.to.itself()
        | RUNNING.to.itself()
        | STOPPING.to.itself()
        | DRAINING.to.itself()
        | REPORTING.to.itself()
    )
    cloned = CLONING.to(RUNNING) | STOPPING.to.itself() | DRAINING.to.itself()
    #: claude ended, by itself or because it was told to.
    exited = RUNNING.to(STOPPING, on="latch_exit") | STOPPING.to.itself() | DRAINING.to.itself() | REPORTING.to.itself()
    #: Any reason to leave the straight path.
    interrupt = (
        PENDING.to(STOPPING, on="latch_cause")
        | CONNECTING.to(STOPPING, on="latch_cause")
        | CLONING.to(STOPPING, on="latch_cause")
        | RUNNING.to(STOPPING, on="latch_cause")
        | STOPPING.to.itself(on="latch_cause")
        | DRAINING.to.itself(on="latch_cause")
        | REPORTING.to.itself()
    )
    #: No work task and no descendant is left.
    stopped = STOPPING.to(DRAINING)
    #: The pipes are at their end, the work is saved.
    drained = DRAINING.to(REPORTING)
    #: COMPLETE is confirmed, or its deadline has passed.
    reported = (
        REPORTING.to(SUCCEEDED, cond="succeeded")
        | REPORTING.to(TIMED_OUT, cond="timed_out")
        | REPORTING.to(CANCELLED, cond="cancelled")
        | REPORTING.to(FAILED)
    )

    def __init__(self) -> None:
        self.cause: Cause | None = None
        self.exited_by_itself = False
        self.outcome: Outcome | None = None
        super().__init__()

    @property
    def phase(self) -> Phase:
        return Phase(str(self.current_state_value))

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
