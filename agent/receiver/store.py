"""Store: runs on disk as `DIR/<containerID>/<runID>.ndjson`, each line one numbered message as received.

The files are the only truth. After a restart the next number, the counts and the hash of a run come from reading its
file again, or from a state that covers exactly what is stored, but for the hash, which is always the file's. A torn
line, written when the receiver died, was never acknowledged; it is removed.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import fcntl
import hashlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from agent.errors import AgentError
from agent.exits import Exit
from agent.protocol import LOG, LogData, Metadata
from agent.receiver.messages import Message, RunKey, all_first_written, parse
from agent.receiver.run import Run, RunState, StoredHash

#: Called for each message of a file, with the run after it and the position behind it.
Seen = Callable[[Message, Run, int], None]

_decode = msgspec.json.Decoder(LogData).decode
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
#: Files that may lie beside a run's messages: its patch, what its HEARTBEATs told of resources.
BESIDE = (".patch", ".vitals")
#: Longer than any message.
_LINE = 1 << 26
_PIECE = 1 << 20
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


def file_name(name: str) -> str:
    """Make a file name: the name itself if it is harmless, else its harmless characters and a digest.

    No two names give the same file name, because a harmless one never has the `~` before the digest.
    """
    if _PLAIN.fullmatch(name):
        return name
    harmless = re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:60]
    return f"{harmless}~{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def named(message: Message | None, key: RunKey) -> Message | None:
    """A stored message with the name of its run, which that of a plain sender does not hold."""
    if message is None or message.run_id:
        return message
    return msgspec.structs.replace(message, run_id=key.run_id)


class Store:
    """The files of all runs below one directory, which no other process may use at the same time.

    Every method that touches the disk may raise OSError.
    """

    def __init__(self, directory: Path, *, lasting: bool = True) -> None:
        """Lock the directory, which is made if it is missing. Raises AgentError if that is not possible."""
        self.directory = directory
        #: Whether it is to survive a loss of power.
        self._lasting = lasting
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            why = "it is not a directory" if isinstance(error, FileExistsError) else error.strerror
            raise AgentError(f"cannot keep runs in {directory}: {why}", exit=Exit.CONFIG) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise AgentError(
                f"another `agent serve` keeps its runs in {directory}: give each one its own --store", exit=Exit.CONFIG
            ) from error

    def close(self) -> None:
        """Release the directory."""
        os.close(self._lock)

    def path(self, key: RunKey, suffix: str = ".ndjson") -> Path:
        """Return the path of a run's file."""
        return self.directory / file_name(key.container_id) / (file_name(key.run_id) + suffix)

    def size(self, key: RunKey) -> int:
        """The bytes that are stored of a run's messages."""
        try:
            return self.path(key).stat().st_size
        except FileNotFoundError:
            return 0

    def files(self) -> list[Path]:
        """The files of all runs, the one that was written last first. A link or a pipe is none of them."""
        found = [entry for place in os.scandir(self.directory) if place.is_dir(follow_symlinks=False)
                 for entry in os.scandir(place) if entry.name.endswith(".ndjson")
                 and entry.is_file(follow_symlinks=False)]  # fmt: skip
        return [Path(entry.path) for entry in sorted(found, key=lambda entry: entry.stat().st_mtime, reverse=True)]

    def key(self, path: Path) -> RunKey | None:
        """The run that a file belongs to, which its first line names. None if that is not one of this store."""
        with path.open("rb") as file:
            message = parse(file.readline(_LINE).removesuffix(b"\n").decode(errors="replace"))
        if message is None:
            return None
        key = message.key if message.run_id else RunKey(message.container_id, path.stem)
        return key if self.path(key) == path else None

    def recall(self, key: RunKey, *, keep: bool = False, seen: Seen | None = None) -> Run:
        """Read a run from its file as `replay` does, and cut off a line that is not whole. Needed once for each run
        after a restart; nobody else may append meanwhile."""
        run = Run(key, keep=keep)
        if (whole := self._replay(run, seen)) is not None:
            os.truncate(self.path(key), whole)
        return run

    def resume(self, key: RunKey, state: RunState, seen: Seen) -> Run:
        """The run from a state on: only what is stored behind it is read, and cut as `recall` does."""
        run = Run.resumed(key, state)
        if (whole := self._replay(run, seen, state.stored)) is not None:
            os.truncate(self.path(key), whole)
        return run

    def hashed(self, key: RunKey) -> StoredHash:
        """The hash of all that is stored of a run, at about 1 GB/s and mostly without Python's lock. Raises OSError."""
        found, count, rest = hashlib.sha256(), 0, b""
        with contextlib.suppress(FileNotFoundError), self.path(key).open("rb") as file:
            while data := file.read(_PIECE):
                lines, newline, rest = (rest + data).rpartition(b"\n")
                lines = all_first_written(lines + newline)
                found.update(lines)
                count += len(lines)
        return StoredHash(found, count)

    def replay(self, key: RunKey, seen: Seen) -> Run:
        """Read a run from its file, at about 200 MB/s. `seen` is called for each message, with the run after it and the
        position behind it in the file."""
        run = Run(key)
        self._replay(run, seen)
        return run

    def _replay(self, run: Run, seen: Seen | None, start: int = 0) -> int | None:
        """The length of the whole lines; None if there is no file."""
        whole = start
        try:
            for text, whole in self.read(self.path(run.key), start):
                message = named(parse(text), run.key)
                if message is None or (seq := run.number(message)) is None or seq < run.next:
                    continue
                run.accept(message, seq, text)
                if seen is not None:
                    seen(message, run, whole)
        except FileNotFoundError:
            return None
        return whole

    def read(self, path: Path, start: int = 0) -> Iterator[tuple[str, int]]:
        """The whole lines of a file from a position on, each with the position behind it."""
        end = start
        with path.open("rb") as file:
            file.seek(start)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                end += len(line)
                yield line[:-1].decode(errors="replace"), end

    def append(self, key: RunKey, *texts: str) -> None:
        """Append messages. After an error the file may end in a cut line: recall() before the next append."""
        path = self.path(key)
        lines = ("\n".join(texts) + "\n").encode()
        try:
            fd = os.open(path, _APPEND, 0o600)
        except FileNotFoundError:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            fd = os.open(path, _APPEND, 0o600)
        try:
            while lines:
                lines = lines[os.write(fd, lines) :]
        finally:
            os.close(fd)

    def sync(self, key: RunKey) -> None:
        """Flush appended messages from the page cache to the disk, unless the store ends with its process anyway."""
        if not self._lasting:
            return
        try:
            fd = os.open(self.path(key), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            os.fdatasync(fd)
        finally:
            os.close(fd)

    def remove(self, key: RunKey) -> None:
        """Remove all files of a run; its messages last, so that nothing is left without them."""
        path = self.path(key)
        for suffix in (*BESIDE, ".ndjson"):
            self.path(key, suffix).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            path.parent.rmdir()  # of a container without other runs

    def append_beside(self, key: RunKey, suffix: str, line: bytes) -> None:
        """Append a line to a file beside a run's messages, which may lose its end."""
        fd = os.open(self.path(key, suffix), _APPEND, 0o600)
        try:
            os.write(fd, line + b"\n")
        finally:
            os.close(fd)

    def probe(self) -> None:
        """Try whether the disk takes something."""
        path = self.directory / ".probe"
        path.write_bytes(b"x" * 4096)
        path.unlink()

    def write_patch(self, key: RunKey) -> Path | None:
        """Write the run's patch beside its messages and return its path; None if no whole patch came. Atomic."""
        patch = self.patch(key)
        if patch is None:
            return None
        path = self.path(key, ".patch")
        unfinished = path.with_name(path.name + ".new")
        unfinished.write_bytes(patch)
        unfinished.replace(path)
        return path

    def patch(self, key: RunKey) -> bytes | None:
        """The run's patch, read from its messages; None if no whole one came."""
        patch = None
        texts: list[str] = []
        for metadata in self._patch_logs(key):
            part = metadata.part
            if not part:
                patch = _content(metadata)
                continue
            texts = [*texts[: part.i - 1], part.text]
            if part.i == part.n == len(texts):
                whole = _metadata("".join(texts))
                patch = _content(whole) if whole else None
        return patch

    def _patch_logs(self, key: RunKey) -> Iterator[Metadata]:
        with self.path(key).open("rb") as file:
            for line in file:
                # Almost no line is a patch, and decoding one costs more than reading it.
                if b'"kind":"patch"' not in line:
                    continue
                message = parse(line[:-1].decode(errors="replace"))
                metadata = _metadata(message.data) if message and message.type == LOG.name else None
                if metadata and metadata.source == "agent" and metadata.kind == "patch":
                    yield metadata


def _metadata(data: str | msgspec.Raw) -> Metadata | None:
    try:
        return _decode(data).metadata or None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _content(metadata: Metadata) -> bytes | None:
    if metadata.text is msgspec.UNSET:
        return None
    if metadata.encoding != "base64":
        return metadata.text.encode()
    try:
        return base64.b64decode(metadata.text, validate=True)
    except binascii.Error:
        return None
