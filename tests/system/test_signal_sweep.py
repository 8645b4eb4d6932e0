"""A signal at any moment: only documented ends, COMPLETE last, nothing left, within the budget.

In process the moment is the n-th step of a short run, for every n; as a child process it is a random one, and the seed
is in the message of a failure. SIGNAL_SWEEP_SEED repeats one.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable
from pathlib import Path
from signal import SIGINT, SIGTERM, Signals
from typing import Any

import pytest
import trio

from agent.config.config import Config
from tests.support.collector import Collector, collecting, in_phase, said
from tests.support.memory_claude import MemoryClaude, deaf, working
from tests.support.memory_run import Deliver, Finished, agree, whole_run
from tests.support.run_agent import GRACE, Ran, start_agent

CODES = {SIGTERM: 143, SIGINT: 130}
#: Grace, sweep, drain, harvest, flush.
BUDGET = 5 + 2 + 1 + 1 + 2


# --- every step of a run in process


class AtSteps(trio.abc.Instrument):
    """Delivers SIGTERM at these steps of any task, the server's included; counts them all."""

    def __init__(self, *fire_at: int) -> None:
        self.steps = 0
        #: When the first one came.
        self.fired: float | None = None
        self.failure: Exception | None = None
        self._fire_at = fire_at
        self._early = 0
        self._deliver: Deliver | None = None

    def reach(self, deliver: Deliver) -> None:
        """As signals.listen() does: what came before is delivered now."""
        self._deliver = deliver
        for _ in range(self._early):
            deliver(SIGTERM)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.steps += 1
        if self.steps not in self._fire_at:
            return
        self.fired = trio.current_time() if self.fired is None else self.fired
        if self._deliver is None:
            self._early = 1  # several before the first look are one
            return
        try:
            self._deliver(SIGTERM)
        except Exception as error:  # Trio would log it and go on
            self.failure = error


def run_with(instrument: AtSteps, claude: Callable[[Config], MemoryClaude], seed: int) -> Finished:
    scheduler: Any = trio._core._run
    # Trio shuffles on purpose what runs next; here a failure must come again.
    scheduler._ALLOW_DETERMINISTIC_SCHEDULING = True
    scheduler._r.seed(seed)

    async def main() -> Finished:
        with trio.fail_after(300):
            return await whole_run(claude=claude, reach=instrument.reach)

    try:
        return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0), instruments=[instrument])
    finally:
        scheduler._ALLOW_DETERMINISTIC_SCHEDULING = False
        scheduler._r.seed()


def length(claude: Callable[[Config], MemoryClaude]) -> int:
    """Steps of an undisturbed run."""
    instrument = AtSteps()
    finished = run_with(instrument, claude, 0)
    agree(finished)
    assert finished.exit == 0
    return instrument.steps


def ends_right(claude: Callable[[Config], MemoryClaude], seed: int, *steps: int) -> str:
    """The reason for which the run ended."""
    instrument = AtSteps(*steps)
    try:
        finished = run_with(instrument, claude, seed)
        assert instrument.failure is None
        agree(finished)
        assert (finished.exit, finished.outcome.reason) in {(143, "cancelled"), (0, "success")}
        assert finished.work.steps[-1] == "conclude"
        assert "sweep" in finished.work.steps
        assert finished.seconds - (instrument.fired or 0.0) <= BUDGET
    except BaseException as error:
        error.add_note(f"SIGTERM at step {steps}, seed {seed}")
        raise
    return finished.outcome.reason


@pytest.mark.system
@pytest.mark.parametrize(("claude", "every"), [(working, 1), (deaf, 4)])
def test_sigterm_at_every_step(claude: Callable[[Config], MemoryClaude], every: int) -> None:
    """A deaf claude differs in the stop alone, so every fourth step does."""
    ended = [ends_right(claude, step, step) for step in range(1, length(claude) + 1, every)]
    assert {"cancelled", "success"} == set(ended), "the sweep did not reach from the beginning to the end"
    assert ended.count("cancelled") > 50 // every


