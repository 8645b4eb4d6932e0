"""The table alone: no task, no clock."""

import contextlib

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from statemachine.engines.sync import SyncEngine
from statemachine.exceptions import TransitionNotAllowed

from agent.errors import CloneError
from agent.outcome import causes
from agent.outcome.verdict import Outcome
from agent.protocol.phase import Phase
from agent.run.machine import RunMachine

#: Without a SETUP_COMMAND, a VERIFY_COMMAND and a wait.
STRAIGHT = [phase for phase in Phase if phase not in (Phase.SETTING_UP, Phase.VERIFYING, Phase.WAITING)]
SUCCESS = Outcome(0, "success", None, "done")
FAILURE = Outcome(1, "no_result", "no_result", "nothing came")


def machine_in(phase: Phase) -> RunMachine:
    machine = RunMachine()
    steps = [machine.start, machine.connected, machine.cloned, machine.exited, machine.stopped, machine.drained]
    for step in steps[: STRAIGHT.index(Phase.RUNNING if phase is Phase.WAITING else phase)]:
        step()
    if phase is Phase.WAITING:
        machine.limited()
    assert machine.phase is phase
    return machine


def test_straight_path() -> None:
    machine = machine_in(Phase.REPORTING)
    machine.outcome = SUCCESS
    machine.reported()
    assert machine.phase is Phase.SUCCEEDED
    assert machine.is_terminated


@pytest.mark.parametrize("phase", [Phase.PENDING, Phase.CONNECTING, Phase.CLONING, Phase.RUNNING, Phase.WAITING])
@pytest.mark.parametrize(
    ("cause", "final"),
    [
        (causes.by_signal(15), Phase.CANCELLED),
        (causes.by_server(), Phase.CANCELLED),
        (causes.by_deadline(1), Phase.TIMED_OUT),
        (causes.by_silence(1), Phase.TIMED_OUT),
        (causes.by_memory(2, 1), Phase.FAILED),
        (causes.by_fault("clone", CloneError("no")), Phase.FAILED),
    ],
)
def test_interrupt_from_anywhere_walks_the_same_way(phase, cause, final) -> None:
    machine = machine_in(phase)
    machine.interrupt(cause=cause)
    assert machine.phase is Phase.STOPPING
    machine.stopped()
    machine.drained()
    machine.outcome = FAILURE
    machine.reported()
    assert machine.phase is final


def test_a_setup_lies_between_the_clone_and_claude() -> None:
    machine = RunMachine(has_setup=True)
    for step in (machine.start, machine.connected, machine.cloned):
        step()
    assert machine.phase is Phase.SETTING_UP
    machine.connected()
    with pytest.raises(TransitionNotAllowed):
        machine.exited()
    machine.prepared()
    assert machine.phase is Phase.RUNNING


def test_verifying_lies_behind_claude_and_may_lead_back() -> None:
    machine = machine_in(Phase.RUNNING)
    machine.resulted()
    machine.rejected()
    machine.resulted()
    machine.exited()
    assert machine.phase is Phase.VERIFYING
    assert not machine.exited_by_itself
    machine.verified = True
    machine.exited()
    assert machine.phase is Phase.STOPPING
    machine.interrupt(cause=causes.by_signal(15))
    assert machine.cause is None


def test_an_interrupt_while_the_work_is_verified_counts() -> None:
    machine = machine_in(Phase.RUNNING)
    machine.resulted()
    machine.interrupt(cause=causes.by_signal(15))
    assert machine.phase is Phase.STOPPING
    assert machine.cause == causes.by_signal(15)


def test_a_setup_that_ends_while_it_is_stopped_changes_nothing() -> None:
    machine = RunMachine(has_setup=True)
    for step in (machine.start, machine.connected, machine.cloned):
        step()
    machine.interrupt(cause=causes.by_signal(15))
    machine.prepared()
    assert machine.phase is Phase.STOPPING


def test_first_cause_wins() -> None:
    machine = machine_in(Phase.RUNNING)
    machine.interrupt(cause=causes.by_deadline(1))
    machine.interrupt(cause=causes.by_signal(15))
    machine.exited()
    assert machine.cause == causes.by_deadline(1)
    assert not machine.exited_by_itself


