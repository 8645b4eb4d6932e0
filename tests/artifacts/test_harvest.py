"""The work survives the run: whole runs, and what they leave behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.collector import collecting
from tests.support.git_servers import git, http_server
from tests.support.run_agent import KEY, origin, run_agent, start_agent
from tests.support.servers import open_agent_serve

pytestmark = pytest.mark.system

EDIT = [["read"], ["init"], ["write", "file.txt", "edited by claude\n"], ["text", "Edited."]]


def fresh_with(tmp_path: Path, patch: Path) -> str:
    """file.txt of a fresh clone with the patch."""
    git(tmp_path, "clone", "-q", str(origin(tmp_path)), "fresh")
    git(tmp_path / "fresh", "apply", "--binary", str(patch))
    return (tmp_path / "fresh" / "file.txt").read_text()


def result(output: Path) -> dict[str, Any]:
    return json.loads((output / "result.json").read_text())  # type: ignore[no-any-return]


@pytest.mark.smoke
async def test_success(tmp_path: Path) -> None:
    output = tmp_path / "output"
    ran = await run_agent(tmp_path, "none", [*EDIT, ["result"]], OUTPUT_DIR=str(output))
    ran.settled()
    assert fresh_with(tmp_path, output / "changes.patch") == "edited by claude\n"
    told = result(output)
    assert (told["exitCode"], told["reason"]) == (0, "success")
    assert (told["changes"]["files"], told["changes"]["insertions"], told["changes"]["untracked"]) == (1, 1, 0)
    lines = [json.loads(line) for line in (output / "transcript.jsonl").read_text().splitlines()]
    assert [line["type"] for line in lines] == ["system", "assistant", "user", "assistant", "result"]


async def test_timeout_in_the_middle_of_an_edit(tmp_path: Path) -> None:
    output = tmp_path / "output"
    ran = await run_agent(tmp_path, "none", [*EDIT, ["hang"]], OUTPUT_DIR=str(output), TIMEOUT="3s")
    ran.settled()
    assert ran.code == 124
    assert fresh_with(tmp_path, output / "changes.patch") == "edited by claude\n"
    assert (result(output)["exitCode"], result(output)["changes"]["files"]) == (124, 1)


async def test_sigterm_in_the_middle_of_an_edit(tmp_path: Path) -> None:
    output = tmp_path / "output"
    async with start_agent(tmp_path, "none", [*EDIT, ["hang"]], OUTPUT_DIR=str(output)) as agent:
        await agent.until_stderr("Edited.")
        agent.signal(signal.SIGTERM)
        ran = await agent.ended()
    ran.settled()
    assert ran.code == 143
    assert fresh_with(tmp_path, output / "changes.patch") == "edited by claude\n"
    assert result(output)["signal"] == "SIGTERM"


async def test_failed_clone_still_has_its_result(tmp_path: Path) -> None:
    output = tmp_path / "output"
    ran = await run_agent(tmp_path, "none", REPO_URL="/nowhere.git", OUTPUT_DIR=str(output))
    assert (ran.code, result(output)["exitCode"]) == (66, 66)
    assert "changes" not in result(output)


@pytest.mark.smoke
async def test_push_of_a_run(tmp_path: Path) -> None:
    async with collecting() as collector:
        ran = await run_agent(
            tmp_path,
            collector.url,
            [*EDIT, ["result"]],
            PUSH_BRANCH="claude/{run}",
            OUTPUT_DIR=str(tmp_path / "output"),
        )
    changes = ran.agrees(collector, code=0).complete["changes"]
    assert changes["branch"] == "claude/" + ran.messages[0]["runID"].lower()
    assert git(origin(tmp_path), "rev-parse", changes["branch"]) == changes["commit"]
    assert git(origin(tmp_path), "show", f"{changes['branch']}:file.txt") == "edited by claude"


async def test_push_to_the_default_branch_is_a_fault_of_the_configuration(tmp_path: Path) -> None:
    ran = await run_agent(tmp_path, "none", [*EDIT, ["result"]], PUSH_BRANCH="main")
    ran.settled()
    assert (ran.code, ran.termination["reason"]) == (78, "config")
    assert "PUSH_BRANCH: main is the default branch" in ran.stderr
    assert "Edited." not in ran.stderr, "claude did not start"


async def test_refused_push_is_an_error_and_the_exit_stays_the_task_s(tmp_path: Path) -> None:
    output = tmp_path / "output"
    hook = origin(tmp_path) / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho protected >&2\nexit 1\n")
    hook.chmod(0o755)
    async with collecting() as collector:
        ran = await run_agent(
            tmp_path, collector.url, [*EDIT, ["result"]], PUSH_BRANCH="claude/x", OUTPUT_DIR=str(output)
        )
        ran.messages = collector.messages
    assert (ran.code, ran.complete["exitCode"], ran.complete["reason"]) == (0, 0, "success")
    (error,) = ran.of_type("ERROR")
    assert error["code"] == "push"
    assert "protected" in error["details"]
    assert "branch" not in ran.complete["changes"]
    assert fresh_with(tmp_path, output / "changes.patch") == "edited by claude\n"


@pytest.mark.parametrize("binary", [False, True])
async def test_patch_through_the_stream(binary: bool, tmp_path: Path) -> None:
    """Without any volume: in parts through the journal, and a file beside what `agent serve --store` keeps."""
    store = tmp_path / "store"
    script = [["read"], ["init"], ["write", "file.txt", "edited by claude\n"], ["bash", "seq 100000 > big"], ["result"]]
    if binary:
        script.insert(2, ["bash", "printf '\\351\\n' > latin"])
    async with open_agent_serve(tmp_path, "--store", str(store)) as server:
        ran = await run_agent(tmp_path, server.url, script, STREAM_PATCH="1")
        ran.settled()
        server.stop()
    (patch,) = store.rglob("*.patch")
    assert fresh_with(tmp_path, patch) == "edited by claude\n"
    assert (tmp_path / "fresh" / "big").read_text().endswith("\n99999\n100000\n")
    assert (tmp_path / "fresh" / "latin").exists() is binary


async def test_secret_in_the_changes(tmp_path: Path) -> None:
    output = tmp_path / "output"
    script = [["read"], ["init"], ["write", "key.txt", KEY + "\n"], ["result"]]
    async with collecting() as collector:
        ran = await run_agent(tmp_path, collector.url, script, OUTPUT_DIR=str(output), STREAM_PATCH="1")
    ran.agrees(collector, code=0)  # which looks for the secret
    assert "the changes hold a secret" in ran.stderr
    assert "masked in the stream: it will not apply" in ran.stderr
    assert KEY in (output / "changes.patch").read_text()
    assert KEY not in (output / "transcript.jsonl").read_text() + (output / "result.json").read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
async def test_full_output_directory_costs_warnings(tmp_path: Path) -> None:
    output = tmp_path / "output"
    output.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", str(output)], check=False)
    if mounted.returncode != 0:
        pytest.skip("no mounting here")
    try:
        (output / "ballast").write_bytes(bytes(8 << 10))
        ran = await run_agent(
            tmp_path, "none", [["read"], ["init"], ["write", "f", "x" * 100_000], ["result"]], OUTPUT_DIR=str(output)
        )
        left = sorted(path.name for path in output.iterdir())
    finally:
        subprocess.run(["umount", str(output)], check=True)
    ran.settled()
    assert ran.code == 0
    assert "OUTPUT_DIR: the changes: No space left on device" in ran.stderr
    assert ran.stderr.count("the transcript ends here") == 1
    assert "changes.patch" not in left


async def test_output_directory_that_cannot_be(tmp_path: Path) -> None:
    """Said before a token is spent, since the work would be lost."""
    (tmp_path / "file").touch()
    output = tmp_path / "file" / "output"
    ran = await run_agent(tmp_path, "none", EDIT, OUTPUT_DIR=str(output))
    ran.settled()
    assert (ran.code, ran.termination["reason"]) == (78, "config")
    assert f"OUTPUT_DIR: {output} cannot be written (Not a directory); mount a directory" in ran.stderr
    assert "mkdir -m 0777 out" in ran.stderr
    assert not (ran.directory / "workspace").exists(), "nothing was cloned"


async def test_output_directory_that_is_lost_on_the_way(tmp_path: Path) -> None:
    """What fails at the end costs a WARN, and not the run."""
    output = tmp_path / "output"
    script = [["read"], ["init"], ["bash", f"mkdir -p {output}/.result.json.new/x"], ["result"]]
    ran = await run_agent(tmp_path, "none", script, OUTPUT_DIR=str(output))
    ran.settled()
    assert ran.code == 0
    assert "OUTPUT_DIR: the result: " in ran.stderr


async def test_what_is_known_when_the_time_is_over(tmp_path: Path) -> None:
    """A signal leaves a second: a server that does not answer costs the push and nothing else."""
    output = tmp_path / "output"
    repository = origin(tmp_path)
    git(repository, "config", "http.receivepack", "true")
    with http_server(repository.parent) as server:
        async with collecting() as collector, start_agent(
            tmp_path, collector.url, [*EDIT, ["hang"]], OUTPUT_DIR=str(output), PUSH_BRANCH="claude/x",
            REPO_URL=f"{server.url}/{repository.name}",
        ) as agent:  # fmt: skip
            await agent.until_stderr("Edited.")
            server.faults.append("stall")
            agent.signal(signal.SIGTERM)
            ran = await agent.ended()
            ran.messages = collector.messages
    assert (ran.code, ran.complete["changes"]["files"]) == (143, 1)
    assert "PUSH_BRANCH: not done in the time that was left" in [error["error"] for error in ran.of_type("ERROR")]
    assert fresh_with(tmp_path, output / "changes.patch") == "edited by claude\n"


ELSEWHERE = (
    "git checkout -q -b fix/login && echo fix >fix && git add fix"
    " && git -c user.name=c -c user.email=c@e commit -qm fix"
    " && git checkout -q main && git worktree add -q -b two .claude/worktrees/two && echo 2 >.claude/worktrees/two/two"
)


async def test_work_elsewhere_is_told_saved_and_pushed(tmp_path: Path) -> None:
    output = tmp_path / "output"
    script = [["read"], ["init"], ["bash", ELSEWHERE], ["result"]]
    async with collecting() as collector:
        ran = await run_agent(tmp_path, collector.url, script, PUSH_BRANCH="claude/x", OUTPUT_DIR=str(output))
    changes = ran.agrees(collector, code=0).complete["changes"]
    assert (changes["files"], "branch" in changes) == (0, False)
    told = {other["name"]: other for other in changes["others"]}
    assert set(told) == {"fix/login", ".claude/worktrees/two"}
    for name, file in (("fix/login", "fix"), (".claude/worktrees/two", "two")):
        assert f"+++ b/{file}\n" in (output / told[name]["patch"]).read_text()
        branch = told[name]["branch"]
        assert git(origin(tmp_path), "rev-parse", branch) == told[name]["commit"]
        assert git(origin(tmp_path), "diff", "--name-only", "main", branch) == file
    assert told["fix/login"]["branch"] == "claude/x--fix-login"


async def test_work_elsewhere_that_nothing_saves_is_a_warning(tmp_path: Path) -> None:
    ran = await run_agent(tmp_path, "none", [["read"], ["init"], ["bash", ELSEWHERE], ["result"]])
    assert ran.code == 0
    assert "claude left work in branch fix/login (1 commits, 1 files): OUTPUT_DIR or PUSH_BRANCH would" in ran.stderr
