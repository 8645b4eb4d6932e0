"""A replay: plays a recorded run to a server or to stdout, and compares its outcome with the recorded one."""

from __future__ import annotations

import math
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
import trio

from agent import signals
from agent.config import Config
from agent.delivery import Listener, Sender
from agent.errors import AgentError
from agent.exits import Exit
from agent.journal import Journal
from agent.protocol import LOG, Envelope, Event, Level, ulid
from agent.redaction import verified_redactor
from agent.replay.load import Recorded
from agent.replay.player import Player
from agent.replay.printing import Printer
from agent.replay.waits import RecordedWaits
from agent.replay.work import PlayedWork
from agent.report import Console, Reporter, result_fields
from agent.run import Inbox, Link, Supervisor, endpoint_of

_OPERATORS = "lines of operators"
#: Figures that are compared, by the source of the LOG. The agent's own LOGs tell of its surroundings and are not.
_COUNTED = {
    "lines of claude": "claude", "lines of its stderr": "stderr", "lines of git": "git",
    "lines of the setup": "setup", "lines of the verification": "verify", _OPERATORS: "operator",
}  # fmt: skip
#: Figures that are named only where there are some.
_SELDOM = ("lines of the setup", "lines of the verification", _OPERATORS)


class Progress:
    """The progress bar of a replay; drawn on a terminal only."""

    def __init__(self, total: int) -> None:
        self.done = 0
        self._total = total

    async def draw(self, interval: float) -> None:
        """Draw the bar until cancelled. Cancelling: the bar stays as it is."""
        try:
            while True:
                self._show("")
                await trio.sleep(interval)
        finally:
            self._show("\n")

    def say_above(self, line: bytes) -> None:
        """Print a line in place of the bar, which is drawn again below it."""
        sys.stderr.write(f"\r\x1b[K{line.decode()}")
        self._show("")

    def _show(self, end: str) -> None:
        share = self.done / self._total if self._total else 1.0
        sys.stderr.write(f"\r[{'#' * round(share * 40):<40}] {share:4.0%} {self.done}/{self._total}{end}")
        sys.stderr.flush()


def _nowhere(line: bytes) -> None:
    """Drop a line that the view of the messages shows anyway."""


class _CountingConsole(Console):
    """Counts the LOGs that it is shown, by their source, to compare them with the recorded run's."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.logs = Counter[str]()

    def show(self, events: Sequence[Event]) -> None:
        self.logs.update(event.source for event in events if event.type == LOG.name)
        super().show(events)

    def say(self, level: Level, message: str, *, always: bool = False) -> None:
        """Show a line from the console's level up. A replay has its own last word, so none is shown always."""
        super().say(level, message)


