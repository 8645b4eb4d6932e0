"""The output of a command while it runs (PARTIAL=1). On claude's stdout a build of ten minutes shows when it ends.

The CLI writes the output of each command into a file below its temporary directory:
TMPDIR/claude-UID/PROJECT/SESSION/tasks/ID.output. Where claude may run tasks in the background, it tells the ID of
each command that has run for three seconds, which parts those that run at the same time. Without that no message names
a file. An agent's commands run one after another, unless they only read, and the file of each is gone with it: so what
is new there is the output of the oldest call, where one agent has calls, and one file is new while it has several. Best
effort: where anything is different, nothing is shown, and the result of the tool has everything in the end. (The
command lines in /proc would tell, too, but reading that of a stuck process hangs, and the agent must not.)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec

from agent.files import inside, regular
from agent.limits import Limits
from agent.redaction import Redactor
from agent.text import without_sequences
from agent.ticks import next_tick
from agent.transcript import OpenCalls

_SUFFIX: Final = ".output"


class _Followed(msgspec.Struct):
    """A call whose output is shown, and how far it is."""

    #: A project and a name.
    file: tuple[str, str]
    pieces: int = 0
    shown: str = ""
    size: int = -1


class CommandOutput:
    """Follows the files of one session, and calls `show` with the data of a PREVIEW when the last lines change."""

    def __init__(
        self,
        environment: Mapping[str, str],
        session: str,
        running: Callable[[], OpenCalls],
        redactor: Redactor,
        limits: Limits,
        show: Callable[[dict[str, Any]], None],
    ) -> None:
        """`environment` is claude's, `session` the ID of its session. `running` gives the calls that are open now."""
        parent = environment.get("CLAUDE_CODE_TMPDIR") or environment.get("TMPDIR") or "/tmp"
        self._root = Path(parent, f"claude-{os.getuid()}")
        self._session = session
        self._running = running
        self._redactor = redactor
        self._limits = limits
        self._show = show
        #: Files that are of no command that runs now.
        self._known: set[tuple[str, str]] = set()
        #: By call.
        self._followed: dict[str, _Followed] = {}
        self._was_busy = False

    async def follow(self) -> None:
        """Look again and again. Cancelling: the only way to end it."""
        while True:
            await next_tick(self._limits.printed_interval)
            self.look()

    def look(self) -> None:
        """Look once; shows something if the last lines have changed."""
        calls = self._running()
        still_open = {call for agent in calls.by_agent for call in agent}
        if not still_open and not self._was_busy:
            return
        self._was_busy = bool(still_open)
        for call in [call for call in self._followed if call not in still_open]:
            self._known.add(self._followed.pop(call).file)
        found = dict(self._files())
        files = {name.removesuffix(_SUFFIX): (project, name) for project, name in found}
        self._known.update(files[task] for task in (*calls.tasks.values(), *calls.background) if task in files)
        for call, task in calls.tasks.items():
            if task in files:
                self._follow_named(call, files[task])
        if not calls.tasks:
            self._guess(calls, found)
        for call, followed in self._followed.items():
            self._tell(call, followed)

    def _follow_named(self, call: str, file: tuple[str, str]) -> None:
        before = self._followed.get(call)
        if before is None or before.file != file:
            others = {other: each for other, each in self._followed.items() if each.file != file}
            self._followed = {**others, call: _Followed(file, before.pieces if before else 0)}

    def _guess(self, calls: OpenCalls, found: Mapping[tuple[str, str], int]) -> None:
        """Take what is new for the output of the oldest call, where it can be no other's."""
        now = {each.file for each in self._followed.values()}
        new = {file: changed for file, changed in found.items() if file not in self._known and file not in now}
        one = calls.by_agent[0] if len(calls.by_agent) == 1 else ()
        if not one or (len(one) > 1 and len(new) + len(now & found.keys()) > 1):
            # Of several commands none could be told from the others.
            self._known = set(found)
            self._followed = {}
        elif one[0] not in self._followed and new:
            self._followed = {one[0]: _Followed(max(new, key=lambda file: new[file]))}

    def _tell(self, call: str, followed: _Followed) -> None:
        project, name = followed.file
        try:
            with self._tasks(project) as tasks, regular(name, tasks) as fd:
                size = os.fstat(fd).st_size
                if size == followed.size:
                    return
                start = max(0, size - self._limits.printed_bytes)
                data = os.pread(fd, size - start, start)
        except OSError:
            return
        followed.size = size
        text = self._last_lines(data, is_cut=start > 0)
        if text and text != followed.shown:
            followed.shown = text
            followed.pieces += 1
            self._show({"kind": "output", "id": call, "piece": followed.pieces, "tool": "Bash", "size": size,
                        "text": text})  # fmt: skip

    def _last_lines(self, data: bytes, *, is_cut: bool) -> str:
        """Redact the whole lines of the end of a file; returns the last ones."""
        text = without_sequences(data.decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n"))
        lines = text.split("\n")[1 if is_cut else 0 : -1]
        # The last lines may be the first ones of a secret that a program has wrapped.
        while lines and self._redactor.may_begin("\n".join(lines)):
            lines.pop()
        redacted = self._redactor.text("".join([line + "\n" for line in lines])).split("\n")[:-1]
        last, room = list[str](), self._limits.printed_chars
        for line in reversed(redacted[-self._limits.printed_lines :]):
            room -= len(line) + 1
            if room < 0:
                break
            last.append(line + "\n")
        return "".join(reversed(last))

    def _files(self) -> Iterator[tuple[tuple[str, str], int]]:
        """The output files of the session, each as its project and its name, with the time of its last change."""
        try:
            with inside.directory(self._root) as root:
                projects = _names(root, self._limits.printed_files)
        except OSError:
            return
        for project in projects:
            try:
                with self._tasks(project) as tasks:
                    for name in _names(tasks, self._limits.printed_files):
                        if name.endswith(_SUFFIX):
                            yield (project, name), os.stat(name, dir_fd=tasks, follow_symlinks=False).st_mtime_ns
            except OSError:
                continue

    @contextmanager
    def _tasks(self, project: str) -> Iterator[int]:
        """Open the directory of the files without following a link below the root. Raises OSError."""
        with ExitStack() as stack:
            fd = stack.enter_context(inside.directory(self._root))
            for name in (project, self._session, "tasks"):
                fd = stack.enter_context(inside.directory(name, fd))
            yield fd


def _names(directory: int, most: int) -> list[str]:
    with os.scandir(directory) as entries:
        return [entry.name for entry in islice(entries, most)]
