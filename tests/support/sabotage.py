"""Takes one guard of the agent away, to see that something notices: `-p tests.support.sabotage` with SABOTAGE=name.

Each function here is named after the guard and replaces the few lines that are it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from math import inf
from typing import Any

import trio

from agent.claude import conversation
from agent.claude.output import ClaudeOutput
from agent.claude.watchdog import Activity
from agent.delivery import session
from agent.delivery.connection import Connection
from agent.journal import journal
from agent.journal import segments as segmentstore
from agent.journal.backlog import Backlog
from agent.outcome.causes import Cause
from agent.protocol.events import Event
from agent.protocol.inbound import Command
from agent.protocol.phase import Phase
from agent.redaction import redactor as redaction
from agent.report import reporter
from agent.run import ending, inbox, steering, supervisor, tasks
from agent.run.asking import Asking
from agent.run.countdown import Countdown
from agent.run.delivering import Delivering
from agent.run.dialogue import Dialogue
from agent.run.inbox import Report
from agent.run.lifetime import Lifetime
from agent.run.machine import RunMachine
from agent.run.running import Running
from agent.run.steering import Steering
from agent.run.waiting import LimitWaits
from agent.run.work import Swept
from agent.transcript import Question

Patch = Callable[[Any, str, Any], None]


def latch_of_complete(patch: Patch) -> None:
    """Nothing is appended after COMPLETE: the reporter keeps it from the journal, which refuses it."""

    def publish(self: reporter.Reporter, batch: Sequence[Event]) -> None:
        self._journal._writer.completed = False
        self._journal.append(batch)

    patch(reporter.Reporter, "publish", publish)


def latch_of_the_journal(patch: Patch) -> None:
    """The journal's own refusal."""
    append = journal.Journal.append

    def unlatched(self: journal.Journal, events: Sequence[Event]) -> None:
        self._writer.completed = False
        append(self, events)

    patch(journal.Journal, "append", unlatched)


def ping_barrier(patch: Patch) -> None:
    """What is written is not taken: only a PONG proves it."""
    flush = Connection.flush

    async def flush_and_believe(self: Connection, *, within: float) -> None:
        await flush(self, within=within)
        believing = _sessions.get(id(self))
        if believing is not None:
            believing._pong(believing._cursor)

    _sessions: dict[int, session.Session] = {}
    run = session.Session.run

    async def remember(self: session.Session) -> None:
        _sessions[id(self._connection)] = self
        try:
            await run(self)
        finally:
            del _sessions[id(self._connection)]

    patch(Connection, "flush", flush_and_believe)
    patch(session.Session, "run", remember)


def acks_govern(patch: Patch) -> None:
    """A server that acknowledges is believed in its acks, not in its PONGs."""
    pong = session.Session._pong

    def pong_confirms(self: session.Session, seq: int) -> None:
        pong(self, seq)
        self._confirm(self._ponged)

    patch(session.Session, "_pong", pong_confirms)


def resend_from_confirmed(patch: Patch) -> None:
    """A new connection begins with what is not confirmed, sent or not."""
    init = session.Session.__init__

    def go_on(self: session.Session, *arguments: Any) -> None:
        init(self, *arguments)
        self._cursor = max(self._cursor, self.highest_sent)

    patch(session.Session, "__init__", go_on)


def marks_of_copies(patch: Patch) -> None:
    """What may have left before is marked."""
    patch(session, "redelivered", lambda message: message)


def shielded_frame(patch: Patch) -> None:
    """A frame is sent whole or the connection is dead."""

    async def flush(self: Connection, *, within: float) -> None:
        await self._tap.send_all(b"")

    patch(Connection, "flush", flush)


def hastened_send(patch: Patch) -> None:
    """The shield of a send does not outlast a stop."""
    patch(Connection, "hasten", lambda self, within: None)


