"""The work of the attempt before, brought back into a fresh clone: what claude's session remembers must be there.

The patch is as untrusted as the repository is. It goes in as the clone did, with the operator's configuration and no
hook, and `git apply` writes nothing into `.git`, outside of the workspace or through a link.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from agent.errors import CloneError
from agent.exits import Exit
from agent.limits import Limits
from agent.protocol import Level
from agent.repository.cloned import Source
from agent.repository.git_calls import GitCalls
from agent.text import count

#: Whatever the operator's configuration says of blanks, the patch is taken as it is.
_APPLY: Final = ("-c", "apply.ignoreWhitespace=no", "apply", "--whitespace=nowarn")


class Earlier(msgspec.Struct, frozen=True):
    """The work of an attempt, as far as it is known."""

    session: str
    #: The commit that the patch is against; None for an empty repository.
    base: str | None = None
    #: The patch, in a file of ours; None if it is not known what the attempt changed.
    patch: Path | None = None
    #: Changed files.
    files: int = 0
    #: claude's own commits.
    commits: int = 0
    #: The last of them, and a file of ours with their objects as a pack. Without these they come back as edits.
    head: str | None = None
    pack: Path | None = None


class Return:
    """The way back of an attempt's work into the clone that was just checked out."""

    def __init__(
        self,
        earlier: Earlier,
        calls: GitCalls,
        depth: int | None,
        say: Callable[[Level, str], None],
        limits: Limits,
    ) -> None:
        """`depth` is CLONE_DEPTH."""
        self._limits = limits
        #: The commit that the session began with, where the checked-out branch is known to go on from it.
        self.base: str | None = None
        #: The patch was left out, and is the only copy of what the branch lacks.
        self.left_out = False
        self._earlier = earlier
        self._calls = calls
        self._depth = depth
        self._say = say

    async def bring_back(self, head: str | None, pushed: str | None) -> Source | None:
        """Make the workspace what it was. Returns where the work came from; None if there was none to bring.

        Args:
            head: the commit that is checked out.
            pushed: the branch that is checked out, if it is the one that the run pushes to.

        Raises CloneError: the work cannot be brought back. The session would go on without what it has done, and its
        end would replace the only copy.

        Cancelling: safe.
        """
        earlier, patch = self._earlier, self._earlier.patch
        if patch is None:
            if pushed is not None:
                self._say("info", "the session goes on with what its branch has")
                return "branch"
            words = "OUTPUT_DIR has no work of the session: nothing but what is in the repository comes back"
            self._say("warn", f"RESUME_SESSION: {words}")
            return None
        if not earlier.files:
            return None
        if head != earlier.base and await self._calls.succeeds(*_APPLY, "--reverse", "--check", str(patch)):
            self._say("info", "the session goes on with its work, which the repository has by now")
            await self._count_from_base(pushed)
            return "branch"
        if head != earlier.base and pushed is not None:
            await self._count_from_base(pushed)
            self.left_out = True
            words = "the branch has moved on from the work of the session, and counts as it is; the work is kept as a"
            self._say("warn", f"RESUME_SESSION: {words} patch in OUTPUT_DIR/earlier")
            return "branch"
        exact = head == earlier.base or await self._go_to(earlier.base)
        try:
            await self._calls.local(*_APPLY, str(patch))
        except CloneError as error:
            raise self._lost(error, exact=exact) from error
        back = f"{count(earlier.files, 'file')} that the session changed are back"
        if earlier.commits:
            what = count(earlier.commits, "commit")
            is_back = exact and await self._commits_back()
            back += f", with {what}" if is_back else f"; its {what} came as edits that are not committed"
        if not exact:
            back += f"; the server does not give {earlier.base} any more, so they are on top of {head}"
        self._say("info" if exact else "warn", back)
        return "patch"

    async def _commits_back(self) -> bool:
        """Put claude's commits below the edits that were applied; whether that went well. No file is touched.

        Cancelling: safe.
        """
        base, head, pack = self._earlier.base, self._earlier.head, self._earlier.pack
        if base is None or head is None or pack is None:
            return False
        # What git's fsck finds fault with is refused, such as a `.git` in a tree.
        if not await self._calls.succeeds("index-pack", "--strict", "--fix-thin", "--stdin", stdin=pack):
            return False
        for whole in (
            ("merge-base", "--is-ancestor", base, head),
            ("rev-list", "--objects", "--quiet", head, f"^{base}"),
        ):
            if not await self._calls.succeeds(*whole):
                return False
        await self._calls.local("reset", "--mixed", "--quiet", head)
        self.base = base
        return True

    async def _count_from_base(self, pushed: str | None) -> None:
        """Find out whether the branch goes on from the commit that the session began with.

        Cancelling: safe.
        """
        base = self._earlier.base
        if base is None or pushed is None:
            return
        ancestor = ("merge-base", "--is-ancestor", base, "HEAD")
        found = await self._calls.succeeds(*ancestor)
        if not found and self._depth is not None:
            more = ("--progress", f"--deepen={self._limits.earlier_commits}", "origin", f"refs/heads/{pushed}")
            try:
                await self._calls.transfer("fetch", *more)
            except CloneError as error:
                if error.exit is not Exit.CLONE_FAILED:
                    raise
            found = await self._calls.succeeds(*ancestor)
        self.base = base if found else None

    async def _go_to(self, base: str | None) -> bool:
        """Check out the commit that the attempt began with; whether the server still has it.

        Cancelling: safe.
        """
        if base is None:
            return False
        has = ("cat-file", "-e", f"{base}^{{tree}}")
        if not await self._calls.succeeds(*has):
            depth = [] if self._depth is None else [f"--depth={self._depth}"]
            try:
                await self._calls.transfer("fetch", "--progress", *depth, "origin", base)
            except CloneError as error:
                if error.exit is not Exit.CLONE_FAILED:
                    raise
                return False
            if not await self._calls.succeeds(*has):
                return False
        await self._calls.local("reset", "--hard", "--quiet", base)
        self._say("info", f"REPO_REF has moved on: the session goes on from {base}, which it began with")
        return True

    def _lost(self, error: CloneError, *, exact: bool) -> CloneError:
        why = "" if exact else f", and the server does not give {self._earlier.base}, which it was made on"
        return CloneError(
            f"RESUME_SESSION: the work of the session {self._earlier.session} does not apply{why}: its patch is kept as"
            f" session/{self._earlier.session}.patch in OUTPUT_DIR; take it away to go on without it",
            details=error.details,
        )
