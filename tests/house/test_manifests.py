"""deploy/: schemas, and the rules that no schema sees. The overlays are rendered by kubectl's kustomize."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from agent.config.load import examine
from agent.config.parsers import positive_duration
from agent.config.variables import BY_NAME
from agent.exits import Exit
from agent.limits import Limits
from tests.support.places import ROOT

DEPLOY = ROOT / "deploy"
#: The base as it stands in its files, and the overlays as kubectl renders them.
OVERLAYS = ("base", "example", "kept", "indexed")
VERSIONS = ("1.31", "1.34", "1.37")
#: The exit codes of the table that another attempt cannot change.
FINAL = {
    Exit.TASK_FAILED, Exit.CLONE_FAILED, Exit.SETUP_FAILED, Exit.UNDELIVERED, Exit.AUTH, Exit.CONFIG, Exit.TIMEOUT,
    Exit.CLI_NOT_EXECUTABLE, Exit.CLI_MISSING,
}  # fmt: skip
#: From a deadline's end to the next attempt's beginning: Kubernetes waits 10 s, 20 s, 40 s.
BACKOFF = 60


def require(there: bool, what: str) -> None:
    if not there:
        pytest.skip(f"{what} is missing")


def load(text: str) -> list[dict[str, Any]]:
    require(importlib.util.find_spec("yaml") is not None, "PyYAML (requirements/manifests.lock)")
    import yaml

    return [document for document in yaml.safe_load_all(text) if document]


@cache
def render(overlay: str) -> str:
    if overlay == "base":
        return "\n---\n".join(
            path.read_text()
            for path in sorted((DEPLOY / "kubernetes/base").glob("*.yaml"))
            if path.name != "kustomization.yaml"
        )
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is missing")
    done = subprocess.run(
        [str(kubectl), "kustomize", str(DEPLOY / "kubernetes/overlays" / overlay)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def manifests(overlay: str) -> dict[str, dict[str, Any]]:
    """By kind and name."""
    return {f"{item['kind']}/{item['metadata']['name']}": item for item in load(render(overlay))}


def job(overlay: str) -> dict[str, Any]:
    return manifests(overlay)["Job/agent"]["spec"]  # type: ignore[no-any-return]


def agent(overlay: str) -> dict[str, Any]:
    container, = job(overlay)["template"]["spec"]["containers"]  # fmt: skip
    return container  # type: ignore[no-any-return]


def variables(overlay: str) -> dict[str, str]:
    return {item["name"]: item.get("value", "") for item in agent(overlay)["env"]}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_schema_holds(overlay: str, version: str) -> None:
    require(importlib.util.find_spec("kubernetes_validate") is not None, "kubernetes-validate")
    import kubernetes_validate

    for document in manifests(overlay).values():
        kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_variable_is_one_of_ours(overlay: str) -> None:
    names = {name.removesuffix("_FILE") if name != "TASKS_FILE" else name for name in variables(overlay)}
    assert names <= set(BY_NAME)
    for name, data in manifests(overlay).items():
        if name.startswith("ConfigMap/") and overlay == "example":
            assert set(data["data"]) <= set(BY_NAME)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_agents_time_fits_into_the_pods(overlay: str) -> None:
    spec, given = job(overlay), variables(overlay)
    pod = spec["template"]["spec"]
    grace = pod["terminationGracePeriodSeconds"]
    assert given["TERMINATION_GRACE_SECONDS"] == str(grace)
    checked, problems = examine(
        {"REPO_URL": "https://x.org/y", "TASK": "x", "WS_SERVER": "none", "ANTHROPIC_API_KEY": "1" * 20,
         "TERMINATION_GRACE_SECONDS": str(grace), "TIMEOUT": given["TIMEOUT"]}, in_container=True,
    )  # fmt: skip
    assert (problems, checked.warnings) == ((), ())
    assert checked.stop_budget < grace
    attempt = pod["activeDeadlineSeconds"]
    assert attempt >= checked.timeout + positive_duration(given["SERVER_WAIT"]) + checked.delivery_wait + grace
    attempts = 1 + spec.get("backoffLimit", spec.get("backoffLimitPerIndex", 0))
    assert spec["activeDeadlineSeconds"] >= attempts * (attempt + BACKOFF)


@pytest.mark.parametrize(
    ("overlay", "action"), [*((name, "FailJob") for name in OVERLAYS[:-1]), ("indexed", "FailIndex")]
)
def test_the_failure_policy_follows_the_exit_codes(overlay: str, action: str) -> None:
    spec = job(overlay)
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    disruption, codes = spec["podFailurePolicy"]["rules"]
    assert disruption["action"] == "Ignore"
    assert disruption["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert codes["action"] == action
    on = codes["onExitCodes"]
    assert (on["containerName"], on["operator"]) == (agent(overlay)["name"], "In")
    assert on["values"] == sorted(FINAL)
    assert 0 not in on["values"]
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


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_are_restricted(overlay: str) -> None:
    """The Pod Security Standard `restricted`, and a read-only root."""
    rendered = manifests(overlay)
    for template in (rendered["Job/agent"]["spec"], rendered["Deployment/agent-receiver"]["spec"]):
        pod = template["template"]["spec"]
        context = pod["securityContext"]
        assert context["runAsNonRoot"] is True
        assert (context["runAsUser"], context["fsGroup"]) == (1000, 1000)
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            inner = container["securityContext"]
            assert inner["allowPrivilegeEscalation"] is False
            assert inner["readOnlyRootFilesystem"] is True
            assert inner["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]
            secret = [
                item["name"] for item in container.get("env", ()) if getattr(BY_NAME.get(item["name"]), "secret", 0)
            ]
            assert secret == [], "secrets come as files"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_is_mounted_exists_and_what_is_written_is_mounted(overlay: str) -> None:
    for name, item in manifests(overlay).items():
        if not name.startswith(("Job/", "Deployment/")):
            continue
        pod = item["spec"]["template"]["spec"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        assert len(volumes) == len(pod["volumes"])
        for container in pod["containers"]:
            mounted = {mount["name"] for mount in container["volumeMounts"]}
            assert mounted == volumes
    places = {mount["mountPath"] for mount in agent(overlay)["volumeMounts"]}
    assert places >= {"/workspace", "/journal", "/home/claude", "/tmp"}
    for name, value in variables(overlay).items():
        if name.endswith("_FILE") and name != "TASKS_FILE":
            assert str(Path(value).parent) in places, name


def test_what_is_kept() -> None:
    """Journal and output lie on one claim, in directories of their own, and the agent is told."""
    volumes = job("kept")["template"]["spec"]["volumes"]
    claims = {volume["name"]: volume["persistentVolumeClaim"]["claimName"]
              for volume in volumes if "persistentVolumeClaim" in volume}  # fmt: skip
    ((name, claim),) = claims.items()
    assert f"PersistentVolumeClaim/{claim}" in manifests("kept")
    mounts = {mount["mountPath"]: mount["subPath"]
              for mount in agent("kept")["volumeMounts"] if mount["name"] == name}  # fmt: skip
    assert mounts == {"/journal": "journal", variables("kept")["OUTPUT_DIR"]: "output"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_probes_and_the_last_word(overlay: str) -> None:
    container = agent(overlay)
    assert container["livenessProbe"]["exec"]["command"] == ["healthcheck.sh", "--live"]
    assert container["readinessProbe"]["exec"]["command"] == ["healthcheck.sh", "--ready"]
    # Beyond the time in which starting counts as alive, one probe may come too early.
    assert container["livenessProbe"]["failureThreshold"] >= 3
    assert container["terminationMessagePath"] == "/dev/termination-log"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_limits_are_not_below_requests(overlay: str) -> None:
    def quantity(text: str) -> float:
        number, unit = re.fullmatch(r"(\d+)(m|Mi|Gi)?", text).groups()  # type: ignore[union-attr]
        return int(number) * {None: 1, "m": 1e-3, "Mi": 2**20, "Gi": 2**30}[unit]

    for name, item in manifests(overlay).items():
        if name.startswith(("Job/", "Deployment/")):
            for container in item["spec"]["template"]["spec"]["containers"]:
                requests, limits = container["resources"]["requests"], container["resources"]["limits"]
                assert all(quantity(requests[key]) <= quantity(limits[key]) for key in limits)
    memory = quantity(agent(overlay)["resources"]["limits"]["memory"])
    assert memory >= Limits().memory_warn_bytes


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_receiver_is_found_and_let_in(overlay: str) -> None:
    rendered = manifests(overlay)
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
    assert out["ingress"] == []
    outside = [peer["ipBlock"] for rule in out["egress"] for peer in rule["to"] if "ipBlock" in peer]
    assert "169.254.0.0/16" in outside[0]["except"]


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
