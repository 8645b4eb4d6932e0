"""The reporter of a run: publishes to journal and console, and words HEARTBEAT, the health file and the end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

import msgspec
import trio

from agent import __version__
from agent.config import Config
from agent.journal import Journal
from agent.outcome import Cause, Outcome, after_delivery
from agent.protocol import Event, Phase, events
from agent.report.answer import Answer
from agent.report.complete import complete_fields
from agent.report.console import Console
from agent.report.termination_log import termination_message, write_termination_message
from agent.text import count
from agent.transcript import Summary

#: STATUS.status, the plain protocol's word, for each phase that is entered.
_PLAIN_STATUS = {Phase.PENDING: "starting", Phase.CONNECTING: "starting"}

_WORDS = {
    Phase.PENDING: "starting",
    Phase.CONNECTING: "connecting to the server",
    Phase.CLONING: "cloning the repository",
    Phase.SETTING_UP: "SETUP_COMMAND runs",
    Phase.RUNNING: "claude is at work",
    Phase.VERIFYING: "VERIFY_COMMAND runs",
    Phase.STOPPING: "claude has ended; cleaning up",
    Phase.DRAINING: "collecting what is left of the output",
}


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


class _Heard(Protocol):
    @property
    def idle(self) -> float: ...


class Followed(Protocol):
    """The running claude, as far as reports tell of it."""

    @property
    def summary(self) -> Summary: ...
    @property
    def activity(self) -> _Heard:
        """`idle`: seconds since claude last said something."""
        ...


class Reporter:
    """Publishes what happens in a run. It knows the time since the start, the phase, and the claude that runs."""

    def __init__(
        self,
        config: Config,
        journal: Journal,
        console: Console,
        vital_signs: Callable[[], dict[str, Any]],
        session_id: str,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.phase = Phase.PENDING
        self.run: Followed | None = None
        self.connected: bool | None = None
        #: When the last connection was lost.
        self.lost_at = -math.inf
        #: Why no connection stands, "" if one does.
        self.server_trouble: Callable[[], str] = lambda: ""
        #: Seconds that the delivery may still take, once it has a deadline.
        self.delivery_left: Callable[[], float] = lambda: math.inf
        #: Troubles and tracebacks that were shown already.
        self._said: set[str] = set()
        #: The outcome that COMPLETE has told. Nothing changes it afterwards.
        self.outcome: Outcome | None = None
        self._answer = Answer()
        #: The session that goes on, for STATUS and COMPLETE.
        self._resumed: dict[str, Any] = {}
        self._config = config
        self._journal = journal
        self._console = console
        self._session_id = session_id
        self._now = now
        self._vital_signs = vital_signs
        self._began = trio.current_time()

    @property
    def run_id(self) -> str:
        """The ID of the run."""
        return self._journal.envelope.run_id

    @property
    def uptime(self) -> float:
        """Seconds since the start of the run."""
        return trio.current_time() - self._began

    def publish(self, batch: Sequence[Event]) -> None:
        """Send a batch to the server and show it on stderr. This is the only way to both.

        Nothing follows COMPLETE on the wire: during its delivery, batches go to stderr alone.
        """
        if self.outcome is None:
            self._journal.append(batch)
        self._console.show(batch)
        if self._config.ws_server is None:
            self._answer.take(batch)

    def notice(self, level: events.Level, message: str) -> None:
        """Report something about the connection to the server."""
        self.log(level, message, kind="link")

    def fault(self, cause: Cause) -> None:
        """Report a bug that the run survives: an ERROR with the whole traceback."""
        self.publish([events.error(cause.message, code=cause.code, details=cause.details)])
        self._show_traceback(cause.details)

    def _show_traceback(self, details: str) -> None:
        if details not in self._said:
            self._said.add(details)
            self._console.say("error", details)

    def log(self, level: events.Level, message: str, **metadata: Any) -> None:
        """Report something of the agent's own as a LOG. A debug message is sent only with LOG_LEVEL=debug."""
        if level != "debug" or self._console.level == "debug":
            self.publish([events.log(level, message, **metadata)])

    def entered(self, phase: Phase, cause: Cause | None) -> None:
        """Report that a phase began; `cause` is that of an early end, if there is one."""
        self.phase = phase
        if phase not in _WORDS:
            return
        message = shown = _WORDS[phase]
        if phase is Phase.CONNECTING and self._config.ws_server is None:
            message = shown = "no server is told of this run"
        if phase is Phase.STOPPING and cause is not None:
            # stderr has the whole sentence only in its last line.
            message, shown = f"stopping: {cause.message}", f"stopping: {cause.reason}"
        extra = self._introduction() if phase is Phase.PENDING else {}
        status = events.status(_PLAIN_STATUS.get(phase, "running"), message, phase=phase.value, **extra)
        # A run without a server passes through this phase too, which would puzzle whoever reads stderr.
        aside = phase is Phase.CONNECTING and self._config.ws_server is None
        # Nothing runs where the variables are wrong: what is wrong with them is all that there is to read.
        level: events.Level = "debug" if aside or (cause is not None and cause.code == "config") else "info"
        self.publish([msgspec.structs.replace(status, message=shown, level=level)])

    def waits(self, message: str, wait: Mapping[str, Any]) -> None:
        """Report that the run waits for the API; `wait` is STATUS.wait."""
        event = events.status("running", message, level="warn", phase=Phase.WAITING.value, wait=dict(wait))
        self.publish([event])

    def _introduction(self) -> dict[str, Any]:
        config = self._config
        # Redacted before it is cut, since half a secret is not recognised.
        title = self._console.redact(config.task.strip().split("\n", 1)[0])[:120]
        return {
            "repo": config.repo_url,
            "ref": config.repo_ref,
            "title": title,
            "labels": dict(config.labels),
            "sessionID": self._session_id,
            "versions": {"agent": __version__},
        }

    def ready(self, claude_version: str) -> None:
        """Report that claude can be run."""
        self.publish([events.status("starting", f"claude {claude_version}", versions={"claude": claude_version})])

    def cloned(self, head: str | None, branch: str | None, resumed: msgspec.Struct | None = None) -> None:
        """Report the clone: its commit, None if it is empty, and its branch, None if the head is detached.

        `resumed` says which session goes on, and where its work came from.
        """
        self._resumed = {"resumed": msgspec.to_builtins(resumed)} if resumed is not None else {}
        words = f"cloned: {branch or 'detached head'} at {head[:12]}" if head else "cloned an empty repository"
        # stderr shows git's own LOG.
        fields = {"phase": self.phase.value, "head": head, "branch": branch, **self._resumed}
        self._journal.append([events.status("running", words, **fields)])

    def complete(
        self,
        outcome: Outcome,
        *,
        signal: str | None,
        changes: Mapping[str, Any] | None,
        survivors: Sequence[Mapping[str, Any]],
        more: Mapping[str, Any] = MappingProxyType({}),
    ) -> Mapping[str, Any]:
        """Report the end: an ERROR unless all went well, the last STATUS, COMPLETE with the fields of `more`. Returns
        COMPLETE's data, but not its `stream`.
        """
        failed = outcome.exit != 0
        batch: list[Event] = []
        if failed:
            batch.append(
                events.error(outcome.message, code=outcome.code or "internal", details=outcome.details or None)
            )
        word = "failed" if failed else "completed"
        level: events.Level = "error" if failed else "info"
        batch.append(
            events.status(word, outcome.message, level=level, phase=Phase.REPORTING.value, reason=outcome.reason)
        )
        self._journal.append(batch)
        summary = self.run.summary if self.run else None
        fields = complete_fields(
            outcome, duration=self.uptime, signal=signal, summary=summary, changes=changes, survivors=survivors
        )
        fields |= {**self._resumed, **more}
        self._journal.append([events.complete(fields, outcome.message, failed=failed)])
        self.outcome = outcome
        if outcome.code != "config":
            self._console.say("info", f"{word}: {outcome.reason}")
        if answer := self._answer.text:
            self._console.say("info", f"claude's answer:\n{answer}", always=True)
        if outcome.code == "internal" and outcome.details:
            self._show_traceback(outcome.details)
        return fields

    def waiting(self, seconds: float) -> None:
        """Say that the container stays up for its server, at most so many seconds more."""
        trouble = self.server_trouble()
        left = self._journal.queued
        if left:
            words = f"waiting up to {_minutes(seconds)} for the server, {count(left, 'message')} left"
            self.notice("warn", f"{words}{f' ({trouble})' if trouble else ''}; DELIVERY_WAIT sets how long")

    @property
    def room(self) -> int:
        """Bytes that the data of a STATUS may have, so that the server gets it whole."""
        return self._journal.room

    @property
    def absence(self) -> float:
        """Seconds since a server was last connected: 0 if one is, infinite if none ever was."""
        return 0.0 if self.connected else trio.current_time() - self.lost_at

    def heartbeat(self) -> bytes:
        """Make a HEARTBEAT of this moment, ready to send."""
        journal = self._journal
        now = events.timestamp(self._now())
        data: dict[str, Any] = {
            "timestamp": now,
            "uptime": round(self.uptime, 1),
            "phase": self.phase.value,
            "lastSeq": journal.last_seq,
            "confirmedSeq": journal.confirmed_seq,
            "queued": journal.queued,
            "journalBytes": journal.size,
            "dropped": journal.dropped,
        }
        if self.run is not None:
            summary = self.run.summary
            usage = summary.usage
            if usage.cost is not None:
                data["cost"] = usage.cost
            if usage.tokens is not None:
                data["tokens"] = dict(zip(("input", "output", "cacheRead", "cacheWrite"), usage.tokens, strict=True))
            if usage.context is not None:
                data["context"] = {"used": usage.context, "limit": usage.context_limit}
            data |= {
                "idle": round(self.run.activity.idle, 1),
                "turns": summary.turns,
                # Once more, since a secret cut up by terminal sequences is whole again in a line for a person.
                "lastTool": summary.last_tool and self._console.redact(summary.last_tool),
            }
        return journal.envelope.heartbeat(data | self._vital_signs(), now)

    def warn_of_journal(self) -> None:
        """Warn of the journal's troubles, each once: damage, and a disk that refuses."""
        journal = self._journal
        troubles = [f"the journal: {problem}" for problem in journal.problems]
        if journal.refused is not None:
            words = f"JOURNAL_DIR: {journal.path} takes nothing ({journal.refused.strerror}): what is not delivered"
            troubles.append(f"{words} is held in memory, and lost if the agent is killed")
        for trouble in troubles:
            if trouble not in self._said:
                self._said.add(trouble)
                self.log("warn", trouble, kind="journal")

    def health(self) -> dict[str, object]:
        """Make the fields of the health file; healthcheck.sh knows these keys. Times are Unix times, since durations
        would change the file each second.
        """
        signs = self._vital_signs()
        now, left = self._now(), self.delivery_left()
        server = {None: "none" if self._config.ws_server is None else "waiting", True: "up", False: "down"}
        return {
            "phase": self.phase.value,
            "server": server[self.connected],
            "started": round(now - self.uptime),
            "heard": round(now - self.run.activity.idle) if self.run else 0,
            "queued": self._journal.queued,
            "until": round(now + left) if self.outcome is not None and math.isfinite(left) else 0,
            "memory": signs.get("memory") or 0,
            "limit": signs.get("memoryLimit") or 0,
            "pids": signs.get("pids") or 0,
        }

    def _whereabouts(self) -> str:
        """The place of the messages that are not delivered."""
        journal = self._journal
        if journal.path is None:
            return "lost: there is no journal on a disk"
        journal.save()
        but = f" but for what the disk refuses ({journal.refused.strerror})" if journal.refused is not None else ""
        if self._config.in_container:  # nobody can tell from inside whether anything outlives it
            return f"kept in {journal.path}{but}: if that is a volume that stays, the next agent delivers it"
        return f"kept in {journal.path}{but}, deliver it with `agent flush`"

    def finish(self, outcome: Outcome) -> int:
        """Say how the run ended, in the termination message and in the last line on stderr; returns the exit status."""
        journal = self._journal
        self.warn_of_journal()
        undelivered = journal.queued
        outcome = after_delivery(outcome, undelivered=undelivered, strict=self._config.strict_delivery)
        outcome = msgspec.structs.replace(outcome, message=self._console.redact(outcome.message))
        line = termination_message(
            outcome,
            last_seq=journal.last_seq,
            confirmed_seq=journal.confirmed_seq,
            undelivered=undelivered,
            journal=journal.path,
        )
        trouble = write_termination_message(self._config.termination_log, line)
        if trouble:
            self._console.say("warn", trouble)
        problems = outcome.details.splitlines() if outcome.code == "config" else []
        for problem in problems:
            self._console.say("error", problem)
        # A person reads them above, one a line.
        said = f"the configuration has {len(problems)} problems" if problems else outcome.message
        words = f"exit {outcome.exit} ({outcome.reason}): {said}"
        if undelivered:
            trouble = self.server_trouble()
            away = f"server: {trouble}; " if trouble else ""
            words += f" [undelivered={undelivered} confirmedSeq={journal.confirmed_seq}; {away}{self._whereabouts()}]"
        self._console.say("error" if outcome.exit else "info", words, always=True)
        return outcome.exit
