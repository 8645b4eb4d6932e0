"""A git repository of our own beside the workspace, which borrows the objects of claude's.

claude may have written anything into `.git`, that of a submodule included: filters, hooks, a file system monitor,
external diff programs. So nothing there is taken as configuration, and no command is used that would start a git inside
a submodule (`add` and `status` do). git runs in the same isolation as claude did.
"""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

from agent.artifacts.changes import ChangesError
from agent.files import untrusted
from agent.limits import DETAILS_CHARS, Limits
from agent.process import Command, Launch, Patience
from agent.repository import Git, run_git

#: The tree without a file, which every git knows, by the length of a name.
EMPTY_TREES = {
    40: "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    64: "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
}
_SETTINGS = (
    "core.excludesFile=", "core.attributesFile=", "core.untrackedCache=false", "core.commitGraph=false",
    # A fetch would ask a git in claude's own repository for its refs.
    "core.alternateRefsCommand=:",
)  # fmt: skip


class Store:
    """Runs git in a repository of ours. Every coroutine may raise ChangesError, or OSError from the disk."""

    def __init__(
        self, git: Git, workspace: Path, place: Path, patience: Patience, limits: Limits, launch: Launch | None = None
    ) -> None:
        """Write nothing yet. `place` is an empty directory that is ours alone; borrow() makes the repository in it."""
        self.place = place
        self.workspace = workspace
        self.url = git.url
        self.limits = limits
        self._git = git
        self._patience = patience
        self._launch = launch
        self._files = 0
        self._environment = {
            **git.untrusted_environment,
            "GIT_DIR": str(place),
            "GIT_WORK_TREE": str(workspace),
            # The git that serves a local repository does not inherit the settings of the environment.
            "GIT_CONFIG_GLOBAL": str(place / "gitconfig"),
        }

    def beside(self, name: str, workspace: Path | None = None) -> Store:
        """A second repository, for a submodule."""
        place = self.place / name
        place.mkdir()
        return Store(self._git, workspace or self.workspace, place, self._patience, self.limits, self._launch)

    def new_file(self) -> Path:
        """The path of a file that does not exist, in our place."""
        self._files += 1
        return self.place / f"file-{self._files}"

    def borrow(self, directory: Path, *, sha256: bool) -> None:
        """Make our repository, as `git init` would, with the objects of the git directory `directory` for its own.

        Raises ChangesError: there are none to borrow.
        """
        for path in (directory, directory / "objects"):
            try:
                mode = path.lstat().st_mode
            except OSError as error:
                raise ChangesError(f"{path} is gone: what changed cannot be told") from error
            if not stat.S_ISDIR(mode):  # a link could lead anywhere
                raise ChangesError(f"{path} is no directory any more: what changed cannot be told")
        self.make(sha256=sha256)
        (self.place / "objects" / "info" / "alternates").write_bytes(_quoted(directory / "objects") + b"\n")
        shallow = untrusted.read_text(directory / "shallow", self.limits.git_file_bytes).splitlines()
        if shallow:  # the parents of these commits are not there
            (self.place / "shallow").write_text(
                "".join(f"{line}\n" for line in shallow if untrusted.COMMIT.fullmatch(line))
            )

    def make(self, *, sha256: bool) -> None:
        """Make our repository without any objects."""
        (self.place / "objects" / "info").mkdir(parents=True, exist_ok=True)
        (self.place / "refs").mkdir(exist_ok=True)
        (self.place / "gitconfig").write_text(self._git.server_configuration)
        (self.place / "HEAD").write_text("ref: refs/heads/none\n")
        version = "1\n[extensions]\n\tobjectFormat = sha256\n" if sha256 else "0\n"
        (self.place / "config").write_text(f"[core]\n\trepositoryformatversion = {version}")

    async def fetch(self, commit: str) -> bool:
        """Fetch one commit without its history from the server; whether the server gave it.

        Cancelling: safe.
        """
        arguments = ("fetch", "--quiet", "--no-tags", "--depth=1", "--no-write-fetch-head", "--", self.url, commit)
        return (await self.run(arguments))[0] == 0

    async def git(
        self,
        *arguments: str,
        on_stdout: Callable[[bytes], object] | None = None,
        stdin: bytes | None = None,
        index: Path | None = None,
        work_tree: Path | None = None,
    ) -> bytes:
        """Run git and return its stdout, unless that goes to `on_stdout`. Raises ChangesError: git failed.

        Cancelling: safe.
        """
        code, out, said = await self.run(
            arguments, on_stdout=on_stdout, stdin=stdin, index=index, work_tree=work_tree
        )  # fmt: skip
        if code != 0:
            raise ChangesError(f"git {arguments[0]} failed in the workspace", details=said)
        return out

    async def run(
        self,
        arguments: Iterable[str],
        *,
        on_stdout: Callable[[bytes], object] | None = None,
        on_stderr: Callable[[bytes], object] | None = None,
        stdin: bytes | None = None,
        index: Path | None = None,
        work_tree: Path | None = None,
        settings: Iterable[str] = (),
    ) -> tuple[int | None, bytes, str]:
        """Run git; its exit status (None after a signal), its stdout, and the beginning of its stderr.

        Cancelling: safe.
        """
        said = bytearray()

        def keep(chunk: bytes) -> None:
            said.extend(chunk[: DETAILS_CHARS - len(said)])
            if on_stderr is not None:
                on_stderr(chunk)

        environment = dict(self._environment)
        if index is not None:
            environment["GIT_INDEX_FILE"] = str(index)
        if work_tree is not None:
            environment["GIT_WORK_TREE"] = str(work_tree)
        options = [item for setting in (*_SETTINGS, *settings) for item in ("-c", setting)]
        status, out = await run_git(
            Command(["git", *options, *arguments], environment, work_tree or self.workspace, self._launch),
            patience=self._patience,
            limits=self.limits,
            on_stderr=keep,
            on_stdout=on_stdout,
            stdin=subprocess.DEVNULL if stdin is None else self._as_input(stdin),
        )
        return status.code, out, said.decode(errors="replace").strip()

    def _as_input(self, content: bytes) -> int:
        """A descriptor that gives `content`, of any length; run_git closes it."""
        path = self.new_file()
        path.write_bytes(content)
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        path.unlink()
        return fd


def _quoted(path: Path) -> bytes:
    """A line of the alternates file: git ends it at a newline, unless it is in quotes."""
    text = os.fsencode(path)
    return b'"' + b"".join(b"\\%03o" % byte for byte in text) + b'"'
