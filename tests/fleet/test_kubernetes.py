"""Manifests of a fleet: rounds, deadlines, sizes, secrets, and the schema of Kubernetes."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent import __version__
from agent.config.sources import gather
from agent.errors import AgentError
from agent.exits import FINAL, Exit
from agent.fleet.kubernetes import BASE, CHUNK_BYTES, manifests, problems, write
from agent.fleet.tasks import Task
from agent.limits import Limits
from tests.fleet.test_run import a_task
from tests.support.places import ROOT

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
        "fleet-x", tasks, BASE,
        **{"image": "registry/image:1", "parallel": 10, "retries": 2, "memory": "2g", "server": None, "token": None}
        | options,
    )  # fmt: skip


def job(found: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    return found["job.yaml"][0]


def containers(item: dict[str, Any]) -> list[dict[str, Any]]:
    pod = item["spec"]["template"]["spec"]
    return [*pod["initContainers"], *pod["containers"]]


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
    assert attempt == 2760 + spec["template"]["spec"]["terminationGracePeriodSeconds"]
    assert spec["activeDeadlineSeconds"] == rounds * (3 * attempt + 10 + 20)
    assert {rule["action"] for rule in spec["podFailurePolicy"]["rules"]} == {"Ignore", "FailIndex"}


def test_the_job_is_that_of_the_manifests_but_for_the_fleets_own() -> None:
    """Nothing of it is written twice: what deploy/kubernetes gives its pods, a fleet's pods have."""
    import yaml

    base = yaml.safe_load((ROOT / "deploy/kubernetes/base/job.yaml").read_text())
    made = job(rendered(listed(12)))
    own = {"completionMode", "completions", "parallelism", "backoffLimitPerIndex", "activeDeadlineSeconds", "template"}
    same = base["spec"].keys() - {"backoffLimit", "activeDeadlineSeconds", "template", "podFailurePolicy"}
    assert {key: made["spec"][key] for key in same} == {key: base["spec"][key] for key in same}
    assert made["spec"].keys() == base["spec"].keys() - {"backoffLimit"} | own
    (_, ours), (_, theirs) = made["spec"]["podFailurePolicy"]["rules"], base["spec"]["podFailurePolicy"]["rules"]
    assert ours == theirs | {"action": "FailIndex"}
    assert ours["onExitCodes"]["values"] == sorted({*FINAL, Exit.REMOTE_CANCEL})
    pod, before = made["spec"]["template"]["spec"], base["spec"]["template"]["spec"]
    changed = {"activeDeadlineSeconds", "containers", "initContainers", "volumes"}
    assert {key: pod[key] for key in pod.keys() - changed} == {key: before[key] for key in before.keys() - changed}
    assert made["spec"]["template"]["metadata"]["annotations"] == base["spec"]["template"]["metadata"]["annotations"]
    for container, was in zip(containers(made), containers(base), strict=True):
        assert container["image"] == "registry/image:1"
        differs = {"image", "env", "volumeMounts", *(["resources"] if was["name"] == "agent" else [])}
        assert {key: container[key] for key in was if key not in differs} == {
            key: was[key] for key in was if key not in differs
        }


def test_labels_select_all_of_a_fleet() -> None:
    for objects in rendered(listed(3, ANTHROPIC_API_KEY=KEY)).values():
        for item in objects:
            labels = {name.rpartition("/")[2]: value for name, value in item["metadata"]["labels"].items()}
            assert labels.items() >= {
                "name": "claude-code-wrapper", "instance": "fleet-x", "version": __version__,
                "part-of": "claude-code-wrapper", "managed-by": "agent-fleet",
            }.items()  # fmt: skip


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
    # What delivers the rest of a killed agent's run talks to the same server, and sees no other secret's name.
    for found, server, token in ((inside, "ws://agent-receiver:8080", "/run/secrets/agent/ws-token"),
                                 (outside, "wss://hub.example", "/run/secrets/fleet/WS_TOKEN")):  # fmt: skip
        flush, _ = containers(job(found))
        env = {item["name"]: item["value"] for item in flush["env"]}
        assert env == {"WS_SERVER": server, "WS_TOKEN_FILE": token, "SERVER_WAIT": "10s"}
        assert any(token.startswith(mount["mountPath"]) for mount in flush["volumeMounts"])
        assert {mount["name"] for mount in flush["volumeMounts"]} <= volumes | {"secrets"}


@pytest.mark.parametrize(
    ("given", "said"), [("2g", "2Gi"), ("512m", "512Mi"), ("3Gi", "3Gi"), ("1073741824", "1073741824")]
)
def test_memory_as_docker_and_kubernetes_write_it(given: str, said: str) -> None:
    resources = container(rendered(listed(1), memory=given))["resources"]
    assert (resources["limits"]["memory"], resources["requests"]["memory"]) == (said, said)


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
