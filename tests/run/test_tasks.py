"""The barrier: each outcome of a task is one report, and the task is alive until that report is handled."""

from __future__ import annotations

import pytest
import trio

from agent.run.inbox import Ended, Failed, Inbox
from agent.run.lifetime import Lifetime
from agent.run.tasks import TaskName, Tasks


async def fail() -> None:
    raise ValueError("no")


@pytest.mark.parametrize("dispensable", [False, True])
async def test_each_outcome_is_one_report(autojump_clock: trio.testing.MockClock, dispensable: bool) -> None:
    inbox, lifetime = Inbox(), Lifetime("work", dispensable=dispensable)
    async with trio.open_nursery() as nursery:
        tasks = Tasks(nursery, inbox)

        async def answer() -> int:
            return 42

        tasks.start(lifetime, TaskName.CHECK, answer)
        assert not lifetime.empty
        await trio.testing.wait_all_tasks_blocked()
        assert not lifetime.empty, "nobody has handled the report yet"
        assert await inbox.receive() == Ended("check", 42)
        assert lifetime.empty
        tasks.start(lifetime, "fails", fail)
        match await inbox.receive():
            case Failed("fails", ValueError(), known):
                assert known is dispensable
            case other:
                pytest.fail(str(other))
        tasks.start(lifetime, "sleeps", trio.sleep_forever)
        lifetime.cancel("enough")
        assert await inbox.receive() == Ended("sleeps", cancelled=True)


async def test_who_waits_for_a_lifetime_wakes_once_it_is_empty(autojump_clock: trio.testing.MockClock) -> None:
    lifetime = Lifetime("work")
    await lifetime.wait_empty()
    scope = lifetime.join()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lifetime.wait_empty)
        await trio.testing.wait_all_tasks_blocked()
        assert nursery.child_tasks
        lifetime.leave(scope)
