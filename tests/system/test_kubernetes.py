"""The Job of deploy/kubernetes on a real node: `make k8s-test KUBECTL='...' LOAD='...'`.

KUBECTL reaches a cluster of one node that is this machine (pods see a repository through hostPath), LOAD takes an
image archive into it. What is asserted here holds from 1.20 on: an older cluster drops podFailurePolicy and
completionMode, and neither a service's name nor a network policy has to work. Below 1.29, where no container may run
beside the others and end with them, Jobs are made without `flush`.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.house.test_manifests import JOBS, KUBERNETES, load, manifests, the_job
from tests.support.containers import IMAGE, KEY, TOKEN, Yard, docker, needs_image, until, yard

pytestmark = [pytest.mark.soak, pytest.mark.skipif("KUBECTL" not in os.environ, reason="KUBECTL is not set")]

TAG = f"{IMAGE}:k8s-test"
NAMESPACE = "agent-k8s-test"
EAT = "m = []\nwhile True: m.append(b'x' * (32 << 20))"


def kubectl(*arguments: str, given: str | None = None, check: bool = True) -> str:
    command = [*shlex.split(os.environ["KUBECTL"]), "--namespace", NAMESPACE, *arguments]
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=120, check=False)
    assert not check or done.returncode == 0, f"{arguments}: {done.stderr}"
    return done.stdout


def get(kind: str, *arguments: str) -> Any:
    return json.loads(kubectl("get", kind, "-o", "json", *arguments))


def apply(*items: dict[str, Any]) -> None:
    for item in items:
        item["metadata"].pop("namespace", None)
        kubectl("apply", "--validate=false", "-f", "-", given=json.dumps(item))


class Cluster:
    """The receiver of the base, and Jobs made of the base's."""

    def __init__(self, place: Yard) -> None:
        self.place = place
        docker("tag", IMAGE, TAG)
        archive = str(place.directory / "image.tar")
        docker("save", "--output", archive, TAG)
        subprocess.run([*shlex.split(os.environ["LOAD"]), archive], check=True, capture_output=True, timeout=300)
        Path(archive).unlink()
        kubectl("create", "namespace", NAMESPACE)
        until(lambda: kubectl("get", "serviceaccount", "default", check=False), 30)
        apply(
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "agent-secrets"},
             "stringData": {"anthropic-api-key": KEY, "ws-token": TOKEN, "github-token": KEY}},
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "scripted-claude"},
             "data": {"claude": place.claude.read_text()}},
        )  # fmt: skip
        version = json.loads(kubectl("version", "-o", "json"))["serverVersion"]["gitVersion"]
        self.has_sidecars = int(version.split(".")[1]) >= 29
        receiver = manifests("namespace")["Deployment/agent-receiver"]
        pod = receiver["spec"]["template"]["spec"]
        store, = (volume for volume in pod["volumes"] if volume["name"] == "store")  # fmt: skip
        store["emptyDir"] = {"sizeLimit": "1Gi"}
        del store["persistentVolumeClaim"]  # a node needs no storage class for a test
        container = pod["containers"][0]
        container |= {"image": TAG, "imagePullPolicy": "Never"}
        container["args"].append("--json")
        apply(receiver)
        self.receiver = until(self._receiver, 90)

    def _receiver(self) -> str:
        """Its address once it is ready; the name of a Service needs more of a cluster than a test does."""
        for pod in get("pods", "-l", "app.kubernetes.io/component=receiver")["items"]:
            if any(
                item["type"] == "Ready" and item["status"] == "True" for item in pod["status"].get("conditions", ())
            ):
                return f"ws://{pod['status']['podIP']}:8080"
        return ""

    def received(self, pod: str, kind: str) -> list[dict[str, Any]]:
        """The receiver's messages of a pod."""
        lines = [line for line in kubectl("logs", "deployment/agent-receiver").splitlines() if f'"{kind}"' in line]
        messages = [json.loads(line) for line in lines if line.startswith("{")]
        return [item["data"] for item in messages if (item["type"], item["containerID"]) == (kind, pod)]

    def complete(self, pod: str) -> dict[str, Any]:
        """The COMPLETE of a pod, once the receiver has it."""
        return until(lambda: self.received(pod, "COMPLETE"), 60)[0]  # type: ignore[no-any-return]

    def start(
        self,
        name: str,
        script: str | list[Any],
        change: Callable[[dict[str, Any]], object] = lambda spec: None,
        overlay: str = "base",
    ) -> None:
        """A Job of the overlay's with a scripted claude; `change` gets its spec."""
        task = {"REPO_URL": "/origin.git", "TASK": "x", "CLAUDE_BIN": "/opt/scripted/claude",
                "CLAUDE_CODE_SCRIPT": script if isinstance(script, str) else json.dumps(script)}  # fmt: skip
        item = the_job(overlay)
        item["metadata"]["name"] = name
        spec = item["spec"] | {"backoffLimit": 0}
        pod = spec["template"]["spec"]
        if not self.has_sidecars:
            del pod["initContainers"]
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            container |= {"image": TAG, "imagePullPolicy": "Never"}
            for variable in container["env"]:
                if variable["name"] == "WS_SERVER":
                    variable["value"] = self.receiver
        (container,) = pod["containers"]
        container["envFrom"] = [{"configMapRef": {"name": name}}]
        # What an overlay's own task says, and where it pushes to, goes before envFrom.
        container["env"] = [item for item in container["env"] if item["name"] not in {*task, "PUSH_BRANCH"}]
        pod["volumes"] += [
            {"name": "origin", "hostPath": {"path": str(self.place.origin)}},
            {"name": "claude", "configMap": {"name": "scripted-claude", "defaultMode": 0o755}},
        ]
        container["volumeMounts"] += [
            {"name": "origin", "mountPath": "/origin.git", "readOnly": True},
            {"name": "claude", "mountPath": "/opt/scripted"},
        ]
        change(spec)
        item["spec"] = spec
        apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": task}, item)

    def pods(self, job: str) -> list[dict[str, Any]]:
        return get("pods", "-l", f"job-name={job}")["items"]  # type: ignore[no-any-return]

    def until_running(self, job: str, but: str = "") -> str:
        """The name of a pod, another than `but`, once claude is at work in it."""

        def running() -> str:
            for pod in self.pods(job):
                name = pod["metadata"]["name"]
                if name != but and "claude-scripted" in kubectl("logs", name, check=False):
                    return str(name)
            return ""

        return str(until(running, 90))

    def ended(self, job: str) -> tuple[str, str]:
        """Complete or Failed, and why; what the pods said is printed, for the case that it is not what was expected."""

        def end() -> tuple[str, str] | None:
            for condition in get("job", job)["status"].get("conditions", ()):
                # Since 1.31 SuccessCriteriaMet and FailureTarget come first, while pods still end.
                if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
                    return condition["type"], condition.get("reason", "")
            return None

        try:
            return until(end, 150)  # type: ignore[no-any-return]
        finally:
            print(kubectl("logs", f"--selector=job-name={job}", "--prefix", "--tail=40", check=False))

    def terminated(self, job: str) -> dict[str, Any]:
        (pod,) = self.pods(job)
        return pod["status"]["containerStatuses"][0]["state"]["terminated"]  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    needs_image()
    with yard() as place:
        try:
            yield Cluster(place)
        finally:
            kubectl("delete", "namespace", NAMESPACE, "--wait=false", check=False)
            docker("rmi", TAG, check=False)


