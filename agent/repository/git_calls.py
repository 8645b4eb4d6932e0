"""Calls of git in a repository of the agent's own: what they say is published, and a failure says what it means."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import trio

from agent.exits import ExitStatus
from agent.limits import Limits
from agent.process import Command, Patience
from agent.protocol import Publish
from agent.repository.git import Git, run_git
from agent.repository.git_errors import clone_error, stalled
from agent.repository.git_stderr import StderrFollower


class GitCalls:
    """Runs git in `directory`, unless a call names another one. Each call raises CloneError where git fails."""

    def __init__(self, git: Git, publish: Publish, patience: Patience, limits: Limits, directory: Path) -> None:
        self.url = git.url
        self._git = git
        self._publish = publish
        self._patience = patience
        self._limits = limits
        self._directory = directory

    async def transfer(self, *arguments: str, cwd: Path | None = None) -> bytes:
        """A git that talks to the server: a silence of `Limits.git_stall` ends it.

        Cancelling: safe.
        """
        with trio.CancelScope(deadline=trio.current_time() + self._limits.git_stall) as scope:
            follower = StderrFollower(self._publish, self._limits, scope)
            return await self._run(arguments, cwd or self._directory, follower)
        raise stalled(self._git.url, self._limits.git_stall, follower.tail)

    async def local(self, *arguments: str, cwd: Path | None = None, asks: bool = False) -> bytes:
        """A git that works on the disk, without a deadline of its own.

        With `asks` its exit status 1 is an answer, no: what --quiet means. Each other one is an error as always: a git
        that could not run has not said that there is no such commit.

        Cancelling: safe.
        """
        follower = StderrFollower(self._publish, self._limits, trio.CancelScope())
        return await self._run(arguments, cwd or self._directory, follower, asks=asks)

    async def succeeds(self, *arguments: str, stdin: Path | None = None) -> bool:
        """Run a git that works on the disk and may fail in silence; whether it succeeded. It reads the file `stdin`.

        Cancelling: safe.
        """
        status, _ = await run_git(
            Command(["git", *arguments], self._git.environment, self._directory),
            patience=self._patience,
            limits=self._limits,
            on_stderr=lambda chunk: None,
            stdin=subprocess.DEVNULL if stdin is None else os.open(stdin, os.O_RDONLY | os.O_CLOEXEC),
        )
        return status == ExitStatus(code=0)

    async def _run(
        self, arguments: tuple[str, ...], cwd: Path, follower: StderrFollower, *, asks: bool = False
    ) -> bytes:
        status, stdout = await run_git(
            Command(["git", *arguments], self._git.environment, cwd),
            patience=self._patience,
            limits=self._limits,
            on_stderr=follower.feed,
        )
        follower.end()
        if status != ExitStatus(code=0) and not (asks and status == ExitStatus(code=1)):
            if status.signal is not None:
                follower.tail.append(f"fatal: git died of signal {status.signal}")
            raise clone_error(follower.tail, self._git.url, self._git.proxy)
        return stdout
