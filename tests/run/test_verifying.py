"""VERIFY_COMMAND in the loop that drives a run. Mock clock, no descriptor."""

from __future__ import annotations

import json
import signal
from typing import Any

import msgspec
import pytest
import trio

from agent.exits import ExitStatus
from agent.protocol.phase import Phase
from agent.steps.finished import Finished
from agent.transcript.summary import Result, Summary
from tests.run.test_supervisor import Stage
from tests.support.scripted_work import GOOD

BAD = Finished(ExitStatus(code=1), 2.0, "1 failed")
FINE = Finished(ExitStatus(code=0), 3.0, "1 passed")
#: A result that is none of a success.
ABORTED = msgspec.structs.replace(GOOD, last_result=Result("error_max_turns", True, 3, 0.41))


def staged(nursery: trio.Nursery, *ends: Finished, waits: bool = True, **variables: str) -> Stage:
    stage = Stage(nursery, VERIFY_COMMAND="npm test", **variables)
    stage.work.waits = waits
    stage.work.ends["verify"] = list(ends) or [FINE]
    return stage


def verifications(stage: Stage) -> int:
    return stage.work.steps.count("verify")


def in_order(stage: Stage) -> list[str]:
    """The phases from RUNNING on, as they were entered."""
    found: list[str] = []
    for phase in stage.phases:
        if phase in ("RUNNING", "VERIFYING", "STOPPING") and found[-1:] != [phase]:
            found.append(phase)
    return found


@pytest.mark.parametrize("waits", [True, False])
async def test_a_good_result_is_verified(autojump_clock: Any, nursery: trio.Nursery, waits: bool) -> None:
    """While claude waits, or after it has ended on its own."""
    stage = staged(nursery, waits=waits)
    outcome = await stage.run()
    assert (outcome.exit, outcome.reason) == (0, "success")
    assert outcome.message == "claude finished the task, and VERIFY_COMMAND passed"
    assert stage.complete["verify"] == {
        "state": "passed", "attempts": 1, "exit": 0, "duration": 3000, "output": "1 passed",
    }  # fmt: skip
    assert in_order(stage) == ["RUNNING", "VERIFYING", "STOPPING"]
    assert stage.work.claude.told == []


@pytest.mark.parametrize("retries", [0, 1])
async def test_claude_ends_before_the_last_attempt(autojump_clock: Any, nursery: trio.Nursery, retries: int) -> None:
    """Its memory is free for the command, and its exit status is known."""
    stage = staged(nursery, BAD, VERIFY_RETRIES=str(retries))
    alive: list[bool] = []

    async def look() -> None:
        alive.append(not stage.work.claude._gone.is_set())

    stage.work.faults = {"verify": look}
    assert (await stage.run()).reason == "verify"
    assert alive == [True] * retries + [False]


@pytest.mark.parametrize("waits", [True, False])
async def test_a_failure_is_the_run_s(autojump_clock: Any, nursery: trio.Nursery, waits: bool) -> None:
    stage = staged(nursery, BAD, waits=waits)
    outcome = await stage.run()
    assert (outcome.exit, outcome.reason, outcome.code) == (1, "verify", "verify")
    assert outcome.message == "claude finished the task, but VERIFY_COMMAND failed: exit status 1"
    assert outcome.details == "1 failed"
    assert stage.complete["verify"]["state"] == "failed"
    assert stage.complete["changes"]["files"] == 1, "the work is saved all the same"
    assert stage.supervisor._machine.phase is Phase.FAILED


async def test_claude_is_told_and_goes_on(autojump_clock: Any, nursery: trio.Nursery) -> None:
    stage = staged(nursery, BAD, BAD, FINE, VERIFY_RETRIES="2")
    outcome = await stage.run()
    assert outcome.message == "claude finished the task, and VERIFY_COMMAND passed after 3 attempts"
    assert (stage.complete["verify"]["state"], stage.complete["verify"]["attempts"]) == ("passed", 3)
    assert in_order(stage) == ["RUNNING", "VERIFYING"] * 3 + ["STOPPING"]
    first, second = (json.loads(line)["message"]["content"][0]["text"] for line in stage.work.claude.told)
    assert "exit status 1 (attempt 1 of 3)" in first
    assert "npm test" in first
    assert "1 failed" in first
    assert "attempt 2 of 3" in second
    assert stage.work.steps.count("begin") == 1, "one claude for all of it"


async def test_the_retries_are_used_up(autojump_clock: Any, nursery: trio.Nursery) -> None:
    stage = staged(nursery, BAD, VERIFY_RETRIES="1")
    outcome = await stage.run()
    assert outcome.message == "claude finished the task, but VERIFY_COMMAND failed after 2 attempts: exit status 1"
    assert (verifications(stage), len(stage.work.claude.told)) == (2, 1)


async def test_a_claude_that_has_ended_is_told_nothing(autojump_clock: Any, nursery: trio.Nursery) -> None:
    stage = staged(nursery, BAD, waits=False, VERIFY_RETRIES="3")
    assert (await stage.run()).reason == "verify"
    assert verifications(stage) == 1
    said = [m["data"].get("message") for m in stage.peer.stored]
    assert "claude has ended, and cannot be told what failed" in said


