"""Manifests of a fleet: rounds, deadlines, sizes, secrets, and the schema of Kubernetes."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.config.sources import gather
from agent.errors import AgentError
from agent.fleet.kubernetes import BASE, CHUNK_BYTES, manifests, problems, write
from agent.fleet.tasks import Task
from agent.limits import Limits
from tests.fleet.test_run import a_task

pytest.importorskip("yaml", reason="needs the extra hub: make setup")
KEY = "sk-ant-api03-" + "canary" * 5


def listed(count: int, size: int = 10, **values: str) -> list[Task]:
    secret = frozenset({*values} & {"ANTHROPIC_API_KEY", "GITHUB_TOKEN"})
    return [
        msgspec.structs.replace(a_task(n, bound=2760.0, **{"TASK": "x" * size, **values}), secret=secret)
        for n in range(1, count + 1)
    ]


def rendered(tasks: list[Task], **options: Any) -> dict[str, list[dict[str, Any]]]:
    return manifests(
        "fleet-x", tasks, BASE, Limits(),
        **{"image": "registry/image:1", "parallel": 10, "retries": 2, "memory": "2g", "server": None, "token": None}
        | options,
    )  # fmt: skip


def job(found: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    return found["job.yaml"][0]


def container(found: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    only, = (c for c in job(found)["spec"]["template"]["spec"]["containers"] if c["name"] == "agent")  # fmt: skip
    return only  # type: ignore[no-any-return]


def variables(found: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    return {item["name"]: item.get("value") for item in container(found)["env"]}


@pytest.mark.parametrize(("count", "rounds"), [(1, 1), (100, 10), (101, 11), (5000, 500)])
def test_the_deadline_covers_every_round_and_attempt(count: int, rounds: int) -> None:
    spec = job(rendered(listed(count)))["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", count, min(10, count))
    assert (spec["backoffLimitPerIndex"], "backoffLimit" in spec) == (2, False)
    attempt = spec["template"]["spec"]["activeDeadlineSeconds"]
    assert attempt == 2760 + Limits().fleet_grace
    assert spec["activeDeadlineSeconds"] == rounds * (3 * attempt + 10 + 20)
    assert {rule["action"] for rule in spec["podFailurePolicy"]["rules"]} == {"Ignore", "FailIndex"}


def test_as_many_objects_as_their_size_needs(tmp_path: Path) -> None:
    tasks = listed(5000, size=1000)
    found = rendered(tasks)
    parts = sorted(name for name in found if name.startswith("tasks-"))
    assert len(parts) == 6
    for name in parts:
        data, = found[name]  # fmt: skip
        assert (data["kind"], data["immutable"]) == ("ConfigMap", True)
        assert len(data["data"]["tasks.json"].encode()) <= CHUNK_BYTES
        place = tmp_path / "tasks"
        place.mkdir(exist_ok=True)
        (place / f"{name[6:9]}.json").write_text(data["data"]["tasks.json"])
    sources = next(v for v in job(found)["spec"]["template"]["spec"]["volumes"] if v["name"] == "tasks")["projected"][
        "sources"
    ]
    assert [source["configMap"]["name"] for source in sources] == [f"fleet-x-{name[:-5]}" for name in parts]
    for index in (0, 1234, 4999):  # as a pod sees them
        environ = {"TASKS_FILE": str(place), "JOB_COMPLETION_INDEX": str(index)}
        gathered = gather(environ, None, Limits())
        assert (gathered.problems, gathered.values["CONTAINER_ID"]) == ([], f"t{index + 1}")
        assert gathered.values["LABELS"] == f"fleet=fleet-x,task=t{index + 1}"


def test_an_entry_that_fits_no_object_is_named() -> None:
    with pytest.raises(AgentError, match="entry 2 has more than"):
        rendered([*listed(1), *listed(2, size=CHUNK_BYTES)[1:]])


def test_secrets_that_all_share_are_files_and_in_no_config_map() -> None:
    found = rendered(listed(3, ANTHROPIC_API_KEY=KEY))
    assert found["secret.yaml"][0]["stringData"] == {"ANTHROPIC_API_KEY": KEY}
    assert found["tasks-000.yaml"][0]["kind"] == "ConfigMap"
    assert KEY not in json.dumps([found["tasks-000.yaml"], found["job.yaml"]])
    assert variables(found)["ANTHROPIC_API_KEY_FILE"] == "/run/secrets/fleet/ANTHROPIC_API_KEY"
    assert [item["name"] for item in container(found)["env"]].count("ANTHROPIC_API_KEY_FILE") == 1


def test_a_secret_of_a_single_entry_makes_its_list_a_secret() -> None:
    tasks = [*listed(1, GITHUB_TOKEN="a-token-of-one"), *listed(2)[1:]]
    found = rendered(tasks)
    data, = found["tasks-000.yaml"]  # fmt: skip
    assert data["kind"] == "Secret"
    assert "a-token-of-one" in data["stringData"]["tasks.json"]
    assert "a-token-of-one" not in json.dumps(found["job.yaml"])


def test_the_receiver_of_the_namespace_or_a_hub() -> None:
    inside = rendered(listed(1))
    assert variables(inside)["WS_SERVER"] == "ws://agent-receiver:8080"
    assert variables(inside)["WS_TOKEN_FILE"] == "/run/secrets/agent/ws-token"
    outside = rendered(listed(1, ANTHROPIC_API_KEY=KEY), server="wss://hub.example", token="a-token")
    assert variables(outside)["WS_SERVER"] == "wss://hub.example"
    assert variables(outside)["WS_TOKEN_FILE"] == "/run/secrets/fleet/WS_TOKEN"
    volumes = {volume["name"] for volume in job(outside)["spec"]["template"]["spec"]["volumes"]}
    assert "secrets" not in volumes, "the namespace needs no agent-secrets"
    assert volumes == {mount["name"] for mount in container(outside)["volumeMounts"]}


@pytest.mark.parametrize(
    ("given", "said"), [("2g", "2Gi"), ("512m", "512Mi"), ("3Gi", "3Gi"), ("1073741824", "1073741824")]
)
def test_memory_as_docker_and_kubernetes_write_it(given: str, said: str) -> None:
    assert container(rendered(listed(1), memory=given))["resources"]["limits"]["memory"] == said


@pytest.mark.parametrize("version", ["1.31", "1.37"])
@pytest.mark.parametrize("count", [1, 100])
def test_the_schema_holds(count: int, version: str, tmp_path: Path) -> None:
    if importlib.util.find_spec("kubernetes_validate") is None:
        pytest.skip("kubernetes-validate is missing: make manifests")
    import kubernetes_validate
    import yaml

    write(tmp_path, rendered(listed(count, ANTHROPIC_API_KEY=KEY)))
    assert {path.stat().st_mode & 0o077 for path in (tmp_path, *tmp_path.iterdir())} <= {0, 0o44}
    for path in tmp_path.iterdir():
        for document in yaml.safe_load_all(path.read_text()):
            kubernetes_validate.validate(document, version, strict=True)


def test_what_no_pod_has() -> None:
    task = msgspec.structs.replace(a_task(1), local=Path("/srv/repo"))
    assert problems([task, a_task(2)]) == ["entry 1: REPO_URL is a path of this machine, which no pod has"]
