"""Whole runs as a child process: real git over file, HTTP and SSH, a scripted claude, real servers."""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.support.collector import Collector, said
from tests.support.git_servers import git, http_server, ssh_server
from tests.support.run_agent import Ran, digest, origin, run_agent, start_agent
from tests.support.servers import Server, open_agent_serve, open_websockets_server, open_ws_server

pytestmark = pytest.mark.system

TOKEN = "ghp_" + "canary" * 6
ALL_PHASES = ["PENDING", "CONNECTING", "CLONING", "RUNNING", "STOPPING", "DRAINING", "REPORTING"]


# --- the job


@pytest.mark.smoke
async def test_the_whole_job(tmp_path: Path, collector: Collector) -> None:
    ran = await run_agent(tmp_path, collector.url, "edits:hello.txt", LABELS="team=web", TASK="Say hello\nto all")
    ran.agrees(collector, code=0, reason="success")
    assert ran.phases == ALL_PHASES
    assert (ran.directory / "workspace/hello.txt").read_text() == "edited by claude\n"
    first = ran.of_type("STATUS")[0]
    assert (first["title"], first["labels"]) == ("Say hello", {"team": "web"})
    assert {message["containerID"] for message in ran.messages} == {"container-1"}
    assert ran.complete["result"]["cost"] == 0.0123
    assert collector.closed == [1000]
    assert [data["message"] for data in ran.of_type("LOG") if data["metadata"].get("kind") == "result"] == [
        "result: success, 2 turns, $0.01"
    ]


async def test_the_task_and_the_environment_reach_claude_and_nothing_else_does(
    tmp_path: Path, collector: Collector
) -> None:
    task = "/fix Grüße \N{GRINNING FACE} @file\n\n  indented\n"
    canaries = {"GITHUB_TOKEN": TOKEN, "WS_TOKEN": "ws-canary-0123456789", "DATABASE_URL": "postgres://canary"}
    script = [["read"], ["init"], ["echo"], ["environment"], ["result"]]
    ran = await run_agent(tmp_path, collector.url, script, TASK=task, CLAUDE_ENV="CI: from claude env", **canaries)
    ran.agrees(collector, code=0)
    replies = [
        data["metadata"]["claude"]["message"]["content"][0]["text"]
        for data in ran.of_type("LOG")
        if data["metadata"].get("claude", {}).get("type") == "assistant"
    ]
    assert replies[0].lstrip("\n") == task
    seen = json.loads(replies[1])
    assert seen["cwd"] == str(ran.directory / "workspace")
    assert not set(canaries) & set(seen["environ"])
    assert "canary" not in json.dumps({**seen["environ"], "ANTHROPIC_API_KEY": ""}).replace("[redacted]", "")
    assert not any("canary" in text for text in collector.texts)
    assert "canary" not in ran.stderr


async def test_a_megabyte_a_second_and_a_huge_line(tmp_path: Path, collector: Collector) -> None:
    script = [["read"], ["init"], ["flood", 5_000_000], ["line", 3_000_000], ["result"]]
    ran = await run_agent(tmp_path, collector.url, script)
    ran.agrees(collector, code=0, reason="success")
    parts = [data["metadata"]["part"] for data in ran.of_type("LOG") if "part" in data["metadata"]]
    whole = json.loads("".join(part["text"] for part in parts))
    assert whole["metadata"]["claude"]["message"]["content"][0]["text"] == "0123456789" * 300_000
    assert len(parts) == parts[0]["n"]


async def test_stderr_as_json(tmp_path: Path) -> None:
    ran = await run_agent(tmp_path, "none", LOG_FORMAT="json")
    lines = [json.loads(line) for line in ran.stderr.splitlines()]
    assert {"time", "level", "source", "message"} == set(lines[0])
    assert lines[-1]["message"].startswith("exit 0 (success)")


# --- git


async def test_over_http_with_a_token(tmp_path: Path, collector: Collector) -> None:
    """claude's own push works as well, and the token is nowhere to be seen."""
    push = "echo pushed > new.txt && git add . && git commit -qm pushed && git push -q origin HEAD:refs/heads/claude"
    script = [["read"], ["init"], ["bash", push], ["bash", "cp .git/config config.txt"], ["result"]]
    bare = origin(tmp_path)
    with http_server(bare.parent, ("x-access-token", TOKEN)) as server:
        url = f"{server.url}/origin.git"
        ran = await run_agent(tmp_path, collector.url, script, REPO_URL=url, GITHUB_TOKEN=TOKEN)
    ran.agrees(collector, code=0, reason="success")
    assert git(bare, "show", "claude:new.txt") == "pushed"
    assert "canary" not in (ran.directory / "workspace/config.txt").read_text()
    assert not any("canary" in text for text in collector.texts)


