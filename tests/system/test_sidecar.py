"""The container `flush` of deploy/kubernetes, as processes: the real script beside a real agent that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trio

from tests.house.test_manifests import flush
from tests.support.collector import Collector, is_complete
from tests.support.places import ROOT
from tests.support.run_agent import start_agent

pytestmark = pytest.mark.system


@contextmanager
def beside(directory: Path, journal: Path, server: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the sidecar's command, with the manifest's variables but for the places of a test."""
    container = flush("base")
    shell, option, script = container["command"]
    programs = directory / "programs"
    programs.mkdir()
    (programs / "agent").write_text(f'#!/bin/sh\nexec {sys.executable} -m agent "$@"\n')
    (programs / "agent").chmod(0o755)
    given = {item["name"]: item["value"] for item in container["env"]} | {"WS_SERVER": server}
    del given["WS_TOKEN_FILE"]
    environ = {"PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "HOME": str(directory),
               "TMPDIR": str(directory), **given}  # fmt: skip
    process = subprocess.Popen(
        [shell, option, script.replace("/journal", str(journal))], env=environ, cwd=directory,
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its `sleep` outlives the shell only where no container ends
        process.communicate()


async def ended(process: subprocess.Popen[bytes]) -> str:
    """End it as Kubernetes does once the agent's container has ended; returns what it said."""
    process.send_signal(signal.SIGTERM)
    assert process.stderr is not None
    said = b""
    with trio.fail_after(30):
        while process.poll() is None:
            await trio.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    with trio.fail_after(10):
        said = await trio.to_thread.run_sync(process.stderr.read)
    return said.decode()


async def test_what_a_killed_agent_leaves_is_delivered(tmp_path: Path, collector: Collector) -> None:
    """Out of memory on cgroup v2: the kernel kills the agent with claude, and the other container lives."""
    journal = tmp_path / "journal"
    journal.mkdir()
    with beside(tmp_path, journal, collector.url) as sidecar:
        async with start_agent(tmp_path, collector.url, "polite", JOURNAL_DIR=str(journal)) as agent:
            await collector.until(lambda message: message["data"].get("message") == "Working.")
            agent.signal(signal.SIGKILL)
            await agent.ended()
        assert sidecar.poll() is None, "it waits for its own end"
        said = await ended(sidecar)
    complete = await collector.until(is_complete)
    assert (complete["type"], complete["data"]["reason"]) == ("COMPLETE", "agent_lost"), said
    assert [
        message["seq"] for message in collector.messages if not message.get("redelivered") and "seq" in message
    ] == [*range(1, complete["seq"] + 1)]
    assert list(journal.iterdir()) == []


async def test_after_an_ordinary_end_there_is_nothing_to_do(tmp_path: Path, collector: Collector) -> None:
    journal = tmp_path / "journal"
    journal.mkdir()
    with beside(tmp_path, journal, collector.url) as sidecar:
        async with start_agent(tmp_path, collector.url, "ok", JOURNAL_DIR=str(journal)) as agent:
            assert (await agent.ended()).code == 0
        told = len(collector.messages)
        said = await ended(sidecar)
    assert said == f"agent flush: {journal} holds no run\n"
    assert len(collector.messages) == told
