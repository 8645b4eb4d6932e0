"""Whole fleets: `agent fleet` as a process, its hub, and agents as processes in the place of containers."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support import scripted_claude
from tests.support.git_servers import git, http_server, make_origin
from tests.support.mock_api import MockApi, Step
from tests.support.places import ROOT
from tests.support.real_cli import claude_cli

pytestmark = pytest.mark.system

KEY = "sk-ant-api03-" + "canary" * 5


class Yard:
    """A repository, a scripted claude, and fleets on them."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.origin = make_origin(place)
        self.claude = scripted_claude.install(place)
        self._started: list[subprocess.Popen[str]] = []

    def task(self, name: str, script: str = "ok", **values: str) -> dict[str, str]:
        return {
            "REPO_URL": str(self.origin), "TASK": f"Do {name}", "CONTAINER_ID": name,
            "CLAUDE_ENV": f"CLAUDE_CODE_SCRIPT: {script}", **values,
        }  # fmt: skip

    def start(self, tasks: list[dict[str, str]] | None, *options: str, **environ: str) -> subprocess.Popen[str]:
        directory = self.place / "fleet"
        where = [f"--resume={directory}"]
        if tasks is not None:
            (self.place / "tasks.json").write_text(json.dumps(tasks))
            where = ["tasks.json", f"--dir={directory}", "--engine=local"]
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(self.place), "PYTHONPATH": str(ROOT),
            "CLAUDE_BIN": str(self.claude), "ANTHROPIC_API_KEY": KEY, **environ,
        }  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, "-m", "agent", "fleet", *where, *options], cwd=self.place, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._started.append(process)
        return process

    @property
    def results(self) -> dict[str, Any]:
        return json.loads((self.place / "fleet" / "results.json").read_text())  # type: ignore[no-any-return]

    @property
    def outcomes(self) -> dict[str, str]:
        return {task["task"]: task["outcome"] for task in self.results["tasks"]}

    def until(self, condition: Any, seconds: float = 40) -> None:
        ends = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < ends, f"it never came true; still running: {self.left()}"
            time.sleep(0.1)

    def says(self, name: str, text: str) -> bool:
        logs = (self.place / "fleet" / "tasks" / name).glob("attempt-*/stderr.log")
        return any(text in log.read_text() for log in logs)

    def left(self) -> list[str]:
        """Processes that still use the place."""
        found = []
        for process in psutil.process_iter():
            try:
                if str(self.place) in " ".join([*process.cmdline(), process.cwd()]):
                    found.append(" ".join(process.cmdline()))
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    made = Yard(tmp_path)
    yield made
    for process in made._started:
        if process.poll() is None:
            process.kill()
            process.communicate()
    made.until(lambda: not made.left())


def test_a_fleet(yard: Yard) -> None:
    """Success, a failure that is final, and one that is worth a retry, which goes on on its branch."""
    flaky = yard.place / "flaky"
    flaky.write_text(f"""#!/bin/sh
case "$*" in *--version*) exec {yard.claude} --version ;; esac
if mkdir {yard.place}/tried 2>/dev/null; then CLAUDE_CODE_SCRIPT='[["read"],["init"],["write","one.txt","1"],["die",9]]'
else CLAUDE_CODE_SCRIPT=edits:two.txt; fi
export CLAUDE_CODE_SCRIPT
exec {yard.claude} "$@"
""")
    flaky.chmod(0o755)
    tasks = [
        yard.task("good"), yard.task("bad", "failed"), yard.task("nowhere", REPO_URL=str(yard.place)),
        yard.task("flaky", "", CLAUDE_BIN=str(flaky), PUSH_BRANCH="claude/{run}"),
    ]  # fmt: skip
    process = yard.start(tasks, "--parallel=3")
    shown, _ = process.communicate(timeout=100)
    assert process.returncode == 1, shown
    assert yard.outcomes == {"good": "succeeded", "bad": "failed", "nowhere": "failed", "flaky": "succeeded"}
    good, bad, nowhere, retried = yard.results["tasks"]
    assert (good["exitCode"], bad["exitCode"], nowhere["exitCode"], retried["exitCode"]) == (0, 1, 66, 0)
    assert [attempt["exitCode"] for attempt in retried["attempts"]] == [137, 0]
    first, second = (attempt["changes"]["branch"] for attempt in retried["attempts"])
    assert first == second == retried["branch"]
    assert {"one.txt", "two.txt"} <= set(git(yard.origin, "ls-tree", "--name-only", retried["branch"]).split())
    assert good["cost"] == pytest.approx(yard.results["cost"] / 2, rel=0.6)
    assert "4 tasks: 2 succeeded, 2 failed" in shown
    assert len(list((yard.place / "fleet" / "runs").rglob("*.ndjson"))) == 5, "the hub has every attempt"
    assert not (yard.place / "fleet" / "secrets").exists()
    everything = "".join(
        path.read_text(errors="replace") for path in (yard.place / "fleet").rglob("*") if path.is_file()
    )
    assert KEY not in everything + shown


