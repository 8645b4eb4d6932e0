"""Runs of the agent with a secret in every place that takes one, and all that they say, write and start."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from tests.support.canaries import Canaries, Spy, canary, everything_written
from tests.support.run_agent import Ran, start_agent
from tests.support.servers import Server, open_agent_serve

PEM = "-----BEGIN PRIVATE KEY-----\n" + "\n".join(canary(f"pem{n}") for n in range(4)) + "\n-----END PRIVATE KEY-----\n"

SECRETS = {
    **{name: canary(name) for name in (
        "GITHUB_TOKEN", "WS_TOKEN", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN", "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_BEARER_TOKEN_BEDROCK",
        "repository", "server", "proxy", "header", "telemetry", "env", "mcp env", "mcp header", "mcp url", "mcp option",
    )},
    "ANTHROPIC_API_KEY": "sk-ant-api03-" + canary("key"),
    "odd": 'a"b\\c/d+é%20 {' + canary("odd") + "}",
    "pem": PEM,
}  # fmt: skip
CANARIES = Canaries(SECRETS)

MCP = {"mcpServers": {
    "local": {"command": "server", "args": ["--api-key", SECRETS["mcp option"]],
              "env": {"KEY": SECRETS["mcp env"], "PEM": PEM}},
    "remote": {"type": "http", "url": f"https://example.com/?key={SECRETS['mcp url']}",
               "headers": {"Authorization": f"Bearer {SECRETS['mcp header']}"}},
}}  # fmt: skip

#: Every variable that holds a secret; WS_SERVER and REPO_URL depend on the servers.
ENVIRONMENT = {
    **{name: value for name, value in SECRETS.items() if name.isupper()},
    "ANTHROPIC_CUSTOM_HEADERS": f"X-Team: {SECRETS['header']}",
    "OTEL_EXPORTER_OTLP_HEADERS": f"x-key={SECRETS['telemetry']}",
    "FTP_PROXY": "http://example.com",
    "HTTPS_PROXY": f"http://user:{SECRETS['proxy']}@127.0.0.1:1",
    "CLAUDE_ENV": f"NPM_TOKEN: {SECRETS['env']}\nODD: {SECRETS['odd']}",
    "MCP_CONFIG": json.dumps(MCP),
    "KUBERNETES_SERVICE_HOST": "10.0.0.1",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "oidc",
}
#: Those that may stand in a file of their own.
BY_FILE = ("GITHUB_TOKEN", "WS_TOKEN", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_ENV", "MCP_CONFIG")


@asynccontextmanager
async def receiver(directory: Path) -> AsyncIterator[Server]:
    (directory / "receiver").mkdir()
    async with open_agent_serve(directory / "receiver", env={"SERVE_TOKEN": SECRETS["WS_TOKEN"]}) as server:
        yield server


@dataclass
class Spied:
    """A run, and the names of the secrets that showed somewhere."""

    ran: Ran
    #: In the command line of any process, while it ran.
    commands: set[str]
    #: In the journal and the health file, while it ran.
    files: set[str]
    #: On stderr, in the termination message, and in what the run left behind.
    said: set[str]
    #: Files of ours that other users may read.
    open_to_others: set[str]

    def clean(self) -> Ran:
        shown = {
            "commands": self.commands,
            "files": self.files,
            "said": self.said,
            "open to others": self.open_to_others,
        }
        assert not any(shown.values()), shown
        return self.ran


async def spied_run(directory: Path, url: str, script: Any, inject: str | None = None, **environ: str | None) -> Spied:
    """A run with all the secrets; `inject` is code that breaks the agent before it starts."""
    async with trio.open_nursery() as nursery:
        variables: dict[str, Any] = {**ENVIRONMENT, **environ}
        async with start_agent(directory, url, script, inject=inject, **variables) as agent:
            spy = Spy(CANARIES, directory, agent.warden)
            await nursery.start(spy.watch)
            ran = await agent.ended()
        nursery.cancel_scope.cancel()
    assert any("-m agent" in command or "agent.__main__" in command for command in spy.commands)
    base = ran.directory
    said = ran.stderr + json.dumps(ran.termination) + everything_written(base / "tmp")
    return Spied(ran, spy.seen_in_commands, spy.seen_in_files, CANARIES.seen_in_lines(said), spy.open_to_others)


def with_password(url: str) -> str:
    return url.replace("//", f"//alice:{SECRETS['repository']}@")


def received(server: Server) -> str:
    """All that a server got and said of it."""
    return everything_written(server.directory)


SPYING_GIT = """#!/bin/sh
{ echo "ARGV $*"; env; } >> '%s'
exec '%s' "$@"
"""


def spying_git(directory: Path) -> tuple[str, Path]:
    """A PATH with a git that first tells its environment in a file of that name, and the directory of the file."""
    shown, programs = directory / "shown", directory / "spying"
    shown.mkdir()
    programs.mkdir()
    (programs / "git").write_text(SPYING_GIT % (shown / "git", shutil.which("git")))
    (programs / "git").chmod(0o755)
    return f"{programs}:{os.environ['PATH']}", shown
