"""deploy/ around the image, run: the compose file, the GitHub Actions job, a derived image."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.house.test_manifests import load, require
from tests.support.containers import DOCKER, IMAGE, KEY, Yard, docker, needs_image, yard
from tests.support.places import ROOT
from tests.support.shell import Shell

pytestmark = pytest.mark.docker

DEPLOY = ROOT / "deploy"


@pytest.fixture(scope="module")
def place() -> Iterator[Yard]:
    needs_image()
    with yard() as made:
        yield made


def compose_command() -> list[str]:
    """Of the plug-in or of Debian's program; compose checks the file against its schema before it does anything."""
    for command in ([DOCKER, "compose"], ["docker-compose"]):
        try:
            if subprocess.run([*command, "version"], capture_output=True, check=False).returncode == 0:
                return command
        except FileNotFoundError:
            continue
    require(False, "docker compose")
    raise AssertionError


def test_compose(place: Yard) -> None:
    override = place.directory / "override.json"
    mounts = [f"{place.origin}:/origin.git:ro", f"{place.claude}:/opt/scripted/claude:ro"]
    script = {"CLAUDE_BIN": "/opt/scripted/claude", "CLAUDE_CODE_SCRIPT": "edits:new.txt"}
    agent = {"environment": script, "volumes": mounts}
    override.write_text(json.dumps({"services": {"agent": agent}}))
    project = place.name()
    command = [*compose_command(), "-p", project, "-f", str(DEPLOY / "compose.yaml"), "-f", str(override)]
    environ = {**os.environ, "REPO_URL": "/origin.git", "TASK": "x", "ANTHROPIC_API_KEY": KEY}

    def compose(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [*command, *arguments], env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=120, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout

    try:
        for _ in range(2):
            code, said = compose("up", "--abort-on-container-exit", "--exit-code-from", "agent")
            assert code == 0, said
            assert "exit 0 (success)" in said
            assert re.search(r"complete: \d+ events, 0 missing", said), said
        receiver = compose("ps", "-q", "-a", "receiver")[1].split()[-1]
        docker("cp", f"{receiver}:/store", str(place.directory / project))
        patches = sorted((place.directory / project).rglob("*.patch"))
        assert len(patches) == 2, "one of each run"
        assert all("+edited by claude" in each.read_text() for each in patches)
    finally:
        compose("down", "--volumes")


def test_github_actions(place: Yard) -> None:
    """The step's script, with what the runner would put into its environment."""
    step = load((DEPLOY / "github-actions/claude.yml").read_text())[0]["jobs"]["run"]["steps"][1]
    shell = Shell(place)
    environ = dict.fromkeys(step["env"], "") | {
        "IMAGE": IMAGE, "REPO_URL": "/origin.git", "TASK": "The title\n\nThe text: $(exit 1)", "LABELS": "issue=7",
        "PUSH_BRANCH": "claude/issue-7-{run}", "WS_SERVER": "none", "TIMEOUT": "40m",
        "CLAUDE_CODE_SCRIPT": "edits:new.txt", "ANTHROPIC_API_KEY": KEY,
    }  # fmt: skip
    done = shell.run(step["run"], **environ)
    assert done.returncode == 0, done.stderr
    assert "+edited by claude" in (shell.directory / "output/changes.patch").read_text()
    assert (shell.directory / "output/transcript.jsonl").is_file()


def test_a_derived_image(place: Yard) -> None:
    """The example of a project's own tool chain, with a small one."""
    tag = f"{IMAGE}-derived-test"
    docker("build", "--quiet", "--build-arg=PACKAGES=make", f"--tag={tag}", str(DEPLOY / "derived"), timeout=300)
    try:
        options = ("--rm", "--read-only", "--tmpfs=/tmp:exec", "--volume=/home/claude", "--entrypoint=sh")
        work = "id -u; touch ~/cached; cp $(command -v make) /tmp; /tmp/make --version | head -1"
        made = docker("run", *options, tag, "-c", work)
        assert made.startswith("1000\nGNU Make"), made
    finally:
        docker("rmi", tag, check=False)
