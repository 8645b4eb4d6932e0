"""The work and its branch brought together, where the branch has commits that the work lacks. Nothing is forced.

The commit that the agent makes for a push is not in the workspace. So work that goes on in a workspace on a volume does
not contain what was pushed from there before, although it has all of its content: it becomes the next commit on top of
it. Commits of somebody else's are merged, as `git pull` would, if that needs nobody to decide.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent.artifacts.changes import Changes, ChangesError
from agent.artifacts.snapshot import Snapshot

#: The branch as the server has it, in our repository.
_THERE = "refs/agent/branch"


class Conflict(ChangesError):
    """The branch has gone another way; the work is a commit all the same."""

    def __init__(self, message: str, details: str, commit: str) -> None:
        super().__init__(message, details=details)
        self.commit = commit


async def join(
    snapshot: Snapshot, changes: Changes, branch: str, commit: str, earlier: Sequence[str], message: str
) -> tuple[str, str]:
    """The commit to push to `branch`, and the one in it that has the files of the workspace.

    Args:
        commit: the work on top of claude's own commits.
        earlier: what was pushed from this workspace before, the newest last.

    Raises:
        Conflict: commits on the branch cannot be merged without a person.
        ChangesError: the branch cannot be fetched.

    Cancelling: safe.
    """
    store = snapshot.store
    tips = [f"--negotiation-tip={name}" for name in {changes.base, changes.head} if name]
    fetch = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", *tips, "--", store.url)
    await store.git(*fetch, f"+refs/heads/{branch}:{_THERE}")
    there = (await store.git("rev-parse", "--verify", _THERE)).decode().strip()
    work = commit
    for pushed in reversed(earlier):
        if await contains(snapshot, there, pushed):
            work = await _on_top(snapshot, changes, commit, pushed, message)
            break
    if await contains(snapshot, work, there):
        return work, work
    code, out, said = await store.run(("merge-tree", "--write-tree", "--name-only", work, there))
    tree, *names = out.decode(errors="replace").splitlines() or [""]
    if code != 0:
        files = ", ".join(names[: names.index("")] if "" in names else names)
        why = f"the work conflicts with it in {files}" if code == 1 and files else "the work cannot be merged with it"
        raise Conflict(f"{branch} has got other commits meanwhile, and {why}", said, work)
    title = f"Merge what {branch} has got meanwhile"
    made = await store.git("commit-tree", tree, "-p", work, "-p", there, "-m", title)
    return made.decode().strip(), work


async def _on_top(snapshot: Snapshot, changes: Changes, commit: str, pushed: str, message: str) -> str:
    """The workspace as a commit that contains `pushed` and claude's HEAD; one of these where nothing is new."""
    if await contains(snapshot, commit, pushed):
        return commit
    tree = f"{commit}^{{tree}}"
    parents = [pushed]
    if changes.head is not None and not await contains(snapshot, pushed, changes.head):
        parents.append(changes.head)
    elif (await snapshot.store.run(("diff-tree", "--quiet", pushed, tree)))[0] == 0:
        return pushed
    options = [option for parent in parents for option in ("-p", parent)]
    return (await snapshot.store.git("commit-tree", tree, *options, "-m", message)).decode().strip()


async def contains(snapshot: Snapshot, commit: str, other: str) -> bool:
    """Tell whether `other` is `commit` or in its history. Not, too, where it is not there at all.

    Cancelling: safe.
    """
    return (await snapshot.store.run(("merge-base", "--is-ancestor", other, commit)))[0] == 0
