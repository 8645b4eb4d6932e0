"""Fleet: lives, retries, the budget, stops and going on, on a mock clock with an engine in memory."""

from __future__ import annotations

import errno
import json
import math
import signal
from pathlib import Path
from typing import Any

import pytest
import trio

from agent.fleet.results import Attempt, Results, State, TaskResult, load
from agent.fleet.run import Fleet
from agent.fleet.tasks import Task
from agent.limits import Limits
from tests.support.memory_engine import MemoryEngine, MemoryHub, Played


def a_task(number: int, bound: float = 3600.0, **values: str) -> Task:
    values = {"REPO_URL": "https://x.org/y.git", "TASK": "Fix it", **values}
    return Task(
        number=number, name=f"t{number}", values=values, private=frozenset({"TASK"}), title="Fix it",
        repository=f"https://x.org/{number}.git", bound=bound,
    )  # fmt: skip


class Staged:
    """A fleet of tasks t1, t2, ... with its parts."""

    def __init__(self, directory: Path, tasks: list[Task], engine: MemoryEngine, **options: Any) -> None:
        self.directory, self.engine, self.hub = directory, engine, MemoryHub()
        self.lines: list[str] = []
        self.record = options.pop("record", None) or Results(
            fleet="fleet-x", started="now",
            tasks=[TaskResult(task=t.name, number=t.number, title=t.title, repository=t.repository) for t in tasks],
        )  # fmt: skip
        self.fleet = Fleet(
            tasks, self.record, engine, self.hub, Limits(), directory=directory,  # type: ignore[arg-type]
            watcher=self, **{"parallel": 2, "retries": 2, **options},
        )  # fmt: skip
        self.looks: list[dict[str, Any]] = []

    def changed(self, task: TaskResult | None, line: str) -> None:
        self.lines.append(line)

    def looked(self, rows: Any) -> None:
        self.looks.append(dict(rows))

    async def run(self) -> int:
        await self.engine.prepare()
        return await self.fleet.run()

    @property
    def outcomes(self) -> list[str]:
        return [str(task.outcome) for task in self.record.tasks]

    @property
    def seconds(self) -> float:
        return self.engine.log[-1][0]


