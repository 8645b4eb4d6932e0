"""Questions to the repository's server: what REPO_REF is there, and whether a run could begin with it."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from agent.config import Config
from agent.errors import CloneError, ConfigError
from agent.process import Patience
from agent.repository import push_check
from agent.repository.git import Git
from agent.repository.git_calls import GitCalls

_COMMIT = re.compile(r"[0-9a-fA-F]{4,64}")
_FULL_COMMIT = re.compile(r"[0-9a-fA-F]{40}|[0-9a-fA-F]{64}")


class Target(NamedTuple):
    """The ref to clone and to check out: a branch or a commit, or neither for the default branch."""

    #: A branch that the server has.
    branch: str | None = None
    #: A commit, or the full name of a ref that is no branch.
    commit: str | None = None
    #: The repository has no branch at all.
    empty: bool = False
    #: Another meaning that REPO_REF has, and which one was taken; empty if it has one meaning only.
    ambiguity: str = ""


async def look_up(config: Config, git: Git, scratch: Path) -> str:
    """Ask the server for REPO_REF with the run's credentials, and try the push of PUSH_BRANCH; the answer in words.

    Nothing is cloned and nothing pushed. `scratch` is an empty directory of the caller's.

    Raises:
        CloneError, ConfigError: as clone() does, after one attempt.

    Cancelling: safe.
    """
    calls = GitCalls(git, lambda batch: None, Patience(), config.limits, scratch)
    target, default_branch = await resolve(config.repo_ref, config, calls)
    found = target.ambiguity or (f"at {config.repo_ref}" if config.repo_ref else f"default branch {default_branch}")
    if target.empty:
        found = "and is empty"
    elif default_branch is None and config.repo_ref is None:
        found = "its HEAD is no branch"
    if config.push_branch is not None:
        await calls.local("init", "--quiet", "--template=")
        tree = (await calls.local("mktree")).decode().strip()
        nothing = (await calls.local("commit-tree", "-m", "on trial", tree)).decode().strip()
        # Where the branch exists, a commit from nowhere does not go on from it; then only the credentials are tried.
        await push_check.try_push(calls, nothing, config.push_branch)
        found += f"; these credentials may push to {config.push_branch}"
    return found


async def resolve(
    ref: str | None, config: Config, calls: GitCalls, pushed: Collection[str] = ()
) -> tuple[Target, str | None]:
    """Ask the server what `ref` is; the target and the default branch.

    A PUSH_BRANCH that is at one of the commits in `pushed` is the run's own.

    Raises ConfigError: PUSH_BRANCH cannot be made.

    Cancelling: safe.
    """
    whole = ref is not None and is_full(ref)
    meanings = [] if ref is None else [ref] if whole else [f"refs/heads/{ref}", f"refs/tags/{ref}"]
    in_the_way = push_check.patterns(config.push_branch) if config.push_branch else []
    wanted = ("HEAD", *meanings, *in_the_way)
    listed = await calls.transfer("ls-remote", "--symref", "--", calls.url, *wanted)
    default_branch, refs = None, dict[str, str]()
    for line in listed.decode(errors="surrogateescape").splitlines():
        value, _, name = line.partition("\t")
        refs[name] = value
        if name == "HEAD" and value.startswith("ref: refs/heads/"):
            default_branch = value.removeprefix("ref: refs/heads/")
    own = f"refs/heads/{config.push_branch}"
    others = refs.keys() - ({own} if refs.get(own) in pushed else set())
    if problem := push_check.problem(config, calls.url, others, default_branch):
        raise ConfigError([problem])
    if ref is None:
        if "HEAD" in refs:
            return Target(), default_branch
        if (await calls.transfer("ls-remote", "--heads", "--", calls.url)).strip():
            raise no_default_branch(calls.url)
        return Target(empty=True), None
    # ls-remote lists by the end of a name, so that others are among them.
    found = [name for name in meanings if name in refs]
    if not found:
        if _COMMIT.fullmatch(ref):
            return Target(commit=ref), default_branch
        raise no_such_ref(calls.url, ref)
    ambiguity = "" if len(found) == 1 else (
        f"REPO_REF={ref} names a branch and a tag: the branch is taken; set refs/tags/{ref} to have the tag"
    )  # fmt: skip
    if found[0].startswith("refs/heads/"):
        return Target(branch=found[0].removeprefix("refs/heads/"), ambiguity=ambiguity), default_branch
    # A tag is taken by its full name: `git clone --branch` would prefer a branch of the same name.
    return Target(commit=found[0]), default_branch


def no_default_branch(url: str) -> CloneError:
    return CloneError(f"{url} has no default branch: set REPO_REF to one of its branches")


def no_such_ref(url: str, ref: str, details: str = "") -> CloneError:
    message = f"{url} has no branch, tag or commit {ref}: check REPO_REF"
    return CloneError(message, details=details)


def is_full(name: str) -> bool:
    """Whether a name is full, so that a server can be asked for it: the first digits of a commit mean nothing there."""
    return name.startswith("refs/") or _FULL_COMMIT.fullmatch(name) is not None