@pytest.mark.parametrize("claude", [working, deaf])
def test_two_sigterms_at_any_two_steps(claude: Callable[[Config], MemoryClaude]) -> None:
    last = length(claude) + 100  # a second signal may come in what the first one set off
    chance = random.Random(0)
    pairs = chance.sample(list(itertools.combinations(range(1, last), 2)), 100)
    for seed, (first, second) in enumerate(pairs):
        ends_right(claude, seed, first, second)


# --- random moments of a child process

#: Scripts that make every phase last a while, and how they end undisturbed.
SCRIPTS: dict[str, Any] = {
    "works": [["read"], ["init"], ["text", "One."], ["sleep", 0.15], ["text", "Two."], ["sleep", 0.15], ["result"]],
    "polite": [["read"], ["polite"], ["init"], ["sleep", 0.3], ["result"]],
    "deaf": [["read"], ["ignore", ["SIGINT", "SIGTERM"]], ["init"], ["sleep", 0.4], ["result"]],
    "escapes": [["read"], ["init"], ["escape", 5], ["sleep", 0.2], ["result"]],
    "floods": [["read"], ["init"], ["flood", 2_000_000], ["result"]],
}


#: A random moment is one of these and some time: a busy machine stretches them all.
LANDMARKS: dict[str, Any] = {
    "the start": None,
    "connecting": lambda message: True,
    "cloning": in_phase("CLONING"),
    "running": in_phase("RUNNING"),
    "claude's first line": said("claude 2.1.330, claude-scripted"),
    "the result": said("result: "),
    "the sweep": in_phase("STOPPING"),
    "the end": in_phase("REPORTING"),
}


async def one(directory: Path, seed: int) -> str:
    """One run with one signal, sometimes two, at a random moment; the reason for which it ended."""
    chance = random.Random(seed)
    name = chance.choice(list(SCRIPTS))
    number = chance.choice([SIGTERM, SIGINT])
    landmark = chance.choice(list(LANDMARKS))
    moment = chance.uniform(0, 0.3)
    again = chance.uniform(0, 1) if chance.random() < 0.2 else None
    directory.mkdir()
    try:
        async with collecting() as collector:
            async with start_agent(directory, collector.url, SCRIPTS[name]) as agent:
                while not agent.listens:  # before, it dies as any program does
                    await trio.sleep(0.001)
                if LANDMARKS[landmark] is not None:
                    await collector.until(LANDMARKS[landmark], 60)
                await trio.sleep(moment)
                agent.signal(number)
                if again is not None:
                    await trio.sleep(again)
                    agent.signal(SIGTERM)
                ran = await agent.ended()
            return ended_right(ran, collector, number, again)
    except BaseException as error:
        error.add_note(f"SIGNAL_SWEEP_SEED={seed}: {name}, {number.name} {moment:.3f} s after {landmark}, then {again}")
        raise


def ended_right(ran: Ran, collector: Collector, number: Signals, again: float | None) -> str:
    expected = {(0, "success"), (CODES[number], "cancelled")}
    if again is not None:
        expected.add((143, "cancelled"))  # the second one was seen first
    ran.messages = collector.messages
    ran.settled()
    assert (ran.code, ran.termination["reason"]) in expected
    if ran.termination["undelivered"] == 0:
        ran.agrees(collector)
    else:
        assert again is not None or not collector.texts, "the connection stood, and yet something is undelivered"
    ran.stopped(within=GRACE + 2 + 1 + 1 + 2 + 6)
    return str(ran.termination["reason"])


async def sweep(directory: Path, count: int) -> None:
    given = os.environ.get("SIGNAL_SWEEP_SEED")
    seeds = [int(given)] if given else [random.SystemRandom().randrange(1 << 32) for _ in range(count)]
    ended: list[str] = []
    slots = trio.CapacityLimiter(2)

    async def run(seed: int) -> None:
        async with slots:
            ended.append(await one(directory / str(seed), seed))

    async with trio.open_nursery() as nursery:
        for seed in seeds:
            nursery.start_soon(run, seed)
    assert given or {"cancelled", "success"} == set(ended), "the moments were not spread over the run"


@pytest.mark.slow
async def test_a_signal_at_random_moments(tmp_path: Path) -> None:
    await sweep(tmp_path, 75)


@pytest.mark.soak
async def test_a_signal_at_many_random_moments(tmp_path: Path) -> None:
    await sweep(tmp_path, 300)
