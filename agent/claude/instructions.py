"""The instructions of an untrusted repository: the only part of its configuration that claude gets.

The CLI takes hooks, settings, variables, MCP servers, key helpers and plugins from a clone without asking, and runs
them. It is told to take none of these, and then takes no CLAUDE.md either. But that is only text, and users expect
claude to follow it: so it is read here, and handed over as a file of ours. See docs/security.md.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from agent.files import regular
from agent.protocol import Event, log

#: Where the CLI looks for the instructions of a project.
INSTRUCTIONS: Final = ("CLAUDE.md", ".claude/CLAUDE.md")
#: Files at the root of a repository that the CLI would obey, beside everything in `.claude`.
CONFIGURATION: Final = (".mcp.json", "CLAUDE.local.md")
_NAMED: Final = 20


class Survey(msgspec.Struct, frozen=True):
    """The files for claude in an untrusted repository."""

    #: The text of its instructions, which says where it comes from; empty without any.
    instructions: str
    #: Paths that exist and are not obeyed.
    ignored: tuple[str, ...]
    #: Instructions that cannot be handed over, each with the reason.
    refused: tuple[str, ...]

    def warning(self) -> Event | None:
        """A WARN about everything that was found and is not obeyed; None if there is nothing to tell."""
        said = []
        if self.ignored:
            more = f" and {len(self.ignored) - _NAMED} more" if len(self.ignored) > _NAMED else ""
            said.append(f"the repository's configuration of claude is ignored: {', '.join(self.ignored[:_NAMED])}{more}"
                        " (TRUST_REPO=1 obeys it, and lets it run commands)")  # fmt: skip
        said += [f"{refused}, so claude does not get it" for refused in self.refused]
        if not said:
            return None
        paths = list(self.ignored[:_NAMED])
        return log("warn", "; ".join(said), kind="untrusted", ignored=paths, refused=list(self.refused))


def survey(workspace: Path, instructions_bytes: int) -> Survey:
    """Look through a clone that is not trusted. Below `workspace` no link is followed, and only regular files of at
    most `instructions_bytes` are read. Raises OSError only if `workspace` itself cannot be opened.
    """
    texts: list[str] = []
    refused: list[str] = []
    with _directory(workspace) as root:
        for path in INSTRUCTIONS:
            try:
                text = _read(root, path, instructions_bytes)
            except FileNotFoundError:
                continue
            except OSError as e:
                refused.append(f"{path} {_reason(e, instructions_bytes)}")
                continue
            if text.strip():
                texts.append(f"Contents of {path} (project instructions, checked into the repository):\n\n{text}")
        ignored = (*_entries(root), *(name for name in CONFIGURATION if _exists(root, name)))
    return Survey("\n\n".join(texts), ignored, tuple(refused))


@contextmanager
def _directory(path: Path | str, within: int | None = None) -> Iterator[int]:
    """A descriptor of a directory; within another one, links are refused."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | (0 if within is None else os.O_NOFOLLOW)
    fd = os.open(path, flags, dir_fd=within)
    try:
        yield fd
    finally:
        os.close(fd)


def _read(root: int, path: str, limit: int) -> str:
    folder, _, name = path.rpartition("/")
    if folder:
        with _directory(folder, root) as parent:
            return _read(parent, name, limit)
    with regular(name, root) as fd, open(fd, "rb", closefd=False) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, "too big")
    return data.decode(errors="replace")


def _reason(error: OSError, limit: int) -> str:
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return "is a link, or in a directory that is one"
    if error.errno == errno.EINVAL:
        return "is not a regular file"
    if error.errno == errno.EFBIG:
        return f"is longer than {limit // 1024} KiB"
    return f"cannot be read ({error.strerror})"


def _entries(root: int) -> list[str]:
    """The entries of `.claude`, or `.claude` itself if it is no directory."""
    try:
        with _directory(".claude", root) as folder:
            names = sorted(os.listdir(folder))  # noqa: PTH208 - pathlib takes no descriptor
    except FileNotFoundError:
        return []
    except OSError:
        return [".claude"]
    kept = {Path(path).name for path in INSTRUCTIONS}
    return [f".claude/{_printable(name)}" for name in names if name not in kept]


def _exists(root: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=root, follow_symlinks=False)
    except OSError:
        return False
    return True


def _printable(name: str) -> str:
    return "".join(c if c.isprintable() else "\ufffd" for c in name)
