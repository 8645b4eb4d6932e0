"""Simulated runs: a fixed block of seeds and every seed that ever failed; and the simulation itself."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from tests.simulation import run as simulation
from tests.simulation.campaign import Campaign, Failure, examine, kept_seeds, shrink
from tests.simulation.chance import FAULTS, Chance

ROOT = Path(__file__).parent.parent
#: The block that CI runs.
SEEDS = 2000


def campaign(first: int, count: int) -> Campaign:
    found = Campaign()
    found.run(range(first, first + count))
    return found


@pytest.mark.parametrize("seed", kept_seeds())
def test_kept_seed(seed: int) -> None:
    _, problems = examine(seed)
    assert not problems, Failure(seed, (), problems)


@pytest.mark.parametrize("first", range(0, 100, 25))
def test_a_few_seeds(first: int) -> None:
    found = campaign(first, 25)
    assert not found.failures, "\n".join(map(str, found.failures))


@pytest.mark.slow
def test_the_fixed_block(capsys: pytest.CaptureFixture[str]) -> None:
    """Every fault is drawn, every state and every way out is reached, and nothing is wrong."""
    workers = os.cpu_count() or 1
    share = -(-SEEDS // workers)
    whole = Campaign()
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for part in pool.map(campaign, range(0, share * workers, share), [share] * workers):
            whole.merge(part)
    with capsys.disabled():
        print("\n" + whole.report())
    assert not whole.failures, "\n".join(map(str, map(shrink, whole.failures)))
    assert set(FAULTS) <= set(whole.faults)
    assert len(whole.phases) == 11
    assert {0, 1, 66, 69, 70, 74, 75, 77, 78, 124, 126, 127, 129, 130, 137, 143} <= set(whole.exits)


def test_a_seed_is_replayed_identically_in_any_process() -> None:
    """Whatever the hash seed of the process, the same history, byte for byte."""
    command = [sys.executable, "-m", "tests.simulation", "--seed", "4"]
    histories = {
        subprocess.run(
            command, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": hash_seed}, capture_output=True, check=False
        ).stdout
        for hash_seed in ("0", "1", "2")
    }
    assert len(histories) == 1
    assert b"exit" in histories.pop()


@pytest.mark.parametrize("seed", range(12))
def test_a_seed_is_replayed_identically(seed: int) -> None:
    assert simulation.simulate(seed).history.notes == simulation.simulate(seed).history.notes


def test_leaving_out_a_fault_leaves_the_others_alone() -> None:
    seed = next(seed for seed in range(100) if len(Chance(seed).faults) > 3)
    faults = Chance(seed).faults
    for name in faults:
        assert Chance(seed, (name,)).faults == faults - {name}


def test_a_failure_shrinks_to_the_faults_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that objects to one kind of fault needs that fault alone."""
    seed = next(seed for seed in range(1000) if "bug" in Chance(seed).faults and len(Chance(seed).faults) > 3)

    def problems(run: simulation.Simulated) -> list[str]:
        return ["invented: wrong"] if "bug" in run.chance.faults else []

    monkeypatch.setattr("tests.simulation.campaign.violations", problems)
    small = shrink(Failure(seed, (), ["invented: wrong"]))
    assert Chance(seed, small.without).faults == {"bug"}
    assert f"python -m tests.simulation --seed {seed} --without " in str(small)


def test_a_run_that_hangs_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "BUDGET", 0.001)
    _, problems = examine(next(seed for seed in range(100) if not Chance(seed).faults))
    assert any(problem.startswith("ended: hung") for problem in problems)