def test_ctrl_c_stops_all_in_order_and_the_fleet_goes_on(yard: Yard) -> None:
    tasks = [yard.task("done"), *(yard.task(f"slow{n}", "polite") for n in (1, 2, 3))]
    process = yard.start(tasks, "--parallel=3")
    yard.until(
        lambda: yard.says("slow1", "Working.") and yard.says("slow2", "Working.") and yard.says("done", "exit 0")
    )
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    shown, _ = process.communicate(timeout=60)
    assert process.returncode == 130, shown
    assert time.monotonic() - began < 30, "within the stop's budget"
    assert yard.outcomes["done"] == "succeeded"
    assert yard.outcomes["slow1"] == yard.outcomes["slow2"] == "cancelled"
    for name in ("slow1", "slow2"):
        run, = (yard.place / "fleet" / "runs" / name).glob("*.ndjson")  # fmt: skip
        assert json.loads(run.read_text().splitlines()[-1])["type"] == "COMPLETE"
    paid = yard.results["tasks"][0]
    for task in tasks:
        task["CLAUDE_ENV"] = "CLAUDE_CODE_SCRIPT: ok"
    (yard.place / "fleet" / "tasks.json").write_text(json.dumps(tasks))
    process = yard.start(None)
    shown, _ = process.communicate(timeout=60)
    assert process.returncode == 0, shown
    assert set(yard.outcomes.values()) == {"succeeded"}
    assert yard.results["tasks"][0] == paid


def test_a_second_ctrl_c_ends_it_at_once(yard: Yard) -> None:
    process = yard.start([yard.task("deaf", "deaf", KILL_GRACE="20s")])
    yard.until(lambda: yard.says("deaf", "claude-scripted"))
    process.send_signal(signal.SIGINT)
    yard.until(lambda: yard.says("deaf", "stopping: cancelled"))
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    shown, _ = process.communicate(timeout=60)
    assert (process.returncode, yard.outcomes) == (130, {"deaf": "cancelled"}), shown
    assert time.monotonic() - began < 15, "before KILL_GRACE is over"


def test_the_budget_stops_a_fleet_and_a_larger_one_goes_on(yard: Yard) -> None:
    tasks = [yard.task(f"t{n}") for n in (1, 2, 3)]
    process = yard.start(tasks, "--parallel=1", "--budget=0.02")
    shown, _ = process.communicate(timeout=60)
    assert process.returncode == 1, shown
    assert yard.outcomes == {"t1": "succeeded", "t2": "succeeded", "t3": "not_started"}
    process = yard.start(None, "--budget=1")
    shown, _ = process.communicate(timeout=60)
    assert (process.returncode, yard.outcomes["t3"]) == (0, "succeeded"), shown


def test_a_question_is_shown_with_the_command_that_answers_it(yard: Yard) -> None:
    process = yard.start([yard.task("t", "asks", ASK="1")])
    assert process.stdout is not None
    line = next(line for line in process.stdout if line.startswith("agent answer "))
    command = shlex.split(line.partition(" (")[0])
    assert command[1:5] == ["answer", "t", "q1", "allow"]
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-m", *command], env=environ, check=True, timeout=60)
    shown, _ = process.communicate(timeout=60)
    assert (process.returncode, yard.outcomes) == (0, {"t": "succeeded"}), shown


def test_a_fleet_that_is_killed_leaves_nothing_and_goes_on(yard: Yard) -> None:
    process = yard.start([yard.task("t", "polite")])
    yard.until(lambda: yard.says("t", "Working."))
    process.kill()
    process.communicate()
    yard.until(lambda: not yard.left())
    tasks = [yard.task("t")]
    (yard.place / "fleet" / "tasks.json").write_text(json.dumps(tasks))
    process = yard.start(None)
    shown, _ = process.communicate(timeout=60)
    assert process.returncode == 0, shown
    assert [attempt["exitCode"] for attempt in yard.results["tasks"][0]["attempts"]] == [None, 0]


