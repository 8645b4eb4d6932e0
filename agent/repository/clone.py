"""The clone: the repository at REPO_REF in the workspace, with progress and with retries when the network fails.

An attempt asks the server for its refs first (a wrong token, a missing repository and a missing ref are known before
anything is written), clones without a checkout into a directory of its own inside the workspace, moves the git
directory up (the workspace may hold a volume's lost+found, which git would refuse) and checks out there.

Submodules and LFS objects are not fetched: the repository chooses their addresses, not the operator.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import trio

from agent.config import Config
from agent.errors import CloneError, ConfigError
from agent.exits import Exit, ExitStatus
from agent.limits import KIB
from agent.process import Command, Patience
from agent.protocol import Publish, events
from agent.repository import push_check
from agent.repository.cloned import Cloned
from agent.repository.git import Git, run_git
from agent.repository.git_errors import clone_error, stalled
from agent.repository.git_stderr import StderrFollower
from agent.repository.workspace import Workspace

_COMMIT = re.compile(r"[0-9a-fA-F]{4,64}")
_FULL_COMMIT = re.compile(r"[0-9a-fA-F]{40}|[0-9a-fA-F]{64}")


async def clone(config: Config, git: Git, publish: Publish, patience: Patience) -> Cloned:
    """Clone REPO_URL at REPO_REF into WORKSPACE_DIR.

    Raises:
        CloneError: with RETRYABLE after `Limits.clone_attempts` failures of the network, AUTH or CLONE_FAILED at once.
            What was made is removed.
        ConfigError: PUSH_BRANCH cannot be made, or is the default branch and may not be.

    Cancelling: safe. No git is left, and the partial clone is removed within `Limits.git_cleanup`.
    """
    needed = [Path(git.environment.get("HOME") or "/"), Path(git.environment["GIT_CONFIG_GLOBAL"]), Path(__file__)]
    place, limits = Workspace(config.workspace_dir, needed), config.limits
    check = partial(place.check, replace=config.replace_workspace)
    if await trio.to_thread.run_sync(check, abandon_on_cancel=True):
        publish([events.log("warn", f"REPLACE_WORKSPACE=1: what was in {config.workspace_dir} is deleted")])
    attempt = 1
    while True:
        try:
            return await _Attempt(config, git, publish, patience, place).run(config.repo_ref)
        except CloneError as e:
            if e.exit is not Exit.RETRYABLE or attempt >= limits.clone_attempts:
                raise
            delay = limits.clone_retry_delay * attempt
            attempt += 1
            again = f"trying again in {delay:g} s (attempt {attempt} of {limits.clone_attempts})"
            publish([events.log("warn", f"{e}; {again}", source="git", details=e.details)])
        await trio.sleep(delay)


async def look_up(config: Config, git: Git) -> str:
    """Ask the server for REPO_REF with the run's credentials, and clone nothing; what it is, in words.

    Raises:
        CloneError, ConfigError: as clone() does, after one attempt.

    Cancelling: safe.
    """
    nowhere = Workspace(Path("/"), ())
    attempt = _Attempt(config, git, lambda batch: None, Patience(), nowhere)
    target, default_branch = await attempt.resolve(config.repo_ref)
    if config.repo_ref is None:
        return f"default branch {default_branch or 'unknown'}"
    return target.ambiguity or f"at {config.repo_ref}"


class _Target(NamedTuple):
    """The ref to clone and to check out: a branch or a commit, or neither for the default branch."""

    #: A branch that the server has.
    branch: str | None = None
    #: A commit, or the full name of a ref that is no branch.
    commit: str | None = None
    #: Another meaning that REPO_REF has, and which one was taken; empty if it has one meaning only.
    ambiguity: str = ""


class _Attempt:
    def __init__(self, config: Config, git: Git, publish: Publish, patience: Patience, place: Workspace) -> None:
        self._git = git
        self._publish = publish
        self._patience = patience
        self._place = place
        self._depth = config.clone_depth
        self._config = config
        self._limits = config.limits

    async def run(self, ref: str | None) -> Cloned:
        """Cancelling: safe, as clone()."""
        directory = self._place.create()
        try:
            target, default_branch = await self.resolve(ref)
            if target.ambiguity:
                self._say("warn", target.ambiguity)
            if target.commit is not None and self._depth is not None and _by_itself(target.commit):
                await self._fetch_commit(directory, target.commit)
            else:
                await self._clone(directory, target)
            self._place.adopt(directory)
            await self._check_out(target)
            cloned = await self._describe(default_branch)
            if branch := self._config.push_branch:
                await self._try_push(branch, cloned)
            return cloned
        except BaseException as e:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + self._limits.git_cleanup):
                await trio.to_thread.run_sync(self._place.restore, abandon_on_cancel=True)
            if isinstance(e, FileNotFoundError) and e.filename == "git":
                raise CloneError("git was not found on PATH: install it") from e
            if isinstance(e, OSError):
                raise CloneError(f"git could not clone {self._git.url}: {e}") from e
            raise

    async def resolve(self, ref: str | None) -> tuple[_Target, str | None]:
        """Ask the server what `ref` is; the target and the default branch.

        Raises ConfigError: PUSH_BRANCH cannot be made.

        Cancelling: safe.
        """
        is_full = ref is not None and _by_itself(ref)
        meanings = [] if ref is None else [ref] if is_full else [f"refs/heads/{ref}", f"refs/tags/{ref}"]
        in_the_way = push_check.patterns(self._config.push_branch) if self._config.push_branch else []
        wanted = ("HEAD", *meanings, *in_the_way)
        listed = await self._transfer("ls-remote", "--symref", "--", self._git.url, *wanted)
        default_branch, refs = None, set()
        for line in listed.decode(errors="surrogateescape").splitlines():
            value, _, name = line.partition("\t")
            refs.add(name)
            if name == "HEAD" and value.startswith("ref: refs/heads/"):
                default_branch = value.removeprefix("ref: refs/heads/")
        if problem := push_check.problem(self._config, self._git.url, refs, default_branch):
            raise ConfigError([problem])
        if ref is None:
            return _Target(), default_branch
        # ls-remote lists by the end of a name, so that others are among them.
        found = [name for name in meanings if name in refs]
        if not found:
            if _COMMIT.fullmatch(ref):
                return _Target(commit=ref), default_branch
            raise self._no_such_ref(ref)
        ambiguity = "" if len(found) == 1 else (
            f"REPO_REF={ref} names a branch and a tag: the branch is taken; set refs/tags/{ref} to have the tag"
        )  # fmt: skip
        if found[0].startswith("refs/heads/"):
            return _Target(branch=found[0].removeprefix("refs/heads/"), ambiguity=ambiguity), default_branch
        # A tag is taken by its full name: `git clone --branch` would prefer a branch of the same name.
        return _Target(commit=found[0]), default_branch

    async def _try_push(self, branch: str, cloned: Cloned) -> None:
        """Find out before claude starts whether the server takes a push; nothing is pushed.

        Cancelling: safe.
        """
        if cloned.head is None:
            return
        arguments = ("push", "--dry-run", "--porcelain", "--no-verify", "--recurse-submodules=no")
        try:
            await self._transfer(*arguments, "--", self._git.url, f"{cloned.head}:refs/heads/{branch}")
        except CloneError as e:
            if e.exit is Exit.AUTH:
                raise push_check.not_allowed(e, self._git.url) from e
            if e.exit is Exit.RETRYABLE:
                raise
            # claude may still do what is missing, such as a merge.
            self._publish([events.log("warn", f"PUSH_BRANCH: a push to {branch} was refused on trial", source="git")])

    async def _clone(self, directory: Path, target: _Target) -> None:
        options = ["--progress", "--no-checkout", "--template=", "--no-local", "--origin=origin"]
        if target.branch is not None:
            options.append(f"--branch={target.branch}")
        if target.commit is None and self._depth is not None:
            options.append(f"--depth={self._depth}")
        await self._transfer("clone", *options, "--", self._git.url, str(directory))

    async def _fetch_commit(self, directory: Path, commit: str) -> None:
        """The short history of one commit, or all of it where the server does not give a commit by itself.

        Cancelling: safe.
        """
        await self._local("init", "--quiet", "--template=", cwd=directory)
        await self._local("remote", "add", "origin", self._git.url, cwd=directory)
        # A tag stays one, for `git describe` and the like.
        wanted = f"{commit}:{commit}" if commit.startswith("refs/tags/") else commit
        try:
            await self._transfer("fetch", "--progress", f"--depth={self._depth}", "origin", wanted, cwd=directory)
        except CloneError as e:
            if e.exit is not Exit.CLONE_FAILED:
                raise
            self._say("info", f"the server does not give {commit} by itself: cloning the whole history")
            await self._transfer("fetch", "--progress", "origin", cwd=directory)

    async def _check_out(self, target: _Target) -> None:
        arguments = ["checkout", "--force", "--progress"]
        if target.commit is not None:
            arguments += ["--detach", await self._find(target.commit)]
        elif not await self._commit("HEAD"):
            if await self._local("for-each-ref", "--count=1", "refs/remotes"):
                raise CloneError(f"{self._git.url} has no default branch: set REPO_REF to one of its branches")
            self._say("warn", f"the repository {self._git.url} is empty")
            return
        await self._local(*arguments)

    async def _find(self, commit: str) -> str:
        """The full name of a commit that the clone has, or that the server gives when asked for it.

        Cancelling: safe.
        """
        if found := await self._commit(commit):
            return found
        if _by_itself(commit):
            try:
                await self._transfer("fetch", "--progress", "origin", commit)
            except CloneError as e:
                if e.exit is not Exit.CLONE_FAILED:
                    raise
                raise self._no_such_ref(commit, e.details) from e
            if found := await self._commit("FETCH_HEAD"):
                return found
        raise self._no_such_ref(commit)

    async def _describe(self, default_branch: str | None) -> Cloned:
        head = await self._commit("HEAD")
        # Not --short, which makes heads/v1 of a branch that has the name of a tag.
        name = (await self._local("symbolic-ref", "--quiet", "HEAD", fails=True)).decode().strip()
        branch = name.removeprefix("refs/heads/")
        shallow = (await self._local("rev-parse", "--is-shallow-repository")) == b"true\n"
        for missing in _not_fetched(self._place.path):
            self._say("warn", missing)
        self._say("info", f"cloned {self._git.url}: {branch or 'detached'} at {head or 'no commit'}")
        return Cloned(head=head, branch=branch or None, default_branch=default_branch, shallow=shallow)

    async def _commit(self, name: str) -> str | None:
        found = await self._local("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", fails=True)
        return found.decode().strip() or None

    async def _transfer(self, *arguments: str, cwd: Path | None = None) -> bytes:
        """A git that talks to the server: a silence of `Limits.git_stall` ends it.

        Cancelling: safe.
        """
        with trio.CancelScope(deadline=trio.current_time() + self._limits.git_stall) as scope:
            follower = StderrFollower(self._publish, self._limits, scope)
            return await self._run(arguments, cwd or self._place.path, follower)
        raise stalled(self._git.url, self._limits.git_stall, follower.tail)

    async def _local(self, *arguments: str, cwd: Path | None = None, fails: bool = False) -> bytes:
        """A git that works on the disk, without a deadline of its own; `fails` tells that it may.

        Cancelling: safe.
        """
        follower = StderrFollower(self._publish, self._limits, trio.CancelScope())
        return await self._run(arguments, cwd or self._place.path, follower, fails=fails)

    async def _run(
        self, arguments: tuple[str, ...], cwd: Path, follower: StderrFollower, *, fails: bool = False
    ) -> bytes:
        status, stdout = await run_git(
            Command(["git", *arguments], self._git.environment, cwd),
            patience=self._patience,
            limits=self._limits,
            on_stderr=follower.feed,
        )
        follower.end()
        if status != ExitStatus(code=0) and not fails:
            if status.signal is not None:
                follower.tail.append(f"fatal: git died of signal {status.signal}")
            raise clone_error(follower.tail, self._git.url)
        return stdout

    def _say(self, level: events.Level, message: str) -> None:
        self._publish([events.log(level, message, source="git")])

    def _no_such_ref(self, ref: str, details: str = "") -> CloneError:
        message = f"{self._git.url} has no branch, tag or commit {ref}: check REPO_REF"
        return CloneError(message, details=details)


def _by_itself(name: str) -> bool:
    """Whether a name is full, so that a server can be asked for it: the first digits of a commit mean nothing there."""
    return name.startswith("refs/") or _FULL_COMMIT.fullmatch(name) is not None


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
