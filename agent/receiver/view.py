"""Views of runs: lines for a person, or JSON for a program.

Everything shown was written by others, so one_line() removes terminal sequences from it.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from typing import Any, Protocol, TextIO

import msgspec

from agent.limits import SHOWN_CHARS, Limits
from agent.marks import BOLD, DIM, GREEN, LEVEL_COLORS, LEVEL_MARKS, MARKS, RED, SOURCE_COLORS, YELLOW
from agent.protocol import COMPLETE, ERROR, HEARTBEAT, LOG, PREVIEW, STATUS, encode_json
from agent.receiver import phrases
from agent.receiver.board import asked, task_of
from agent.receiver.consumer import Accepted, Duplicate, Malformed, Step
from agent.receiver.growing import Growing
from agent.receiver.messages import Message, RunKey
from agent.receiver.row import Row
from agent.terminal import Screen, columns_of, pad
from agent.text import one_line

_CLOCK = re.compile(r"\d{4}-\d\d-\d\dT(\d\d:\d\d:\d\d)")
_WIDTH = 200


def _clock(seconds: float) -> str:
    """UTC, as the times of the agents."""
    return time.strftime("%H:%M:%S", time.gmtime(seconds))


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

    def __init__(
        self, out: TextIO, notes: TextIO, name: str = "agent serve", wall: Callable[[], float] = time.time
    ) -> None:
        self._name = name
        self._wall = wall
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
        print(f"{_clock(self._wall())} {self._name}: {one_line(text, _WIDTH)}", file=self._notes, flush=True)

    def close(self) -> None:
        pass


class TextView:
    """Lines for a person, and a row of the screen's board for each run.

    On a screen without a board, progress and resources become occasional lines.
    """

    def __init__(
        self,
        screen: Screen,
        limits: Limits,
        *,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        #: What is known of a run already, as a hub that was started again knows it.
        self.known: Callable[[RunKey], Row | None] = lambda key: None
        self._screen = screen
        self._limits = limits
        self._now = now
        self._wall = wall
        #: The announced runs.
        self._runs: dict[RunKey, Row] = {}
        #: The stage of each clone that was shown last, for a screen without a board.
        self._stages: dict[RunKey, str] = {}
        self._last_vitals = -math.inf
        #: The width of the column of names, where there are several runs.
        self._names = 0
        self._growing = Growing(limits.receiver_runs)

    def note(self, text: str) -> None:
        self._screen.say(one_line(text, _WIDTH), DIM, head=((f"{_clock(self._wall())} ", DIM),))

    def close(self) -> None:
        self._screen.close()

    def show(self, step: Step) -> None:
        if isinstance(step, Malformed | Duplicate):
            return
        message = step.message
        row = self._announce(message)
        if message.type == PREVIEW.name:
            # The whole comes as a LOG, so nothing is said here.
            doing = self._growing.take(message.key, message.fields())
            self._screen.show(message.key, msgspec.structs.replace(task_of(row), doing=doing))
            return
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
        row.take(message, row.updated)
        self._screen.show(message.key, task_of(row))

    def _announce(self, message: Message) -> Row:
        row = self._runs.get(message.key)
        if row is None:
            if len(self._runs) >= self._limits.receiver_runs:
                self._forget()
            id = one_line(message.run_id) or "-"
            row = Row(id=id, runID=id, containerID=one_line(message.container_id), connected=True)
            if (known := self.known(message.key)) is not None and not known.has_ended:
                row = msgspec.structs.replace(known, id=id, runID=id, containerID=row.containerID, connected=True)
            self._runs[message.key] = row
            self._names = max(self._names, columns_of(one_line(row.containerID, 20)) + 2)
            self._screen.say(f"── run {id} of {row.containerID}", BOLD)
            said = message.fields().get("question") if message.type == STATUS.name else None
            for question in row.questions:
                if not isinstance(said, dict) or question.get("id") != said.get("id"):
                    self._ask(message, question, phrases.word(question.get("message")))
        return row

    def _forget(self) -> None:
        for key in self._runs:
            self._screen.show(key, None)
        self._runs.clear()
        self._names = 0
        self._stages.clear()

    def _log(self, message: Message, fields: dict[str, Any]) -> None:
        metadata = fields.get("metadata")
        metadata = metadata if isinstance(metadata, dict) else {}
        part = metadata.get("part")
        if isinstance(part, dict) and part.get("i") != 1:
            return
        source, kind = phrases.word(metadata.get("source")) or "agent", phrases.word(metadata.get("kind"))
        said = phrases.word(fields.get("message"))
        if kind == "silent" or said == "TodoWrite":  # its LOG of kind `todo` says more
            return
        color = LEVEL_COLORS.get(phrases.word(fields.get("level")), "")
        mark = MARKS.get(kind) or LEVEL_MARKS.get(phrases.word(fields.get("level")), " ")
        # Of what a tool gave back, the beginning is enough: claude goes on to say what it makes of it.
        brief = kind == "tool_result"
        self._line(message, source, mark, phrases.without_rules(said), color or DIM * brief, brief=brief)

    def _status(self, message: Message, fields: dict[str, Any]) -> None:
        progress = fields.get("progress")
        if isinstance(progress, dict):
            if progress.get("stage") == "todo":
                return  # the LOG next to it says the same
            stage = f"{phrases.word(progress.get('stage'))} {phrases.number(progress.get('percent')) == 100}"
            self._progress(message, stage, phrases.progress(progress))
            return
        question = fields.get("question")
        if fields.get("status") == "waiting" and isinstance(question, dict):
            self._ask(message, question, phrases.word(fields.get("message")))
            return
        said = (phrases.word(fields.get("phase")) or phrases.word(fields.get("status")), fields.get("message"))
        self._line(message, "agent", "●", ": ".join(filter(None, map(phrases.word, said))), BOLD)
        self._lines(message, phrases.start(fields))

    def _ask(self, message: Message, question: dict[str, Any], words: str) -> None:
        self._line(message, "agent", "?", words or "claude asks", f"{BOLD};{YELLOW}")
        self._lines(message, list(asked(one_line(message.container_id), question)), YELLOW, SHOWN_CHARS)

    def _progress(self, message: Message, stage: str, text: str) -> None:
        if not self._screen.live and self._stages.get(message.key) != stage:
            self._stages[message.key] = stage
            self._line(message, "git", " ", text)

    def _vitals(self, message: Message, text: str) -> None:
        if text and not self._screen.live and self._now() - self._last_vitals >= self._limits.receiver_vitals:
            self._last_vitals = self._now()
            self._line(message, "agent", " ", text, DIM)

    def _lines(self, message: Message, texts: list[str], color: str = "", width: int = _WIDTH) -> None:
        for text in filter(None, texts):
            self._line(message, "", " ", text, color, width=width)

    def _line(
        self, message: Message, source: str, mark: str, text: str, color: str = "", *,
        brief: bool = False, width: int = _WIDTH,
    ) -> None:  # fmt: skip
        found = _CLOCK.match(message.timestamp)
        run = f" {pad(f'[{one_line(message.container_id, 20)}]', self._names)}" if len(self._runs) > 1 else ""
        head = (
            (found[1] if found else " " * 8, DIM),
            (f"{run} ", ""),
            (f"{one_line(source, 6):6}", SOURCE_COLORS.get(source, "")),
            (f" {mark} ", ""),
        )
        self._screen.say(one_line(text, width), color, head=head, brief=brief)