@pytest.mark.sshd
async def test_over_ssh(tmp_path: Path, collector: Collector) -> None:
    bare = origin(tmp_path)
    with ssh_server(tmp_path) as server:
        config = tmp_path / "ssh-config"
        config.write_text(f"IdentityFile {server.key}\nUserKnownHostsFile {tmp_path}/known\n")
        command = f"ssh -F {config}"
        ran = await run_agent(tmp_path, collector.url, REPO_URL=server.url(bare), GIT_SSH_COMMAND=command)
    ran.agrees(collector, code=0, reason="success")
    assert (ran.directory / "workspace/file.txt").exists()


@pytest.mark.parametrize(
    ("path", "token", "ref", "code", "words"),
    [
        ("origin.git", "wrong-" + TOKEN, None, 77, "GITHUB_TOKEN"),
        ("origin.git", None, None, 77, "GITHUB_TOKEN"),
        ("nowhere.git", TOKEN, None, 66, "nowhere.git"),
        ("origin.git", TOKEN, "no-such-branch", 66, "no-such-branch"),
    ],
)
async def test_what_git_refuses(
    tmp_path: Path, collector: Collector, path: str, token: str | None, ref: str | None, code: int, words: str
) -> None:
    with http_server(origin(tmp_path).parent, ("x-access-token", TOKEN)) as server:
        url = f"{server.url}/{path}"
        ran = await run_agent(tmp_path, collector.url, REPO_URL=url, GITHUB_TOKEN=token, REPO_REF=ref)
    ran.agrees(collector, code=code)
    assert words in ran.of_type("ERROR")[-1]["error"]
    assert ran.phases == ["PENDING", "CONNECTING", "CLONING", "STOPPING", "DRAINING", "REPORTING"]


async def test_a_tag_and_a_depth(tmp_path: Path, collector: Collector) -> None:
    ran = await run_agent(
        tmp_path, collector.url, REPO_URL=f"file://{origin(tmp_path)}", REPO_REF="feature/x", CLONE_DEPTH="1"
    )
    ran.agrees(collector, code=0)
    assert (ran.directory / "workspace/feature.txt").exists()
    assert git(ran.directory / "workspace", "rev-list", "--count", "HEAD") == "1"


# --- servers

Open = Callable[[Path], AbstractAsyncContextManager[Server]]
SERVERS: Any = [
    pytest.param(open_agent_serve, id="agent-serve"),
    pytest.param(open_websockets_server, id="websockets"),
    pytest.param(open_ws_server, id="ws", marks=pytest.mark.node),
]


def stored(ran: Ran, server: Server) -> Ran:
    lines = server.lines()
    ran.messages = [json.loads(line) for line in lines]
    ran.agrees()
    assert ran.complete["stream"]["sha256"] == digest(lines)
    return ran


@pytest.mark.parametrize("open_server", SERVERS)
async def test_real_servers_have_all_of_it(tmp_path: Path, open_server: Open) -> None:
    async with open_server(tmp_path) as server:
        ran = await run_agent(tmp_path, server.url, "floods:300000")
        stored(ran, server)
    assert ran.complete["exitCode"] == 0


@pytest.mark.parametrize("open_server", SERVERS)
async def test_a_server_that_is_killed_and_comes_back(tmp_path: Path, open_server: Open) -> None:
    script = [["read"], ["init"], ["flood", 300_000], ["sleep", 1.5], ["flood", 300_000], ["result"]]
    async with open_server(tmp_path) as server, start_agent(tmp_path, server.url, script) as agent:
        await agent.until_stderr("xxxx")
        await trio.sleep(0.3)
        server.kill()
        await trio.sleep(0.3)
        await server.start()
        ran = await agent.ended()
        stored(ran, server)
    assert ran.complete["exitCode"] == 0


async def test_a_server_that_comes_late(tmp_path: Path) -> None:
    async with open_websockets_server(tmp_path) as server:
        server.kill()
        async with start_agent(tmp_path, server.url) as agent:
            await agent.until_stderr("connecting to the server")
            await trio.sleep(0.5)
            await server.start()
            ran = await agent.ended()
        stored(ran, server)
    assert ran.complete["exitCode"] == 0


async def test_what_a_killed_agent_left_is_delivered_by_the_next_one(tmp_path: Path, collector: Collector) -> None:
    collector.stall_at = said("claude 2.1.330, claude-scripted")
    async with start_agent(tmp_path, collector.url, "polite") as agent:
        await collector.until(collector.stall_at)
        agent.signal(signal.SIGKILL)
        first = await agent.ended()
    assert first.code == -signal.SIGKILL
    assert first.left == ["Z claude"], "claude dies with its agent"
    collector.stall_at = lambda message: False
    ran = await run_agent(tmp_path, collector.url, WORKSPACE_DIR=str(tmp_path / "another"))
    runs = {message["runID"]: message for message in collector.messages if message["type"] == "COMPLETE"}
    assert [message["data"]["reason"] for message in runs.values()] == ["agent_lost", "success"]
    assert ran.code == 0
    assert list((ran.directory / "tmp/agent-journal").iterdir()) == []


def test_digest_is_over_the_text_as_it_came() -> None:
    text = '{"type":"LOG","seq":1}'
    assert digest([text, text[:-1] + ',"redelivered":true}']) == hashlib.sha256(text.encode() + b"\n").hexdigest()
