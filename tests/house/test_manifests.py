"""deploy/: schemas, and the rules that no schema sees. The overlays are rendered by kubectl's kustomize."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from agent.config.load import examine
from agent.config.parsers import positive_duration
from agent.config.variables import BY_NAME
from agent.exits import FINAL, Exit
from agent.limits import Limits
from tests.support.places import ROOT

DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
#: The Job of the base as it stands in its file, and the overlays as kubectl renders them.
JOBS = ("base", "example", "kept", "indexed")
COMPONENTS = ("ingress", "podmonitor")
VERSIONS = ("1.31", "1.34", "1.37")
#: From a deadline's end to the next attempt's beginning: Kubernetes waits 10 s, 20 s, 40 s.
BACKOFF = 60
#: The kubelet keeps five files of a container's log, 10 MiB each.
LOGS = 50 << 20
#: Kinds of an operator, whose schema is not at hand.
OWN_SCHEMA = {"PodMonitor"}


def require(there: bool, what: str) -> None:
    if not there:
        pytest.skip(f"{what} is missing")


def load(text: str) -> list[dict[str, Any]]:
    require(importlib.util.find_spec("yaml") is not None, "PyYAML (requirements/manifests.lock)")
    import yaml

    return [document for document in yaml.safe_load_all(text) if document]


@cache
def render(name: str) -> str:
    """The Job of the base, the namespace, an overlay, or `NAME+COMPONENT`: that with a component of ours."""
    if name == "base":
        return (KUBERNETES / "base/job.yaml").read_text()
    name, _, component = name.partition("+")
    place = KUBERNETES / (name if name == "namespace" else f"overlays/{name}")
    if not component:
        return kustomize(place)
    with tempfile.TemporaryDirectory() as directory:
        outside = Path(os.path.relpath(KUBERNETES, Path(directory).resolve()))
        made = {"resources": [str(outside / place.relative_to(KUBERNETES))],
                "components": [str(outside / "components" / component)], "namespace": "agents"}  # fmt: skip
        (Path(directory) / "kustomization.yaml").write_text(json.dumps(made))
        return kustomize(Path(directory))


def kustomize(place: Path) -> str:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is missing")
    done = subprocess.run(
        [str(kubectl), "kustomize", str(place)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def manifests(name: str) -> dict[str, dict[str, Any]]:
    """By kind and name."""
    return {f"{item['kind']}/{item['metadata']['name']}": item for item in load(render(name))}


def the_job(overlay: str) -> dict[str, Any]:
    found, = (item for item in manifests(overlay).values() if item["kind"] == "Job")  # fmt: skip
    return found


def job(overlay: str) -> dict[str, Any]:
    return the_job(overlay)["spec"]  # type: ignore[no-any-return]


def agent(overlay: str) -> dict[str, Any]:
    container, = job(overlay)["template"]["spec"]["containers"]  # fmt: skip
    return container  # type: ignore[no-any-return]


def flush(overlay: str) -> dict[str, Any]:
    container, = job(overlay)["template"]["spec"]["initContainers"]  # fmt: skip
    return container  # type: ignore[no-any-return]


def variables(overlay: str) -> dict[str, str]:
    return {item["name"]: item.get("value", "") for item in agent(overlay)["env"]}


def quantity(text: str) -> float:
    number, unit = re.fullmatch(r"(\d+)(m|Mi|Gi)?", text).groups()  # type: ignore[union-attr]
    return int(number) * {None: 1, "m": 1e-3, "Mi": 2**20, "Gi": 2**30}[unit]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "overlay", [*JOBS, "namespace", "example+kueue", "indexed+kueue", *(f"namespace+{name}" for name in COMPONENTS)]
)
def test_the_schema_holds(overlay: str, version: str) -> None:
    require(importlib.util.find_spec("kubernetes_validate") is not None, "kubernetes-validate")
    import kubernetes_validate

    for document in manifests(overlay).values():
        if document["kind"] not in OWN_SCHEMA:
            kubernetes_validate.validate(document, version, strict=True)


def empty(value: Any, path: str = "") -> list[str]:
    if value in ([], {}) and not path.endswith("podSelector"):
        return [path]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, inner in items for found in empty(inner, f"{path}.{key}")]


@pytest.mark.parametrize("overlay", [*JOBS, "namespace", *(f"namespace+{name}" for name in COMPONENTS)])
def test_kubectl_diff_stays_clean(overlay: str) -> None:
    """The API server drops empty lists and objects, so that each apply would be a change."""
    assert empty(list(manifests(overlay).values())) == []


@pytest.mark.parametrize("overlay", JOBS)
def test_every_variable_is_one_of_ours(overlay: str) -> None:
    names = {name.removesuffix("_FILE") if name != "TASKS_FILE" else name for name in variables(overlay)}
    assert names <= set(BY_NAME)
    assert {item["name"].removesuffix("_FILE") for item in flush(overlay)["env"]} <= set(BY_NAME)


@pytest.mark.parametrize("overlay", JOBS)
def test_the_agents_time_fits_into_the_pods(overlay: str) -> None:
    spec, given = job(overlay), variables(overlay)
    pod = spec["template"]["spec"]
    own = int(given["TERMINATION_GRACE_SECONDS"])
    checked, problems = examine(
        {"REPO_URL": "https://x.org/y", "TASK": "x", "WS_SERVER": "none", "ANTHROPIC_API_KEY": "1" * 20,
         "TERMINATION_GRACE_SECONDS": str(own), "TIMEOUT": given["TIMEOUT"]}, in_container=True,
    )  # fmt: skip
    assert (problems, checked.warnings) == ((), ())
    assert checked.stop_budget < own
    # Then the container `flush` delivers: it looks for the server, and needs some seconds more.
    waits = positive_duration(next(item["value"] for item in flush(overlay)["env"] if item["name"] == "SERVER_WAIT"))
    grace = pod["terminationGracePeriodSeconds"]
    assert grace >= own + waits + 5
    attempt = pod["activeDeadlineSeconds"]
    assert attempt >= checked.timeout + positive_duration(given["SERVER_WAIT"]) + checked.delivery_wait + grace
    whole = spec.get("activeDeadlineSeconds")
    if whole is not None:
        attempts = 1 + spec.get("backoffLimit", spec.get("backoffLimitPerIndex", 0))
        rounds = math.ceil(spec.get("completions", 1) / spec.get("parallelism", 1))
        assert whole >= rounds * attempts * (attempt + BACKOFF)
    assert (whole is None) == (spec.get("completionMode") == "Indexed"), "whoever adds entries need not know of it"


@pytest.mark.parametrize(("overlay", "action"), [*((name, "FailJob") for name in JOBS[:-1]), ("indexed", "FailIndex")])
def test_the_failure_policy_follows_the_exit_codes(overlay: str, action: str) -> None:
    spec = job(overlay)
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    disruption, codes = spec["podFailurePolicy"]["rules"]
    assert disruption["action"] == "Ignore"
    assert disruption["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert codes["action"] == action
    on = codes["onExitCodes"]
    assert (on["containerName"], on["operator"]) == (agent(overlay)["name"], "In")
    assert on["values"] == sorted({*FINAL, Exit.REMOTE_CANCEL})
    assert ("backoffLimitPerIndex" in spec) == (action == "FailIndex") == (spec.get("completionMode") == "Indexed")


def test_every_index_has_its_task() -> None:
    tasks = json.loads((DEPLOY / "kubernetes/overlays/indexed/tasks.json").read_text())
    spec = job("indexed")
    assert spec["completions"] == len(tasks) >= spec["parallelism"]
    given = variables("indexed")
    place = Path(given["TASKS_FILE"])
    volumes = {volume["name"]: volume for volume in spec["template"]["spec"]["volumes"]}
    mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in agent("indexed")["volumeMounts"]}
    assert place.name in manifests("indexed")[f"ConfigMap/{mounts[str(place.parent)]['configMap']['name']}"]["data"]
    for index in range(len(tasks)):
        problems = examine(
            {"TASKS_FILE": str(DEPLOY / "kubernetes/overlays/indexed" / place.name), "WS_SERVER": "none",
             "JOB_COMPLETION_INDEX": str(index)}, in_container=True,
        )[1]  # fmt: skip
        assert problems == ()


def pods(name: str) -> list[dict[str, Any]]:
    found = [
        item["spec"]["template"]["spec"] for item in manifests(name).values() if "template" in item.get("spec", ())
    ]
    assert len(found) == 1
    return found


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod.get("initContainers", ()), *pod["containers"]]


@pytest.mark.parametrize("overlay", [*JOBS, "namespace"])
def test_pods_are_restricted(overlay: str) -> None:
    """The Pod Security Standard `restricted`, and a read-only root."""
    for pod in pods(overlay):
        context = pod["securityContext"]
        assert context["runAsNonRoot"] is True
        assert (context["runAsUser"], context["fsGroup"]) == (1000, 1000)
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        for container in containers(pod):
            inner = container["securityContext"]
            assert inner["allowPrivilegeEscalation"] is False
            assert inner["readOnlyRootFilesystem"] is True
            assert inner["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]
            secret = [
                item["name"] for item in container.get("env", ()) if getattr(BY_NAME.get(item["name"]), "secret", 0)
            ]
            assert secret == [], "secrets come as files"


@pytest.mark.parametrize("overlay", [*JOBS, "namespace"])
def test_what_is_mounted_exists(overlay: str) -> None:
    for pod in pods(overlay):
        volumes = {volume["name"] for volume in pod["volumes"]}
        assert len(volumes) == len(pod["volumes"])
        assert {mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]} == volumes
        assert {mount["name"] for container in containers(pod) for mount in container["volumeMounts"]} == volumes


@pytest.mark.parametrize("overlay", JOBS)
def test_what_is_written_is_mounted(overlay: str) -> None:
    places = {mount["mountPath"] for mount in agent(overlay)["volumeMounts"]}
    assert places >= {"/workspace", "/journal", "/home/claude", "/tmp"}
    for name, value in variables(overlay).items():
        if name.endswith("_FILE") and name != "TASKS_FILE":
            assert str(Path(value).parent) in places, name


@pytest.mark.parametrize("overlay", JOBS)
def test_what_a_killed_agent_leaves_is_delivered_beside_it(overlay: str) -> None:
    """A native sidecar: with the agent's journal and its server, in a cgroup of its own, ended after the agent."""
    sidecar, container = flush(overlay), agent(overlay)
    assert sidecar["restartPolicy"] == "Always"
    assert sidecar["image"] == container["image"]
    journal = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    assert all(journal[mount["mountPath"]] == mount for mount in sidecar["volumeMounts"])
    assert {mount["mountPath"] for mount in sidecar["volumeMounts"]} == {"/journal", "/tmp", "/run/secrets/agent"}
    given = variables(overlay)
    for item in sidecar["env"]:
        assert item["value"] == given[item["name"]] or item["name"] == "SERVER_WAIT"


