"""Calls of git before claude: what they say is published, and a failure says what it means."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
import trio

from agent.config.load import load
from agent.errors import CloneError
from agent.exits import Exit
from agent.files.private import private_directory
from agent.limits import Limits
from agent.process import Patience
from agent.repository.git import prepare
from agent.repository.git_calls import GitCalls
from tests.support.git_servers import http_server, make_origin


@pytest.fixture
def calls(tmp_path: Path):
    def make(url: object, limits: Limits = Limits()) -> GitCalls:  # noqa: B008
        environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "REPO_URL": str(url), "TASK": "x"}
        config = load({**environ, "WS_SERVER": "none"}, in_container=False)
        return GitCalls(prepare(config, private), published.extend, Patience(), limits, tmp_path)

    published: list = []
    with private_directory(tmp_path) as private:
        make.published = published
        yield make


async def test_a_failure_says_what_git_said(calls, tmp_path: Path) -> None:
    made = calls(tmp_path / "none")
    with pytest.raises(CloneError, match="there is no git repository") as caught:
        await made.transfer("ls-remote", "--", made.url)
    assert "does not appear" in caught.value.details
    assert [event.source for event in calls.published] == ["git"] * len(calls.published) != []
    await made.local("init", "--quiet")
    assert await made.local("rev-parse", "--verify", "--quiet", "HEAD", asks=True) == b""


async def test_a_server_that_falls_silent(calls, tmp_path: Path) -> None:
    make_origin(tmp_path)
    with http_server(tmp_path) as server:
        server.faults = ["stall"]
        made = calls(f"{server.url}/origin.git", msgspec.structs.replace(Limits(), git_stall=0.3))
        with pytest.raises(CloneError, match=r"stalled: nothing came for 0\.3 s") as caught:
            with trio.fail_after(20):
                await made.transfer("ls-remote", "--", made.url)
    assert caught.value.exit is Exit.RETRYABLE
