"""Simulated runs: a fixed block of seeds and every seed that ever failed; and the simulation itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation import campaign as module
from tests.simulation import run as simulation
from tests.simulation.campaign import Campaign, Failure, Workers, examine, kept_seeds, shrink
from tests.simulation.chance import Chance
from tests.support.places import ROOT

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
    """Every fault is drawn, every part has had a bug, every state and every way is reached, and nothing is wrong."""
    workers = Workers()
    whole = workers.run(range(SEEDS))
    workers.close()
    with capsys.disabled():
        print("\n" + whole.report(workers.count))
    assert not whole.failures, "\n".join(map(str, map(shrink, whole.failures)))
    assert not whole.unseen
    assert {0, 1, 66, 69, 70, 72, 74, 75, 77, 78, 79, 124, 126, 127, 129, 130, 137, 143} <= set(whole.exits)


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


@pytest.mark.slow
def test_a_planted_bug_is_told_with_the_command_that_shows_it() -> None:
    """That command gives the same history, byte for byte, each time, and fails by the same check."""
    command = [sys.executable, "-m", "tests.simulation", "1", "--first", "2", "--sabotage", "sweep"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 1
    printed = next(line.split() for line in found.stdout.splitlines() if "--seed 2 " in line)
    assert printed[:3] == ["python", "-m", "tests.simulation"]
    assert printed[-2:] == ["--sabotage", "sweep"]
    again = [subprocess.run([sys.executable, *printed[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
             for _ in range(2)]  # fmt: skip
    assert again[0].returncode == 1
    assert again[0].stdout == again[1].stdout
    assert "ended: a descendant of claude" in again[0].stdout


def test_a_find_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kept = tmp_path / "kept_seeds.txt"
    kept.write_text("# seeds\n1  # first\n")
    monkeypatch.setattr(module, "KEPT", kept)
    module.keep(Failure(7, ("bug",), ["ended: hung", "in_time: late"]))
    module.keep(Failure(7, (), ["ended: hung"]))
    assert kept.read_text().splitlines()[2:] == ["7  # ended: hung"]
    assert module.kept_seeds() == [1, 7]


def test_what_is_not_met_is_told() -> None:
    found = campaign(0, 3)
    assert {"server.huge_message", "bug in supervisor", "REPORTING>TIMED_OUT"} <= set(found.unseen)
    assert "not met: " in found.report()
    assert "of 22 transitions" in found.report(2)


def test_a_run_that_is_stuck_is_told_with_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that never comes back to the scheduler."""

    def busy(seed: int, without: object = ()) -> None:
        while True:
            pass

    monkeypatch.setattr(module, "_STUCK", 0.1)
    monkeypatch.setattr(module, "simulate", busy)
    (failure,) = campaign(5, 1).failures
    assert failure.seed == 5
    assert "not over after" in failure.problems[0]


def test_a_run_that_hangs_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "BUDGET", 0.001)
    _, problems = examine(next(seed for seed in range(100) if not Chance(seed).faults))
    assert any(problem.startswith("ended: hung") for problem in problems)
