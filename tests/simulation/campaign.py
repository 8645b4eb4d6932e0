"""Many seeds: what was covered, what failed, and the smallest run that still fails."""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from agent.protocol.phase import Phase
from agent.run.machine import RunMachine
from tests.simulation.chance import FAULTS, Chance
from tests.simulation.invariants import CHECKS, violations
from tests.simulation.plan import BUGS
from tests.simulation.run import Simulated, simulate
from tests.support.sabotage import GUARDS

KEPT = Path(__file__).with_name("kept_seeds.txt")

#: A run takes some milliseconds; one that needs this long, in seconds, goes round in circles.
_STUCK = 60
#: Seeds that a process takes at a time.
_BLOCK = 100
#: All ways from one state to another.
TRANSITIONS = frozenset(
    (str(transition.source.id), str(target.id))
    for state in RunMachine.states
    for transition in state.transitions
    for target in transition.targets
    if target is not transition.source
)


class Failure(NamedTuple):
    seed: int
    without: tuple[str, ...]
    problems: list[str]
    sabotage: str | None = None

    def __str__(self) -> str:
        without = f" --without {','.join(self.without)}" if self.without else ""
        sabotage = f" --sabotage {self.sabotage}" if self.sabotage else ""
        command = f"python -m tests.simulation --seed {self.seed}{without}{sabotage}"
        return "\n".join([f"seed {self.seed}:", *(f"  {problem}" for problem in self.problems), f"  {command}"])


class Campaign:
    """Runs seeds and counts what they met."""

    def __init__(self) -> None:
        self.runs = 0
        self.seconds = 0.0
        self.faults: Counter[str] = Counter()
        self.phases: Counter[str] = Counter()
        self.transitions: Counter[tuple[str, str]] = Counter()
        self.exits: Counter[int] = Counter()
        self.reports: Counter[str] = Counter()
        self.connections = 0
        self.failures: list[Failure] = []

    def run(self, seeds: Iterable[int]) -> None:
        began = time.perf_counter()
        with _alarm():
            for seed in seeds:
                if self.runs % 100 == 0:
                    gc.collect()  # by hand: the collector's own visits cost a tenth of the time
                    faulthandler.dump_traceback_later(2 * _STUCK, exit=True)
                signal.setitimer(signal.ITIMER_REAL, _STUCK)
                run, problems = examine(seed)
                self._count(run)
                if problems:
                    self.failures.append(Failure(seed, (), problems))
        faulthandler.cancel_dump_traceback_later()
        self.seconds += time.perf_counter() - began

    def _count(self, run: Simulated | None) -> None:
        self.runs += 1
        if run is None:
            return
        self.faults.update(run.chance.faults)
        if run.history.struck:
            self.faults[f"bug in {run.history.bug}"] += 1
        order = [phase.value for _, phase in run.phases]
        self.phases.update(order)
        self.transitions.update(pairwise(order))
        self.reports.update(type(report).__name__ for _, report, _ in run.trail)
        self.exits[int(run.exit if run.exit is not None else -1)] += 1
        self.connections += run.server.connections

    def merge(self, other: Campaign) -> None:
        self.runs += other.runs
        self.seconds += other.seconds
        for name in ("faults", "phases", "transitions", "exits", "reports"):
            getattr(self, name).update(getattr(other, name))
        self.connections += other.connections
        self.failures += other.failures

    @property
    def unseen(self) -> list[str]:
        """What can be met and was not: faults, parts with a bug, states, transitions."""
        bugs = {f"bug in {part}" for part in BUGS}
        missed = sorted((set(FAULTS) | bugs) - set(self.faults))
        missed += sorted({phase.value for phase in Phase} - set(self.phases))
        return missed + sorted(f"{a}>{b}" for a, b in TRANSITIONS - set(self.transitions))

    def report(self, processes: int = 1) -> str:
        """`processes` is how many worked at the same time."""
        states = f"{len(self.phases)} of {len(Phase)} states, {len(self.transitions)} of {len(TRANSITIONS)} transitions"
        rate = self.runs / max(self.seconds, 1e-9)
        on = f" with {processes} processes, {rate / processes:.0f} each" if processes > 1 else ""
        lines = [
            f"{self.runs} runs in {self.seconds:.1f} s, {rate:.0f} a second{on}; {self.connections} connections",
            f"{sum(self.faults[name] for name in FAULTS)} faults: " + _counts(self.faults),
            f"{states}: " + _counts(Counter({f"{a}>{b}": n for (a, b), n in self.transitions.items()})),
            *([f"not met: {', '.join(self.unseen)}"] if self.unseen else []),
            "reports: " + _counts(self.reports),
            "exit codes: " + _counts(Counter({str(code): n for code, n in self.exits.items()})),
            f"{len(CHECKS)} invariants after each: {', '.join(check.__name__ for check in CHECKS)}",
            f"{len(self.failures)} failures",
        ]
        return "\n".join(lines)


@contextmanager
def _alarm() -> Iterator[None]:
    """A run that is stuck is a failure that is told with its seed."""

    def stuck(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"not over after {_STUCK} seconds")

    before = signal.signal(signal.SIGALRM, stuck)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counter.items(), key=lambda item: (-item[1], item[0])))


def examine(seed: int, without: Collection[str] = ()) -> tuple[Simulated | None, list[str]]:
    """One seed, and what is wrong with it; an exception that leaves the simulation is wrong as well."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        run = simulate(seed, without)
        return run, violations(run)
    except BaseExceptionGroup as group:
        return None, [f"raised: {group!r}"]
    except Exception as error:
        return None, [f"raised: {error!r}"]
    finally:
        if enabled:
            gc.enable()


def shrink(failure: Failure) -> Failure:
    """Leave out every fault without which the same check still fails."""
    checks = {problem.split(":")[0] for problem in failure.problems}
    for name in sorted(Chance(failure.seed).faults - set(failure.without)):
        without = (*failure.without, name)
        _, problems = examine(failure.seed, without)
        if checks & {problem.split(":")[0] for problem in problems}:
            failure = failure._replace(without=without, problems=problems)
    return failure


def keep(failure: Failure) -> None:
    """Add its seed to those that are run for ever after."""
    if failure.seed not in kept_seeds():
        with KEPT.open("a") as file:
            file.write(f"{failure.seed}  # {failure.problems[0][:150]}\n")


class Workers:
    """Processes that share the seeds, one for each core that this one may use."""

    def __init__(self, sabotage: str | None = None) -> None:
        self.count = len(os.sched_getaffinity(0))
        # A fresh interpreter each, so that what has run in this one does not matter.
        self._pool = ProcessPoolExecutor(self.count, get_context("spawn"), initializer=_prepare, initargs=(sabotage,))

    def run(self, seeds: Sequence[int]) -> Campaign:
        """Whatever the order in which the processes take them, failures are told in the order of the seeds."""
        whole, began = Campaign(), time.perf_counter()
        for part in self._pool.map(_block, [seeds[at : at + _BLOCK] for at in range(0, len(seeds), _BLOCK)]):
            whole.merge(part)
        whole.seconds = time.perf_counter() - began
        return whole

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def _prepare(sabotage: str | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-C is for the one that waits for us
    if sabotage is not None:
        GUARDS[sabotage](setattr)


def _block(seeds: Sequence[int]) -> Campaign:
    found = Campaign()
    found.run(seeds)
    return found


def kept_seeds() -> list[int]:
    """Every seed that ever failed, which is run for ever after."""
    lines = (line.split("#")[0].strip() for line in KEPT.read_text().splitlines())
    return [int(line) for line in lines if line]