def test_what_is_kept() -> None:
    """Journal and output lie on one claim, in directories of their own, and the agent is told."""
    volumes = job("kept")["template"]["spec"]["volumes"]
    claims = {volume["name"]: volume["persistentVolumeClaim"]["claimName"]
              for volume in volumes if "persistentVolumeClaim" in volume}  # fmt: skip
    ((name, claim),) = claims.items()
    written, = load((KUBERNETES / "overlays/kept/claim.yaml").read_text())  # fmt: skip
    assert (written["kind"], written["metadata"]["name"]) == ("PersistentVolumeClaim", claim)
    mounts = {mount["mountPath"]: mount["subPath"]
              for mount in agent("kept")["volumeMounts"] if mount["name"] == name}  # fmt: skip
    assert mounts == {"/journal": "journal", variables("kept")["OUTPUT_DIR"]: "output"}
    assert variables("kept")["RESUME_SESSION"] == "auto"


@pytest.mark.parametrize("overlay", JOBS)
def test_probes_and_the_last_word(overlay: str) -> None:
    container = agent(overlay)
    assert container["livenessProbe"]["exec"]["command"] == ["healthcheck.sh", "--live"]
    assert container["readinessProbe"]["exec"]["command"] == ["healthcheck.sh", "--ready"]
    # Beyond the time in which starting counts as alive, one probe may come too early.
    assert container["livenessProbe"]["failureThreshold"] >= 3
    assert container["terminationMessagePath"] == "/dev/termination-log"


