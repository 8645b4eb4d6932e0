"""The Job of deploy/kubernetes on a real node: `make k8s-test KUBECTL='...' LOAD='...'`.

KUBECTL reaches a cluster of one node that is this machine (pods see a repository through hostPath), LOAD takes an
image archive into it. A cluster before 1.25 drops podFailurePolicy: what is asserted here does not need it.
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

from tests.support.containers import IMAGE, KEY, TOKEN, Yard, docker, needs_image, until, yard
from tests.test_manifests import manifests

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
        self.rendered = manifests("base")
        kubectl("create", "namespace", NAMESPACE)
        until(lambda: kubectl("get", "serviceaccount", "default", check=False), 30)
        apply(
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "agent-secrets"},
             "stringData": {"anthropic-api-key": KEY, "ws-token": TOKEN}},
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "scripted-claude"},
             "data": {"claude": place.claude.read_text()}},
        )  # fmt: skip
        receiver = self.rendered["Deployment/agent-receiver"]
        container = receiver["spec"]["template"]["spec"]["containers"][0]
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

    def complete(self, pod: str) -> dict[str, Any] | None:
        """The COMPLETE of a pod, as the receiver has it."""
        for line in kubectl("logs", "deployment/agent-receiver").splitlines():
            if '"COMPLETE"' in line and (message := json.loads(line))["containerID"] == pod:
                return message["data"]  # type: ignore[no-any-return]
        return None

    def start(
        self, name: str, script: str | list[Any], change: Callable[[dict[str, Any]], object] = lambda spec: None
    ) -> None:
        """A Job of the base's with a scripted claude; `change` gets its spec."""
        task = {"REPO_URL": "/origin.git", "TASK": "x", "CLAUDE_BIN": "/opt/scripted/claude",
                "CLAUDE_CODE_SCRIPT": script if isinstance(script, str) else json.dumps(script)}  # fmt: skip
        item = json.loads(json.dumps(self.rendered["Job/agent"]))
        item["metadata"]["name"] = name
        spec = item["spec"] | {"backoffLimit": 0}
        pod = spec["template"]["spec"]
        (container,) = pod["containers"]
        container |= {"image": TAG, "imagePullPolicy": "Never", "envFrom": [{"configMapRef": {"name": name}}]}
        for variable in container["env"]:
            if variable["name"] == "WS_SERVER":
                variable["value"] = self.receiver
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

    def until_running(self, job: str) -> str:
        """The pod's name once claude is at work."""

        def running() -> str:
            for pod in self.pods(job):
                name = pod["metadata"]["name"]
                if "claude-scripted" in kubectl("logs", name, check=False):
                    return str(name)
            return ""

        return str(until(running, 90))

    def ended(self, job: str) -> tuple[str, str]:
        """Complete or Failed, and why."""

        def end() -> tuple[str, str] | None:
            for condition in get("job", job)["status"].get("conditions", ()):
                if condition["status"] == "True":
                    return condition["type"], condition.get("reason", "")
            return None

        return until(end, 150)  # type: ignore[no-any-return]

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


def test_success(cluster: Cluster) -> None:
    cluster.start("success", "edits:new.txt")
    assert cluster.ended("success")[0] == "Complete"
    end = cluster.terminated("success")
    told = json.loads(end["message"])
    assert (end["exitCode"], told["exitCode"], told["undelivered"]) == (0, 0, 0)
    (pod,) = cluster.pods("success")
    complete = cluster.complete(pod["metadata"]["name"])
    assert complete is not None
    assert complete["reason"] == "success"


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
    name = cluster.until_running("hung")
    find = 'for c in /proc/[0-9]*/comm; do read n <$c; p=${c%/comm}; [ "$n" != agent ] || kill -STOP ${p##*/}; done'
    kubectl("exec", name, "--", "sh", "-c", find)
    assert cluster.ended("hung")[0] == "Failed"


def test_deletion_with_grace(cluster: Cluster) -> None:
    cluster.start("deleted", "deaf")
    name = cluster.until_running("deleted")
    began = time.monotonic()
    kubectl("delete", "job", "deleted", "--wait=true")
    until(lambda: cluster.complete(name), 40)
    assert (cluster.complete(name) or {})["exitCode"] == 143
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
    assert json.loads(end["message"])["reason"] in ("oom", "memory_guard")


def test_the_deadline(cluster: Cluster) -> None:
    cluster.start("deadline", "polite", lambda spec: spec.update(activeDeadlineSeconds=12))
    assert cluster.ended("deadline") == ("Failed", "DeadlineExceeded")
