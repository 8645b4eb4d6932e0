"""kubectl: what pods say becomes results; a program in its place plays a cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trio

from agent.errors import AgentError
from agent.fleet.kubectl import Kubectl, read
from agent.fleet.results import Results, State, TaskResult
from agent.limits import Limits

INDEX = "batch.kubernetes.io/job-completion-index"


def results(count: int) -> Results:
    tasks = [TaskResult(task=f"t{n}", number=n + 1, title="", repository="") for n in range(count)]
    return Results(fleet="fleet-x", started="", tasks=tasks)


def pod(index: int, number: int, code: int | None = None, **said: Any) -> dict[str, Any]:
    state: dict[str, Any] = {"running": {}}
    if code is not None:
        state = {"terminated": {"exitCode": code, "reason": "Error", "finishedAt": "2026-01-01T00:01:00Z",
                                "message": json.dumps(said) if said else ""}}  # fmt: skip
    return {
        "metadata": {"name": f"p{index}-{number}", "creationTimestamp": f"2026-01-01T00:00:0{number}Z",
                     "annotations": {INDEX: str(index)}},
        "status": {"containerStatuses": [{"name": "agent", "state": state}]},
    }  # fmt: skip


def test_pods_become_attempts() -> None:
    record = results(5)
    job = {"status": {"completedIndexes": "0,2-2", "failedIndexes": "1"}}
    pods = {"items": [
        pod(2, 2, 0, reason="success", message="done"), pod(2, 1, 137, reason="oom", message="out of memory"),
        pod(0, 1, 0), pod(1, 1, 1, reason="max_turns", message="too many"), pod(3, 1),
        {"metadata": {"name": "stray", "creationTimestamp": ""}}, pod(99, 1),
    ]}  # fmt: skip
    read(record, job, pods)
    assert [task.outcome for task in record.tasks] == [
        State.SUCCEEDED, State.FAILED, State.SUCCEEDED, State.RUNNING, State.WAITING,
    ]  # fmt: skip
    assert [attempt.exitCode for attempt in record.tasks[2].attempts] == [137, 0]
    assert (record.tasks[1].reason, record.tasks[1].message) == ("max_turns", "too many")
    read(record, job, {"items": [pod(3, 1, 75)]})
    assert [len(task.attempts) for task in record.tasks] == [1, 1, 2, 1, 0], "a pod that is gone leaves its attempt"
    assert record.tasks[3].outcome is State.PAUSED


def fake(directory: Path, script: str) -> list[str]:
    path = directory / "kubectl"
    path.write_text(f'#!/bin/sh\ncd {directory}\necho "$*" >>called\n{script}\n')
    path.chmod(0o755)
    return [str(path)]


async def test_a_job_is_applied_and_followed_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "job-1").write_text(json.dumps({"status": {}}))
    done = {"status": {"completedIndexes": "0", "conditions": [{"type": "Complete", "status": "True"}]}}
    (tmp_path / "job-2").write_text(json.dumps(done))
    (tmp_path / "pods-1").write_text(json.dumps({"items": [pod(0, 1)]}))
    (tmp_path / "pods-2").write_text(json.dumps({"items": [pod(0, 1, 0, reason="success", message="done")]}))
    program = fake(
        tmp_path,
        """
looks=$(grep -c "get pods" called)
case "$*" in *"get job"*) cat job-$((1 + looks)) ;; *"get pods"*) cat pods-$looks ;; esac""",
    )
    kubectl = Kubectl(program, "agents", Limits(fleet_cluster_look=0.01))
    record, lines = results(1), list[str]()
    with trio.fail_after(20):
        await kubectl.apply(tmp_path / "kubernetes")
        await kubectl.follow(record, lambda task, line: lines.append(line))
    assert lines == ["t0: running", "t0: succeeded"]
    calls = (tmp_path / "called").read_text().splitlines()
    assert calls[0] == f"--namespace agents apply --server-side --filename {tmp_path}/kubernetes"
    assert calls[1] == "--namespace agents get job fleet-x --output json"


async def test_what_kubectl_says_is_told(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="kubectl apply: Unauthorized"):
        await Kubectl(fake(tmp_path, "echo Unauthorized >&2; exit 1"), None, Limits()).apply(tmp_path)
    with pytest.raises(AgentError, match="kubectl does not answer"):
        await Kubectl(fake(tmp_path, "exec sleep 60"), None, Limits(fleet_command=0.1)).apply(tmp_path)
    with pytest.raises(AgentError, match="there is no /nowhere/kubectl on PATH"):
        await Kubectl(["/nowhere/kubectl"], None, Limits()).apply(tmp_path)
