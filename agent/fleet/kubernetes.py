"""The same list on Kubernetes: an Indexed Job with its tasks and its secrets, as manifests.

The Job is made from that of deploy/kubernetes/base. Kubernetes schedules, retries and stops; nothing here does.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from agent import __version__
from agent.errors import AgentError
from agent.exits import Exit
from agent.fleet.tasks import Task

#: Of an object: Kubernetes takes 1 MiB of data, and the request around it 1.5 MiB.
CHUNK_BYTES = 900 * 1024
#: Where a pod finds the tasks and its secrets.
_TASKS, _SECRETS = "/etc/tasks", "/run/secrets/fleet"
#: ... and those of the namespace, which the base's Job names.
_BASE_SECRETS = "/run/secrets/agent"
#: Seconds from the end of an attempt to the start of the next one: Kubernetes waits 10 s, 20 s, 40 s ... 6 min.
_PAUSES = (10, 20, 40, 80, 160, 320, 360)


#: The Job of deploy/kubernetes/base; a link in a checkout, a file in a package.
BASE = Path(__file__).parent.with_name("data") / "kubernetes" / "job.yaml"


def problems(tasks: Sequence[Task]) -> list[str]:
    """Name what a list may have on one machine and not in a cluster."""
    return [
        f"entry {task.number}: REPO_URL is a path of this machine, which no pod has" for task in tasks if task.local
    ]


def manifests(
    fleet: str, tasks: Sequence[Task], base: Path, *,
    image: str, parallel: int, retries: int, memory: str, server: str | None, token: str | None,
) -> dict[str, list[dict[str, Any]]]:  # fmt: skip
    """Render the objects, by the name of their file.

    Args:
        base: the Job that they are made from.
        server: WS_SERVER; None leaves the Job's own, the receiver of the namespace.
        token: WS_TOKEN for it.
    """
    shared = _shared_secrets(tasks) | ({"WS_TOKEN": token} if token else {})
    entries = [_entry(fleet, task, shared) for task in tasks]
    kind = "Secret" if any(task.secret - set(shared) for task in tasks) else "ConfigMap"
    chunks = list(_chunks(entries))
    found = {
        f"tasks-{n:03}.yaml": [_data(kind, f"{fleet}-tasks-{n:03}", {"tasks.json": chunk})]
        for n, chunk in enumerate(chunks)
    }
    if shared:
        found["secret.yaml"] = [_data("Secret", f"{fleet}-secrets", shared)]
    job = _job(fleet, tasks, base, image=image, parallel=parallel, retries=retries, memory=memory)
    _connect(job, fleet, kind, len(chunks), shared, server)
    return found | {"job.yaml": [job]}


def write(directory: Path, found: dict[str, list[dict[str, Any]]]) -> None:
    """Write the manifests, closed to other users. Raises OSError."""
    import yaml

    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    for name, objects in found.items():
        (directory / name).write_text(yaml.safe_dump_all(objects, sort_keys=False, allow_unicode=True, width=120))


def _shared_secrets(tasks: Sequence[Task]) -> dict[str, str]:
    """The secrets that all tasks have in common: those of the environment."""
    first = tasks[0]
    return {
        name: first.values[name]
        for name in sorted(first.secret)
        if all(task.values.get(name) == first.values[name] for task in tasks)
    }


def _entry(fleet: str, task: Task, shared: dict[str, str]) -> dict[str, str]:
    labels = ",".join(filter(None, [f"fleet={fleet}", f"task={task.name}", task.values.get("LABELS")]))
    values = {name: value for name, value in task.values.items() if name not in shared}
    return values | {"CONTAINER_ID": task.name, "LABELS": labels}


def _chunks(entries: Sequence[dict[str, str]]) -> Iterator[str]:
    """JSON arrays of entries, each small enough for one object.

    Raises AgentError (78): a single entry is too long.
    """
    rows: list[bytes] = []
    size = 2
    for number, entry in enumerate(entries, 1):
        row = msgspec.json.encode(entry)
        if len(row) + 2 > CHUNK_BYTES:
            words = f"entry {number} has more than {CHUNK_BYTES:,} bytes: too long for Kubernetes"
            raise AgentError(words, exit=Exit.CONFIG)
        if size + len(row) + 2 > CHUNK_BYTES:
            yield _array(rows)
            rows, size = [], 2
        rows.append(row)
        size += len(row) + 2
    yield _array(rows)


def _array(rows: Sequence[bytes]) -> str:
    return (b"[" + b",\n".join(rows) + b"]").decode()


def _data(kind: str, name: str, data: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "v1", "kind": kind, "metadata": {"name": name, "labels": _labels(name.rpartition("-")[0])},
        "immutable": True, ("stringData" if kind == "Secret" else "data"): data,
    }  # fmt: skip


def _labels(fleet: str) -> dict[str, str]:
    fleet = fleet.removesuffix("-tasks")
    own = {"name": "claude-code-wrapper", "instance": fleet, "version": __version__, "part-of": "claude-code-wrapper",
           "managed-by": "agent-fleet"}  # fmt: skip
    return {f"app.kubernetes.io/{name}": value for name, value in own.items()}


def _job(
    fleet: str, tasks: Sequence[Task], base: Path, *,
    image: str, parallel: int, retries: int, memory: str,
) -> dict[str, Any]:  # fmt: skip
    import yaml

    job: dict[str, Any] = yaml.safe_load(base.read_text(encoding="utf-8"))
    job["metadata"] = {"name": fleet, "labels": job["metadata"]["labels"] | _labels(fleet)}
    spec, template = job["spec"], job["spec"]["template"]
    attempt = math.ceil(max(task.bound for task in tasks)) + int(template["spec"]["terminationGracePeriodSeconds"])
    pauses = sum((*_PAUSES, *[_PAUSES[-1]] * retries)[:retries])
    parallel = min(parallel, len(tasks))
    spec.pop("backoffLimit", None)
    spec |= {
        "completionMode": "Indexed",
        "completions": len(tasks),
        "parallelism": parallel,
        # An index that fails does not take the others with it.
        "backoffLimitPerIndex": retries,
        # Every round of so many pods, each with all its attempts.
        "activeDeadlineSeconds": math.ceil(len(tasks) / parallel) * ((retries + 1) * attempt + pauses),
    }
    for rule in spec["podFailurePolicy"]["rules"]:
        if rule["action"] == "FailJob":
            rule["action"] = "FailIndex"
    template["metadata"]["labels"] |= _labels(fleet)
    template["spec"]["activeDeadlineSeconds"] = attempt
    for container in _containers(job):
        container["image"] = image
    for bound in _agent(job)["resources"].values():
        bound["memory"] = _memory(memory)
    return job


def _memory(size: str) -> str:
    """A size as Kubernetes writes it; docker's `2g` are powers of two."""
    found = re.fullmatch(r"(\d+)([kmg])b?", size.lower())
    return f"{found[1]}{'Ki' if found[2] == 'k' else found[2].upper() + 'i'}" if found else size


