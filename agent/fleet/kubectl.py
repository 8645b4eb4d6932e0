"""kubectl: applies the manifests of a fleet, and follows its Job."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import trio

from agent.errors import AgentError
from agent.exits import Exit
from agent.fleet.engine import complaint, kill_at_once
from agent.fleet.results import Attempt, Results, State, TaskResult
from agent.limits import Limits
from agent.text import one_line

_INDEX = "batch.kubernetes.io/job-completion-index"


class Kubectl:
    """kubectl, for a namespace."""

    def __init__(self, program: Sequence[str], namespace: str | None, limits: Limits) -> None:
        self._command = [*program, *(["--namespace", namespace] if namespace else [])]
        self._limits = limits

    async def apply(self, directory: Path) -> None:
        """Apply manifests. Server-side: the other way keeps a copy in an annotation, which holds 256 KiB.

        Raises AgentError.

        Cancelling: safe; some of them may be applied.
        """
        await self._do("apply", "--server-side", "--filename", str(directory))

    async def follow(self, results: Results, changed: Callable[[TaskResult, str], None]) -> None:
        """Follow the Job to its end; `changed` is told of each task that changes, in a line.

        Raises AgentError.

        Cancelling: safe; the Job goes on.
        """
        while True:
            before = [(task.outcome, len(task.attempts)) for task in results.tasks]
            has_ended = await self.look(results)
            for task, was in zip(results.tasks, before, strict=True):
                if (task.outcome, len(task.attempts)) != was:
                    words = task.message if task.outcome in (State.FAILED, State.PAUSED) else ""
                    changed(task, f"{task.task}: {task.outcome}{f': {words}' if words else ''}")
            if has_ended:
                return
            await trio.sleep(self._limits.fleet_cluster_look)

    async def look(self, results: Results) -> bool:
        """Bring results up to date with the Job's pods; returns whether the Job has ended.

        Raises AgentError.

        Cancelling: safe.
        """
        name = results.fleet
        job = msgspec.json.decode(await self._do("get", "job", name, "--output", "json"))
        pods = msgspec.json.decode(
            await self._do("get", "pods", "--selector", f"batch.kubernetes.io/job-name={name}", "--output", "json")
        )
        read(results, job, pods)
        conditions = job.get("status", {}).get("conditions") or []
        return any(item["type"] in ("Complete", "Failed") and item["status"] == "True" for item in conditions)

    async def _do(self, *arguments: str) -> bytes:
        try:
            with trio.fail_after(self._limits.fleet_command):
                done = await trio.run_process(
                    [*self._command, *arguments], capture_stdout=True, capture_stderr=True, check=False,
                    start_new_session=True, deliver_cancel=kill_at_once,
                )  # fmt: skip
        except FileNotFoundError:
            raise AgentError(f"there is no {self._command[0]} on PATH", exit=Exit.CONFIG) from None
        except trio.TooSlowError:
            raise AgentError("kubectl does not answer", exit=Exit.SERVER_UNREACHABLE) from None
        if done.returncode != 0:
            raise AgentError(f"kubectl {arguments[0]}: {complaint(done)}", exit=Exit.CONFIG)
        return done.stdout


def read(results: Results, job: dict[str, Any], pods: dict[str, Any]) -> None:
    """Take over what the pods of a Job say about its tasks. A pod that is gone leaves its attempt as it was."""
    failed = _indexes(job.get("status", {}).get("failedIndexes") or "")
    completed = _indexes(job.get("status", {}).get("completedIndexes") or "")
    for pod in sorted(pods.get("items", []), key=lambda pod: str(pod["metadata"]["creationTimestamp"])):
        metadata = pod["metadata"]
        text = (metadata.get("annotations") or {}).get(_INDEX) or (metadata.get("labels") or {}).get(_INDEX)
        if text is None or not text.isdigit() or int(text) >= len(results.tasks):
            continue
        _take(results.tasks[int(text)], pod)
    for number, task in enumerate(results.tasks):
        task.add_up()
        if number in completed:
            task.outcome = State.SUCCEEDED
        elif number in failed:
            task.outcome = State.FAILED
        elif task.attempts:
            task.outcome = State.PAUSED if task.attempts[-1].ended else State.RUNNING


def _take(task: TaskResult, pod: dict[str, Any]) -> None:
    name = pod["metadata"]["name"]
    attempt = next((known for known in task.attempts if known.container == name), None)
    if attempt is None:
        started = pod["metadata"]["creationTimestamp"]
        attempt = Attempt(number=len(task.attempts) + 1, container=name, started=started)
        task.attempts.append(attempt)
    statuses = pod.get("status", {}).get("containerStatuses") or []
    ended = next((item["state"].get("terminated") for item in statuses if item["name"] == "agent"), None)
    if ended is None:
        return
    attempt.exitCode, attempt.ended = ended["exitCode"], ended.get("finishedAt")
    try:
        said = msgspec.json.decode(ended.get("message") or "{}", type=dict[str, Any])
    except msgspec.DecodeError:
        said = {}
    attempt.reason = str(said.get("reason") or ended.get("reason") or "")
    attempt.message = one_line(str(said.get("message") or ended.get("message") or ""), 400)


def _indexes(text: str) -> set[int]:
    """Read a list of indexes such as 1,3-5,7."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found