async def test_so_many_at_a_time_each_once(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    staged = Staged(tmp_path, [a_task(n) for n in range(1, 6)], MemoryEngine())
    assert await staged.run() == 0
    assert staged.outcomes == ["succeeded"] * 5
    assert (staged.engine.most, staged.seconds) == (2, 30.0)
    assert len(staged.engine.orders) == 5
    assert load(tmp_path) == staged.record
    assert (staged.record.cost, staged.record.exitCode) == (2.5, 0)
    first = staged.record.tasks[0]
    assert (first.turns, first.cost, first.patch) == (3, 0.5, "tasks/t1/attempt-1/changes.patch")
    assert (tmp_path / str(first.patch)).read_text() == "diff\n"


@pytest.mark.parametrize("code", [1, 66, 72, 74, 77, 78, 124, 126, 127])
async def test_a_failure_that_no_attempt_can_change_is_final(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, code: int
) -> None:
    staged = Staged(tmp_path, [a_task(1)], MemoryEngine({"t1": [Played(code)]}))
    assert await staged.run() == 1
    task = staged.record.tasks[0]
    assert (task.outcome, task.exitCode, len(task.attempts)) == (State.FAILED, code, 1)


@pytest.mark.parametrize("code", [69, 70, 75, 137])
async def test_other_failures_are_tried_again_with_the_session_and_the_branch(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, code: int
) -> None:
    engine = MemoryEngine({"t1": [Played(code, branch="claude/one"), Played(code), Played(0)]})
    staged = Staged(tmp_path, [a_task(1, PUSH_BRANCH="claude/{run}")], engine)
    assert await staged.run() == 0
    task = staged.record.tasks[0]
    assert (task.outcome, len(task.attempts), task.cost, task.turns) == (State.SUCCEEDED, 3, 1.5, 9)
    first, second, third = (order.variables for order in engine.orders)
    assert (first["PUSH_BRANCH"], first.get("RESUME_SESSION"), first.get("REPO_REF")) == ("claude/{run}", None, None)
    for later in (second, third):
        assert (later["PUSH_BRANCH"], later["REPO_REF"], later["RESUME_SESSION"]) == (
            "claude/one",
            "claude/one",
            "auto",
        )
    starts = [time for time, what, _ in engine.log if what == "start"]
    assert starts == [0.0, 20.0, 50.0], "10 s of work, and pauses of 10 s and 20 s"


async def test_attempts_are_bounded(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    staged = Staged(tmp_path, [a_task(1)], MemoryEngine({"t1": [Played(75)] * 9}))
    assert await staged.run() == 1
    assert (staged.outcomes, len(staged.record.tasks[0].attempts)) == (["failed"], 3)


async def test_an_engine_that_cannot_start_is_tried_again(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    staged = Staged(tmp_path, [a_task(1)], MemoryEngine({"t1": [Played(fails_to_start=True)]}))
    assert await staged.run() == 0
    first, _ = staged.record.tasks[0].attempts
    assert (first.exitCode, first.reason, first.message) == (None, "engine", "docker run: no space left on device")


async def test_a_killed_agent_costs_what_the_hub_knows(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    staged = Staged(tmp_path, [a_task(1)], MemoryEngine({"t1": [Played(137, silent=True, out_of_memory=True)]}))
    staged.hub.shown = [{"labels": {"attempt": "fleet-x-t1-1"}, "cost": 1.25, "turns": 7, "runID": "R"}]
    assert await staged.run() == 0
    first, _ = staged.record.tasks[0].attempts
    assert (first.reason, first.cost, first.turns, first.runID) == ("oom", 1.25, 7, "R")
    assert staged.record.cost == 1.75


async def test_what_somebody_else_stops_is_not_started_again(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    staged = Staged(tmp_path, [a_task(1)], MemoryEngine({"t1": [Played(143)]}))
    assert await staged.run() == 1
    assert (staged.outcomes, len(staged.record.tasks[0].attempts)) == (["cancelled"], 1)


async def test_no_task_starts_beyond_the_budget(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    engine = MemoryEngine({f"t{n}": [Played(seconds=10 * n)] for n in range(1, 6)})
    staged = Staged(tmp_path, [a_task(n) for n in range(1, 6)], engine, budget=0.9)
    assert await staged.run() == 1
    assert staged.outcomes == ["succeeded", "succeeded", "succeeded", "not_started", "not_started"]
    assert [task.reason for task in staged.record.tasks[3:]] == ["budget", "budget"]


async def test_no_further_attempt_starts_beyond_the_budget(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    staged = Staged(tmp_path, [a_task(1)], MemoryEngine({"t1": [Played(75, cost=3.0)]}), budget=2.0)
    assert await staged.run() == 1
    assert (staged.outcomes, len(staged.record.tasks[0].attempts)) == (["not_started"], 1)


async def test_the_budget_stops_what_runs_in_order(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    engine = MemoryEngine({"t1": [Played(seconds=500)], "t2": [Played(seconds=500)]})
    staged = Staged(tmp_path, [a_task(n) for n in (1, 2, 3)], engine, budget=4.0, budget_stop=True)
    staged.hub.shown = [{"labels": {"attempt": f"fleet-x-t{n}-1"}, "cost": 2.0} for n in (1, 2)]
    assert await staged.run() == 1
    assert staged.outcomes == ["cancelled", "cancelled", "not_started"]
    assert [what for _, what, _ in engine.log if what in ("stop", "kill")] == ["stop", "stop"]
    assert any("the budget is $4.00" in line for line in staged.lines)


async def test_a_signal_stops_all_in_order(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    engine = MemoryEngine({f"t{n}": [Played(seconds=500)] for n in (1, 2, 3)})
    staged = Staged(tmp_path, [a_task(n) for n in (1, 2, 3)], engine)
    async with trio.open_nursery() as nursery:

        async def interrupt() -> None:
            await trio.sleep(5)
            staged.fleet.signalled(signal.SIGINT)

        nursery.start_soon(interrupt)
        assert await staged.run() == 130
    assert staged.outcomes == ["cancelled", "cancelled", "not_started"]
    assert staged.seconds == 7.0
    assert "kill" not in {what for _, what, _ in engine.log}


async def test_a_second_signal_kills_at_once(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    engine = MemoryEngine({"t1": [Played(seconds=500, stop_takes=25)]})
    staged = Staged(tmp_path, [a_task(1)], engine)
    async with trio.open_nursery() as nursery:

        async def interrupt() -> None:
            await trio.sleep(5)
            staged.fleet.signalled(signal.SIGINT)
            await trio.sleep(1)
            staged.fleet.signalled(signal.SIGINT)

        nursery.start_soon(interrupt)
        assert await staged.run() == 130
    assert staged.seconds == 6.0
    assert (staged.outcomes, staged.record.tasks[0].exitCode) == (["cancelled"], 137)


async def test_a_pause_ends_with_the_fleet(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    staged = Staged(tmp_path, [a_task(1)], MemoryEngine({"t1": [Played(75)]}))
    async with trio.open_nursery() as nursery:

        async def interrupt() -> None:
            await trio.sleep(12)
            staged.fleet.signalled(signal.SIGTERM)

        nursery.start_soon(interrupt)
        assert await staged.run() == 143
    assert staged.outcomes == ["cancelled"]


async def test_an_attempt_beyond_its_time_is_stopped_and_final(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    staged = Staged(tmp_path, [a_task(1, bound=60.0)], MemoryEngine({"t1": [Played(seconds=math.inf)]}))
    assert await staged.run() == 1
    assert (staged.outcomes, staged.seconds) == (["failed"], 62.0)
    assert staged.record.tasks[0].reason == "timeout"


async def test_a_container_that_nothing_ends_holds_nobody_up(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    immortal = Played(seconds=math.inf, stop_takes=math.inf, silent=True)
    engine = MemoryEngine({"t1": [immortal]})
    engine.stop = lambda name, grace: trio.sleep_forever()  # type: ignore[method-assign,assignment]
    staged = Staged(tmp_path, [a_task(1, bound=60.0)], engine, retries=0)
    assert await staged.run() == 1
    task = staged.record.tasks[0]
    assert (task.outcome, task.reason, task.message) == (State.FAILED, "engine", "the engine does not end it")


async def test_a_fleet_goes_on_and_pays_nothing_twice(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    engine = MemoryEngine({"t1": [Played(1)], "t3": [Played(seconds=500)]})
    first = Staged(tmp_path, [a_task(n) for n in (1, 2, 3, 4)], engine, parallel=3)
    async with trio.open_nursery() as nursery:

        async def interrupt() -> None:
            await trio.sleep(9)
            first.fleet.signalled(signal.SIGINT)

        engine.script["t1"][0].seconds = engine.script.setdefault("t2", [Played()])[0].seconds = 5
        engine.script["t4"] = [Played(seconds=100)]
        nursery.start_soon(interrupt)
        assert await first.run() == 130
    assert first.outcomes == ["failed", "succeeded", "cancelled", "cancelled"]
    engine = MemoryEngine()
    second = Staged(tmp_path, [a_task(n) for n in (1, 2, 3, 4)], engine, record=load(tmp_path))
    assert await second.run() == 1
    assert second.outcomes == ["failed", "succeeded", "succeeded", "succeeded"]
    assert [order.name for order in engine.orders] == ["fleet-x-t3-2", "fleet-x-t4-2"]
    assert {order.variables["RESUME_SESSION"] for order in engine.orders} == {"auto"}


async def test_containers_that_a_killed_fleet_left_are_waited_for(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    engine = MemoryEngine()
    record = Results(
        fleet="fleet-x", started="now",
        tasks=[
            TaskResult(task=f"t{n}", number=n, title="", repository="", outcome=State.RUNNING, attempts=[
                Attempt(number=1, container=f"fleet-x-t{n}-1", started="now"),
            ]) for n in (1, 2)
        ],
    )  # fmt: skip
    engine.adopt("fleet-x-t2-1", Played(0, seconds=30, silent=True))
    staged = Staged(tmp_path, [a_task(1), a_task(2)], engine, record=record, parallel=1)
    assert await staged.run() == 0
    assert [order.name for order in engine.orders] == ["fleet-x-t1-2"], "only the one that is gone starts again"
    assert [len(task.attempts) for task in record.tasks] == [2, 1]


async def test_a_hub_that_is_away_ends_nothing(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    staged = Staged(tmp_path, [a_task(1)], MemoryEngine())
    staged.hub.fails = OSError("Connection refused")
    assert await staged.run() == 0
    assert [line for line in staged.lines if "hub" in line] == [
        "the hub does not answer: Connection refused; the runs go on"
    ]


@pytest.mark.parametrize("room", [True, False], ids=["until there is room again", "to the end"])
async def test_a_full_disk_ends_no_run(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch, room: bool
) -> None:
    staged = Staged(tmp_path, [a_task(1), a_task(2)], MemoryEngine())
    write, began = Results.write, trio.current_time()

    def written(self: Results, directory: Path) -> None:
        if not room or trio.current_time() < began + 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, directory)

    monkeypatch.setattr(Results, "write", written)
    assert await staged.run() == (0 if room else 1)
    assert staged.outcomes == ["succeeded"] * 2
    told = [line for line in staged.lines if "results.json" in line]
    assert told[0] == "results.json cannot be written: No space left on device; the runs go on, and it is tried again"
    if room:
        assert load(tmp_path) == staged.record
        assert len(told) == 1
    else:
        assert "--resume would pay again" in told[1]


async def test_a_crash_of_the_fleet_leaves_no_container(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    engine = MemoryEngine({"t1": [Played(seconds=500)]})
    staged = Staged(tmp_path, [a_task(1)], engine)

    def fail(task: TaskResult | None, line: str) -> None:
        if "stopping" in line:
            raise ZeroDivisionError

    staged.changed = fail  # type: ignore[method-assign]
    with pytest.raises(BaseExceptionGroup) as raised:  # noqa: PT012
        async with trio.open_nursery() as nursery:
            nursery.start_soon(staged.run)
            await trio.sleep(5)
            staged.fleet.signalled(signal.SIGINT)
    assert raised.group_contains(ZeroDivisionError)
    assert engine.log[-1][1:] == ("kill", "fleet-x-t1-1")


async def test_no_secret_is_in_the_results_or_an_argument(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    engine = MemoryEngine()
    staged = Staged(tmp_path, [a_task(1, TASK="a long text")], engine)
    assert await staged.run() == 0
    order, = engine.orders  # fmt: skip
    assert "TASK" not in order.variables
    assert order.files["TASK"].read_text() == "a long text"
    assert order.files["WS_TOKEN"].read_text() == staged.hub.token
    assert str(staged.hub.token) not in (tmp_path / "results.json").read_text()
    assert json.loads((tmp_path / "results.json").read_text())["tasks"][0]["outcome"] == "succeeded"
