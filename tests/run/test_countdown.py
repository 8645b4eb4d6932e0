"""TIMEOUT that stands still: what counts is counted, to the second. Mock clock."""

from __future__ import annotations

import pytest
import trio

from agent.run.countdown import Countdown


@pytest.mark.parametrize(
    ("holds", "ends"),
    [([], 10), ([(2, 30)], 38), ([(2, 30), (35, 40)], 43), ([(0, 5)], 15), ([(9.5, 100), (100.2, 200)], 200.3)],
)
async def test_time_that_is_held_does_not_count(
    autojump_clock: trio.testing.MockClock, holds: list[tuple[float, float]], ends: float
) -> None:
    began = trio.current_time()
    countdown = Countdown(10)

    async def hold() -> None:
        for start, end in holds:
            await trio.sleep_until(began + start)
            countdown.hold()
            countdown.hold()
            await trio.sleep_until(began + end)
            countdown.release()
            countdown.release()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold)
        await countdown.run()
        assert trio.current_time() - began == pytest.approx(ends)
        nursery.cancel_scope.cancel()
