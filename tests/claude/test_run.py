"""A claude of this machine: a scripted one, with its real pipes and a real process."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from agent.claude.command import Files, arguments
from agent.claude.program import find_cli
from agent.claude.run import LocalClaude
from agent.claude.variables import of_claude
from agent.claude.watchdog import Bark
from agent.config.load import load
from agent.errors import CliError
from agent.limits import Limits
from agent.process.run import Command, Patience
from agent.redaction.redactor import Redactor
from tests.support.scripted_claude import install


def make(tmp_path: Path, script: str, told: Callable[[bytes], None] | None = None, **more: str) -> LocalClaude:
    variables = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "REPO_URL": "file:///nowhere", "TASK": "do it",
        "WS_SERVER": "none", "WORKSPACE_DIR": str(tmp_path), "CLAUDE_BIN": str(install(tmp_path)),
        "ANTHROPIC_API_KEY": "hunter2-hunter2", "CLAUDE_CODE_SCRIPT": script, "KILL_GRACE": "2s", **more,
    }  # fmt: skip
    config = load(variables, in_container=False)
    argv = [find_cli(config), *arguments(config, Files(), "session", "2.1.330")]
    command = Command(argv, of_claude(config, tmp_path, {}), tmp_path)
    return LocalClaude(config, command, tmp_path, Redactor(config.secrets), told=told)


async def drive(run: LocalClaude, patience: Patience, cancel_after: float | None = None) -> Any:
    """All tasks of a claude; its exit status."""
    status = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.read_stdout, lambda batch: None)
        nursery.start_soon(run.read_stderr, lambda batch: None)
        nursery.start_soon(run.feed)
        with trio.CancelScope() as scope:
            if cancel_after is not None:
                scope.deadline = trio.current_time() + cancel_after
            status = await run.run(patience)
    return status


async def test_it_runs_to_its_end(tmp_path: Path) -> None:
    run = make(tmp_path, "ok")
    status = await drive(run, Patience())
    assert status.code == 0
    assert run.summary.last_result is not None
    assert run.summary.last_result.good


async def test_a_tap_is_read_in_place_of_the_pipe(tmp_path: Path) -> None:
    names = []

    def tap(stream: trio.abc.ReceiveStream, name: str) -> trio.abc.ReceiveStream:
        names.append(name)
        return stream

    made = make(tmp_path, "ok")
    await drive(LocalClaude(made._config, made._command, tmp_path, Redactor({}), tap=tap), Patience())
    assert names == ["stdout", "stderr"]


async def test_cancelling_is_the_request_to_stop_and_keeps_the_bill(tmp_path: Path) -> None:
    run = make(tmp_path, "polite")
    with trio.fail_after(10):
        await drive(run, Patience(), cancel_after=0.5)
    assert run.summary.last_result is not None
    assert run.summary.last_result.total_cost_usd is not None


async def test_claude_is_asked_for_the_bill_now_and_then_and_never_twice_at_a_time(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    told: list[dict[str, Any]] = []
    claude = make(tmp_path, "ok", told=lambda line: told.append(json.loads(line)))
    interval = Limits().usage_interval
    async with trio.open_nursery() as nursery:
        nursery.start_soon(claude.poll)
        await trio.sleep(interval * 0.9)
        assert told == []
        await trio.sleep(interval * 0.2)
        assert [line["request"]["subtype"] for line in told] == ["get_session_cost", "get_context_usage"]
        await trio.sleep(interval * 10)
        assert len(told) == 2, "a claude that does not answer is not asked again"
        reply(claude, told)
        await trio.sleep(interval)
        assert len(told) == 4
        claude.hang_up()
        await trio.sleep(interval * 2)
        assert len(told) == 4
    assert claude.summary.usage.cost == 0.25
    assert len({line["request_id"] for line in told}) == 4


def reply(claude: LocalClaude, told: list[dict[str, Any]]) -> None:
    for line in told:
        response = {
            "subtype": "success",
            "request_id": line["request_id"],
            "response": {"text": "Estimated cost:  $0.25"},
        }
        claude._transcript.feed(json.dumps({"type": "control_response", "response": response}).encode())


async def test_a_deaf_claude_is_killed_after_its_grace(tmp_path: Path) -> None:
    run = make(tmp_path, "deaf")
    began = trio.current_time()
    status = await drive(run, Patience(), cancel_after=0.5)
    assert status.signal == signal.SIGKILL
    assert 2 <= trio.current_time() - began - 0.5 <= 4


async def test_a_program_that_vanished_after_its_check_is_named(tmp_path: Path) -> None:
    run = make(tmp_path, "ok")
    (tmp_path / "claude").unlink()
    with pytest.RaisesGroup(CliError):
        await drive(run, Patience())


async def test_the_watchdog_sees_one_that_lingers(tmp_path: Path) -> None:
    run = make(tmp_path, "lingers", RESULT_GRACE="500")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(drive, run, Patience())
        with trio.fail_after(10):
            assert await run.watch() is Bark.LINGERS
        nursery.cancel_scope.cancel()
