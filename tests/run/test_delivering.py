"""When the sender of a run starts, and how long it gets. Mock clock, a sender in name only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
import trio

from agent.config.load import load
from agent.delivery import Sender
from agent.run.delivering import Delivering
from agent.run.lifetime import Lifetime
from agent.run.stop_budget import StopBudget
from agent.run.tasks import Task

GIVEN = {"REPO_URL": "https://example.com/x", "TASK": "t", "WS_SERVER": "ws://server"}


class Silent:
    ever_answered = False
    ever_connected = False

    async def run(self, gate: float | None) -> None: ...


class Stage:
    def __init__(self, *, server: bool = True) -> None:
        self.started: list[str] = []
        self.sender = Silent()
        self.config = load(GIVEN, in_container=True)
        self.budget = StopBudget(self.config)
        sender = cast("Sender", self.sender) if server else None
        self.delivering = Delivering(sender, self.config, self.budget, self.start)

    def start(self, lifetime: Lifetime, name: str, task: Task) -> None:
        lifetime.join()
        self.started.append(name)


def answered(stage: Stage) -> None:
    stage.sender.ever_answered = True


def stopped(stage: Stage) -> None:
    answered(stage)
    stage.budget.begin()


@pytest.mark.parametrize(
    ("before", "after_fault", "seconds"),
    [
        (lambda stage: None, False, lambda limits: limits.first_answer),
        (answered, False, lambda limits: 600),
        (answered, True, lambda limits: limits.flush_after_fault),
        (stopped, False, lambda limits: limits.flush_after_signal),
    ],
)
async def test_how_long_delivery_may_take(
    autojump_clock: trio.testing.MockClock,
    before: Callable[[Stage], None],
    after_fault: bool,
    seconds: Callable[[Any], float],
) -> None:
    stage = Stage()
    before(stage)
    stage.delivering.finish(after_fault=after_fault)
    assert stage.delivering.life.remaining == seconds(stage.config.limits)
    assert stage.started == ["sender"]


async def test_the_first_handshake_counts_from_its_beginning(autojump_clock: trio.testing.MockClock) -> None:
    stage = Stage()
    stage.delivering.begin(None)
    await trio.sleep(1)
    stage.delivering.finish(after_fault=False)
    assert stage.delivering.life.remaining == stage.config.limits.first_answer - 1
    assert stage.started == ["sender"]


async def test_a_server_that_answers_late_is_waited_for(autojump_clock: trio.testing.MockClock) -> None:
    stage = Stage()
    stage.delivering.finish(after_fault=False)
    answered(stage)
    stage.delivering.server_answered(after_fault=False)
    assert stage.delivering.life.remaining == 600


async def test_a_stop_is_not_made_longer_by_an_answer(autojump_clock: trio.testing.MockClock) -> None:
    stage = Stage()
    stopped(stage)
    stage.delivering.finish(after_fault=False)
    await trio.sleep(0.5)
    left = stage.delivering.life.remaining
    stage.delivering.server_answered(after_fault=False)
    assert stage.delivering.life.remaining == left


async def test_a_bug_starts_it_once_more(autojump_clock: trio.testing.MockClock) -> None:
    stage = Stage()
    stage.delivering.begin(None)
    assert [stage.delivering.begin_again(None) for _ in range(2)] == [True, False]
    assert stage.started == ["sender", "sender"]


async def test_without_a_server_nothing_starts(autojump_clock: trio.testing.MockClock) -> None:
    stage = Stage(server=False)
    stage.delivering.begin(None)
    stage.delivering.finish(after_fault=False)
    assert not stage.delivering.is_met
    assert (stage.started, stage.delivering.life.empty) == ([], True)
