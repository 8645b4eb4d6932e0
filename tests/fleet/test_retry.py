"""Which ends are worth another attempt: the same as in Kubernetes."""

from __future__ import annotations

from agent.exits import CANCELLED, FINAL, WORTH_A_RETRY, Exit
from agent.fleet.results import Attempt, State
from agent.fleet.retry import changed, pause, state_after
from agent.limits import Limits


def after(code: int | None, *, stopped: bool = False, overdue: bool = False, again: bool = True) -> State:
    attempt = Attempt(number=1, container="c", started="", exitCode=code)
    return state_after(attempt, stopped=stopped, overdue=overdue, again=again)


def test_every_exit_code_has_its_state() -> None:
    kinds = [{Exit.SUCCEEDED}, FINAL, WORTH_A_RETRY, CANCELLED]
    assert sorted(code for kind in kinds for code in kind) == sorted(Exit), "each code is of one kind: agent/exits.py"
    again = {code for code in Exit if after(code) is State.PAUSED}
    assert again == WORTH_A_RETRY
    assert after(Exit.REMOTE_CANCEL) is State.CANCELLED
    assert {after(code, again=False) for code in again} == {State.FAILED}
    assert {after(code, stopped=True) for code in again} == {State.CANCELLED}
    assert after(0, stopped=True) is State.SUCCEEDED
    assert after(1, stopped=True) is State.FAILED
    assert after(143, overdue=True) is State.FAILED
    assert after(None) is State.PAUSED


def test_pauses_grow_as_in_kubernetes() -> None:
    failed = Attempt(number=1, container="c", started="")
    assert [pause([failed] * n, Limits(), 0) for n in (1, 2, 3, 4, 5, 6, 7, 100)] == [
        10,
        20,
        40,
        80,
        160,
        320,
        360,
        360,
    ]


def test_the_end_of_a_limit_is_waited_for() -> None:
    limited = Attempt(number=1, container="c", started="", resetsAt="2027-01-15T09:00:00.000Z")
    end = 1_800_003_600.0
    assert pause([limited], Limits(), end - 100) == 102
    assert pause([limited], Limits(), end + 100) == 10
    assert pause([limited], Limits(), end - 1e9) == Limits().fleet_limit_wait
    limited.resetsAt = "soon"
    assert pause([limited], Limits(), 0) == 10


def test_the_next_attempt_goes_on() -> None:
    pushed = Attempt(number=1, container="c", started="", changes={"branch": "claude/one"})
    lost = Attempt(number=2, container="c", started="")
    assert changed({"TASK": "x"}, []) == {"TASK": "x"}
    assert changed({"TASK": "x"}, [pushed]) == {"TASK": "x", "RESUME_SESSION": "auto"}
    assert changed({"PUSH_BRANCH": "a/{run}"}, [pushed, lost]) == {
        "RESUME_SESSION": "auto", "REPO_REF": "claude/one", "PUSH_BRANCH": "claude/one",
    }  # fmt: skip
    assert changed({"RESUME_SESSION": "S"}, [lost])["RESUME_SESSION"] == "S"
