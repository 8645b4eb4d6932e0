import trio

from agent.ticks import next_tick


async def test_tasks_of_one_rhythm_wake_together(autojump_clock) -> None:
    woken = []

    async def task(delay: float) -> None:
        await trio.sleep(delay)
        await next_tick(0.5)
        woken.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        for delay in (0.0, 0.1, 0.49):
            nursery.start_soon(task, delay)
    assert woken == [0.5] * 3


async def test_time_goes_on_whatever_the_rounding(autojump_clock) -> None:
    for count in range(1, 50):
        await next_tick(0.1)
        assert abs(trio.current_time() - count * 0.1) < 1e-9
