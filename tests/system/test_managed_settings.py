"""Managed settings of the machine with the real CLI, as docs/security.md has them, in an /etc of the run's own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.collector import collecting
from tests.support.mock_api import MockApi, Step
from tests.support.mounts import mount_for_itself, need_mounts
from tests.support.real_cli import claude_cli
from tests.support.run_agent import Ran, run_agent
from tests.system.test_hostile_repo import hostile_repository

pytestmark = [pytest.mark.cli, pytest.mark.may_skip("a mount namespace")]

#: Takes settings, or a text that is none.
Managed = Callable[[dict[str, Any] | str], Callable[[], None]]


@pytest.fixture
def managed(tmp_path: Path) -> Managed:
    """Make managed settings; what it returns is to be called in the child, which alone sees them."""
    need_mounts()

    def make(settings: dict[str, Any] | str) -> Callable[[], None]:
        etc = tmp_path / "etc"
        shutil.copytree("/etc", etc, symlinks=True, ignore_dangling_symlinks=True)
        (etc / "claude-code").mkdir(exist_ok=True)
        (etc / "claude-code/managed-settings.json").write_text(
            settings if isinstance(settings, str) else json.dumps(settings)
        )
        return lambda: mount_for_itself(str(etc), "/etc")

    return make


async def run(root: Path, api: MockApi, script: list[Step], preexec: Callable[[], None], **environ: str | None) -> Ran:
    given: dict[str, str | None] = {
        "CLAUDE_BIN": str(claude_cli()), "ANTHROPIC_BASE_URL": api.url, "container": "tests",
        "PERMISSION_MODE": "bypassPermissions", "CLAUDE_CODE_SCRIPT": None,
        "TASK": f"mock:script {json.dumps(script)}", **environ}  # fmt: skip
    async with collecting() as collector:
        ran = await run_agent(root, collector.url, preexec=preexec, **given)
        return ran.agrees(collector)


def bash(*commands: str) -> list[Step]:
    return [{"tools": [["Bash", {"command": each, "description": "d"}] for each in commands]}, {"text": "Done."}]


async def test_they_count_above_everything_else(tmp_path: Path, api: MockApi, managed: Managed) -> None:
    hook = {"matcher": "", "hooks": [{"type": "command", "command": f"touch {tmp_path}/hook"}]}
    preexec = managed({
        "permissions": {"deny": ["Bash(touch forbidden:*)"]}, "env": {"WHOSE": "the-machines-word"},
        "hooks": {"SessionStart": [hook]}, "apiKeyHelper": "echo a-key-of-the-machine",
    })  # fmt: skip
    others = json.dumps({"env": {"WHOSE": "another"}, "permissions": {"allow": ["Bash(touch forbidden:*)"]}})
    home = tmp_path / "agent/home/.claude"
    home.mkdir(parents=True)
    (home / "settings.json").write_text(others)
    repository = hostile_repository(tmp_path, "http://127.0.0.1:1")
    ran = await run(
        tmp_path, api, bash("touch forbidden", "echo =$WHOSE=$EVIL="), preexec, REPO_URL=str(repository),
        SETTINGS=others, ALLOWED_TOOLS="Bash(touch forbidden:*)", ANTHROPIC_API_KEY=None,
    )  # fmt: skip
    assert ran.code == 0, ran.stderr
    assert not (ran.directory / "workspace/forbidden").exists()
    results = json.dumps(api.requests[-1].tool_results)
    assert "touch forbidden has been denied" in results
    assert "=the-machines-word==" in results
    assert api.requests[0].headers["x-api-key"] == "a-key-of-the-machine"
    assert (tmp_path / "hook").exists()
    assert list((tmp_path / "marks").iterdir()) == [], "nothing of the clone gets in by them"


async def test_they_count_for_a_run_that_obeys_no_other_settings(
    tmp_path: Path, api: MockApi, managed: Managed
) -> None:
    """What claude leaves out of them it says itself, and the rest counts."""
    preexec = managed({"permissions": {"deny": ["Bash(touch forbidden:*)", "Bash(touch other"]}})
    ran = await run(tmp_path, api, bash("touch forbidden"), preexec, TRUST_HOME="0")
    assert ran.code == 0, ran.stderr
    assert not (ran.directory / "workspace/forbidden").exists()
    told = [data["message"] for data in ran.of_type("LOG") if data["level"] == "warn"]
    assert any('Invalid permission rule "Bash(touch other" was skipped' in each for each in told), told


async def test_claude_does_not_work_with_some_that_it_cannot_read(
    tmp_path: Path, api: MockApi, managed: Managed
) -> None:
    ran = await run(tmp_path, api, bash("true"), managed("{"))
    assert ran.code != 0, ran.stderr
    assert "none of its settings are in effect" in ran.complete["message"]
    assert api.requests == []
