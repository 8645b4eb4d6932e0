"""`agent watch` as a process, beside a hub."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from agent.errors import AgentError
from agent.hub.client import client
from agent.limits import Limits
from agent.protocol.events import Event, status
from tests.hub.test_api import RUN, TOKENS
from tests.receiver.test_server import acked, connected
from tests.support.hub_client import open_client
from tests.support.ports import held_port
from tests.support.runs import Written, a_run
from tests.support.servers import ROOT

WATCH = [sys.executable, "-m", "agent", "watch"]


async def watched(*arguments: str, **environ: str) -> tuple[int, str, str]:
    """Exit status, output and errors of a watch that ends by itself."""
    done = await trio.run_process(
        [*WATCH, *arguments], capture_stdout=True, capture_stderr=True, check=False, cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **environ},
    )  # fmt: skip
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@asynccontextmanager
async def watching(path: Path, *arguments: str) -> AsyncIterator[Path]:
    """A watch that goes on; its output."""
    with path.open("wb") as output:
        process = subprocess.Popen([*WATCH, *arguments], stdout=output, stderr=subprocess.STDOUT, cwd=ROOT)
    try:
        yield path
    finally:
        process.terminate()
        assert process.wait(20) == -15


async def shows(path: Path, *texts: str) -> None:
    with trio.fail_after(60):
        while not all(text in path.read_text() for text in texts):
            await trio.sleep(0.02)


async def test_a_run_is_shown_to_its_end(tmp_path: Path):
    async with open_client(tmp_path) as client:
        await client.send(*a_run(5).lines)
        code, out, _ = await watched(RUN, "--hub", f"http://127.0.0.1:{client.port}")
        assert code == 0
        assert [number for number in range(5) if f"line {number}" in out] == [0, 1, 2, 3, 4]
        assert "exit 0, succeeded" in out
        assert out.rstrip().endswith("complete: 7 events, 0 missing")
        code, out, _ = await watched(RUN, "--last", "3", "--json", HUB_URL=f"http://127.0.0.1:{client.port}")
        assert out.splitlines() == a_run(5).lines[-3:]


@pytest.mark.parametrize(("exit_code", "lose", "status"), [(3, False, 3), (0, True, 1)])
async def test_the_status_is_the_runs(tmp_path: Path, exit_code: int, lose: bool, status: int):
    run = a_run(3).lines if lose else Written().complete(exit_code).lines
    if lose:
        del run[2]
    async with open_client(tmp_path) as client:
        await client.send(*run)
        assert (await watched(RUN, "--hub", f"http://127.0.0.1:{client.port}"))[0] == status


async def test_a_run_is_followed_over_a_restart_of_the_hub(tmp_path: Path):
    lines = a_run(20).lines
    with held_port() as port:
        async with open_client(tmp_path / "store", port=port) as client:
            await client.send(*lines[:8])
            with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
                command = [*WATCH, RUN, "--json", "--hub", f"http://127.0.0.1:{port}"]
                process = subprocess.Popen(command, stdout=out, stderr=err, cwd=ROOT)
            await shows(tmp_path / "out", '"seq":8')
        await shows(tmp_path / "err", "agent watch: the hub cannot be reached")
        async with open_client(tmp_path / "store", port=port) as client:
            await client.send(*lines[8:])
            assert await trio.to_thread.run_sync(process.wait, 60) == 0
    assert (tmp_path / "out").read_text().splitlines() == lines


async def test_the_fleet_is_shown_as_it_changes(tmp_path: Path):
    async with open_client(tmp_path / "store") as client:
        await client.send(*a_run(1, run_id="OLD").lines)
        async with watching(tmp_path / "out", "--hub", f"http://127.0.0.1:{client.port}") as out:
            ended = Written(run_id="NEW").complete(1, verify={"state": "failed", "attempts": 1})
            async with connected(client.receiver.url) as agent:
                await agent.send_message(a_run(run_id="NEW").lines[0])
                await acked(agent)
                await shows(out, "running", "NEW", "hello")
                await agent.send_message(ended.lines[0].replace('"seq":1', '"seq":2'))
                await shows(out, "failed", "tests failed")
            assert "OLD" not in out.read_text()


async def test_a_question_is_shown_whole_with_the_way_to_answer_it(tmp_path: Path):
    def asking(id: str) -> Event:
        question = {"id": id, "tool": "Bash", "input": {"command": "echo " + "x" * 300}, "suggestions": []}
        return status("waiting", "claude asks to use Bash: Say hello", phase="RUNNING", question=question)

    async with open_client(tmp_path / "store") as client, connected(client.receiver.url) as agent:
        await agent.send_message((run := Written(run_id="NEW").add(asking("Q1"))).lines[0])
        await acked(agent)
        async with watching(tmp_path / "out", "--hub", f"http://127.0.0.1:{client.port}") as out:
            await shows(out, "question", "Bash: echo " + "x" * 300, "agent answer c1 Q1 allow")
            closing = status("running", "Bash: denied", question={"id": "Q1", "answer": "denied"})
            for line in run.add(closing, asking("Q2")).lines[1:]:
                await agent.send_message(line)
            await shows(out, "agent answer c1 Q2 allow")


async def test_refusals_say_what_to_do(tmp_path: Path):
    async with open_client(tmp_path, TOKENS) as client:
        hub = f"http://127.0.0.1:{client.port}"
        (tmp_path / "token").write_text("watchers\n")
        code, _, err = await watched("--hub", hub)
        assert (code, "set HUB_TOKEN" in err) == (77, True)
        code, _, err = await watched("--hub", hub, HUB_TOKEN="wrong-s3cret")
        assert (code, "the token is wrong" in err, "s3cret" in err) == (77, True, False)
        code, _, err = await watched("none", "--hub", hub, "--token-file", str(tmp_path / "token"))
        assert (code, "there is no run with this ID" in err) == (78, True)
    code, _, err = await watched("--hub", "http://127.0.0.1:1")
    assert "cannot be reached: [Errno 111] Connection refused" in err
    code, _, err = await watched("--hub", "localhost:8080")
    assert (code, "set HUB_URL or --hub" in err) == (78, True)


@pytest.mark.parametrize("url", ["ftp://x", "http://", "http://x:99999"])
def test_an_address_that_is_none(url: str):
    with pytest.raises(AgentError, match="set HUB_URL or --hub"):
        client(url, None, {}, Limits())


async def test_rows_as_json(tmp_path: Path):
    async with open_client(tmp_path / "store") as client:
        async with watching(tmp_path / "out", "--json", "--all", "--hub", f"http://127.0.0.1:{client.port}") as out:
            await client.send(*a_run(1).lines)
            await shows(out, '"state":"succeeded"')
        assert json.loads(out.read_text().splitlines()[-1])["id"] == RUN