@pytest.mark.parametrize(
    ("summary", "status", "reason"),
    [
        (ABORTED, ExitStatus(code=0), "max_turns"),
        (ABORTED, ExitStatus(code=1), "max_turns"),
        (Summary(), ExitStatus(code=1), "no_result"),
        (GOOD, ExitStatus(code=1), "exit_status"),
    ],
)
async def test_what_is_no_success_is_not_verified(
    autojump_clock: Any, nursery: trio.Nursery, summary: Summary, status: ExitStatus, reason: str
) -> None:
    stage = staged(nursery, waits=False)
    stage.work.summary, stage.work.status = summary, status
    assert (await stage.run()).reason == reason
    assert verifications(stage) == 0
    assert "verify" not in stage.complete


@pytest.mark.parametrize("waits", [True, False])
async def test_a_stop_in_the_middle_leaves_it_unfinished(
    autojump_clock: Any, nursery: trio.Nursery, waits: bool
) -> None:
    stage = staged(nursery, waits=waits)
    stage.work.faults = {"verify": trio.sleep_forever}
    stage.signal_in(nursery, 30)
    outcome = await stage.run()
    assert (outcome.exit, outcome.reason) == (143, "cancelled")
    assert outcome.message == "cancelled by SIGTERM; VERIFY_COMMAND was not finished"
    assert stage.complete["verify"] == {"state": "unfinished", "attempts": 1}
    assert stage.supervisor._machine.phase is Phase.CANCELLED


async def test_the_time_limit_of_the_run_holds(autojump_clock: Any, nursery: trio.Nursery) -> None:
    stage = staged(nursery, TIMEOUT="20s")
    stage.work.faults = {"verify": trio.sleep_forever}
    outcome = await stage.run()
    assert (outcome.exit, outcome.reason) == (124, "timeout")
    assert stage.complete["verify"]["state"] == "unfinished"


async def test_silence_and_a_result_do_not_count_meanwhile(autojump_clock: Any, nursery: trio.Nursery) -> None:
    """RESULT_GRACE begins when the command has had its last word."""
    stage = staged(nursery, IDLE_TIMEOUT="5s", RESULT_GRACE="2s")
    seen: list[float] = []

    async def verify() -> None:
        for _ in range(60):
            await trio.sleep(1)
            seen.append(stage.work.claude.activity.idle)

    stage.work.faults = {"verify": verify}
    assert (await stage.run(within=200)).exit == 0
    assert set(seen) == {0.0}
    assert stage.work.claude.activity.idle > 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_while_claude_goes_on(autojump_clock: Any, nursery: trio.Nursery, number: int) -> None:
    """The last word of the command stays what it was."""
    stage = staged(nursery, BAD, VERIFY_RETRIES="5")
    stage.signal_in(nursery, 7, number)
    outcome = await stage.run()
    assert outcome.reason == "cancelled"
    assert outcome.message == f"cancelled by {signal.Signals(number).name}"
    assert (stage.complete["verify"]["state"], stage.complete["verify"]["attempts"]) == ("failed", 1)


@pytest.mark.parametrize("retries", ["0", "1"])
async def test_a_claude_that_does_not_end(autojump_clock: Any, nursery: trio.Nursery, retries: str) -> None:
    """After the command, or before the last attempt."""
    from agent.claude.watchdog import Bark

    stage = staged(nursery, VERIFY_RETRIES=retries)
    stage.work.lingers = 1000
    stage.work.bark, stage.work.bark_after = Bark.LINGERS, 30
    outcome = await stage.run(within=200)
    assert outcome.exit == 0
    assert stage.complete["verify"]["state"] == "passed"


async def test_one_that_died_while_the_rest_of_its_output_was_waited_for(
    autojump_clock: Any, nursery: trio.Nursery
) -> None:
    """It is not taken for one that outlived its result."""
    from agent.claude.watchdog import Bark

    stage = staged(nursery, waits=False)
    stage.work.status, stage.work.leaks = ExitStatus(signal=11), True
    stage.work.bark, stage.work.bark_after = Bark.LINGERS, 5.5
    outcome = await stage.run(within=200)
    assert (outcome.exit, outcome.reason) == (1, "signal")
    assert verifications(stage) == 0


@pytest.mark.parametrize(("late", "attempts"), [(0.5, 1), (1.5, 0)])
async def test_the_result_may_be_the_last_that_is_read(
    autojump_clock: Any, nursery: trio.Nursery, late: float, attempts: int
) -> None:
    """It is waited for as long as the pipes are at any end; a result that comes later still is no success."""
    stage = staged(nursery, waits=False)
    stage.work.late = late
    outcome = await stage.run()
    assert (verifications(stage), outcome.exit) == (attempts, 0 if attempts else 1)
    if not attempts:
        assert outcome.message.endswith("but its result came too late for VERIFY_COMMAND")


async def test_one_that_lingers_with_its_input_closed_is_verified(autojump_clock: Any, nursery: trio.Nursery) -> None:
    from agent.claude.watchdog import Bark

    stage = staged(nursery, BAD, waits=False, VERIFY_RETRIES="2")
    stage.work.seconds = 1000
    stage.work.bark, stage.work.bark_after = Bark.LINGERS, 30

    async def speak() -> None:
        await trio.sleep(10)
        stage.work.claude.summary = GOOD

    nursery.start_soon(speak)
    assert (await stage.run(within=200)).reason == "verify"
    assert verifications(stage) == 1
