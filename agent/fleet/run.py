"""Fleet: all tasks of a list, so many at a time, until each has its outcome.

One nursery has a life for each task that runs, and a life does nothing but start attempts and wait for them. Whatever
ends a fleet early (a signal, the budget) sets an event: no further attempt starts, and the lives stop their containers.
Nothing else ends a container, so that none is left behind or lost.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any, Protocol

import trio

from agent import signals
from agent.errors import AgentError, first_leaf
from agent.fleet import attempts, mirrors, retry
from agent.fleet.engine import Ended, Engine
from agent.fleet.hub import Hub
from agent.fleet.results import FILE, FINAL, Attempt, Results, State, TaskResult, now
from agent.fleet.tasks import Task
from agent.limits import Limits
from agent.text import count, money, one_line


class Watcher(Protocol):
    """A watcher, which shows a fleet to a person."""

    def changed(self, task: TaskResult | None, line: str) -> None:
        """Show that a task has changed, or None, in a line about it."""

    def looked(self, rows: Mapping[str, dict[str, Any]]) -> None:
        """Show the hub's rows, by the container of the attempt."""


class Fleet:
    """A fleet that runs."""

    def __init__(
        self, tasks: Sequence[Task], results: Results, engine: Engine, hub: Hub, limits: Limits, *,
        directory: Path, parallel: int, retries: int, budget: float | None = None, budget_stop: bool = False,
        watcher: Watcher,
    ) -> None:  # fmt: skip
        self.results = results
        #: The last row that the hub had of a task's attempt, by the attempt's container.
        self.rows: dict[str, dict[str, Any]] = {}
        self._tasks = tasks
        self._engine = engine
        self._hub = hub
        self._limits = limits
        self._directory = directory
        self._free = trio.CapacityLimiter(parallel)
        self._retries = retries
        self._budget = math.inf if budget is None else budget
        self._budget_stop = budget_stop
        self._watcher = watcher
        self._mirrors: dict[str, Path] = {}
        self._starting = trio.CancelScope()
        self._stopping = trio.Event()
        self._killing = trio.Event()
        self._signal = 0
        self._is_away = False
        self._is_saved = True

    @property
    def spent(self) -> float:
        """US dollars so far, of attempts that run as well."""
        ended = sum(attempt.cost or 0.0 for task in self.results.tasks for attempt in task.attempts if attempt.ended)
        running = [attempt.container for task in self.results.tasks for attempt in task.attempts if not attempt.ended]
        return ended + sum(self.rows.get(name, {}).get("cost") or 0.0 for name in running)

    async def run(self) -> int:
        """Run every task that has no outcome yet. Return the exit status: 0, 1 if not all succeeded, 128 and a signal.

        Cancelling: kills what runs.
        """
        left = await self._engine.running(self.results.fleet)
        async with trio.open_nursery() as around:
            await around.start(partial(signals.listen, self.signalled))
            around.start_soon(self._follow)
            async with trio.open_nursery() as lives:
                with self._starting:
                    await self._make_mirrors()
                    await self._start(lives, left)
            around.cancel_scope.cancel("every task has its outcome")
        for task in self.results.tasks:
            if task.outcome in (State.WAITING, State.RUNNING, State.PAUSED):
                task.outcome = State.NOT_STARTED
                task.reason = task.reason or ("cancelled" if self._stopping.is_set() else "budget")
        done = all(task.outcome is State.SUCCEEDED for task in self.results.tasks)
        status = 128 + self._signal if self._signal else 0 if done else 1
        self.results.ended, self.results.exitCode = now(), status
        self._save()
        if not self._is_saved:
            self._watcher.changed(
                None, f"{FILE} is not as it should be: --resume would pay again what it does not have"
            )
        return status if self._is_saved else status or 1

    def _save(self) -> None:
        """Write the results. A disk that is full ends no run: it is told once, and tried again."""
        try:
            self.results.write(self._directory)
        except OSError as error:
            if self._is_saved:
                words = f"{FILE} cannot be written: {error.strerror}; the runs go on, and it is tried again"
                self._watcher.changed(None, words)
            self._is_saved = False
        else:
            self._is_saved = True

    async def _make_mirrors(self) -> None:
        pairs = zip(self._tasks, self.results.tasks, strict=True)
        tasks = [task for task, result in pairs if result.outcome not in FINAL]
        self._mirrors = await mirrors.make(
            tasks, self._directory, self._limits, lambda line: self._watcher.changed(None, line)
        )

    async def _start(self, lives: trio.Nursery, left: set[str]) -> None:
        """Start the lives, those first whose containers an earlier fleet has left."""
        pairs = [
            (task, result) for task, result in zip(self._tasks, self.results.tasks, strict=True)
            if result.outcome not in FINAL
        ]  # fmt: skip
        pairs.sort(key=lambda pair: not (pair[1].attempts and pair[1].attempts[-1].container in left))
        for task, result in pairs:
            await self._free.acquire_on_behalf_of(task.name)
            is_left = bool(result.attempts) and result.attempts[-1].container in left
            if not is_left and not self._may_start():
                return
            lives.start_soon(self._live, task, result, is_left)

    async def _live(self, task: Task, result: TaskResult, is_left: bool) -> None:
        """Run attempts until the task has its outcome."""
        allowed = len(result.attempts) + self._retries + (0 if is_left else 1)
        try:
            while True:
                attempt, overdue = await self._attempt(task, result, adopt=is_left)
                is_left = False
                result.outcome = retry.state_after(
                    attempt, stopped=self._stopping.is_set(), overdue=overdue, again=len(result.attempts) < allowed
                )
                if result.outcome is not State.PAUSED:
                    self._tell(result, f"{task.name}: {result.outcome}: {result.message or result.reason or 'unknown'}")
                    return
                delay = retry.pause(result.attempts, self._limits, time.time())
                self._tell(result, f"{task.name}: {attempt.message or attempt.reason}; again in {delay:g} s")
                with trio.move_on_after(delay):
                    await self._stopping.wait()
                if self._stopping.is_set():
                    result.outcome = State.CANCELLED
                if not self._may_start():
                    self._tell(result, f"{task.name}: no further attempt")
                    return
        finally:
            self._free.release_on_behalf_of(task.name)

    async def _attempt(self, task: Task, result: TaskResult, *, adopt: bool) -> tuple[Attempt, bool]:
        """Run one attempt to its end; returns it, and whether it was stopped for its time."""
        if adopt:
            attempt = result.attempts[-1]
        else:
            number = len(result.attempts) + 1
            attempt = Attempt(
                number=number, container=attempts.container(self.results.fleet, task, number), started=now()
            )
            result.attempts.append(attempt)
        place = attempts.Place(self._directory, task, attempt, self._limits)
        overdue = trio.CancelScope(deadline=trio.current_time() + task.bound)
        ended = Ended(None)
        try:
            if not adopt:
                order = attempts.order(
                    self.results, task, result.attempts, place, self._hub, self._directory, self._mirrors.get(task.name)
                )
            result.outcome = State.RUNNING
            words = (
                "goes on" if adopt else "starts" if attempt.number == 1 else f"starts again, attempt {attempt.number}"
            )
            self._tell(result, f"{task.name}: {words}")
            if not adopt:
                await self._engine.start(order)
            ended = await self._wait(attempt.container, overdue)
            await self._engine.remove(attempt.container, place.log)
        except (AgentError, OSError) as error:
            attempt.reason, attempt.message = "engine", one_line(str(error))
            try:
                await self._engine.remove(attempt.container, place.log)
            except (AgentError, OSError):
                attempt.message += f"; the container {attempt.container} may still be there"
        except BaseException:
            with trio.CancelScope(shield=True), trio.move_on_after(self._limits.fleet_kill):
                await self._engine.kill(attempt.container)
            raise
        place.read(attempt, ended, self.rows.get(attempt.container, {}))
        if overdue.cancelled_caught and attempt.reason != "engine":
            attempt.reason, attempt.message = "timeout", "it was beyond its time, and was stopped"
        result.add_up()
        result.patch = place.patch
        return attempt, overdue.cancelled_caught

    async def _wait(self, container: str, overdue: trio.CancelScope) -> Ended:
        """Wait for a container's end, and bring it about if need be."""
        try:
            async with trio.open_nursery() as beside:
                beside.start_soon(self._end_in_time, container, overdue)
                ended = await self._engine.wait(container)
                beside.cancel_scope.cancel("the container has ended")
        except ExceptionGroup as group:
            raise first_leaf(group) from group
        return ended

    async def _end_in_time(self, container: str, overdue: trio.CancelScope) -> None:
        """End a container once the fleet stops, or its time is over: in order, and by force after that."""
        with overdue:
            await self._stopping.wait()
        grace = self._limits.fleet_grace
        with trio.move_on_after(grace + self._limits.fleet_kill):
            async with trio.open_nursery() as both:
                both.start_soon(self._engine.stop, container, grace)
                await self._killing.wait()
                both.cancel_scope.cancel("a second signal")
        await self._engine.kill(container)
        await trio.sleep(self._limits.fleet_kill)
        raise AgentError("the engine does not end it")

    def _may_start(self) -> bool:
        return not self._stopping.is_set() and self.spent < self._budget

    def signalled(self, number: int) -> None:
        """Stop what runs, in order; the second time at once."""
        if self._stopping.is_set() and self._signal:
            self._killing.set()
            self._watcher.changed(None, "killing what still runs")
            return
        self._signal = number
        self._stop("stopping what runs, in order; a second signal kills it")

    def _stop(self, words: str) -> None:
        self._starting.cancel("the fleet stops")
        self._stopping.set()
        self._watcher.changed(None, words)

    async def _follow(self) -> None:
        """Look at the hub's rows: what runs costs, and does."""
        while True:
            await trio.sleep(self._limits.fleet_look)
            if not self._is_saved:
                self._save()
            try:
                rows = await self._hub.rows(self.results.fleet, self._limits.fleet_rows)
            except (AgentError, OSError, HTTPException) as error:
                if not self._is_away:
                    self._is_away = True
                    self._watcher.changed(None, f"the hub does not answer: {one_line(str(error))}; the runs go on")
                continue
            self._is_away = False
            for row in rows:
                # The oldest row is last: an attempt has one run, but for a journal that an earlier one left.
                self.rows[row["labels"].get("attempt", "")] = row
            self._watcher.looked(self.rows)
            if self.spent >= self._budget and self._budget_stop and not self._stopping.is_set():
                self._stop(
                    f"{money(self.spent)} are spent, and the budget is {money(self._budget)}: stopping what runs"
                )

    def _tell(self, result: TaskResult, line: str) -> None:
        self._save()
        self._watcher.changed(result, line)


def outcome_line(results: Results) -> str:
    """Sum up a fleet in one line."""
    states = [task.outcome for task in results.tasks]
    parts = [f"{states.count(state)} {state.replace('_', ' ')}" for state in State if state in states]
    return f"{count(len(states), 'task')}: {', '.join(parts)}; {money(results.cost)}"