def _connect(
    job: dict[str, Any], fleet: str, kind: str, chunks: int, shared: dict[str, str], server: str | None
) -> None:
    """Show the tasks and the secrets to the pods; the container `flush` gets the server's alone."""
    agent, volumes = _agent(job), job["spec"]["template"]["spec"]["volumes"]
    given = {f"{name}_FILE": f"{_SECRETS}/{name}" for name in shared} | ({"WS_SERVER": server} if server else {})
    # A login of the fleet's takes the place of the base's.
    has_login = any(name.startswith(("ANTHROPIC_", "CLAUDE_CODE_OAUTH", "AWS_")) for name in shared)
    for container in _containers(job):
        names = {item["name"] for item in container["env"]}
        replaced = given | ({"ANTHROPIC_API_KEY_FILE": None} if has_login else {})
        env = [item for item in container["env"] if item["name"] not in replaced]
        env += [{"name": name, "value": value} for name, value in given.items() if container is agent or name in names]
        container["env"] = env
        if any(item.get("value", "").startswith(_SECRETS) for item in env):
            container["volumeMounts"].append({"name": "fleet-secrets", "mountPath": _SECRETS, "readOnly": True})
        if not any(item.get("value", "").startswith(_BASE_SECRETS) for item in env):
            container["volumeMounts"] = [mount for mount in container["volumeMounts"] if mount["name"] != "secrets"]
    agent["env"].append({"name": "TASKS_FILE", "value": _TASKS})
    agent["volumeMounts"].append({"name": "tasks", "mountPath": _TASKS, "readOnly": True})
    source = "secret" if kind == "Secret" else "configMap"
    projected = [
        {source: {"name": f"{fleet}-tasks-{n:03}", "items": [{"key": "tasks.json", "path": f"{n:03}.json"}]}}
        for n in range(chunks)
    ]
    volumes.append({"name": "tasks", "projected": {"defaultMode": 0o440, "sources": projected}})
    volumes.append({"name": "fleet-secrets", "secret": {"secretName": f"{fleet}-secrets", "defaultMode": 0o440}})
    mounted = {mount["name"] for container in _containers(job) for mount in container["volumeMounts"]}
    volumes[:] = [volume for volume in volumes if volume["name"] in mounted]


def _containers(job: dict[str, Any]) -> list[dict[str, Any]]:
    pod = job["spec"]["template"]["spec"]
    return [*pod["initContainers"], *pod["containers"]]


def _agent(job: dict[str, Any]) -> dict[str, Any]:
    return next(container for container in _containers(job) if container["name"] == "agent")
