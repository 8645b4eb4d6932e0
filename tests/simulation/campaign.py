"""Many seeds: what was covered, what failed, and the smallest run that still fails."""

from __future__ import annotations

import faulthandler
import gc
import time
from collections import Counter
from collections.abc import Collection, Iterable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from agent.machine import Phase
from tests.simulation.chance import FAULTS, Chance
from tests.simulation.invariants import CHECKS, violations
from tests.simulation.run import Simulated, simulate

KEPT = Path(__file__).with_name("kept_seeds.txt")

#: A run takes some milliseconds; one that needs this long, in seconds, goes round in circles.
_STUCK = 60


class Failure(NamedTuple):
    seed: int
    without: tuple[str, ...]
    problems: list[str]

    def __str__(self) -> str:
        without = f" --without {','.join(self.without)}" if self.without else ""
        command = f"python -m tests.simulation --seed {self.seed}{without}"
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
        for seed in seeds:
            if self.runs % 100 == 0:
                gc.collect()  # by hand: the collector's own visits cost a tenth of the time
                faulthandler.dump_traceback_later(_STUCK, exit=True)
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
        self.seconds = max(self.seconds, other.seconds)
        for name in ("faults", "phases", "transitions", "exits", "reports"):
            getattr(self, name).update(getattr(other, name))
        self.connections += other.connections
        self.failures += other.failures

    def report(self) -> str:
        unseen = sorted(set(FAULTS) - set(self.faults))
        states = f"{len(self.phases)} of {len(Phase)} states, {len(self.transitions)} transitions"
        lines = [
            f"{self.runs} runs in {self.seconds:.1f} s, {self.runs / max(self.seconds, 1e-9):.0f} a second; "
            f"{self.connections} connections",
            f"{sum(self.faults.values())} faults: " + _counts(self.faults),
            *([f"never drawn: {', '.join(unseen)}"] if unseen else []),
            f"{states}: " + _counts(Counter({f"{a}>{b}": n for (a, b), n in self.transitions.items()})),
            "reports: " + _counts(self.reports),
            "exit codes: " + _counts(Counter({str(code): n for code, n in self.exits.items()})),
            f"{len(CHECKS)} invariants after each: {', '.join(check.__name__ for check in CHECKS)}",
            f"{len(self.failures)} failures",
        ]
        return "\n".join(lines)


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
            failure = Failure(failure.seed, without, problems)
    return failure


def kept_seeds() -> list[int]:
    """Every seed that ever failed, which is run for ever after."""
    lines = (line.split("#")[0].strip() for line in KEPT.read_text().splitlines())
    return [int(line) for line in lines if line]
