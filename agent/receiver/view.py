"""Views of runs: lines for a person, or JSON for a program.

Everything shown was written by others, so one_line() removes terminal sequences from it.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from typing import Any, Protocol, TextIO

from agent.limits import Limits
from agent.marks import BOLD, DIM, GREEN, LEVEL_COLORS, MARKS, RED, SOURCE_COLORS, paint
from agent.protocol import COMPLETE, ERROR, HEARTBEAT, LOG, STATUS, encode_json
from agent.receiver import phrases
from agent.receiver.consumer import Accepted, Duplicate, Malformed, Step
from agent.receiver.messages import Message, RunKey
from agent.text import one_line

_CLOCK = re.compile(r"\d{4}-\d\d-\d\dT(\d\d:\d\d:\d\d)")
_WIDTH = 200
_ERASE = "\r\x1b[2K"


class View(Protocol):
    """A view: it shows the steps of the consumer, and notes of the server itself."""

    def show(self, step: Step) -> None:
        """Show a message. Raises OSError if the output cannot be written."""

    def note(self, text: str) -> None:
        """Show a sentence of the server's own. Raises OSError if the output cannot be written."""

    def close(self) -> None:
        """Leave the output in order."""


class JsonView:
    """JSON: each message once, as received, one per line. A line of type RECEIVED after COMPLETE has the comparison."""

    def __init__(self, out: TextIO, notes: TextIO, name: str = "agent serve") -> None:
        self._name = name
        self._out = out
        self._notes = notes

    def show(self, step: Step) -> None:
        if isinstance(step, Malformed | Duplicate):
            return
        self._out.write(step.text + "\n")
        if isinstance(step, Accepted) and step.comparison is not None:
            comparison = step.comparison
            received = {
                "type": "RECEIVED",
                "containerID": step.run.key.container_id,
                "runID": step.run.key.run_id,
                "events": comparison.events,
                "missing": comparison.missing,
                "dropped": comparison.dropped,
                "whole": comparison.whole,
                "problems": comparison.problems,
            }
            self._out.write(encode_json(received).decode() + "\n")
        self._out.flush()

    def note(self, text: str) -> None:
        print(f"{self._name}: {one_line(text, _WIDTH)}", file=self._notes, flush=True)

    def close(self) -> None:
        pass


