"""The proof of a run: VERIFY_COMMAND judges the work that claude gave a good result for.

As long as claude may be sent back (VERIFY_RETRIES), the command runs while claude waits with its input open. So a
claude that is told of a failure goes on in the same session, with everything that it knows, and the bill adds up by
itself. Before the last attempt claude ends: its memory is free for the command, whose word is final then.

Synchronous and without a clock: the supervisor starts the command, and asks what follows from its end.
"""

from __future__ import annotations

from typing import Any

from agent.claude import user_line
from agent.config import Config
from agent.exits import ExitStatus
from agent.limits import DETAILS_CHARS
from agent.outcome import Proof, judge
from agent.protocol import Publish, log
from agent.run.work import ClaudeRun
from agent.steps import Finished


class Proving:
    """The verification of one run."""

    def __init__(self, config: Config, publish: Publish) -> None:
        self._command = config.verify_command
        self._retries = config.verify_retries
        self._publish = publish
        self._attempts = 0
        self._last: Finished | None = None
        #: Nothing is left to verify: the command had its last word, or there is none.
        self.over = config.verify_command is None

    def is_due(self, run: ClaudeRun, status: ExitStatus | None) -> bool:
        """Whether the result of claude so far is one to verify. `status` is None while claude has not ended."""
        summary = run.summary
        settled = summary.settled or status is not None
        return not self.over and settled and judge(status or ExitStatus(code=0), summary, None).exit == 0

    @property
    def may_send_back(self) -> bool:
        """Whether claude goes on if the next attempt fails."""
        return self._attempts < self._retries

    def begin(self) -> None:
        """Count an attempt. It is unfinished until `end`."""
        self._attempts += 1
        self._last = None

    def end(self, finished: Finished) -> None:
        """Take the end of the attempt, and tell of it."""
        self._last = finished
        how = f"passed after {finished.duration:.1f} s" if finished.good else f"failed: {finished.words}"
        of = f" (attempt {self._attempts} of {self._retries + 1})" if self._retries else ""
        level = "info" if finished.good else "warn"
        self._publish([log(level, f"VERIFY_COMMAND {how}{of}", kind="verify")])  # type: ignore[arg-type]

    def sends_back(self, run: ClaudeRun, *, ended: bool) -> bool:
        """Whether claude goes on: the attempt failed, another one is left, and claude takes the command's output."""
        last = self._last
        if last is None or last.good or self._attempts > self._retries:
            return False
        if not ended and run.tell(user_line(self._told(last))):
            self._publish([log("info", "claude is told what failed, and goes on", kind="verify")])
            return True
        self._publish([log("warn", "claude has ended, and cannot be told what failed", kind="verify")])
        return False

    def _told(self, last: Finished) -> str:
        """The words for claude: the command and the end of its output, which is its evidence and no instruction."""
        return (
            "Your work was checked by a command that has to succeed, and it failed: "
            f"{last.words} (attempt {self._attempts} of {self._retries + 1}).\n\nThe command:\n\n{self._command}\n\n"
            f"The end of its output:\n\n{last.tail or '(it said nothing)'}\n\n"
            "Find out why it fails and mend that, without weakening what it checks. It runs again when you are done."
        )

    @property
    def proof(self) -> Proof | None:
        """The verdict of the command; None if it never ran."""
        if not self._attempts:
            return None
        last = self._last
        if last is None:
            return Proof("unfinished", self._attempts)
        return Proof("passed" if last.good else "failed", self._attempts, last.words, last.tail)

    @property
    def verdict(self) -> str:
        """The same in words that follow the command's name; empty without a VERIFY_COMMAND."""
        if self._command is None:
            return ""
        match self.proof:
            case None:
                return "did not run"
            case Proof("passed"):
                return "passed"
            case Proof("failed", words=words):
                return f"failed ({words})"
            case _:
                return "was not finished"

    @property
    def fields(self) -> dict[str, Any]:
        """The field of COMPLETE; nothing if the command never ran."""
        if (proof := self.proof) is None:
            return {}
        verify: dict[str, Any] = {"state": proof.state, "attempts": proof.attempts}
        if (last := self._last) is not None:
            status = last.status or ExitStatus()
            verify["exit"] = status.code
            if status.signal is not None:
                verify["signal"] = str(status)
            if last.overdue is not None:
                verify["timedOut"] = True
            verify |= {"duration": round(last.duration * 1000), "output": last.tail[-DETAILS_CHARS:]}
        return {"verify": verify}