@pytest.mark.parametrize("overlay", [*JOBS, "namespace"])
def test_limits_are_not_below_requests(overlay: str) -> None:
    for pod in pods(overlay):
        for container in containers(pod):
            requests, limits = container["resources"]["requests"], container["resources"]["limits"]
            assert all(quantity(requests[key]) <= quantity(limits[key]) for key in limits)
            assert {"memory", "ephemeral-storage"} <= set(requests) & set(limits)
        room = sum(quantity(container["resources"]["limits"]["ephemeral-storage"]) for container in containers(pod))
        volumes = sum(quantity(volume["emptyDir"]["sizeLimit"]) for volume in pod["volumes"] if "emptyDir" in volume)
        assert room >= volumes + LOGS * len(containers(pod)), "a volume that is full evicts nobody before its own limit"


@pytest.mark.parametrize("overlay", JOBS)
def test_the_agent_gets_the_memory_that_it_may_take(overlay: str) -> None:
    resources = agent(overlay)["resources"]
    assert quantity(resources["limits"]["memory"]) >= Limits().memory_warn_bytes
    assert resources["requests"]["memory"] == resources["limits"]["memory"]


@pytest.mark.parametrize("overlay", JOBS)
def test_nodes_that_go_wait_for_a_run(overlay: str) -> None:
    annotations = job(overlay)["template"]["metadata"]["annotations"]
    assert annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"
    assert annotations["karpenter.sh/do-not-disrupt"] == "true"


