"""PUSH_BRANCH before claude starts: whether the branch can be made, and whether these credentials may make it."""

from __future__ import annotations

from collections.abc import Collection

from agent.config import Config
from agent.errors import CloneError, ErrorCode
from agent.exits import Exit
from agent.repository.git_calls import GitCalls

_HEADS = "refs/heads/"


def patterns(branch: str) -> list[str]:
    """The refs to ask a server for: the branch, and those whose names stand in its way."""
    return [_HEADS + branch, f"{_HEADS}{branch}/*", *(_HEADS + parent for parent in _parents(branch))]


def problem(config: Config, url: str, refs: Collection[str], default_branch: str | None) -> str | None:
    """The reason why PUSH_BRANCH cannot be made; `refs` is what the server has of `patterns()`.

    A branch that exists is right for a run that goes on from it: the work is then pushed on top.
    """
    branch = config.push_branch
    if branch is None:
        return None
    if branch == default_branch:
        if config.push_default_branch:
            return None
        said = f"PUSH_BRANCH: {branch} is the default branch of {url}"
        return f"{said}; name another, such as claude/{{run}}, or set PUSH_DEFAULT_BRANCH=1"
    for parent in _parents(branch):
        if _HEADS + parent in refs:
            said = f"PUSH_BRANCH: {url} has a branch {parent}, and so it cannot have a branch {branch}"
            return f"{said}; choose a name that does not begin with {parent}/"
    if below := sorted(name for name in refs if name.startswith(f"{_HEADS}{branch}/")):
        first = below[0].removeprefix(_HEADS)
        return f"PUSH_BRANCH: {url} has a branch {first}, and so it cannot have a branch {branch}; choose another name"
    if _HEADS + branch in refs and config.repo_ref not in (branch, _HEADS + branch):
        said = f"PUSH_BRANCH: the branch {branch} exists already at {url}"
        return f"{said}; put {{run}} into its name, or set REPO_REF={branch} to go on from it"
    return None


async def try_push(calls: GitCalls, commit: str, branch: str) -> bool:
    """Find out whether the server takes a push of a commit that is here; nothing is pushed.

    False: the branch that is there stands in the way, or a rule of the server's.

    Raises CloneError: these credentials may not push, or the server cannot be reached.

    Cancelling: safe.
    """
    arguments = ("push", "--dry-run", "--porcelain", "--no-verify", "--recurse-submodules=no")
    try:
        await calls.transfer(*arguments, "--", calls.url, f"{commit}:{_HEADS}{branch}")
    except CloneError as e:
        if e.exit is Exit.AUTH:
            raise _not_allowed(e, calls.url) from e
        if e.exit is Exit.RETRYABLE:
            raise
        return False
    return True


def _not_allowed(error: CloneError, url: str) -> CloneError:
    """The error for credentials that were good for the clone and are not for a push."""
    code: ErrorCode = "auth"
    message = (
        f"PUSH_BRANCH: these credentials may read {url}, but not push to it: give the token or key the right to write"
        " (GitHub: Contents, read and write)"
    )
    return CloneError(message, details=error.details, exit=Exit.AUTH, code=code)


def _parents(branch: str) -> list[str]:
    parts = branch.split("/")
    return ["/".join(parts[:n]) for n in range(1, len(parts))]
