"""The clone: the repository at REPO_REF in the workspace, with progress and with retries when the network fails.

An attempt asks the server for its refs first (a wrong token, a missing repository and a missing ref are known before
anything is written), clones without a checkout into a directory of its own inside the workspace, moves the git
directory up (the workspace may hold a volume's lost+found, which git would refuse) and checks out there.

Submodules and LFS objects are not fetched: the repository chooses their addresses, not the operator.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec
import trio

from agent.config import Config
from agent.errors import CloneError
from agent.exits import Exit
from agent.limits import KIB, Limits
from agent.process import Patience
from agent.protocol import Publish, events
from agent.repository import push_check, remote
from agent.repository.cloned import Cloned, Resumed
from agent.repository.earlier import Earlier, Return
from agent.repository.git import Git
from agent.repository.git_calls import GitCalls
from agent.repository.kept import Mark, find_mark, is_shallow
from agent.repository.remote import Target
from agent.repository.workspace import Workspace


async def clone(
    config: Config, git: Git, publish: Publish, patience: Patience, earlier: Earlier | None = None
) -> Cloned:
    """Clone REPO_URL at REPO_REF into WORKSPACE_DIR, with the work of the attempt before, if there was one.

    Raises:
        CloneError: with RETRYABLE after `Limits.clone_attempts` failures of the network, AUTH or CLONE_FAILED at once.
            What was made is removed.
        ConfigError: PUSH_BRANCH cannot be made, or is the default branch and may not be.

    Cancelling: safe. No git is left, and the partial clone is removed within `Limits.git_cleanup`.
    """
    needed = [Path(git.environment.get("HOME") or "/"), Path(git.environment["GIT_CONFIG_GLOBAL"]), Path(__file__)]
    place, limits = Workspace(config.workspace_dir, needed), config.limits
    mark = find_mark(config.workspace_dir, earlier.session, git.url, limits) if earlier is not None else None
    if mark is not None:
        return await _retrying(partial(_go_on, config, git, publish, patience, mark), publish, limits)
    check = partial(place.check, replace=config.replace_workspace)
    if await trio.to_thread.run_sync(check, abandon_on_cancel=True):
        publish([events.log("warn", f"REPLACE_WORKSPACE=1: what was in {config.workspace_dir} is deleted")])
    once = lambda: _Attempt(config, git, publish, patience, place, earlier).run(config.repo_ref)  # noqa: E731
    return await _retrying(once, publish, limits)


async def _retrying(once: Callable[[], Awaitable[Cloned]], publish: Publish, limits: Limits) -> Cloned:
    """Try it again where the network failed. Cancelling: as `once`."""
    attempt = 1
    while True:
        try:
            return await once()
        except CloneError as e:
            if e.exit is not Exit.RETRYABLE or attempt >= limits.clone_attempts:
                raise
            delay = limits.clone_retry_delay * attempt
            attempt += 1
            again = f"trying again in {delay:g} s (attempt {attempt} of {limits.clone_attempts})"
            publish([events.log("warn", f"{e}; {again}", source="git", details=e.details)])
        await trio.sleep(delay)


async def _go_on(config: Config, git: Git, publish: Publish, patience: Patience, mark: Mark) -> Cloned:
    """Take a workspace that is still there. The server is asked as before a clone: a wrong token is known by now.

    Cancelling: safe.
    """
    elsewhere = Path(git.environment["GIT_CONFIG_GLOBAL"]).parent
    calls = GitCalls(git, publish, patience, config.limits, elsewhere)
    target, default_branch = await remote.resolve(config.repo_ref, config, calls, mark.pushed)
    words = f"the session goes on in its workspace: {mark.branch or 'detached'}, cloned at {mark.base or 'no commit'}"
    publish([events.log("info", words, source="git")])
    return Cloned(
        head=mark.base, branch=mark.branch, default_branch=default_branch, shallow=is_shallow(config.workspace_dir),
        resumed=Resumed(mark.session, "workspace"), commits=frozenset(mark.commits), pushed=tuple(mark.pushed),
        goes_on_from=target.branch,
    )  # fmt: skip


class _Attempt:
    def __init__(
        self,
        config: Config,
        git: Git,
        publish: Publish,
        patience: Patience,
        place: Workspace,
        earlier: Earlier | None,
    ) -> None:
        self._earlier = earlier
        self._git = git
        self._publish = publish
        self._calls = GitCalls(git, publish, patience, config.limits, place.path)
        self._place = place
        self._depth = config.clone_depth
        self._config = config
        self._limits = config.limits

    async def run(self, ref: str | None) -> Cloned:
        """Cancelling: safe, as clone()."""
        directory = self._place.create()
        try:
            target, default_branch = await remote.resolve(ref, self._config, self._calls)
            if target.ambiguity:
                self._say("warn", target.ambiguity)
            if target.commit is not None and self._depth is not None and remote.is_full(target.commit):
                await self._fetch_commit(directory, target.commit)
            else:
                await self._clone(directory, target)
            self._place.adopt(directory)
            await self._check_out(target)
            branch = self._config.push_branch
            resumed, base, left_out = None, None, False
            if self._earlier is not None:
                back = Return(self._earlier, self._calls, self._depth, self._say, self._limits)
                head, name = await self._commit("HEAD"), await self._branch()
                source = await back.bring_back(head, name if name == branch else None)
                resumed, base, left_out = Resumed(self._earlier.session, source), back.base, back.left_out
            described = await self._describe(default_branch)
            cloned = msgspec.structs.replace(described, resumed=resumed, base=base, left_out=left_out)
            if branch and cloned.head and not await push_check.try_push(self._calls, cloned.head, branch):
                # claude may still do what is missing, such as a merge.
                self._say("warn", f"PUSH_BRANCH: a push to {branch} was refused on trial")
            return cloned
        except BaseException as e:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + self._limits.git_cleanup):
                await trio.to_thread.run_sync(self._place.restore, abandon_on_cancel=True)
            if isinstance(e, FileNotFoundError) and e.filename == "git":
                raise CloneError("git was not found on PATH: install it") from e
            if isinstance(e, OSError):
                raise CloneError(f"git could not clone {self._git.url}: {e}") from e
            raise

    async def _clone(self, directory: Path, target: Target) -> None:
        options = ["--progress", "--no-checkout", "--template=", "--no-local", "--origin=origin"]
        if target.branch is not None:
            options.append(f"--branch={target.branch}")
        if target.commit is None and self._depth is not None:
            options.append(f"--depth={self._depth}")
        if self._config.repo_mirror is not None:
            options.append(f"--reference-if-able={self._config.repo_mirror}")
        await self._calls.transfer("clone", *options, "--", self._git.url, str(directory))

    async def _fetch_commit(self, directory: Path, commit: str) -> None:
        """The short history of one commit, or all of it where the server does not give a commit by itself.

        Cancelling: safe.
        """
        await self._calls.local("init", "--quiet", "--template=", cwd=directory)
        await self._calls.local("remote", "add", "origin", self._git.url, cwd=directory)
        # A tag stays one, for `git describe` and the like.
        wanted = f"{commit}:{commit}" if commit.startswith("refs/tags/") else commit
        try:
            await self._calls.transfer("fetch", "--progress", f"--depth={self._depth}", "origin", wanted, cwd=directory)
        except CloneError as e:
            if e.exit is not Exit.CLONE_FAILED:
                raise
            self._say("info", f"the server does not give {commit} by itself: cloning the whole history")
            await self._calls.transfer("fetch", "--progress", "origin", cwd=directory)

    async def _check_out(self, target: Target) -> None:
        arguments = ["checkout", "--force", "--progress"]
        if target.commit is not None:
            arguments += ["--detach", await self._find(target.commit)]
        elif not await self._commit("HEAD"):
            if await self._calls.local("for-each-ref", "--count=1", "refs/remotes"):
                raise remote.no_default_branch(self._git.url)
            self._say("warn", f"the repository {self._git.url} is empty")
            return
        await self._calls.local(*arguments)

    async def _find(self, commit: str) -> str:
        """The full name of a commit that the clone has, or that the server gives when asked for it.

        Cancelling: safe.
        """
        if found := await self._commit(commit):
            return found
        if remote.is_full(commit):
            try:
                await self._calls.transfer("fetch", "--progress", "origin", commit)
            except CloneError as e:
                if e.exit is not Exit.CLONE_FAILED:
                    raise
                raise remote.no_such_ref(self._git.url, commit, e.details) from e
            if found := await self._commit("FETCH_HEAD"):
                return found
        raise remote.no_such_ref(self._git.url, commit)

    async def _describe(self, default_branch: str | None) -> Cloned:
        head = await self._commit("HEAD")
        branch = await self._branch()
        shallow = (await self._calls.local("rev-parse", "--is-shallow-repository")) == b"true\n"
        for missing in _not_fetched(self._place.path):
            self._say("warn", missing)
        self._say("info", f"cloned {self._git.url}: {branch or 'detached'} at {head or 'no commit'}")
        return Cloned(head=head, branch=branch, default_branch=default_branch, shallow=shallow)

    async def _branch(self) -> str | None:
        # Not --short, which makes heads/v1 of a branch that has the name of a tag.
        name = (await self._calls.local("symbolic-ref", "--quiet", "HEAD", asks=True)).decode().strip()
        return name.removeprefix("refs/heads/") or None

    async def _commit(self, name: str) -> str | None:
        found = await self._calls.local("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", asks=True)
        return found.decode().strip() or None

    def _say(self, level: events.Level, message: str) -> None:
        self._publish([events.log(level, message, source="git")])


def _not_fetched(workspace: Path) -> list[str]:
    """Name the parts of the repository that are not in the clone. A link is not followed out of the workspace."""
    found = []
    if (workspace / ".gitmodules").is_file():
        found.append("the repository has submodules: they are not fetched (git submodule update --init)")
    with suppress(OSError):
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(workspace / ".gitattributes", flags), "rb") as attributes:
            if b"filter=lfs" in attributes.read(64 * KIB):
                found.append("the repository keeps files in Git LFS: they are not fetched (git lfs pull)")
    return found
