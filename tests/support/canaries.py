"""Secrets that must not show, every way a program may print them, and an eye on all that a run says and leaves.

What counts as shown is decided here without the redactor's help: a piece of PIECE characters of a canary, or of what
it looks like in hex or base64, anywhere in the text, in what JSON or URL escapes in it stand for, or across its line
breaks.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shlex
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import trio
from ahocorasick_rs import AhoCorasick

PIECE = 12


def canary(name: str) -> str:
    """A value that looks like nothing known, the same at each call."""
    digest = hashlib.sha256(name.encode()).digest()
    return "Qz" + base64.b32encode(digest).decode()[:38]


def encodings(secret: str) -> Iterator[str]:
    """What programs make of a value when they print it."""
    raw = secret.encode()
    yield secret
    yield f"prefix{secret}suffix {secret}{secret}"
    yield json.dumps(secret)
    yield json.dumps(json.dumps({"a": [secret]}))
    yield json.dumps(json.dumps(json.dumps(secret)))
    yield quote(secret, safe="")
    yield shlex.quote(secret)
    yield raw.hex()
    yield raw.hex().upper()
    for shift in range(3):
        padded = b"xyz"[:shift] + raw
        yield base64.b64encode(padded).decode()
        yield base64.b64encode(padded + b" and more").decode()
        yield base64.urlsafe_b64encode(padded + b"?").decode()
        yield base64.encodebytes(b"A line before it, so that it is wrapped in the middle: "[shift:] + raw).decode()
    line = "-" * 60 + secret.replace("\n", "")
    yield "\n".join(line[at : at + 76] for at in range(0, len(line), 76))
    yield f"https://user:{quote(secret, safe='')}@example.com/?token={quote(secret, safe='')}"
    yield f"Authorization: Bearer {secret}"


def pieces(secret: str) -> set[str]:
    """What must not be seen, whatever stands around it. The first and last line of a key is no secret."""
    if "\n" in secret:
        return set().union(*(pieces(line) for line in secret.splitlines() if not line.startswith("-----")))
    secret = secret.removeprefix("sk-ant-api03-")
    raw = secret.encode()
    forms = [(secret, PIECE), (raw.hex(), 2 * PIECE), (raw.hex().upper(), 2 * PIECE)]
    for shift in range(3):
        whole = base64.b64encode(bytes(shift) + raw).decode()
        certain = whole[-(-8 * shift // 6) : 8 * (shift + len(raw)) // 6]
        forms += [(certain, PIECE), (certain.translate(str.maketrans("+/", "-_")), PIECE)]
    return {form[at : at + size] for form, size in forms for at in range(len(form) - size + 1)}


def readings(text: str) -> Iterator[str]:
    """The text, and what is in it for a reader who undoes escapes and line breaks."""
    seen = set()
    pending = [text]
    while pending:
        text = pending.pop()
        if text in seen or len(seen) > 2000:
            continue
        seen.add(text)
        yield text
        # A string within a string of JSON, and its lines, and lines that belong together.
        if "\\" in text:
            plain = re.sub(r"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), text)
            pending.append(re.sub(r"\\(.)", lambda found: {"n": "\n", "t": "\t"}.get(found[1], found[1]), plain))
        if "%" in text:
            pending.append(unquote(text, errors="replace"))
        if "\n" in text:
            pending.append(re.sub(r"\s*\n\s*", "", text))


class Canaries:
    """`values` maps the name of a place to the secret in it."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = dict(values)
        found = {piece: name for name, value in values.items() for piece in pieces(value)}
        self._names = list(found.values())
        self._pieces = AhoCorasick(list(found))

    def seen(self, text: str) -> set[str]:
        """Names of those that the text shows."""
        return {
            self._names[index]
            for reading in readings(text)
            for index, _, _ in self._pieces.find_matches_as_indexes(
                reading.encode(errors="replace").decode(), overlapping=True
            )
        }

    def plain(self, text: str) -> set[str]:
        """Names of those that stand in a text as they are; for what is too much to be read in every way."""
        return {name for name, value in self.values.items() if value in text}

    def seen_in_lines(self, text: str) -> set[str]:
        """The same for many lines, each read by itself: of NDJSON, and of logs."""
        return set().union(*map(self.seen, set(text.splitlines())), self.seen(text[:100_000]))


def descendants(root: int) -> set[int]:
    """All processes below one, as they are now."""
    children: dict[int, list[int]] = {}
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with suppress(OSError):
                parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
                children.setdefault(int(parent), []).append(int(process.name))
    found: set[int] = set()
    pending = [root]
    while pending:
        new = children.get(pending.pop(), [])
        found.update(new)
        pending += new
    return found


class Spy:
    """Looks at the command lines of a run's processes and at its files, over and over, while it goes on.

    A run of another test is none of its business: that one may show the same secrets on purpose.
    """

    def __init__(self, canaries: Canaries, directory: Path, above: int) -> None:
        """`above`: the process that the agent and all that it leaves behind are below."""
        self.commands: set[str] = set()
        self.texts: set[str] = set()
        self.open_to_others: set[str] = set()
        self._canaries = canaries
        self._tmp = directory / "agent" / "tmp"
        self._above = above

    def look(self) -> None:
        for pid in descendants(self._above):
            with suppress(OSError):
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
                self.commands.add(command.replace(b"\0", b" ").decode(errors="replace"))
        with suppress(OSError):
            for path in [self._tmp, *self._tmp.rglob("*")]:
                with suppress(OSError):
                    self._file(path)

    def _file(self, path: Path) -> None:
        relative = path.relative_to(self._tmp).parts
        # What lies in a directory that is closed to others is out of their reach. The health file is for everybody.
        ours = len(relative) == 1 and relative[0].startswith("agent-") and not relative[0].startswith("agent-health")
        if ours and stat.S_IMODE(path.lstat().st_mode) & 0o077:
            self.open_to_others.add(str(path))
        if path.is_file() and relative[0] in ("agent-health", "agent-journal"):
            self.texts.add(path.read_text(errors="replace"))

    @property
    def seen_in_commands(self) -> set[str]:
        return self._canaries.seen("\n".join(self.commands))

    @property
    def seen_in_files(self) -> set[str]:
        return set().union(*map(self._canaries.seen_in_lines, self.texts))

    async def watch(self, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        while True:
            self.look()
            await trio.sleep(0.01)


def everything_written(*directories: Path, but: tuple[str, ...] = ()) -> str:
    """The content of all files below; `but` names directories that are the run's input."""
    texts = []
    for directory in directories:
        for root, names, files in os.walk(directory):
            names[:] = [name for name in names if name not in but]
            texts += [Path(root, file).read_text(errors="replace") for file in files if file not in but]
    return "\n".join(texts)
