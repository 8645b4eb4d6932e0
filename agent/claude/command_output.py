"""The output of a command while it runs (PARTIAL=1). On claude's stdout a build of ten minutes shows when it ends.

The CLI writes the output of each command into a file below its temporary directory:
TMPDIR/claude-UID/PROJECT/SESSION/tasks/ID.output. No message names the file of a command that is waited for. An agent's
commands run one after another, unless they only read, and the file of each is gone with it: so what is new there is the
output of the oldest call, where one agent has calls, and one file is new while it has several. Best effort: where
anything is different, nothing is shown, and the result of the tool has everything in the end.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

from agent.files import inside, regular
from agent.limits import Limits
from agent.redaction import Redactor
from agent.text import without_sequences
from agent.ticks import next_tick

_SUFFIX: Final = ".output"


class CommandOutput:
    """Follows the files of one session, and calls `show` with the data of a PREVIEW when the last lines change."""

    def __init__(
        self,
        environment: Mapping[str, str],
        session: str,
        running: Callable[[], tuple[tuple[str, ...], ...]],
        redactor: Redactor,
        limits: Limits,
        show: Callable[[dict[str, Any]], None],
    ) -> None:
        """`environment` is claude's, `session` the ID of its session.

        `running` gives the IDs of the calls whose results are open, the oldest first, by the agent whose they are.
        """
        parent = environment.get("CLAUDE_CODE_TMPDIR") or environment.get("TMPDIR") or "/tmp"
        self._root = Path(parent, f"claude-{os.getuid()}")
        self._session = session
        self._running = running
        self._redactor = redactor
        self._limits = limits
        self._show = show
        #: Files that are of no command that runs now.
        self._known: set[tuple[str, str]] = set()
        self._call = ""
        self._file: tuple[str, str] | None = None
        self._pieces = 0
        self._shown = ""
        self._size = -1

    async def follow(self) -> None:
        """Look again and again. Cancelling: the only way to end it."""
        while True:
            await next_tick(self._limits.printed_interval)
            self.look()

    def look(self) -> None:
        """Look once; shows something if the last lines have changed."""
        agents = self._running()
        if not agents and not self._call:
            return
        found = dict(self._files())
        new = {file: changed for file, changed in found.items() if file not in self._known and file != self._file}
        calls = agents[0] if len(agents) == 1 else ()
        if not calls or (len(calls) > 1 and len(new) + (self._file in found) > 1):
            # Of several commands none could be told from the others.
            self._known = set(found)
            self._call, self._file = "several" if agents else "", None
            return
        if calls[0] != self._call:
            if self._file is not None:
                self._known.add(self._file)
            self._call, self._file, self._pieces, self._shown, self._size = calls[0], None, 0, "", -1
        if self._file is None:
            self._file = max(new, key=lambda file: new[file], default=None)
        if self._file is not None:
            self._tell(*self._file)

    def _tell(self, project: str, name: str) -> None:
        try:
            with self._tasks(project) as tasks, regular(name, tasks) as fd:
                size = os.fstat(fd).st_size
                if size == self._size:
                    return
                start = max(0, size - self._limits.printed_bytes)
                data = os.pread(fd, size - start, start)
        except OSError:
            return
        self._size = size
        text = self._last_lines(data, is_cut=start > 0)
        if text and text != self._shown:
            self._shown = text
            self._pieces += 1
            self._show({"kind": "output", "id": self._call, "piece": self._pieces, "tool": "Bash", "size": size,
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
