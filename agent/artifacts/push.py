"""PUSH_BRANCH: claude's work as a commit on a branch, and work elsewhere on branches beside it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Container, Sequence
from itertools import count

import msgspec

from agent.artifacts.changes import Changes, ChangesError, Other
from agent.artifacts.join import Conflict, contains, join
from agent.artifacts.snapshot import Snapshot
from agent.errors import ErrorCode
from agent.exits import Exit
from agent.repository import StderrParser, clone_error

_GITHUB = re.compile(r"(?:https://|ssh://git@|git@)github\.com[/:](.+?)(?:\.git)?/?")
#: What fits into a line of `git log`.
_TITLE = 72
#: Of a branch's name in the name of another, or of a file.
_SLUG = 80

#: Takes a line for a person.
Say = Callable[[str], None]


class Pushed(msgspec.Struct, frozen=True):
    """The place of the work on the server."""

    branch: str
    commit: str
    #: Where a person compares and opens a pull request; None where the address is not GitHub's.
    compare_url: str | None


#: A token of a GitHub App, for example, lives an hour.
_REFUSED = (
    "the server refuses the token or key, which was good for the clone: it has expired or was revoked; give it as"
    " GITHUB_TOKEN_FILE and renew the file"
)


class PushError(ChangesError):
    """The branch was not pushed; the message says what to do."""

    code: ErrorCode = "push"


def branch_name(template: str, run_id: str, unix_time: float) -> str:
    """PUSH_BRANCH with `{run}` and `{date}` filled in."""
    date = time.strftime("%Y-%m-%d", time.gmtime(unix_time))
    return template.replace("{run}", run_id.lower()).replace("{date}", date)


def commit_message(task: str, run_id: str, session_id: str, verdict: str = "") -> str:
    """The first line of the task, which is redacted already, and whose work this is as trailers.

    `verdict` is what VERIFY_COMMAND did: `passed`, or anything else; empty where nothing was verified.
    """
    title = next(iter(task.strip().splitlines()), "") or "Work of claude"
    if len(title) > _TITLE:
        title = title[: _TITLE - 3] + "..."
    body = f"Not verified: VERIFY_COMMAND {verdict}.\n\n" if verdict not in ("", "passed") else ""
    trailer = f"Verification: {verdict}\n" if verdict else ""
    return f"{title}\n\n{body}Run-Id: {run_id}\nSession-Id: {session_id}\n{trailer}"


class Branch(msgspec.Struct, frozen=True):
    """The branch to push to."""

    name: str
    default: str | None
    #: Whether `name` may be the default branch.
    default_allowed: bool = False
    #: Whether the clone was of `name` itself: then the work goes on top of it.
    cloned: bool = False
    #: What was pushed from this workspace before, the newest last.
    earlier: Sequence[str] = ()


async def push(
    snapshot: Snapshot,
    changes: Changes,
    branch: Branch,
    message: str,
    say: Say,
    note: Callable[[str], object] = lambda commit: None,
) -> Pushed:
    """Commit what is not committed, and push all of it to a branch. Nothing is ever forced.

    The branch is new, or cloned, or claude pushed it itself, or it was pushed from this workspace before.

    Args:
        say: gets the lines that the server sends for a person.
        note: gets, before the push, the commit with the files of the workspace.

    Raises PushError: the branch is somebody else's or not allowed, or the server refused.

    Cancelling: safe; the push may have happened.
    """
    ref = f"refs/heads/{branch.name}"
    store = snapshot.store
    code, answer, said = await store.run(("ls-remote", "--symref", "--", store.url, "HEAD", ref))
    if code != 0:
        why = clone_error(said.splitlines(), store.url)
        if why.exit is Exit.AUTH:
            raise PushError(f"nothing was pushed, since {_REFUSED}: {why}", details=said)
        raise PushError("the server cannot be asked for its branches, so nothing was pushed", details=said)
    lines = answer.decode(errors="replace").splitlines()
    default = branch.name == branch.default or f"ref: {ref}\tHEAD" in lines
    if default and not branch.default_allowed:
        raise PushError(f"{branch.name} is the default branch; PUSH_DEFAULT_BRANCH=1 would push to it")
    there = next((line.partition("\t")[0] for line in lines if line.endswith(f"\t{ref}")), None)
    commit = await snapshot.commit(changes, message)
    may_join = branch.cloned or there in branch.earlier or await _is_claudes(snapshot, changes, there)
    if there is not None and not (default or may_join):
        raise PushError(
            f"the branch {branch.name} exists already; put {{run}} into PUSH_BRANCH, or remove the branch"
        )  # fmt: skip
    work = commit
    if there is not None and may_join and not default and not await contains(snapshot, commit, there):
        try:
            commit, work = await join(snapshot, changes, branch.name, commit, branch.earlier, message)
        except Conflict as conflict:
            name = f"{branch.name}--{conflict.commit[:12]}"
            await push_commits(snapshot, {name: conflict.commit}, say)
            raise PushError(f"{conflict}: it was pushed to {name} instead", details=conflict.details) from conflict
    if there != commit:
        note(work)
        await push_commits(snapshot, {branch.name: commit}, say)
    return Pushed(branch.name, commit, compare_url(store.url, branch.default, branch.name))


async def push_commits(snapshot: Snapshot, commits: dict[str, str], say: Say) -> None:
    """Push commits to branches that are new, or that they contain. Raises PushError: the server refused one of them.

    Cancelling: safe; the push may have happened.
    """
    parser = StderrParser(snapshot.store.limits.git_line_bytes)

    def hear(chunk: bytes) -> None:
        for line in parser.feed(chunk):
            if isinstance(line, str) and line.startswith("remote: "):
                say(line)

    code, out, said = await snapshot.store.run(
        ("push", "--porcelain", "--no-verify", "--recurse-submodules=no", "--", snapshot.store.url,
         *(f"{commit}:refs/heads/{name}" for name, commit in commits.items())),
        on_stderr=hear,
    )  # fmt: skip
    if code != 0:
        names = ", ".join(commits)
        raise PushError(
            f"the push to {names} was refused: check what the token or key may write, and the branch's protection",
            details=f"{out.decode(errors='replace')}\n{said}".strip(),
        )


async def _is_claudes(snapshot: Snapshot, changes: Changes, commit: str | None) -> bool:
    """Whether a commit on the server is one that claude made in this run, and that its HEAD contains."""
    if changes.head is None or commit is None:
        return False
    since = [f"^{changes.base}"] if changes.base else []
    made = await snapshot.store.git("rev-list", changes.head, *since)
    return commit in made.decode().split()


def beside(branch: str, other: Other, taken: Container[str]) -> str:
    """The name of the branch for other work, beside PUSH_BRANCH and not in `taken`.

    It stands after two hyphens and not after a slash: a branch and a directory of branches cannot have one name.
    """
    name = f"{branch}--{slug(other.name)}"
    return next(found for n in count(1) if (found := name if n == 1 else f"{name}-{n}") not in taken)


def slug(name: str) -> str:
    """A name of letters, digits, dots and hyphens, for a file or the end of a branch's name."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[-_SLUG:].strip("-") or "unnamed"


def compare_url(url: str, base: str | None, branch: str) -> str | None:
    """GitHub's page with the difference of two branches."""
    if match := _GITHUB.fullmatch(url):
        return f"https://github.com/{match[1]}/compare/{f'{base}...' if base else ''}{branch}"
    return None
