"""git's stderr: progress (lines that overwrite themselves with a carriage return) and lines for a person."""

from __future__ import annotations

import re

import msgspec

from agent.limits import MIB

_PROGRESS = re.compile(
    r"(?:remote: )?(?P<stage>[A-Z][A-Za-z ]*): +"
    r"(?:(?P<percent>\d{1,3})% \((?P<done>\d+)/(?P<total>\d+)\)|(?P<count>\d+))"
    r"(?:, (?P<size>\d+(?:\.\d+)?) (?P<unit>bytes|KiB|MiB|GiB)(?: \| [^,]*)?)?"
    r"(?P<finished>, done\.)?\s*"
)
_UNITS = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
#: A server's "remote: ..." text may hold anything, and it ends up in somebody's terminal.
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_USERINFO = re.compile(r"(?<=://)[^/@\s]+@")


class Progress(msgspec.Struct, frozen=True):
    """The progress of a stage; `percent` and `total` are None where git only counts, `bytes` where it moves none."""

    stage: str
    percent: int | None
    done: int
    total: int | None
    bytes: int | None
    finished: bool

    def __str__(self) -> str:
        return f"{self.stage}: {self.done}" if self.percent is None else f"{self.stage}: {self.percent}%"

    @property
    def moved(self) -> str:
        """The size of what the stage has moved so far, as the end of a sentence; "" where git does not say."""
        return f", {self.bytes / MIB:.1f} MiB" if self.bytes else ""


class StderrParser:
    """Bytes of git's stderr, in any chunking, to Progress and lines of text without control characters.

    What a carriage return is about to overwrite and is no progress that we know (a server may speak any language) is
    dropped: as lines it would flood the log. At most `limit` bytes of a line are kept.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rest = b""
        self._dropped = ""

    def feed(self, chunk: bytes) -> list[Progress | str]:
        *whole, rest = re.split(rb"(?<=[\r\n])", chunk)
        found: list[Progress | str] = []
        for piece in whole:
            found += self._line((self._rest + piece[:-1])[: self._limit], overwritten=piece.endswith(b"\r"))
            self._rest = b""
        self._rest = (self._rest + rest)[: self._limit]
        return found

    def end(self) -> list[Progress | str]:
        """The unterminated rest."""
        return self.feed(b"\n")

    def _line(self, line: bytes, *, overwritten: bool) -> list[Progress | str]:
        text = _USERINFO.sub("", _CONTROL.sub("", line.decode(errors="replace"))).rstrip()
        if found := _PROGRESS.fullmatch(text):
            return [_progress(found)]
        # A carriage return right before a newline overwrites nothing.
        text, self._dropped = (text or self._dropped, "") if not overwritten else ("", text)
        return [text] if text else []


def _progress(found: re.Match[str]) -> Progress:
    return Progress(
        stage=found["stage"],
        percent=int(found["percent"]) if found["percent"] else None,
        done=int(found["done"] or found["count"]),
        total=int(found["total"]) if found["total"] else None,
        bytes=round(float(found["size"]) * _UNITS[found["unit"]]) if found["size"] else None,
        finished=found["finished"] is not None,
    )
