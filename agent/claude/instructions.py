"""The instructions of an untrusted repository: the only part of its configuration that claude gets.

The CLI takes hooks, settings, variables, MCP servers, key helpers and plugins from a clone without asking, and runs
them. It is told to take none of these, and then takes no CLAUDE.md either. But that is only text, and users expect
claude to follow it: so it is read here, and handed over as a file of ours. See docs/security.md.
"""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import Final

import msgspec

from agent.files import inside
from agent.limits import KIB, Limits
from agent.protocol import Event, log

#: Where the CLI looks for the instructions of a project; AGENTS.md where CLAUDE.md has nothing to say.
INSTRUCTIONS: Final = (("CLAUDE.md", ".claude/CLAUDE.md"), ("AGENTS.md", ".claude/AGENTS.md"))
#: Files at the root of a repository that the CLI would obey, beside everything in `.claude`.
CONFIGURATION: Final = (".mcp.json", "CLAUDE.local.md")
_NAMED: Final = 20
#: An import, and code, in which `@` means nothing. As the CLI reads them, without the `#part` of a path.
_IMPORT: Final = re.compile(r"(?:^|(?<=\s))@((?:[^\s\\#\0]|\\ )+)")
_CODE: Final = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)


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
        paths, refused = list(self.ignored[:_NAMED]), list(self.refused[:_NAMED])
        said += [f"{each}, so claude does not get it" for each in refused]
        if len(self.refused) > _NAMED:
            said.append(f"{len(self.refused) - _NAMED} more instructions are refused")
        if not said:
            return None
        return log("warn", "; ".join(said), kind="untrusted", ignored=paths, refused=refused)


def survey(workspace: Path, limits: Limits) -> Survey:
    """Look through a clone that is not trusted. No link out of `workspace` is followed, and only regular files are
    read, of at most `Limits.instructions_bytes` together.

    Raises OSError only if `workspace` itself cannot be opened.
    """
    with inside.directory(workspace) as root:
        found = _Instructions(root, limits)
        for names in INSTRUCTIONS:
            for name in names:
                found.take(name)
            if found.texts or found.refused:
                break
        ignored = (*_entries(root), *(name for name in CONFIGURATION if _exists(root, name)))
    return Survey("\n\n".join(found.texts), ignored, tuple(found.refused))


class _Instructions:
    """The texts of a clone that are for claude, in the order that the CLI has: a file, then what it imports."""

    def __init__(self, root: int, limits: Limits) -> None:
        self.texts: list[str] = []
        self.refused: list[str] = []
        self._root = root
        self._limits = limits
        self._left = limits.instructions_bytes
        #: Files that were looked at, by their path without links: none is read twice.
        self._seen: set[str] = set()
        #: Imports that were looked at: the directory they are relative to, and the path.
        self._imports: set[tuple[str, str]] = set()

    def take(self, name: str) -> None:
        """Take the instructions at a path where the CLI looks for them, if there are any."""
        place = self._find(name, name)
        if place is not None:
            self._read(name, place, 0)

    def _find(self, path: str, name: str) -> str | None:
        """Resolve a path that people know by `name`; None if there is nothing that could be read."""
        try:
            if path.startswith("~/"):
                raise inside.OutsideError(path, by_link=False)
            return inside.follow(self._root, path)
        except inside.OutsideError as error:
            by_link = "is a link out of the repository, or in a directory that is one"
            self.refused.append(f"{name} {by_link if error.by_link else 'is outside the repository'}")
        except (FileNotFoundError, NotADirectoryError):
            if _exists(self._root, path):
                self.refused.append(f"{name} is a link to nothing")
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:  # an `@` in front of something else than a path
                self.refused.append(f"{name} cannot be read ({error.strerror})")
        return None

    def _read(self, name: str, place: str, depth: int) -> None:
        if place in self._seen:
            return
        self._seen.add(place)
        try:
            data = inside.read(self._root, place, self._left)
        except OSError as error:
            if depth == 0 or error.errno == errno.EFBIG:
                self.refused.append(f"{name} {self._reason(error)}")
            return
        if depth and b"\0" in data:  # a picture, say
            return
        self._left -= len(data)
        text = data.decode(errors="replace")
        if text.strip():
            self.texts.append(f"Contents of {name} (project instructions, checked into the repository):\n\n{text}")
            self._read_imports(name, place[: place.rfind("/") + 1], text, depth + 1)

    def _read_imports(self, name: str, folder: str, text: str, depth: int) -> None:
        if depth > self._limits.instructions_depth:
            return
        for match in _IMPORT.finditer(_CODE.sub(" ", text)):
            path = match[1].replace("\\ ", " ")
            # `@/lib/x` is hardly an absolute path: many projects call their own sources so, and write of it.
            if path.startswith("/") or (folder, path) in self._imports:
                continue
            if len(self._imports) == self._limits.instructions_imports:
                self.refused.append(f"{name} imports more than {len(self._imports)} files; the rest is too much")
                return
            self._imports.add((folder, path))
            found = self._find(path if path.startswith("~/") else f"{folder}{path}", f"@{_printable(path)} in {name}")
            if found is not None:
                self._read(_printable(found), found, depth)

    def _reason(self, error: OSError) -> str:
        limit = f"{self._limits.instructions_bytes // KIB} KiB"
        if error.errno == errno.EINVAL:
            return "is not a regular file"
        if error.errno == errno.EFBIG:
            is_first = self._left == self._limits.instructions_bytes
            return f"is longer than {limit}" if is_first else f"is longer than what others leave of {limit}"
        return f"cannot be read ({error.strerror})"


def _entries(root: int) -> list[str]:
    """The entries of `.claude`, or `.claude` itself if it is no directory."""
    try:
        with inside.directory(".claude", root) as folder:
            names = sorted(os.listdir(folder))  # noqa: PTH208 - pathlib takes no descriptor
    except FileNotFoundError:
        return []
    except OSError:
        return [".claude"]
    kept = {Path(path).name for names in INSTRUCTIONS for path in names}
    return [f".claude/{_printable(name)}" for name in names if name not in kept]


def _exists(root: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=root, follow_symlinks=False)
    except OSError:
        return False
    return True


def _printable(name: str) -> str:
    return "".join(c if c.isprintable() else "\ufffd" for c in name)
