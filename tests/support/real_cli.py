"""The real claude CLI for tests: where it is, and one run of it with the agent's own parts around it."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from agent.claude import command as claude
from agent.claude import instructions as trust
from agent.claude import program, variables
from agent.claude.run import LocalClaude
from agent.claude.watchdog import Bark
from agent.config.load import load
from agent.exits import ExitStatus
from agent.files.private import private_directory
from agent.outcome.causes import Cause, by_deadline, by_refused_credentials
from agent.outcome.verdict import Outcome, judge
from agent.process.run import Command, Launch, Patience
from agent.protocol.events import Event
from agent.redaction.redactor import Redactor
from agent.transcript.summary import Summary
from tests.support.lanes import in_lane
from tests.support.mock_api import MockApi
from tests.support.places import ROOT

#: CLAUDE_CLI names another than the pinned one, as `make drift` does.
CLI = Path(os.environ.get("CLAUDE_CLI") or ROOT / ".tools" / "claude" / "claude")
KEY = "sk-ant-api03-" + "canary" * 5


def claude_cli() -> Path:
    """The installed CLI; skips the test without it."""
    in_lane("cli")
    if not CLI.exists():
        pytest.skip("the claude CLI is not installed: python tools/install_claude.py")
    return CLI


def around_cli(api: MockApi, **more: str) -> dict[str, str]:
    """Variables of a run of the agent with the real CLI and this API."""
    # As root the CLI wants to be told that this is a sandbox; in a container the agent does.
    return {"CLAUDE_BIN": str(claude_cli()), "ANTHROPIC_BASE_URL": api.url, "container": "tests", **more}


@dataclass
class Ran:
    """What a run of claude came to."""

    status: ExitStatus
    summary: Summary
    outcome: Outcome
    events: list[Event]
    stderr: str
    seconds: float

    @property
    def messages(self) -> list[dict[str, Any]]:
        """claude's messages as they went out."""
        found = (json.loads(event.data) for event in self.events if event.type == "LOG")
        return [data["metadata"]["claude"] for data in found if "claude" in data["metadata"]]

    def of_kind(self, kind: str) -> list[Event]:
        return [event for event in self.events
                if event.type == "LOG" and json.loads(event.data)["metadata"].get("kind") == kind]  # fmt: skip


async def run_claude(root: Path, url: str, task: str, *, stop_after: float = 60, **environ: str) -> Ran:
    """Runs claude on `root`/workspace in a clean environment, as the agent does, and stops it after some seconds."""
    for name in ("workspace", "home", "tmp"):
        (root / name).mkdir(exist_ok=True)
    config = load(
        {"REPO_URL": "https://example.com/r.git", "TASK": task, "WS_SERVER": "none", "CLAUDE_BIN": str(CLI),
         "WORKSPACE_DIR": str(root / "workspace"), "HOME": str(root / "home"), "TMPDIR": str(root / "tmp"),
         "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": url, **environ},
        in_container=True,
    )  # fmt: skip
    limits = config.limits
    events: list[Event] = []
    cause: Cause | None = None
    status = ExitStatus()

    def publish(batch: Sequence[Event]) -> None:
        events.extend(batch)

    async def end_where_refused(run: LocalClaude) -> None:
        nonlocal cause
        if await run.watch() is Bark.REFUSED:
            cause = by_refused_credentials()
            work.cancel()

    with private_directory(root / "tmp") as private:
        survey = trust.survey(config.workspace_dir, limits)
        if not config.trust_repo and (warning := survey.warning()):
            publish([warning])
        files = claude.write_files(config, private, "" if config.trust_repo else survey.instructions)
        version = await program.check_cli(config)
        argv = [program.find_cli(config), *claude.arguments(config, files, str(uuid.uuid4()), version)]
        environment = variables.of_claude(config, private.path, {})
        command = Command(argv, environment, config.workspace_dir, Launch(report=lambda _: None))
        run = LocalClaude(config, command, private.path, Redactor(config.secrets))
        run.listen(lambda said: run.hang_up())  # as the supervisor does
        began = trio.current_time()
        with trio.fail_after(stop_after + 15):
            async with trio.open_nursery() as nursery, trio.open_nursery() as watching:
                for task in (partial(run.read_stdout, publish), partial(run.read_stderr, publish), run.feed):
                    nursery.start_soon(task)
                watching.start_soon(end_where_refused, run)
                with trio.move_on_after(stop_after) as work:
                    status = await run.run(Patience())
                if work.cancel_called and cause is None:
                    cause = by_deadline(stop_after)
                watching.cancel_scope.cancel()
        seconds = trio.current_time() - began
    outcome = judge(status, run.summary, cause, stderr_tail=run.stderr_tail)
    return Ran(status, run.summary, outcome, events, run.stderr_tail, seconds)