def sweep(patch: Patch) -> None:
    """Whatever claude leaves behind is ended."""

    async def unswept(self: ending.Ending) -> Swept:
        await self._lives.work.wait_empty()
        return Swept()

    patch(ending.Ending, "_sweep_behind_work", unswept)


def first_cause_wins(patch: Patch) -> None:
    """A later cause changes nothing."""

    def latch(self: RunMachine, cause: Cause) -> None:
        self.cause = cause

    patch(RunMachine, "latch_cause", latch)


def exit_is_latched(patch: Patch) -> None:
    """Once claude has ended by itself, a signal explains nothing."""
    patch(RunMachine, "latch_exit", lambda self: None)


def redaction_before_the_journal(patch: Patch) -> None:
    """Nothing is journalled that was not redacted, nor shown."""
    patch(redaction.Redactor, "json", lambda self, data: data)


def drain_before_complete(patch: Patch) -> None:
    """COMPLETE waits for the readers."""
    patch(Lifetime, "empty", property(lambda self: self.name == "output" or not self._scopes))


def report_before_leaving(patch: Patch) -> None:
    """A task is alive until its report is handled."""
    post = inbox.Inbox.post

    def leave_first(self: inbox.Inbox, report: Report, leave: Callable[[], None] = lambda: None) -> None:
        leave()
        post(self, report)

    patch(inbox.Inbox, "post", leave_first)


def rest_of_a_line(patch: Patch) -> None:
    """Half a line is published when the pipe is given up."""

    async def follow(self: ClaudeOutput, pipe: Any, framer: Any, take: Any) -> None:
        while chunk := await pipe.receive_some(self._limits.read_bytes):
            self.activity.heard()
            take(framer.feed(bytes(chunk)), bytes(chunk))
        take(framer.end(), b"")

    patch(ClaudeOutput, "_follow", follow)


def drain_after_a_bug(patch: Patch) -> None:
    """A reader that fails is replaced: claude loses its result when nobody reads."""
    start = tasks.Tasks.start

    def without(self: tasks.Tasks, lifetime: Lifetime, name: str, task: Any) -> None:
        if not name.startswith("drain:"):
            start(self, lifetime, name, task)

    patch(tasks.Tasks, "start", without)


def flush_limit(patch: Patch) -> None:
    """After a signal delivery gets two seconds."""
    patch(Delivering, "_limit", lambda self, after_fault: self._config.delivery_wait)


def journal_limit(patch: Patch) -> None:
    """At its limit the journal drops the oldest."""
    patch(Backlog, "_make_room", lambda self: None)


def bounded_memory(patch: Patch) -> None:
    """Of what is on the disk only the newest is in memory."""
    patch(segmentstore.SegmentStore, "_trim", lambda self: None)


def patience_of_the_gate(patch: Patch) -> None:
    """No token is spent where no server answers: the start waits for the first PONG."""
    enter = supervisor.Supervisor._enter

    def rush(self: supervisor.Supervisor) -> None:
        enter(self)
        if self._machine.phase is Phase.CONNECTING:
            self._fire(self._machine.connected)

    patch(supervisor.Supervisor, "_enter", rush)


def commands_by_id(patch: Patch) -> None:
    """A command that comes again changes nothing."""
    take = Steering.take

    def forgetful(self: Steering, command: Command) -> None:
        seen = self._records.pop(command.id, None)
        take(self, command)
        if seen is not None and seen["state"] != "refused":
            self._records[command.id] = seen

    patch(Steering, "take", forgetful)


def permission_to_steer(patch: Patch) -> None:
    """A run that was not allowed to be steered is told nothing."""
    init = Steering.__init__

    def allowed(self: Steering, allowed: bool, *arguments: Any) -> None:
        init(self, True, *arguments)

    patch(Steering, "__init__", allowed)


def messages_are_no_commands(patch: Patch) -> None:
    """What an operator says is text, and never a command of the CLI."""
    patch(conversation, "encode_prompt", lambda text: text.encode())