def signal_agent(pod: str, name: str) -> None:
    find = 'for c in /proc/[0-9]*/comm; do read n <$c; p=${c%/comm}; [ "$n" != agent ] || kill '
    kubectl("exec", pod, "--", "sh", "-c", f"{find} -{name} ${{p##*/}}; done", check=False)


@pytest.mark.parametrize("overlay", [*JOBS, "namespace"])
def test_the_api_server_takes_it(cluster: Cluster, overlay: str) -> None:
    """Without admitting it: names, quantities, volumes and requests against limits are its business."""
    for item in manifests(overlay).values():
        item["metadata"].pop("namespace", None)
        kubectl("apply", "--dry-run=server", "--validate=false", "-f", "-", given=json.dumps(item))


def test_the_same_again_is_no_change(cluster: Cluster) -> None:
    """Neither for `kubectl diff` nor for a tool that watches generations; an empty list would be one each time."""
    policies = [item for item in manifests("namespace").values() if item["kind"] in ("NetworkPolicy", "Service")]
    for item in policies:
        item["metadata"].pop("namespace")
    given = json.dumps({"apiVersion": "v1", "kind": "List", "items": policies})
    try:
        for _ in range(2):
            kubectl("apply", "--validate=false", "-f", "-", given=given)
            kubectl("diff", "-f", "-", given=given)
        assert {item["metadata"]["generation"] for item in get("networkpolicies")["items"]} == {1}
    finally:
        kubectl("delete", "--wait=false", "-f", "-", given=given)


