"""A fleet of twelve tasks on a real engine: success, failures worth a retry and not, out of memory, budget, stop."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.containers import DOCKER, KEY, Yard, docker, needs_image, until, yard
from tests.support.places import ROOT

pytestmark = pytest.mark.docker

#: Takes memory until the kernel ends the container.
EAT = "exec python3 -c 'm = []; [m.append(b\"x\" * (32 << 20)) for _ in iter(int, 1)]'"


class Fleets:
    """Fleets of tasks with a scripted claude."""

    def __init__(self, place: Yard, directory: Path) -> None:
        self.yard = place
        self.directory = directory
        self.started: list[subprocess.Popen[str]] = []
        self.flaky = place.directory / "flaky"
        # It fails the first time for each value of FLAKY.
        self.flaky.write_text(f"""#!/bin/sh
case "$*" in *--version*) exec {place.claude} --version ;; esac
if mkdir "{place.directory}/marks/$FLAKY" 2>/dev/null; then
  CLAUDE_CODE_SCRIPT='[["read"],["init"],["write","one.txt","1"],["die",9]]'
else CLAUDE_CODE_SCRIPT=edits:two.txt; fi
export CLAUDE_CODE_SCRIPT
exec {place.claude} "$@"
""")
        self.flaky.chmod(0o755)
        self.empty = place.directory / "empty"
        self.empty.mkdir()
        self.marks = place.directory / "marks"
        self.marks.mkdir()
        self.marks.chmod(0o777)

    def task(self, name: str, script: Any = "ok", **values: str) -> dict[str, str]:
        text = script if isinstance(script, str) else json.dumps(script)
        return {
            "REPO_URL": str(self.yard.origin), "TASK": f"Do {name}", "CONTAINER_ID": name,
            "CLAUDE_BIN": str(self.yard.claude), "CLAUDE_ENV": f"CLAUDE_CODE_SCRIPT: {text}", **values,
        }  # fmt: skip

    def start(self, tasks: list[dict[str, str]] | None, *options: str) -> subprocess.Popen[str]:
        where = [f"--resume={self.directory}/fleet"]
        if tasks is not None:
            (self.directory / "tasks.json").write_text(json.dumps(tasks))
            where = [
                "tasks.json",
                "--dir=fleet",
                f"--engine={DOCKER}",
                "--memory=512m",
                "--run-option=--memory-swap=512m",
            ]
            where += [f"--run-option=--volume={path}:{path}" for path in (self.yard.claude, self.flaky, self.marks)]
        environment = {
            **{name: os.environ[name] for name in ("PATH", "DOCKER_HOST") if name in os.environ},
            "HOME": str(self.directory), "PYTHONPATH": str(ROOT), "ANTHROPIC_API_KEY": KEY,
        }  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, "-m", "agent", "fleet", *where, *options], cwd=self.directory, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.started.append(process)
        return process

    def begun(self) -> bool:
        return (self.directory / "fleet" / "results.json").exists()

    @property
    def results(self) -> dict[str, Any]:
        return json.loads((self.directory / "fleet" / "results.json").read_text())  # type: ignore[no-any-return]

    @property
    def tasks(self) -> dict[str, dict[str, Any]]:
        return {task["task"]: task for task in self.results["tasks"]}

    @property
    def outcomes(self) -> dict[str, str]:
        return {name: task["outcome"] for name, task in self.tasks.items()}

    def containers(self, all: bool = True) -> list[str]:
        name = self.results["fleet"]
        return docker("ps", *(["--all"] if all else []), "--filter", f"label=agent.fleet={name}", "-q").split()

    def clear(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.communicate()
        if self.begun() and (left := self.containers()):
            docker("rm", "--force", "--volumes", *left)


@pytest.fixture
def fleets(tmp_path: Path) -> Iterator[Fleets]:
    needs_image()
    with yard() as place:
        made = Fleets(place, tmp_path)
        yield made
        made.clear()


def test_twelve_tasks(fleets: Fleets) -> None:
    tasks = [
        *(fleets.task(f"ok{n}", f"edits:new{n}.txt") for n in range(6)),
        fleets.task("failed", "failed"), fleets.task("turns", "no-result"),
        fleets.task("nowhere", REPO_URL=str(fleets.empty)),
        fleets.task("oom", [["read"], ["init"], ["bash", EAT], ["die", 9]]),
        *(
            fleets.task(f"flaky{n}", CLAUDE_BIN=str(fleets.flaky), CLAUDE_ENV=f"FLAKY: mark-of-{n}")
            for n in range(2)
        ),
    ]  # fmt: skip
    process = fleets.start(tasks, "--parallel=4", "--retries=1")
    shown, _ = process.communicate(timeout=300)
    print(shown)
    assert process.returncode == 1
    by_name = fleets.tasks
    assert fleets.outcomes == {
        **{f"ok{n}": "succeeded" for n in range(6)}, "failed": "failed", "turns": "failed", "nowhere": "failed",
        "oom": "failed", "flaky0": "succeeded", "flaky1": "succeeded",
    }  # fmt: skip
    assert {len(by_name[name]["attempts"]) for name in ("ok0", "failed", "turns", "nowhere")} == {1}
    assert [attempt["exitCode"] for attempt in by_name["flaky0"]["attempts"]] == [137, 0]
    oom = by_name["oom"]["attempts"]
    assert [(attempt["exitCode"], attempt["reason"] in ("oom", "memory_guard")) for attempt in oom] == [(137, True)] * 2
    for n in range(6):
        patch = (fleets.directory / "fleet" / by_name[f"ok{n}"]["patch"]).read_text()
        assert f"new{n}.txt" in patch
    assert len(list((fleets.directory / "fleet" / "runs").rglob("*.ndjson"))) == 15, "the hub has every attempt"
    assert fleets.containers() == []
    assert KEY not in shown
    everything = [path for path in (fleets.directory / "fleet").rglob("*") if path.is_file()]
    assert [path for path in everything if KEY.encode() in path.read_bytes()] == []
    alone = sum(task["duration"] or 0 for task in by_name.values()) / 1000
    print(f"{alone:.0f} s of runs in {shown.splitlines()[-1]}")


def test_ctrl_c_and_going_on(fleets: Fleets) -> None:
    tasks = [fleets.task("done"), *(fleets.task(f"slow{n}", "polite") for n in range(3))]
    process = fleets.start(tasks, "--parallel=2")
    until(fleets.begun)
    until(lambda: len(fleets.containers(all=False)) == 2 and fleets.outcomes["done"] == "succeeded", 90)
    time.sleep(3)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    shown, _ = process.communicate(timeout=90)
    assert process.returncode == 130, shown
    assert time.monotonic() - began < 35, "within the stop's budget"
    assert fleets.containers() == []
    stopped = [task for task in fleets.tasks.values() if task["task"] != "done"]
    assert sorted((task["outcome"], task["exitCode"]) for task in stopped) == [
        ("cancelled", 143), ("cancelled", 143), ("not_started", None),
    ]  # fmt: skip
    paid = fleets.tasks["done"]
    for task in tasks:
        task["CLAUDE_ENV"] = "CLAUDE_CODE_SCRIPT: ok"
    (fleets.directory / "fleet" / "tasks.json").write_text(json.dumps(tasks))
    process = fleets.start(None)
    shown, _ = process.communicate(timeout=120)
    assert process.returncode == 0, shown
    assert set(fleets.outcomes.values()) == {"succeeded"}
    assert fleets.tasks["done"] == paid


def test_a_killed_fleet_waits_for_its_containers(fleets: Fleets) -> None:
    slow = [["read"], ["init"], ["text", "Working."], ["sleep", 12], ["write", "late.txt", "x"], ["result"]]
    process = fleets.start([fleets.task("t", slow)])
    until(fleets.begun)
    until(lambda: fleets.containers(all=False), 60)
    time.sleep(3)
    process.kill()
    process.communicate()
    container = fleets.containers(all=False)
    assert len(container) == 1, "it goes on by itself"
    process = fleets.start(None)
    shown, _ = process.communicate(timeout=120)
    assert process.returncode == 0, shown
    assert "t: goes on" in shown
    attempt, = fleets.tasks["t"]["attempts"]  # fmt: skip
    assert (attempt["exitCode"], attempt["reason"]) == (0, "success")
    run, = (fleets.directory / "fleet" / "runs" / "t").glob("*.ndjson")  # fmt: skip
    messages = [json.loads(line) for line in run.read_text().splitlines()]
    assert [message["seq"] for message in messages] == list(range(1, len(messages) + 1)), "nothing is missing"
    assert messages[-1]["type"] == "COMPLETE"


def test_the_budget(fleets: Fleets) -> None:
    process = fleets.start([fleets.task(f"t{n}") for n in range(3)], "--parallel=1", "--budget=0.02")
    shown, _ = process.communicate(timeout=120)
    assert process.returncode == 1, shown
    assert list(fleets.outcomes.values()) == ["succeeded", "succeeded", "not_started"]
