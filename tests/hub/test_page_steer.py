"""Real runs steered from the page: a person at a browser, the hub, `agent run`, claude."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import scripted_claude
from tests.support.browser import ServedHub, expect
from tests.support.mock_api import MockApi, Step
from tests.support.places import ROOT
from tests.support.real_cli import claude_cli
from tests.support.run_agent import KEY, origin

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.page


@pytest.fixture
def open_hub(hub: ServedHub) -> ServedHub:
    """A hub that lets everybody on this machine steer."""
    hub.kill()
    hub.start("--allow-commands")
    return hub


@contextmanager
def agent_run(directory: Path, hub: ServedHub, **environ: str) -> Iterator[subprocess.Popen[bytes]]:
    """`agent run` beside the test."""
    for name in ("home", "tmp", "bin"):
        (directory / name).mkdir()
    variables = {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8", "HOME": str(directory / "home"),
        "TMPDIR": str(directory / "tmp"), "REPO_URL": str(origin(directory)), "TASK": "Fix the bug",
        "WS_SERVER": f"ws://127.0.0.1:{hub.port}", "WORKSPACE_DIR": str(directory / "workspace"), "KILL_GRACE": "2s",
        "CLAUDE_BIN": str(scripted_claude.install(directory / "bin")), "ANTHROPIC_API_KEY": KEY,
        "ALLOW_STEERING": "1", "ALLOW_REMOTE_CANCEL": "1", "ASK": "1", **environ,
    }  # fmt: skip
    with (directory / "stderr").open("wb") as stderr:
        process = subprocess.Popen([sys.executable, "-m", "agent", "run"], env=variables, cwd=directory, stderr=stderr)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def watched(page: Page, hub: ServedHub) -> None:
    """Go to the page of the run as soon as it is there."""
    page.goto(hub.url)
    page.locator(".rows a.name").click()


def test_questions_are_answered_one_by_one(open_hub: ServedHub, page: Page, tmp_path: Path):
    with agent_run(tmp_path, open_hub, CLAUDE_CODE_SCRIPT="asks-twice") as agent:
        watched(page, open_hub)
        page.get_by_text("claude waits for 2 answers").wait_for()
        page.locator(".asks", has_text="Write").get_by_label("Reason").fill("not there")
        page.locator(".asks", has_text="Write").get_by_role("button", name="Deny").click()
        page.get_by_text("claude waits for an answer").wait_for()
        page.locator(".asks", has_text="Bash").get_by_role("button", name="Allow", exact=True).click()
        page.locator(".item.complete").wait_for()
        assert agent.wait(30) == 0
    expect(page.locator(".alert")).to_be_hidden()
    expect(page.locator(".steer")).to_be_hidden()


def test_claude_is_told_interrupted_and_stopped(open_hub: ServedHub, page: Page, tmp_path: Path):
    with agent_run(tmp_path, open_hub, CLAUDE_CODE_SCRIPT="polite") as agent:
        watched(page, open_hub)
        page.get_by_text("Working.").first.wait_for()
        page.get_by_label("Message to claude").fill("use tabs")
        page.get_by_role("button", name="Tell").click()
        page.locator(".operator-box", has_text="use tabs").wait_for()
        page.get_by_role("button", name="Stop the run").click()
        page.get_by_role("dialog").get_by_role("button", name="Stop the run").click()
        page.locator(".item.complete").wait_for()
        assert agent.wait(30) == 79
    page.locator(".verdict", has_text="cancelled").wait_for()


WAIT = "until test -e go; do sleep 0.1; done"


@contextmanager
def real_run(directory: Path, hub: ServedHub, script: list[Step]) -> Iterator[tuple[subprocess.Popen[bytes], MockApi]]:
    """`agent run` with the real claude, which does what the script says."""
    with MockApi() as api:
        more = {"CLAUDE_BIN": str(claude_cli()), "ANTHROPIC_BASE_URL": api.url, "container": "tests",
                "TASK": f"mock:script {json.dumps(script)}"}  # fmt: skip
        with agent_run(directory, hub, **more) as agent:
            yield agent, api


def test_the_real_claude_is_stopped_and_its_bill_is_kept(open_hub: ServedHub, page: Page, tmp_path: Path):
    script: list[Step] = [{"tools": [["Bash", {"command": WAIT, "description": "Wait"}]]}, {"text": "Never said."}]
    with real_run(tmp_path, open_hub, script) as (agent, _):
        watched(page, open_hub)
        page.locator(".tool", has_text="until test -e go").wait_for()
        page.get_by_role("button", name="Stop the run").click()
        page.get_by_role("dialog").get_by_role("button", name="Stop the run").click()
        page.locator(".item.complete .turn-box", has_text="exit 79").wait_for()
        assert agent.wait(60) == 79
    page.locator(".verdict.cancelled", has_text="exit 79").wait_for()
    page.locator(".side").get_by_text(", 0 missing").wait_for()
    expect(page.locator(".steer")).to_be_hidden()
    (row,) = open_hub.get("/api/runs")["runs"]
    assert (row["state"], row["exitCode"]) == ("cancelled", 79)
    assert row["cost"] > 0
    assert row["tokens"] > 0
    expect(page.locator(".run-head")).to_contain_text(f"${row['cost']:.{2 if row['cost'] >= 0.01 else 4}f}")


def test_the_real_claude_asks_is_told_and_is_interrupted(open_hub: ServedHub, page: Page, tmp_path: Path):
    script: list[Step] = [
        {"tools": [["Bash", {"command": "touch one", "description": "Make a file"}]]},
        {"tools": [["Bash", {"command": WAIT, "description": "Wait"}]]},
        {"text": "Done."},
    ]
    with real_run(tmp_path, open_hub, script) as (agent, api):
        watched(page, open_hub)
        first = page.locator(".asks", has_text="touch one")
        first.get_by_text("Allow for the whole run lets claude use: ").wait_for()
        first.get_by_role("button", name="Allow", exact=True).click()
        page.locator(".tool", has_text="until test -e go").wait_for()  # reads only, so claude does not ask
        expect(page.locator(".alert")).to_be_hidden()
        page.get_by_label("Message to claude").fill("use tabs, not spaces")
        page.keyboard.press("Enter")
        page.locator(".operator-box", has_text="use tabs, not spaces").wait_for()
        page.get_by_role("button", name="Interrupt").click()
        page.locator(".item.complete").wait_for()
        assert agent.wait(60) == 0
    assert any("use tabs, not spaces" in request.text for request in api.requests)
    assert (tmp_path / "workspace" / "one").exists()