@pytest.mark.parametrize("overlay", [*JOBS[1:], "namespace"])
def test_the_recommended_labels(overlay: str) -> None:
    for item in manifests(overlay).values():
        if item["kind"] in ("Job", "Deployment"):
            for metadata in (item["metadata"], item["spec"]["template"]["metadata"]):
                labels = {name.rpartition("/")[2] for name in metadata["labels"]}
                assert labels >= {"name", "instance", "version", "component", "part-of", "managed-by"}
    for pod in pods(overlay):
        for container in containers(pod):
            assert re.fullmatch(r"[^:]+:[0-9.]+@sha256:[0-9a-f]{64}", container["image"])


def test_a_job_stands_alone_and_has_a_name_of_its_own() -> None:
    """A second one is applied beside the first, and what is deleted with it is its own."""
    names = {overlay: the_job(overlay)["metadata"]["name"] for overlay in JOBS[1:]}
    assert names == {"example": "agent-login", "kept": "agent-login", "indexed": "agent-monday"}
    for overlay, name in names.items():
        kinds = {item["kind"] for item in manifests(overlay).values()}
        assert kinds <= {"Job", "ConfigMap"}
        assert the_job(overlay)["metadata"]["labels"]["app.kubernetes.io/instance"] == name
        written = (KUBERNETES / "overlays" / overlay / "kustomization.yaml").read_text()
        assert overlay == "kept" or f"nameSuffix: {name.removeprefix('agent')}\n" in written
        for item in manifests(overlay).values():
            assert item["kind"] == "Job" or item["metadata"]["name"].startswith(f"agent-task{name[5:]}-")