def word_before_a_signal(patch: Patch) -> None:
    """claude is asked to stop before it gets a signal, which may cost its bill."""

    def stop(self: conversation.Conversation) -> bool:
        self.hang_up()
        return False

    patch(conversation.Conversation, "stop", stop)


def end_of_the_input(patch: Patch) -> None:
    """After its result claude's input is closed, or it waits for more."""
    patch(Steering, "_result_given", lambda self: None)


def refusal_of_what_is_under_way(patch: Patch) -> None:
    """A command that claude did not take up before its end is refused."""

    def end(self: Steering, reason: str) -> None:
        self._claude, self._over, self._ended = None, reason, True

    patch(Steering, "end", end)


def acknowledgements_are_kept(patch: Patch) -> None:
    """A journal that is full drops no acknowledgement of a command."""
    log = steering.log
    patch(steering, "log", lambda *arguments, keep=False, **more: log(*arguments, **more))


def timer_of_a_question(patch: Patch) -> None:
    """A question that nobody answers is denied in the end."""
    patch(Asking, "expire", lambda self, id, alone=False: None)


def patience_with_a_lost_server(patch: Patch) -> None:
    """A question is not denied at once because the connection was lost a moment ago."""
    patch(reporter.Reporter, "absence", property(lambda self: 0.0 if self.connected else inf))


def end_of_that_patience(patch: Patch) -> None:
    """A question does not wait longer than that for a server that is away."""

    async def wait(self: Dialogue, question: Question) -> bool:
        await trio.sleep(self._ask_timeout)
        return False

    patch(Dialogue, "_time", wait)


def one_answer_to_a_question(patch: Patch) -> None:
    """A question that is answered is not open any more."""
    patch(Asking, "_close", lambda self, question, what: None)


def silence_of_a_question(patch: Patch) -> None:
    """claude is not ended for its silence while a person has to speak."""
    patch(Activity, "hold", lambda self: None)
    patch(Activity, "release", lambda self: None)


def proof_of_a_success(patch: Patch) -> None:
    """With a VERIFY_COMMAND a success counts only if that passed."""
    patch(ending, "proven", lambda outcome, proof, *, wanted: outcome)


def last_lines_before_the_proof(patch: Patch) -> None:
    """A claude that has ended is verified once all that it wrote is read: its result may be the last of it."""
    patch(Running, "wait_for_the_rest", lambda self: trio.lowlevel.checkpoint())


def bound_of_all_waits(patch: Patch) -> None:
    """WAIT_FOR_LIMIT bounds the sum of the waits, and not each one."""
    patch(LimitWaits, "pass_time", lambda self, pause: trio.sleep(pause.seconds))


def timeout_that_stands_still(patch: Patch) -> None:
    """TIMEOUT does not count what is waited for the API."""
    patch(Countdown, "hold", lambda self: None)


GUARDS: dict[str, Callable[[Patch], None]] = {
    guard.__name__: guard
    for guard in (
        latch_of_complete, latch_of_the_journal, ping_barrier, acks_govern, resend_from_confirmed, marks_of_copies,
        shielded_frame, hastened_send, sweep, first_cause_wins, exit_is_latched, redaction_before_the_journal,
        drain_before_complete, report_before_leaving, rest_of_a_line, drain_after_a_bug, flush_limit, journal_limit,
        bounded_memory, patience_of_the_gate, commands_by_id, acknowledgements_are_kept, refusal_of_what_is_under_way,
        timer_of_a_question, silence_of_a_question, one_answer_to_a_question, patience_with_a_lost_server,
        end_of_that_patience, permission_to_steer, messages_are_no_commands, word_before_a_signal, end_of_the_input,
        proof_of_a_success, last_lines_before_the_proof, bound_of_all_waits, timeout_that_stands_still,
    )
}  # fmt: skip

if "SABOTAGE" in os.environ:
    GUARDS[os.environ["SABOTAGE"]](setattr)
