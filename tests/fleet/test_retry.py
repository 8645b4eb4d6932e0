"""Which ends are worth another attempt: the same as in Kubernetes."""

from __future__ import annotations

import re

import pytest

from agent.exits import Exit
from agent.fleet.results import Attempt, State
from agent.fleet.retry import FINAL, changed, pause, state_after
from agent.limits import Limits
from tests.support.places import ROOT


def after(code: int | None, *, stopped: bool = False, overdue: bool = False, again: bool = True) -> State:
    attempt = Attempt(number=1, container="c", started="", exitCode=code)
    return state_after(attempt, stopped=stopped, overdue=overdue, again=again)


def test_every_exit_code_has_its_state() -> None:
    again = {code for code in Exit if after(code) is State.PAUSED}
    assert again == {Exit.SERVER_UNREACHABLE, Exit.INTERNAL, Exit.RETRYABLE, Exit.KILLED}
    assert {after(code, again=False) for code in again} == {State.FAILED}
    assert {after(code, stopped=True) for code in again} == {State.CANCELLED}
    assert after(0, stopped=True) is State.SUCCEEDED
    assert after(1, stopped=True) is State.FAILED
    assert after(143, overdue=True) is State.FAILED
    assert after(None) is State.PAUSED


@pytest.mark.parametrize("place", ["base/job.yaml", "overlays/indexed/indexed.yaml"])
def test_kubernetes_takes_none_of_ours_again_as_final(place: str) -> None:
    text = (ROOT / "deploy/kubernetes" / place).read_text()
    listed = re.search(r"values: \[([0-9, ]+)\]", text)
    assert listed is not None
    codes = {int(code) for code in listed[1].split(",")}
    assert codes >= FINAL
    assert all(after(code) is not State.PAUSED for code in codes)


def test_pauses_grow_as_in_kubernetes() -> None:
    assert [pause(n, Limits()) for n in (1, 2, 3, 4, 5, 6, 7, 100)] == [10, 20, 40, 80, 160, 320, 360, 360]


def test_the_next_attempt_goes_on() -> None:
    pushed = Attempt(number=1, container="c", started="", changes={"branch": "claude/one"})
    lost = Attempt(number=2, container="c", started="")
    assert changed({"TASK": "x"}, []) == {"TASK": "x"}
    assert changed({"TASK": "x"}, [pushed]) == {"TASK": "x", "RESUME_SESSION": "auto"}
    assert changed({"PUSH_BRANCH": "a/{run}"}, [pushed, lost]) == {
        "RESUME_SESSION": "auto", "REPO_REF": "claude/one", "PUSH_BRANCH": "claude/one",
    }  # fmt: skip
    assert changed({"RESUME_SESSION": "S"}, [lost])["RESUME_SESSION"] == "S"
