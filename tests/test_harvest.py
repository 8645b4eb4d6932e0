"""The work survives the run: whole runs, and what they leave behind."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

from tests.support.git_servers import git
from tests.support.run_agent import origin, run_agent, start_agent

EDIT = [["read"], ["init"], ["write", "file.txt", "edited by claude\n"], ["text", "Edited."]]


def fresh_with(tmp_path: Path, patch: Path) -> str:
    """file.txt of a fresh clone with the patch."""
    git(tmp_path, "clone", "-q", str(origin(tmp_path)), "fresh")
    git(tmp_path / "fresh", "apply", "--binary", str(patch))
    return (tmp_path / "fresh" / "file.txt").read_text()


def result(output: Path) -> dict[str, Any]:
    return json.loads((output / "result.json").read_text())  # type: ignore[no-any-return]


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
