"""The time of a stop, shared out by what is left of it."""

import pytest
import trio

from agent.config.load import load
from agent.run.stop_budget import StopBudget

GIVEN = {"REPO_URL": "https://example.com/x", "TASK": "t", "WS_SERVER": "none"}


def budget(**variables: str) -> StopBudget:
    return StopBudget(load({**GIVEN, **variables}, in_container=True))


async def test_before_the_first_signal_nothing_is_limited(autojump_clock: trio.testing.MockClock) -> None:
    assert budget().harvest == float("inf")
    assert not budget().begun


@pytest.mark.parametrize(("after", "harvest", "flush"), [(0, 7, 2), (3, 4, 2), (5, 2, 2), (8, 2, 1), (30, 2, 1)])
async def test_what_is_left_is_shared_out(
    autojump_clock: trio.testing.MockClock, after: float, harvest: float, flush: float
) -> None:
    stop = budget()
    stop.begin()
    await trio.sleep(after)
    stop.begin()
    assert stop.begun
    assert stop.harvest == pytest.approx(harvest)
    assert stop.flush == pytest.approx(flush)


async def test_a_longer_grace_is_used(autojump_clock: trio.testing.MockClock) -> None:
    stop = budget(TERMINATION_GRACE_SECONDS="30")
    stop.begin()
    await trio.sleep(10)
    assert stop.harvest == pytest.approx(30 - 1 - 10 - 2)
