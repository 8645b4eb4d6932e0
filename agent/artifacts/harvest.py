"""Saves the work of a run: what changed, as figures, as files, in the stream, on a branch.

Each step is worth having without those after it, so they go from the cheapest to the dearest, and what fails or is cut
short costs itself alone.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trio

from agent.artifacts import session_log as cli_session
from agent.artifacts.changes import Changes, ChangesError, Snapshot
from agent.artifacts.output_directory import Output, Write
from agent.artifacts.push import commit_message, push
from agent.config import Config
from agent.protocol import Publish, events
from agent.redaction import Redactor
from agent.repository import Cloned, Git

#: Longer than any secret in the form that is searched for.
_OVERLAP = 4096


class Harvest:
    """One run's. `fields` is COMPLETE.changes as far as it is known by now."""

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
    ) -> None:
        self.fields: dict[str, Any] | None = None
        self._config = config
        self._git = git
        self._redactor = redactor
        self._publish = publish
        self._output = output
        self._session_logs = session_logs
        self._run_id = run_id
        self._session_id = session_id

    async def gather(self, snapshot: Snapshot, cloned: Cloned) -> None:
        """Cancelling: safe; what is saved by then is saved, and `fields` says what is known."""
        config, output = self._config, self._output
        changes: Changes | None = None
        with self._step("what changed"):
            changes = await snapshot.take(cloned.head)
            self.fields = changes.fields()
            if changes.left_out:
                names = ", ".join(changes.left_out[:3])
                self._warn(f"not among the changes, too large or unreadable: {len(changes.left_out)} files ({names})")
        if output is not None and changes is not None:
            with self._step("OUTPUT_DIR: the changes"):
                await self._write(snapshot, changes, output)
        if output is not None and self._session_logs is not None:
            with self._step("OUTPUT_DIR: the session"):
                await cli_session.save(self._session_logs, output, self._session_id, self._redactor)
        if config.stream_patch and changes is not None and changes.files:
            with self._step("STREAM_PATCH"):
                await self._stream(snapshot, changes)
        if config.push_branch is not None and changes is not None and (changes.files or changes.commits):
            with self._step("PUSH_BRANCH", code="push"):
                await self._push(snapshot, changes, cloned, config.push_branch)

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
        if changes.commits and changes.linear:
            with output.whole("commits.mbox") as write:
                await snapshot.write_mailbox(changes, search.watching(write))
        elif changes.commits:
            self._warn("claude rewrote commits that were cloned: there is no commits.mbox, changes.patch has it all")
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

    async def _push(self, snapshot: Snapshot, changes: Changes, cloned: Cloned, branch: str) -> None:
        config = self._config
        pushed = await push(
            snapshot,
            changes,
            self._git,
            branch=branch,
            default_branch=cloned.default_branch,
            allow_default=config.push_default_branch,
            message=commit_message(self._redactor.text(config.task), self._run_id, self._session_id),
        )
        where = pushed.compare_url or pushed.commit
        self._publish([events.log("info", f"pushed to {pushed.branch}: {where}", kind="harvest")])
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