def test_a_given_hub_has_the_runs(yard: Yard) -> None:
    hub = subprocess.Popen(
        [sys.executable, "-m", "agent", "serve", "--port=0", f"--store={yard.place}/store"], cwd=ROOT,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert hub.stdout is not None
        url = hub.stdout.readline().split("listening on ws://", 1)[1].split(";")[0]
        process = yard.start([yard.task("t")], f"--hub=http://{url}")
        shown, _ = process.communicate(timeout=60)
        assert process.returncode == 0, shown
        assert f"watch it at http://{url}" in shown
        assert len(list((yard.place / "store").rglob("*.ndjson"))) == 1
    finally:
        hub.terminate()
        hub.communicate()


@pytest.mark.cli
def test_the_real_cli_goes_on_with_its_session(yard: Yard) -> None:
    begin: list[Step] = [
        {"text": "I begin.", "tools": [["Bash", {"command": "echo half > part.txt", "description": "x"}]]},
        {"text": "I think about the rest", "stall": True},
    ]
    options = {"CLAUDE_BIN": str(claude_cli()), "PERMISSION_MODE": "bypassPermissions", "IS_SANDBOX": "1"}
    tasks = [
        {
            "REPO_URL": str(yard.origin), "TASK": f"Count the {what}", "CONTAINER_ID": what,
            "PUSH_BRANCH": f"claude/{what}",
        }
        for what in ("beans", "peas")
    ]  # fmt: skip
    with MockApi(script=begin) as api:
        process = yard.start(tasks, ANTHROPIC_BASE_URL=api.url, **options)
        yard.until(lambda: len(api.requests) >= 4)
        process.send_signal(signal.SIGINT)
        shown, _ = process.communicate(timeout=60)
    assert process.returncode == 130, shown
    assert set(yard.outcomes.values()) == {"cancelled"}
    before = {task["task"]: task["attempts"][0] for task in yard.results["tasks"]}
    with MockApi(script=[{"text": "All of it."}]) as api:
        process = yard.start(None, ANTHROPIC_BASE_URL=api.url, **options)
        shown, _ = process.communicate(timeout=60)
    assert process.returncode == 0, shown
    assert len(api.requests) == 2
    for task in yard.results["tasks"]:
        first, second = task["attempts"]
        assert first == before[task["task"]]
        assert (second["sessionID"], task["branch"]) == (first["sessionID"], f"claude/{task['task']}")
        assert "part.txt" in git(yard.origin, "ls-tree", "--name-only", f"claude/{task['task']}").split()
        assert any(f"Count the {task['task']}" in request.text and "half > part.txt" in request.text
                   for request in api.requests)  # fmt: skip
        assert task["cost"] == pytest.approx(first["cost"] + second["cost"])


@pytest.mark.cli
@pytest.mark.parametrize("pushed", [False, True])
def test_an_attempt_after_trouble_of_the_api_has_the_work_of_the_one_before(yard: Yard, pushed: bool) -> None:
    script: list[Step] = [
        {"tools": [["Bash", {"command": "echo one > part.txt", "description": "x"}]]},
        {"status": 529},
        {"tools": [["Bash", {"command": "echo two >> part.txt", "description": "x"}]]},
        {"text": "All of it."},
    ]
    options = {"CLAUDE_BIN": str(claude_cli()), "PERMISSION_MODE": "bypassPermissions", "IS_SANDBOX": "1",
               "CLAUDE_ENV": "CLAUDE_CODE_MAX_RETRIES: 0"}  # fmt: skip
    task = {"REPO_URL": str(yard.origin), "TASK": "Count the beans", "CONTAINER_ID": "beans"}
    with MockApi(script=script) as api:
        tasks = [{**task, **({"PUSH_BRANCH": "claude/beans"} if pushed else {})}]
        process = yard.start(tasks, ANTHROPIC_BASE_URL=api.url, **options)
        shown, _ = process.communicate(timeout=120)
    assert process.returncode == 0, shown
    (result,) = yard.results["tasks"]
    first, second = result["attempts"]
    assert (first["exitCode"], first["reason"], second["exitCode"]) == (75, "api_unavailable", 0)
    assert first["sessionID"] == second["sessionID"]
    assert "+one\n+two\n" in (yard.place / "fleet" / result["patch"]).read_text()
    assert second["changes"]["base"] == first["changes"]["base"]
    assert result["cost"] == pytest.approx(first["cost"] + second["cost"])
    if pushed:
        assert git(yard.origin, "show", "claude/beans:part.txt") == "one\ntwo"


def test_a_fleet_whose_output_nobody_reads_goes_on(yard: Yard) -> None:
    """As with `| head -1`: what is paid for is not lost with the terminal."""
    process = yard.start([yard.task("t1"), yard.task("t2")])
    assert process.stdout is not None
    assert process.stdout.readline().startswith("watch it at ")
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    assert yard.outcomes == {"t1": "succeeded", "t2": "succeeded"}


def test_tasks_that_share_a_repository_fetch_it_once(yard: Yard) -> None:
    with http_server(yard.place) as server:
        url = f"{server.url}/origin.git"
        tasks = [yard.task(f"t{n}", f"edits:new{n}.txt", REPO_URL=url) for n in (1, 2)]
        process = yard.start(tasks)
        shown, _ = process.communicate(timeout=60)
    assert process.returncode == 0, shown
    assert f"fetching {url} once for 2 tasks" in shown
    mirror, = (yard.place / "fleet" / "mirrors").iterdir()  # fmt: skip
    for task in yard.results["tasks"]:
        workspace, = (yard.place / "fleet" / "tasks" / task["task"]).glob("local/*/workspace")  # fmt: skip
        assert (workspace / ".git/objects/info/alternates").read_text() == f"{mirror}/objects\n"
        assert list((workspace / ".git/objects").rglob("*.pack")) == []
        assert f"new{task['number']}.txt" in (yard.place / "fleet" / task["patch"]).read_text()