def test_success(cluster: Cluster) -> None:
    cluster.start("success", "edits:new.txt")
    assert cluster.ended("success")[0] == "Complete"
    end = cluster.terminated("success")
    told = json.loads(end["message"])
    assert (end["exitCode"], told["exitCode"], told["undelivered"]) == (0, 0, 0)
    (pod,) = cluster.pods("success")
    name = pod["metadata"]["name"]
    assert cluster.complete(name)["reason"] == "success"
    assert [data for data in cluster.received(name, "LOG") if data["level"] == "warn"] == []


def test_a_failure_that_is_worth_a_retry(cluster: Cluster) -> None:
    cluster.start("retry", "dies:9", lambda spec: spec.update(backoffLimit=1))
    assert cluster.ended("retry") == ("Failed", "BackoffLimitExceeded")
    codes = [pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] for pod in cluster.pods("retry")]
    assert codes == [137, 137]


def test_a_hung_agent_is_no_success(cluster: Cluster) -> None:
    def change(spec: dict[str, Any]) -> None:
        pod = spec["template"]["spec"]
        pod["terminationGracePeriodSeconds"] = 10
        pod["containers"][0]["livenessProbe"] |= {"periodSeconds": 2, "failureThreshold": 2}

    cluster.start("hung", "polite", change)
    signal_agent(cluster.until_running("hung"), "STOP")
    assert cluster.ended("hung") == ("Failed", "BackoffLimitExceeded")
    assert cluster.terminated("hung")["exitCode"] == 137
    assert "Liveness probe failed: stalled: " in kubectl("get", "events")


def test_an_agent_that_answers_the_liveness_kill_is_no_success(cluster: Cluster) -> None:
    """An exit with 0 after the kubelet's SIGTERM would make the pod Succeeded and the Job Complete."""

    def change(spec: dict[str, Any]) -> None:
        probe = {"exec": {"command": ["false"]}, "initialDelaySeconds": 8, "periodSeconds": 1, "failureThreshold": 1}
        spec["template"]["spec"]["containers"][0]["livenessProbe"] = probe

    cluster.start("doubted", "polite", change)
    name = cluster.until_running("doubted")
    assert cluster.ended("doubted") == ("Failed", "BackoffLimitExceeded")
    assert cluster.terminated("doubted")["exitCode"] == 143
    assert cluster.complete(name)["exitCode"] == 143


def test_deletion_with_grace(cluster: Cluster) -> None:
    cluster.start("deleted", "deaf")
    name = cluster.until_running("deleted")
    began = time.monotonic()
    kubectl("delete", "job", "deleted", "--wait=true")
    complete = cluster.complete(name)
    assert (complete["exitCode"], complete["signal"]) == (143, "SIGTERM")
    until(lambda: cluster.pods("deleted") == [], 60)
    print(f"gone {time.monotonic() - began:.0f} s after the deletion")


def test_out_of_memory(cluster: Cluster) -> None:
    def change(spec: dict[str, Any]) -> None:
        spec["template"]["spec"]["containers"][0]["resources"] = {"limits": {"memory": "256Mi"}}

    eat = f"exec python3 -c {shlex.quote(EAT)}"
    cluster.start("oom", [["read"], ["init"], ["text", "Eating."], ["bash", eat], ["die", 9]], change)
    assert cluster.ended("oom") == ("Failed", "BackoffLimitExceeded")
    end = cluster.terminated("oom")
    assert end["exitCode"] == 137
    if end.get("message"):
        assert json.loads(end["message"])["reason"] in ("oom", "memory_guard")
    else:  # cgroup v2: the agent was killed together with claude, and another container says so
        (pod,) = cluster.pods("oom")
        assert cluster.complete(pod["metadata"]["name"])["reason"] == "agent_lost"