class Replay:
    """A replay. `speed` is 1.0 for the recorded speed, None for as fast as possible.

    `printer` gets the messages if the configuration has no server.
    """

    def __init__(self, recorded: Recorded, config: Config, speed: float | None, printer: Printer) -> None:
        self._recorded = recorded
        self._config = config
        self._speed = speed
        self._redactor = verified_redactor(config.secrets)
        self._journal = Journal.open(
            None,
            Envelope(config.container_id, ulid(time.time(), os.urandom(10))),
            limits=config.limits,
            limit=config.journal_limit,
            message_limit=config.message_limit,
            redact=self._redactor.json,
            now=time.time,
        )
        self._progress = Progress(len(recorded.steps))
        self._printer = printer
        watched = config.ws_server is None and printer.for_people
        self._on_terminal = sys.stderr.isatty() and not (watched and sys.stdout.isatty())
        write = _nowhere if watched else self._progress.say_above if self._on_terminal else None
        self._console = _CountingConsole(
            "error" if write else "warn", limits=config.limits, redact=self._redactor.text, write=write
        )
        #: The sentence at the end, once there is one.
        self._verdict = ""
        #: Why stdout takes no more, if that is so; then these end the replay.
        self._unprinted: OSError | None = None
        self._interrupt: Callable[[], None] = lambda: None
        self._give_up: Callable[[str], None] = lambda reason: None

    async def run(self) -> int:
        """Play the run. Returns its exit status, or 70 where it differs from the recorded one.

        Cancelling: safe; the replay ends.
        """
        play = self._play_messages if self._recorded.kind == "journal" else self._play_run
        try:
            exit = 0
            async with trio.open_nursery() as nursery:
                self._give_up = nursery.cancel_scope.cancel
                if self._on_terminal:
                    nursery.start_soon(self._progress.draw, self._config.limits.replay_progress)
                if self._config.ws_server is None:
                    nursery.start_soon(self._print_forever)
                exit = await play()
                nursery.cancel_scope.cancel("played")
            if self._unprinted is not None:
                raise AgentError(f"stdout takes no more: {self._unprinted.strerror}", exit=Exit.UNDELIVERED)
            return exit
        finally:
            self._printer.close()
            self._console.close()
            if self._verdict:
                print(f"agent replay: {self._verdict}", file=sys.stderr)

    async def _print_forever(self) -> None:
        """Without a server, print each message as soon as it is journalled. Cancelling: the way to end it."""
        while True:
            self._print_new()
            await self._journal.pulse.wait()

    def _print_new(self) -> None:
        journal = self._journal
        while records := journal.read(journal.confirmed_seq, 1 << 30, 1 << 30):
            if self._unprinted is None:
                self._print([record.message for record in records])
            journal.confirm(records[-1].seq)

    def _print(self, messages: Sequence[bytes]) -> None:
        """Print to stdout. The replay ends where nobody reads any more, or the disk is full."""
        try:
            self._printer.print(messages)
        except OSError as error:
            self._unprinted = error
            self._interrupt()
            self._give_up("stdout takes no more")

    # --- a recording or a transcript

    async def _play_run(self) -> int:
        """Play a recording or a transcript through the whole pipeline, in place of the world."""
        config, journal = self._config, self._journal
        work = PlayedWork(config, self._redactor, self._recorded.told)
        inbox = Inbox()
        waits = RecordedWaits([step.inbox for step in self._recorded.steps if step.inbox is not None])
        patience = config.server_wait + config.limits.replay_patience
        player = Player(
            self._recorded.steps,
            work,
            inbox.post,
            room=lambda: journal.size < config.limits.replay_ahead_bytes,
            speed=self._speed,
            patience=patience,
            progress=self._advance,
            end_wait=waits.end,
        )
        self._interrupt = player.interrupt
        asked = self._recorded.asked
        reporter = Reporter(config, journal, self._console, work.vital_signs, "replay")
        link = Link(config, journal, reporter, inbox.post)
        supervisor = Supervisor(
            config,
            work,
            reporter,
            link.sender,
            inbox,
            listen=signals.listen,
            write_health=lambda: None,
            emergency_exit=lambda number: os._exit(128 + number),
            observe=player.observe,
            absence=lambda question: 0.0 if question.id in asked else math.inf,
            waits=waits,
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(player.run)
            outcome = await supervisor.run()
            nursery.cancel_scope.cancel("the run is over")
        if config.ws_server is None:
            self._print_new()
        exit = reporter.finish(outcome)
        if player.interrupted:
            return exit
        summary, logs = work.claude.summary, self._console.logs
        result = None if summary.last_result is None else result_fields(summary.last_result, summary)
        found = {
            "exit code": int(outcome.exit),
            "reason": outcome.reason,
            "lines told to claude": work.claude.told,
            **{name: logs[source] for name, source in _COUNTED.items()},
            "result": msgspec.json.decode(msgspec.json.encode(result)),
        }
        return self._compare(found, exit)

    def _advance(self) -> None:
        self._progress.done += 1

    def _compare(self, found: Mapping[str, Any], exit: int) -> int:
        recorded = self._recorded
        expected: dict[str, Any] = {}
        if recorded.outcome is not None:
            expected |= {"exit code": recorded.outcome.exit, "reason": recorded.outcome.reason}
        if recorded.told is not None:
            expected["lines told to claude"] = len(recorded.told)
        if recorded.logs is not None:
            expected |= {name: recorded.logs.get(source, 0) for name, source in _COUNTED.items()}
            for name in _SELDOM:
                if not (expected[name] or found[name]):
                    del expected[name]  # most runs have none
        if recorded.complete is not None:
            expected["result"] = then = recorded.complete.get("result")
            if isinstance(then, dict) and found["result"] is not None:
                # The agent that made the recording may be older than a field.
                found = {**found, "result": {name: found["result"].get(name) for name in then}}
        different = [
            f"{name}: {found[name]!r} now, {then!r} then" for name, then in expected.items() if found[name] != then
        ]
        if different:
            self._verdict = f"not as recorded: {'; '.join(different)}"
            return int(Exit.INTERNAL)
        compared = f"{', '.join(expected)} as recorded" if expected else "nothing is recorded to compare it with"
        self._verdict = f"exit {exit}; {compared}"
        return exit

    # --- a journal

    async def _play_messages(self) -> int:
        """Send the messages of a journal, numbered anew, as those of a new run."""
        config, journal = self._config, self._journal
        async with trio.open_nursery() as nursery:
            if config.ws_server is not None:
                nursery.start_soon(partial(self._sender().run, config.server_wait))
            began = trio.current_time()
            for step in self._recorded.steps:
                if self._speed is not None:
                    await trio.sleep_until(began + step.t / self._speed)
                while journal.size > config.limits.replay_ahead_bytes:
                    await trio.sleep(config.limits.replay_progress)
                if step.message is not None:
                    journal.append([step.message])
                self._advance()
                await trio.lowlevel.checkpoint()
            while journal.queued:
                await trio.sleep(config.limits.replay_progress)
            nursery.cancel_scope.cancel("everything is delivered")
        exit = int((self._recorded.complete or {}).get("exitCode", 0))
        self._verdict = f"exit {exit}; {self._progress.done} messages as recorded"
        return exit

    def _sender(self) -> Sender:
        config = self._config
        listener = Listener(notice=self._console.say)
        return Sender(self._journal, endpoint_of(config), config.limits, listener, rng=random.SystemRandom())
