"""The harvest: claude's work as figures, as files, in the stream and on branches.

Each step is worth having without those after it. So the cheapest comes first, and a step that fails or is cut short
costs itself alone.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import trio

from agent.artifacts import lfs_objects, session_work
from agent.artifacts import session_log as cli_session
from agent.artifacts.changes import Changes, ChangesError
from agent.artifacts.others import Found, Others
from agent.artifacts.output_directory import Output, Write
from agent.artifacts.push import Branch, beside, commit_message, push, push_commits, slug
from agent.artifacts.snapshot import Snapshot
from agent.config import Config
from agent.files import regular
from agent.protocol import Publish, events
from agent.redaction import Redactor
from agent.repository import Cloned, Git

#: Longer than any secret in the form that is searched for.
_OVERLAP = 4096
#: Of many files, in one message.
_NAMED = 3


class Harvest:
    """The harvest of a run. `fields` is COMPLETE.changes as far as it is known by now."""

    def __init__(
        self,
        config: Config,
        git: Git,
        redactor: Redactor,
        publish: Publish,
        *,
        output: Output | None,
        session_logs: Path | None,
        run_id: str,
        session_id: str,
        verdict: str = "",
        note_push: Callable[[str], object] = lambda commit: None,
    ) -> None:
        """Args:
        verdict: what VERIFY_COMMAND did, for the commit; empty without one.
        note_push: gets the commit with the workspace's files before it is pushed.
        """
        self.fields: dict[str, Any] | None = None
        self._config = config
        self._git = git
        self._redactor = redactor
        self._publish = publish
        self._output = output
        self._session_logs = session_logs
        self._run_id = run_id
        self._session_id = session_id
        self._verdict = verdict
        self._note_push = note_push

    async def gather(self, snapshot: Snapshot, cloned: Cloned, commits: frozenset[str]) -> None:
        """Save the workspace first, then what lies elsewhere; `commits` are those of all refs that the clone had.

        Cancelling: safe; what is saved by then is saved, and `fields` says what is known.
        """
        config, output = self._config, self._output
        changes: Changes | None = None
        others: list[Found] = []
        with self._step("what changed"):
            changes = await snapshot.take(cloned.since)
            self.fields = changes.fields()
            self._name_left_out(changes, "")
        if output is not None and changes is not None:
            with self._step("OUTPUT_DIR: the changes"):
                await self._write(snapshot, changes, output)
        if output is not None and self._session_logs is not None:
            with self._step("OUTPUT_DIR: the session"):
                await cli_session.save(self._session_logs, output, self._session_id, self._redactor)
        if config.stream_patch and changes is not None and changes.files:
            with self._step("STREAM_PATCH"):
                await self._stream(snapshot, changes)
        if changes is not None:
            with self._step("other branches, stashes and worktrees"), self._half_of_the_time():
                await self._save_others(snapshot, changes, commits, others)
        if config.push_branch is not None and changes is not None:
            branch = Branch(
                config.push_branch, cloned.default_branch, config.push_default_branch,
                config.push_branch in (cloned.branch, cloned.goes_on_from), cloned.pushed,
            )  # fmt: skip
            if changes.files or changes.commits or cloned.pushed:
                with self._step("PUSH_BRANCH", code="push"):
                    await self._push(snapshot, changes, branch)
            if others:
                with self._step("PUSH_BRANCH: other branches, stashes and worktrees", code="push"):
                    await self._push_others(others, branch)

    @contextmanager
    def _half_of_the_time(self) -> Iterator[None]:
        """Give the body half of the harvest's time that is left: the push is more important."""
        now = trio.current_time()
        with trio.CancelScope(deadline=now + (trio.current_effective_deadline() - now) / 2) as scope:
            yield
        if scope.cancelled_caught:
            self._warn("other branches, stashes and worktrees: not all were looked for, in the time that was left")

    def _name_left_out(self, changes: Changes, where: str) -> None:
        if changes.left_out:
            names = ", ".join(changes.left_out[:_NAMED])
            self._warn(
                f"{where}not among the changes, too large or unreadable: {len(changes.left_out)} files ({names})"
            )  # fmt: skip
        if changes.unpublished:
            names = ", ".join(changes.unpublished[:_NAMED])
            self._warn(f"{where}no server has the commits of the repositories {names}: they are not named in the work")

    async def _save_others(
        self, snapshot: Snapshot, main: Changes, commits: frozenset[str], others: list[Found]
    ) -> None:
        config, names, fields = self._config, set[str](), list[dict[str, Any]]()
        left = config.limits.others
        async with aclosing(Others(snapshot, main, commits).find()) as found:
            async for item in found:
                other, told = item.other, item.other.fields()
                what = f"{other.kind} {other.name}"
                if not left:
                    self._warn(f"not saved, more than {config.limits.others} other branches: {what} and those after it")
                    return
                left -= 1
                others.append(item)
                fields.append(told)
                self.fields = {**(self.fields or {}), "others": fields}
                self._name_left_out(other.changes, f"{what}: ")
                size = f"{other.changes.commits} commits, {other.changes.files} files"
                pushed = config.push_branch is not None and other.kind != "submodule"
                if self._output is not None:
                    name = next(name for n in count(1) if (name := slug(other.name) + (f"-{n}" * (n > 1))) not in names)
                    names.add(name)
                    with self._output.other(name) as write:
                        await item.snapshot.write_patch(other.changes, write)
                    await self._write_objects(item.snapshot, other.changes, self._output)
                    told["patch"] = f"others/{name}.patch"
                    self._tell(f"claude left work in {what} ({size}): {told['patch']}")
                elif not pushed:
                    self._warn(f"claude left work in {what} ({size}): OUTPUT_DIR or PUSH_BRANCH would save it")

    async def _push_others(self, others: list[Found], branch: Branch) -> None:
        taken: set[str] = set()
        message = commit_message(self._redactor.text(self._config.task), self._run_id, self._session_id)
        fields = {id(item): told for item, told in zip(others, (self.fields or {}).get("others", ()), strict=True)}
        commits: dict[str, str] = {}
        for item in others:
            if item.other.kind == "submodule":
                continue
            snapshot = item.snapshot
            changes = await self._upload(snapshot, item.other.changes)
            name = beside(branch.name, item.other, taken)
            taken.add(name)
            commits[name] = await snapshot.commit(changes, message)
            fields[id(item)] |= {"branch": name, "commit": commits[name]}
        if not commits:
            return
        try:
            await push_commits(others[0].snapshot, commits, self._hear)
        except BaseException:
            for told in fields.values():
                told.pop("branch", None)
                told.pop("commit", None)
            raise
        self._tell(f"pushed beside {branch.name}: {', '.join(commits)}")

    async def _upload(self, snapshot: Snapshot, changes: Changes) -> Changes:
        """Hand over objects of Git LFS; the changes without the files whose objects the server did not take."""
        objects = await lfs_objects.made(snapshot, changes)
        if not objects:
            return changes
        said = await lfs_objects.upload(snapshot, objects.values())
        if said is None:
            return changes
        names = ", ".join([content.name for content in objects.values()][:_NAMED])
        self._warn(f"the Git LFS server did not take {len(objects)} files ({names}); not pushed as they are", said)
        return await lfs_objects.without(snapshot, changes) if changes.objects else changes

    async def _write_objects(self, snapshot: Snapshot, changes: Changes, output: Output) -> None:
        for content in (await lfs_objects.made(snapshot, changes)).values():
            with output.lfs(content.oid) as write, regular(content.path) as fd:
                while chunk := os.read(fd, self._config.limits.read_bytes):
                    write(chunk)
                    await trio.lowlevel.checkpoint()

    def _hear(self, line: str) -> None:
        self._publish([events.log("info", line, source="git")])

    def _tell(self, message: str) -> None:
        self._publish([events.log("info", message, kind="harvest")])

    @contextmanager
    def _step(self, name: str, code: str | None = None) -> Iterator[None]:
        try:
            yield
        except trio.Cancelled:
            self._trouble(f"{name}: not done in the time that was left", "", code)
            raise
        except OSError as error:
            self._trouble(f"{name}: {error.strerror}", "", code)
        except ChangesError as error:
            self._trouble(f"{name}: {error}", error.details, code)

    def _trouble(self, message: str, details: str, code: str | None) -> None:
        if code is None:
            self._warn(message, details)
        else:
            self._publish([events.error(message, code=code, details=details)])

    def _warn(self, message: str, details: str = "") -> None:
        more: dict[str, Any] = {"details": details} if details else {}
        self._publish([events.log("warn", message, kind="harvest", **more)])

    async def _write(self, snapshot: Snapshot, changes: Changes, output: Output) -> None:
        search = _Search(self._redactor)
        with output.whole("changes.patch") as write:
            await snapshot.write_patch(changes, search.watching(write))
        if self._session_logs is not None:
            with self._step("OUTPUT_DIR: the work of the session"):
                await session_work.save(output, self._session_id, changes)
            if session_work.has_commits(changes):
                step = self._step("OUTPUT_DIR: claude's commits, for the session")
                with step, output.commits(self._session_id) as write:
                    await snapshot.write_commits(changes, write)
        if changes.commits and changes.linear:
            with output.whole("commits.mbox") as write:
                await snapshot.write_mailbox(changes, search.watching(write))
        elif changes.commits:
            self._warn("claude rewrote commits that were cloned: there is no commits.mbox, changes.patch has it all")
        await self._write_objects(snapshot, changes, output)
        if search.found:
            # It is the operator's own directory, and a masked patch would not apply.
            self._warn(f"the changes hold a secret, and so does {output.directory}")

    async def _stream(self, snapshot: Snapshot, changes: Changes) -> None:
        patch = bytearray()
        limit = self._config.limits.stream_patch_bytes

        def keep(chunk: bytes) -> None:
            patch.extend(chunk[: limit + 1 - len(patch)])

        await snapshot.write_patch(changes, keep)
        if len(patch) > limit:
            raise ChangesError(f"the patch is longer than {limit >> 20} MiB; use OUTPUT_DIR or PUSH_BRANCH")
        if self._redactor.bytes(bytes(patch)) != patch:
            self._warn("the patch holds a secret, which is masked in the stream: it will not apply")
        try:
            content: dict[str, Any] = {"text": patch.decode()}
        except UnicodeDecodeError:
            content = {"text": base64.b64encode(patch).decode(), "encoding": "base64"}
        self._publish([events.log("info", f"the changes of {changes.files} files", kind="patch", **content)])

    async def _push(self, snapshot: Snapshot, changes: Changes, branch: Branch) -> None:
        task = self._redactor.text(self._config.task)
        message = commit_message(task, self._run_id, self._session_id, self._verdict)
        changes = await self._upload(snapshot, changes)
        pushed = await push(snapshot, changes, branch, message, self._hear, self._note_push)
        self._tell(f"pushed to {pushed.branch}: {pushed.compare_url or pushed.commit}")
        found = {"branch": pushed.branch, "commit": pushed.commit, "compareURL": pushed.compare_url}
        self.fields = {**(self.fields or {}), **{name: value for name, value in found.items() if value is not None}}


class _Search:
    """Looks for secrets in a stream without holding it: in each chunk, together with the end of the one before."""

    def __init__(self, redactor: Redactor) -> None:
        self.found = False
        self._redactor = redactor

    def watching(self, write: Write) -> Callable[[bytes], None]:
        end = b""

        def watch(chunk: bytes) -> None:
            nonlocal end
            if not self.found:
                seen = end + chunk
                self.found = self._redactor.bytes(seen) != seen
                end = seen[-_OVERLAP:]
            write(chunk)

        return watch
