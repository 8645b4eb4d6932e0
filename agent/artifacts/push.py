"""PUSH_BRANCH: what claude left, as a commit on a branch of its own."""

from __future__ import annotations

import re
import time

import msgspec

from agent.artifacts.changes import Changes, ChangesError, Snapshot
from agent.errors import ErrorCode
from agent.repository import Git

_GITHUB = re.compile(r"(?:https://|ssh://git@|git@)github\.com[/:](.+?)(?:\.git)?/?")
#: What fits into a line of `git log`.
_TITLE = 72


class Pushed(msgspec.Struct, frozen=True):
    """Where the work is now."""

    branch: str
    commit: str
    #: Where a person compares and opens a pull request; None where the address is not GitHub's.
    compare_url: str | None


class PushError(ChangesError):
    """The branch was not pushed; the message says what to do."""

    code: ErrorCode = "push"


def branch_name(template: str, run_id: str, unix_time: float) -> str:
    """PUSH_BRANCH with `{run}` and `{date}` filled in."""
    date = time.strftime("%Y-%m-%d", time.gmtime(unix_time))
    return template.replace("{run}", run_id.lower()).replace("{date}", date)


def commit_message(task: str, run_id: str, session_id: str) -> str:
    """The first line of the task, which is redacted already, and whose work this is as trailers."""
    title = next(iter(task.strip().splitlines()), "") or "Work of claude"
    if len(title) > _TITLE:
        title = title[: _TITLE - 3] + "..."
    return f"{title}\n\nRun-Id: {run_id}\nSession-Id: {session_id}\n"


async def push(
    snapshot: Snapshot,
    changes: Changes,
    git: Git,
    *,
    branch: str,
    default_branch: str | None,
    allow_default: bool,
    message: str,
) -> Pushed:
    """Commit what is not committed, and push all of it to a new branch. Nothing is ever forced.

    Raises PushError: the branch is there already or not allowed, or the server refused.

    Cancelling: safe; the push may have happened.
    """
    ref = f"refs/heads/{branch}"
    code, listed, said = await snapshot.remote("ls-remote", "--symref", "--", git.url, "HEAD", ref)
    if code != 0:
        raise PushError("the server cannot be asked for its branches, so nothing was pushed", details=said)
    lines = listed.splitlines()
    default = branch == default_branch or f"ref: {ref}\tHEAD" in lines
    if default and not allow_default:
        raise PushError(f"{branch} is the default branch; PUSH_DEFAULT_BRANCH=1 would push to it")
    if not default and any(line.endswith(f"\t{ref}") for line in lines):
        raise PushError(f"the branch {branch} exists already; put {{run}} into PUSH_BRANCH, or remove the branch")
    commit = await snapshot.commit(changes, message)
    code, listed, said = await snapshot.remote(
        "push", "--porcelain", "--no-verify", "--recurse-submodules=no", "--", git.url, f"{commit}:{ref}"
    )
    if code != 0:
        raise PushError(
            f"the push to {branch} was refused: check what the token or key may write, and the branch's protection",
            details=f"{listed}\n{said}".strip(),
        )
    return Pushed(branch, commit, compare_url(git.url, default_branch, branch))


def compare_url(url: str, base: str | None, branch: str) -> str | None:
    """GitHub's page with the difference of two branches."""
    if match := _GITHUB.fullmatch(url):
        return f"https://github.com/{match[1]}/compare/{f'{base}...' if base else ''}{branch}"
    return None
