"""The waits of a replay: those that were recorded, and no other."""

from __future__ import annotations

import trio
import trio.testing

from agent.outcome.verdict import Outcome
from agent.replay.format import Inbox
from agent.replay.waits import RecordedWaits
from agent.run.waiting import Pause

TROUBLE = Outcome(75, "rate_limit", "rate_limit", "the limit")
PAUSE = {"seconds": 3600.0, "until": 1.8e9, "reason": "rate_limit", "message": "waiting"}


async def test_as_many_as_there_were() -> None:
    reports = [
        Inbox("Heard", "RUNNING"), Inbox("Ended", "WAITING", "limit", value=PAUSE), Inbox("Ended", "RUNNING", "claude"),
        Inbox("Ended", "STOPPING", "limit", cancelled=True),
    ]  # fmt: skip
    waits = RecordedWaits(reports)
    first = waits.plan(TROUBLE, 1)
    assert first == Pause(3600.0, 1.8e9, "rate_limit", "waiting")
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(waits.pass_time, first)
            await trio.testing.wait_all_tasks_blocked()
            waits.end()
    second = waits.plan(TROUBLE, 2)
    assert isinstance(second, Pause)
    assert "the limit" in second.message
    assert waits.plan(TROUBLE, 3) == ""
