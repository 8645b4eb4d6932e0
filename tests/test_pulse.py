import trio
from trio.testing import wait_all_tasks_blocked

from agent.pulse import Pulse


async def test_set_before_wait_is_not_lost(autojump_clock) -> None:
    pulse = Pulse()
    pulse.set()
    pulse.set()
    with trio.fail_after(1):
        await pulse.wait()
    with trio.move_on_after(1) as scope:
        await pulse.wait()
    assert scope.cancelled_caught, "several calls are one wake-up"


async def test_wakes_the_waiter(autojump_clock) -> None:
    pulse = Pulse()
    woken = []

    async def waiter() -> None:
        for i in range(2):
            await pulse.wait()
            woken.append(i)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(waiter)
        await wait_all_tasks_blocked()
        pulse.set()
        await wait_all_tasks_blocked()
        assert woken == [0]
        pulse.set()
    assert woken == [0, 1]


async def test_a_cancelled_wait_keeps_the_call(autojump_clock) -> None:
    pulse = Pulse()
    with trio.move_on_after(1):
        await pulse.wait()
    pulse.set()
    with trio.fail_after(1):
        await pulse.wait()


async def test_who_waits_may_answer_without_being_woken(autojump_clock) -> None:
    pulse = Pulse()
    answers = [True, True, False]
    asked = 0

    def answer() -> bool:
        nonlocal asked
        asked += 1
        return answers[asked - 1]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(pulse.wait, answer)
        await wait_all_tasks_blocked()
        pulse.set()
        pulse.set()
        await wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == 1
        pulse.set()
    assert asked == 3
    pulse.set()
    assert asked == 3, "nobody waits"
    with trio.fail_after(1):
        await pulse.wait()