def test_what_a_killed_agent_leaves_is_delivered(cluster: Cluster) -> None:
    if not cluster.has_sidecars:
        pytest.skip("needs Kubernetes 1.29")
    cluster.start("lost", "polite")
    name = cluster.until_running("lost")
    signal_agent(name, "KILL")
    assert cluster.complete(name)["reason"] == "agent_lost"
    assert cluster.ended("lost")[0] == "Failed"


@pytest.mark.parametrize("of", ["job", "attempt"])
def test_the_deadline(cluster: Cluster, of: str) -> None:
    """Of all attempts together or of one; the agent has the grace to say so."""

    def change(spec: dict[str, Any]) -> None:
        (spec if of == "job" else spec["template"]["spec"])["activeDeadlineSeconds"] = 15

    cluster.start(f"deadline-{of}", "polite", change)
    name = cluster.until_running(f"deadline-{of}")
    ended = {"job": "DeadlineExceeded", "attempt": "BackoffLimitExceeded"}
    assert cluster.ended(f"deadline-{of}") == ("Failed", ended[of])
    assert cluster.complete(name)["exitCode"] == 143


def test_what_is_kept_outlives_the_pod(cluster: Cluster) -> None:
    """The next attempt completes what a killed one left, and its work is there when the pods are gone."""
    kept = cluster.place.directory / "kept"
    kept.mkdir()
    kept.chmod(0o777)
    (claim,) = load((KUBERNETES / "overlays/kept/claim.yaml").read_text())
    claim["spec"] |= {"storageClassName": "", "volumeName": NAMESPACE, "accessModes": ["ReadWriteOnce"]}
    volume = {
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": NAMESPACE},
        "spec": {"capacity": {"storage": "5Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": str(kept)},
                 "persistentVolumeReclaimPolicy": "Retain"},
    }  # fmt: skip
    try:
        apply(volume, claim)
        script = [["read"], ["polite"], ["init"], ["write", "new.txt", "kept"], ["text", "Working."], ["hang"]]
        cluster.start("kept", script, lambda spec: spec.update(backoffLimit=1), overlay="kept")
        first = cluster.until_running("kept")
        signal_agent(first, "KILL")
        second = cluster.until_running("kept", but=first)
        assert cluster.complete(first)["reason"] == "agent_lost"
        kubectl("delete", "job", "kept", "--wait=true")
        assert cluster.complete(second)["exitCode"] == 143
        assert "+kept" in (kept / "output/changes.patch").read_text()
        assert json.loads((kept / "output/result.json").read_text())["exitCode"] == 143
    finally:
        kubectl("delete", "persistentvolume", NAMESPACE, "--wait=false", check=False)


@pytest.mark.parametrize(("index", "code"), [("1", 0), ("7", 78)])
def test_the_index_chooses_the_task(cluster: Cluster, index: str, code: int) -> None:
    """The index is set here, as a cluster sets it that knows completionMode."""
    name = f"index-{index}"
    tasks = [{"REPO_URL": "/none", "TASK": "first"}, {"REPO_URL": "/origin.git", "TASK": "second"}]
    data = {"tasks.json": json.dumps(tasks)}
    apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"{name}-tasks"}, "data": data})

    def change(spec: dict[str, Any]) -> None:
        spec |= {"completions": 1, "parallelism": 1}
        pod = spec["template"]["spec"]
        pod["containers"][0]["env"].append({"name": "JOB_COMPLETION_INDEX", "value": index})
        (volume,) = [volume for volume in pod["volumes"] if volume["name"] == "tasks"]
        volume["configMap"]["name"] = f"{name}-tasks"

    cluster.start(name, "ok", change, overlay="indexed")
    cluster.ended(name)
    end = cluster.terminated(name)
    assert end["exitCode"] == code, end
    if code == 0:
        (pod,) = cluster.pods(name)
        assert cluster.received(pod["metadata"]["name"], "STATUS")[0]["title"] == "second"
    else:
        assert "JOB_COMPLETION_INDEX" in end["message"]