def test_a_cause_after_claude_ended_by_itself_explains_nothing() -> None:
    machine = machine_in(Phase.STOPPING)
    machine.interrupt(cause=causes.by_signal(15))
    assert machine.exited_by_itself
    assert machine.cause is None


def test_a_bug_counts_even_after_claude_ended() -> None:
    machine = machine_in(Phase.DRAINING)
    machine.interrupt(cause=causes.by_fault("stdout", ValueError("bug")))
    assert machine.cause is not None
    assert machine.cause.reason == "internal"


def test_a_bad_outcome_fails_without_any_cause() -> None:
    machine = machine_in(Phase.REPORTING)
    machine.outcome = FAILURE
    machine.reported()
    assert machine.phase is Phase.FAILED


@pytest.mark.parametrize("phase", [Phase.STOPPING, Phase.DRAINING, Phase.REPORTING])
def test_late_reports_change_nothing(phase) -> None:
    machine = machine_in(phase)
    machine.connected()
    machine.exited()
    machine.interrupt(cause=causes.by_signal(15))
    assert machine.phase is phase


def test_illegal_event_raises_and_keeps_the_phase() -> None:
    machine = machine_in(Phase.CLONING)
    with pytest.raises(TransitionNotAllowed):
        machine.drained()
    assert machine.phase is Phase.CLONING


def test_reported_without_an_outcome_is_a_bug() -> None:
    with pytest.raises(AssertionError, match="outcome is settled"):
        machine_in(Phase.REPORTING).reported()


def test_the_engine_is_synchronous() -> None:
    assert type(RunMachine()._engine) is SyncEngine


class Walk(RuleBasedStateMachine):
    """Any order of events: a final state is never left, phases only go forward, the first cause stays."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = RunMachine(has_setup=True)
        self.order = [phase for phase in Phase if phase is not Phase.WAITING]
        self.highest = 0
        self.first_cause = None

    @rule(
        name=st.sampled_from(
            [
                "start",
                "connected",
                "cloned",
                "prepared",
                "limited",
                "resumed",
                "exited",
                "resulted",
                "rejected",
                "stopped",
                "drained",
                "reported",
            ]
        )
    )
    @precondition(lambda self: not self.machine.is_terminated)
    def event(self, name: str) -> None:
        self.machine.outcome = FAILURE
        with contextlib.suppress(TransitionNotAllowed):
            getattr(self.machine, name)()

    @rule(cause=st.sampled_from([causes.by_signal(15), causes.by_deadline(1), causes.by_memory(2, 1)]))
    @precondition(lambda self: not self.machine.is_terminated)
    def interrupt(self, cause) -> None:
        self.machine.interrupt(cause=cause)
        self.first_cause = self.first_cause or self.machine.cause

    @rule()
    @precondition(lambda self: self.machine.is_terminated)
    def nothing_follows_a_final_state(self) -> None:
        with pytest.raises(TransitionNotAllowed):
            self.machine.interrupt(cause=causes.by_signal(15))

    @rule()
    def the_command_has_its_last_word(self) -> None:
        self.machine.verified = True

    @invariant()
    def forward_only(self) -> None:
        """But for those that claude works in or waits in, which take turns."""
        phase = Phase.RUNNING if self.machine.phase in (Phase.VERIFYING, Phase.WAITING) else self.machine.phase
        rank = min(self.order.index(phase), self.order.index(Phase.SUCCEEDED))
        assert rank >= self.highest
        self.highest = rank

    @invariant()
    def first_cause_stays(self) -> None:
        if self.first_cause is not None:
            assert self.machine.cause == self.first_cause


TestWalk = Walk.TestCase
TestWalk.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)


def test_a_run_waits_as_often_as_it_must() -> None:
    machine = machine_in(Phase.WAITING)
    machine.limited()
    machine.connected()
    assert machine.phase is Phase.WAITING
    machine.resumed()
    machine.limited()
    machine.exited()
    assert machine.phase is Phase.STOPPING
    assert machine.exited_by_itself