class TextView:
    """Lines for a person. On a terminal, the last line is rewritten while something moves.

    `columns` returns the width of the terminal. Without it, progress and resources become occasional lines.
    """

    def __init__(
        self,
        out: TextIO,
        limits: Limits,
        *,
        color: bool = False,
        columns: Callable[[], int] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._out = out
        self._limits = limits
        self._color = color
        self._columns = columns
        self._now = now
        #: The announced runs, each with the stage of its clone that was shown last.
        self._runs: dict[RunKey, str] = {}
        self._last_vitals = -math.inf
        self._moving = False

    def note(self, text: str) -> None:
        self._write(self._paint(DIM, one_line(text, _WIDTH)))

    def close(self) -> None:
        if self._moving:
            self._out.write(_ERASE)
            self._out.flush()

    def show(self, step: Step) -> None:
        if isinstance(step, Malformed | Duplicate):
            return
        message = step.message
        self._announce(message)
        if isinstance(step, Accepted) and step.missing is not None:
            self._line(message, "agent", "✗", f"missing: {step.missing[0]} to {step.missing[1]}", RED)
        fields = message.fields()
        match message.type:
            case LOG.name:
                self._log(message, fields)
            case STATUS.name:
                self._status(message, fields)
            case ERROR.name:
                self._line(message, "agent", "✗", phrases.error(fields), RED)
            case HEARTBEAT.name:
                if step.run is None or step.run.comparison is None:
                    self._vitals(message, phrases.vitals(fields))
            case COMPLETE.name:
                self._line(message, "agent", "■", phrases.end(fields), GREEN if fields.get("exitCode") == 0 else RED)
                self._lines(message, [phrases.word(fields.get("message")), *phrases.bill(fields)])
                if isinstance(step, Accepted) and step.comparison is not None:
                    self._line(message, "", " ", step.comparison.summary, GREEN if step.comparison.whole else RED)
                    self._lines(message, list(step.comparison.problems))
            case _:
                self._line(message, "agent", " ", f"{message.type}: {phrases.plain(fields)}")

    def _announce(self, message: Message) -> None:
        if message.key not in self._runs:
            if len(self._runs) >= self._limits.receiver_runs:
                self._runs.clear()
            self._runs[message.key] = ""
            text = f"── run {one_line(message.run_id) or '-'} of {one_line(message.container_id)}"
            self._write(self._paint(BOLD, text))

    def _log(self, message: Message, fields: dict[str, Any]) -> None:
        metadata = fields.get("metadata")
        metadata = metadata if isinstance(metadata, dict) else {}
        part = metadata.get("part")
        if isinstance(part, dict) and part.get("i") != 1:
            return
        source, kind = phrases.word(metadata.get("source")) or "agent", phrases.word(metadata.get("kind"))
        if kind == "silent":
            return
        color = LEVEL_COLORS.get(phrases.word(fields.get("level")), "")
        self._line(message, source, MARKS.get(kind, " "), phrases.word(fields.get("message")), color)

    def _status(self, message: Message, fields: dict[str, Any]) -> None:
        progress = fields.get("progress")
        if isinstance(progress, dict):
            if progress.get("stage") == "todo":
                return  # the LOG next to it says the same
            stage = f"{phrases.word(progress.get('stage'))} {phrases.number(progress.get('percent')) == 100}"
            self._progress(message, stage, phrases.progress(progress))
            return
        said = (phrases.word(fields.get("phase")) or phrases.word(fields.get("status")), fields.get("message"))
        self._line(message, "agent", "●", ": ".join(filter(None, map(phrases.word, said))), BOLD)
        self._lines(message, phrases.start(fields))

    def _progress(self, message: Message, stage: str, text: str) -> None:
        if self._columns is not None:
            self._move(message, "git", text)
        elif self._runs[message.key] != stage:
            self._runs[message.key] = stage
            self._line(message, "git", " ", text)

    def _vitals(self, message: Message, text: str) -> None:
        if self._columns is not None:
            self._move(message, "agent", text)
        elif text and self._now() - self._last_vitals >= self._limits.receiver_vitals:
            self._last_vitals = self._now()
            self._line(message, "agent", " ", text, DIM)

    def _lines(self, message: Message, texts: list[str]) -> None:
        for text in filter(None, texts):
            self._line(message, "", " ", text)

    def _line(self, message: Message, source: str, mark: str, text: str, color: str = "") -> None:
        self._write(self._prefix(message, source, mark) + self._paint(color, one_line(text, _WIDTH)))

    def _move(self, message: Message, source: str, text: str) -> None:
        assert self._columns is not None
        # A line that wraps cannot be erased afterwards.
        room = max(self._columns() - len(self._prefix(message, source, " ", plain=True)) - 1, 1)
        self._out.write(_ERASE + self._prefix(message, source, " ") + self._paint(DIM, one_line(text, room)))
        self._out.flush()
        self._moving = True

    def _prefix(self, message: Message, source: str, mark: str, *, plain: bool = False) -> str:
        found = _CLOCK.match(message.timestamp)
        clock = found[1] if found else " " * 8
        run = f" [{one_line(message.container_id, 20)}]" if len(self._runs) > 1 else ""
        name = f"{one_line(source, 6):6}"
        if not plain:
            clock, name = self._paint(DIM, clock), self._paint(SOURCE_COLORS.get(source, ""), name)
        return f"{clock}{run} {name} {mark} "

    def _paint(self, code: str, text: str) -> str:
        return paint(code, text) if self._color else text

    def _write(self, line: str) -> None:
        self._out.write((_ERASE if self._moving else "") + line + "\n")
        self._out.flush()
        self._moving = False
