"""Questions of claude: may it use a tool that no rule allows? Open until a person answers, or until ASK_TIMEOUT.

Synchronous and without a clock. The supervisor calls it, starts a timer for each question that it opens, and keeps
IDLE_TIMEOUT from running meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import Raw

from agent.claude import control_answer
from agent.config import Config
from agent.limits import QUESTION_BYTES
from agent.protocol import Command, Event, Publish, encode_json, log, status
from agent.run.steering import Told
from agent.text import cut_between, one_line
from agent.transcript import Question, tool_call, whole_call

#: The rules of an answer "for the whole run" end with it.
_DESTINATION: Final = "session"
_NOBODY: Final = "nobody is there to be asked: no server is connected"


class Asking:
    """The questions of one run."""

    def __init__(
        self, config: Config, publish: Publish, absence: Callable[[Question], float], room: Callable[[], int]
    ) -> None:
        """Args:
        absence: tells how many seconds ago a server was connected that could show a question; 0 if one is.
        room: tells how many bytes a STATUS may have at this moment, so that the server gets it whole.
        """
        self._room = room
        self.open: dict[str, Question] = {}
        #: Their sizes, as they were told.
        self._sizes: dict[str, int] = {}
        self._config = config
        self._publish = publish
        self._absence = absence
        self._claude: Told | None = None
        self._ended = False

    def begin(self, claude: Told) -> None:
        """Take the questions of this claude from now on."""
        self._claude = claude

    def end(self) -> None:
        """Open no question any more: the run is being ended, and claude is interrupted."""
        self._ended = True

    def ask(self, question: Question) -> bool:
        """Open a question, and tell so; returns False if it is denied at once, or is open already."""
        if question.id in self.open:
            return False  # an answer is for what was shown
        reason = ""
        if not question.tool:
            reason = "the call is too long to be shown to anybody"
        elif not self._config.ask:
            reason = "this run asks nothing; ASK=1 would let it"  # not even the CLI asked: see docs/security.md
        elif self._ended:
            reason = "the run is being ended"
        elif self._absence(question) >= self._config.limits.ask_absence:
            reason = _NOBODY
        elif len(self.open) >= self._config.limits.questions:
            reason = f"{len(self.open)} questions are open already"
        if reason:
            self._deny(question, reason)
            return False
        self.open[question.id] = question
        self._publish([self._shown(question)])
        return True

    def _shown(self, question: Question) -> Event:
        """The STATUS that asks. On stderr the call stands whole below it: what describes it is claude's own words."""
        shown = {"id": question.id, "tool": question.tool, "input": question.input, "suggestions": question.suggestions}
        call, _ = tool_call(question.tool, Raw(encode_json(question.input)), "")
        if question.description:
            call = f"{question.tool}: {question.description}"
        words = one_line(f"claude asks to use {call}")
        event = status("waiting", words, level="warn", phase="RUNNING", question=shown)
        self._sizes[question.id] = len(event.data)
        if self._is_cut(question):
            event = status("waiting", words, level="warn", phase="RUNNING", question={**shown, "cut": True})
        whole = cut_between(whole_call(question.tool, question.input), QUESTION_BYTES)
        return event if whole in words else msgspec.structs.replace(event, message=f"{words}\n{whole}")

    def _is_cut(self, question: Question) -> bool:
        """Whether its call is too long to be shown whole; a server may turn out to take less than when it was told."""
        return self._sizes[question.id] > min(QUESTION_BYTES, self._room())

    def answer(self, command: Command) -> str:
        """Hand an answer to claude; returns the reason if that is not possible."""
        question = self.open.get(command.question)
        if question is None:
            return "no such question is open: it is answered, its time is over, or claude took it back"
        if command.behavior == "deny":
            answer: dict[str, Any] = {"behavior": "deny", "message": command.message or "A person denied this."}
            what = "denied"
        else:
            answer, what = {"behavior": "allow"}, "allowed"
            if command.behavior == "allow_always":
                if self._is_cut(question):
                    return "its call is too long to be shown whole: it may be allowed once, or denied"
                rules = [
                    {**rule, "destination": _DESTINATION} for rule in question.suggestions if isinstance(rule, dict)
                ]
                answer["updatedPermissions"] = rules
                what = "allowed for the whole run" if rules else "allowed once, since claude suggests no rule"
        if not self._tell(question, answer):
            return "claude does not take it any more"
        self._close(question, what)
        return ""

    def expire(self, id: str, *, alone: bool = False) -> None:
        """Deny a question whose time is over, if it is still open. `alone`: nobody came back to be asked."""
        if question := self.open.get(id):
            self._deny(question, _NOBODY if alone else f"nobody answered within {self._config.ask_timeout:g} s")
            self._close(question, "denied")

    def withdraw(self, id: str) -> None:
        """Close a question that claude does not ask any more."""
        if question := self.open.get(id):
            self._close(question, "taken back")

    def _deny(self, question: Question, reason: str) -> None:
        self._tell(question, {"behavior": "deny", "message": f"Denied: {reason}."})
        self._publish([log("warn", one_line(f"{question.tool or 'a tool'} is denied: {reason}"), kind="question")])

    def _tell(self, question: Question, answer: dict[str, Any]) -> bool:
        return self._claude is not None and self._claude.tell(control_answer(question.id, answer))

    def _close(self, question: Question, what: str) -> None:
        del self.open[question.id]
        del self._sizes[question.id]
        words = one_line(f"{question.tool}: {what}")
        self._publish([status("running", words, phase="RUNNING", question={"id": question.id, "answer": what})])