def test_what_the_page_tells_to_do() -> None:
    """Names for every attempt by the cluster, by the page's own command; and Argo's manifest is of the same kind."""
    page = (ROOT / "docs/kubernetes.md").read_text()
    expression, = re.findall(r"sed '([^']+)'", page)  # fmt: skip
    made = subprocess.run(
        ["sed", expression], input=render("example"), capture_output=True, text=True, timeout=10, check=True
    )
    created, = load(made.stdout)  # fmt: skip
    before = the_job("example")
    del before["metadata"]["name"]
    assert created == before | {"metadata": {"generateName": "agent-", **before["metadata"]}}
    names = set(re.findall(r"agent-(?:login|monday)\b", page))
    assert names <= {the_job(overlay)["metadata"]["name"] for overlay in JOBS[1:]}
    step, = load("\n".join(re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)))[0]  # fmt: skip
    assert step["resource"]["action"] == "create"


def test_a_list_that_kubectl_applies_fits() -> None:
    """Client-side: kubectl keeps a copy of the object in an annotation."""
    tasks, = (item for item in manifests("indexed").values() if item["kind"] == "ConfigMap")  # fmt: skip
    assert len(json.dumps(tasks)) < 262_144


def test_the_namespace_is_restricted_and_closed() -> None:
    rendered = manifests("namespace")
    labels = rendered["Namespace/agents"]["metadata"]["labels"]
    assert {labels[f"pod-security.kubernetes.io/{mode}"] for mode in ("enforce", "audit", "warn")} == {"restricted"}
    deny = rendered["NetworkPolicy/default-deny"]["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    claim = rendered["PersistentVolumeClaim/agent-receiver"]["spec"]["resources"]["requests"]["storage"]
    container, = pods("namespace")[0]["containers"]  # fmt: skip
    kept = container["args"][container["args"].index("--keep-size") + 1]
    assert quantity(kept.removesuffix("B")) < quantity(claim), "the receiver removes runs before its disk is full"
    store, = (volume for volume in pods("namespace")[0]["volumes"] if volume["name"] == "store")  # fmt: skip
    assert store["persistentVolumeClaim"]["claimName"] == "agent-receiver"


@pytest.mark.parametrize("overlay", JOBS)
def test_the_receiver_is_found_and_let_in(overlay: str) -> None:
    rendered = manifests("namespace")
    service, deployment = rendered["Service/agent-receiver"], rendered["Deployment/agent-receiver"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    port = service["spec"]["ports"][0]["port"]
    assert variables(overlay)["WS_SERVER"] == f"ws://{service['metadata']['name']}:{port}"
    container, = deployment["spec"]["template"]["spec"]["containers"]  # fmt: skip
    assert container["ports"][0]["containerPort"] == 8080
    assert container["args"][:3] == ["serve", "--host", "0.0.0.0"]
    agents = job(overlay)["template"]["metadata"]["labels"]
    out, into = rendered["NetworkPolicy/agent"]["spec"], rendered["NetworkPolicy/agent-receiver"]["spec"]
    assert out["podSelector"]["matchLabels"].items() <= agents.items()
    assert into["podSelector"]["matchLabels"].items() <= labels.items()
    assert into["ingress"][0]["from"][0]["podSelector"]["matchLabels"].items() <= agents.items()
    assert (out["policyTypes"], into["policyTypes"]) == (["Ingress", "Egress"], ["Ingress", "Egress"])
    assert "ingress" not in out, "nobody reaches an agent"
    assert "egress" not in into, "the receiver calls nobody"


def test_an_agent_reaches_names_and_the_outside_only() -> None:
    rules = manifests("namespace")["NetworkPolicy/agent"]["spec"]["egress"]
    outside = [peer["ipBlock"] for rule in rules for peer in rule["to"] if "except" in peer.get("ipBlock", ())]
    assert [block["cidr"] for block in outside] == ["0.0.0.0/0", "::/0"]
    assert {"169.254.0.0/16", "10.0.0.0/8"} <= set(outside[0]["except"])
    names = [(port["protocol"], port["port"]) for rule in rules[:2] for port in rule["ports"]]
    assert names == [("UDP", 53), ("TCP", 53), ("UDP", 5353), ("TCP", 5353)]
    assert {"ipBlock": {"cidr": "169.254.20.10/32"}} in rules[0]["to"], "NodeLocal DNSCache"


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_door_into_the_namespace_leads_to_the_receiver(component: str) -> None:
    rendered, before = manifests(f"namespace+{component}"), manifests("namespace")
    assert {name: rendered[name] for name in before} == before
    added = {name.partition("/")[0]: rendered[name] for name in rendered.keys() - before.keys()}
    policy = added.pop("NetworkPolicy")["spec"]
    receiver = before["Deployment/agent-receiver"]["spec"]["template"]
    assert policy["podSelector"]["matchLabels"].items() <= receiver["metadata"]["labels"].items()
    assert policy["ingress"][0]["ports"] == [{"protocol": "TCP", "port": 8080}]
    ((kind, item),) = added.items()
    if kind == "Ingress":
        backend = item["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
        assert f"Service/{backend['name']}" in before
        assert backend["port"]["name"] == before["Service/agent-receiver"]["spec"]["ports"][0]["name"]
    else:
        endpoint, = item["spec"]["podMetricsEndpoints"]  # fmt: skip
        assert (kind, endpoint["path"]) == ("PodMonitor", "/metrics")
        assert endpoint["port"] == receiver["spec"]["containers"][0]["ports"][0]["name"]
        assert item["spec"]["selector"]["matchLabels"].items() <= receiver["metadata"]["labels"].items()


@pytest.mark.parametrize("overlay", JOBS[1:])
def test_kueue_begins_a_job(overlay: str) -> None:
    made = the_job(f"{overlay}+kueue")
    assert made["spec"] == job(overlay) | {"suspend": True}
    assert made["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "agents"


def test_compose() -> None:
    services = load((DEPLOY / "compose.yaml").read_text())[0]["services"]
    assert set(services["agent"]["environment"]) <= set(BY_NAME)
    assert services["agent"]["environment"]["WS_TOKEN"] == services["receiver"]["environment"]["SERVE_TOKEN"]
    grace = services["agent"]["environment"]["TERMINATION_GRACE_SECONDS"]
    assert services["agent"]["stop_grace_period"] == f"{grace}s"


def test_github_actions() -> None:
    workflow = load((DEPLOY / "github-actions/claude.yml").read_text())[0]
    job = workflow["jobs"]["run"]
    login, step, _ = job["steps"]
    assert workflow["permissions"] == {}
    assert job["permissions"] == {"contents": "write", "packages": "read"}
    assert workflow["concurrency"] == {
        "group": "claude-issue-${{ github.event.issue.number }}", "cancel-in-progress": False
    }  # fmt: skip
    minutes = int(step["env"]["TIMEOUT"].removesuffix("m"))
    assert minutes < job["timeout-minutes"], "the agent ends first, and keeps the work"
    assert "{run}" in step["env"]["PUSH_BRANCH"], "a second run for the issue gets a branch of its own"
    assert "--password-stdin" in login["run"]
    assert "${{" not in login["run"]
    assert set(step["env"]) - {"IMAGE"} <= set(BY_NAME)
    passed = set(re.findall(r"--env (\w+)", step["run"]))
    assert passed - {"OUTPUT_DIR"} == set(step["env"]) - {"IMAGE"}
    assert "${{" not in step["run"], "a script must not be made of what others wrote"


def test_the_images_directories_are_the_manifests() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert 'VOLUME ["/workspace", "/journal"]' in dockerfile
    assert "USER 1000:1000" in dockerfile
