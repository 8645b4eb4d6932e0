"""`agent run`: reads the configuration, and puts the parts of a run together."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from agent import signals
from agent.commands.last_resort import answer_alone, answer_for, leave
from agent.config import Config, examine, in_container
from agent.errors import ConfigError
from agent.files import is_in_memory
from agent.journal import Journal
from agent.limits import MIB
from agent.marks import is_ascii, moves, wants_color
from agent.outcome import Cause, CauseKind
from agent.process import hardening
from agent.protocol import Envelope, ulid
from agent.redaction import Redactor, Unprotected, verified_redactor
from agent.replay import Recording
from agent.report import (
    Console,
    Reporter,
    redact_uncaught,
)
from agent.run import Inbox, Link, LocalWork, Supervisor, salvage_all
from agent.vitals import HealthFile, cgroup

if TYPE_CHECKING:
    from agent.arguments import ArgumentParser


def parser() -> ArgumentParser:
    """Return the parser of its command line."""
    from agent.arguments import ArgumentParser  # which a run does without

    return ArgumentParser(
        prog="agent run",
        description="Runs one task. It takes no arguments: environment variables and .env describe the task, and "
        "`agent variables` explains them.",
        epilog="exit status: that of the run; docs/operations.md lists them all. 64 when the command line is wrong.",
    )


def main(argv: Sequence[str] = ()) -> int:
    """Run the task that the environment and `.env` describe. Returns the exit status."""
    if argv:
        parser().parse_args(argv)
    redact_uncaught(None)
    config, problems = examine(os.environ, dotenv=Path.cwd() / ".env", in_container=in_container(os.environ))
    hardening.keep_freed_memory(config.limits.heap_spare_bytes, config.limits.heap_block_bytes)
    try:
        redactor = verified_redactor(config.secrets)
    except Unprotected as error:  # the run only says so, in words that the substitute can take the secrets out of
        redactor, problems = error.substitute, (*problems, *error.problems)
    redact_uncaught(redactor.text)
    console = Console(
        config.log_level,
        limits=config.limits,
        as_json=config.log_format == "json",
        terminal=os.isatty(2),
        color=wants_color(os.environ),
        columns=_columns,
        ascii_only=is_ascii(os.environ),
        redact=redactor.text,
    )
    try:
        return trio.run(partial(_run, config, problems, redactor, console))
    except Exception as error:  # before there was a reporter
        return answer_alone(error, config, console)
    finally:
        signals.ignore()
        console.close()


def _columns() -> int:
    try:
        return os.get_terminal_size(2).columns
    except OSError:
        return 0


async def _run(config: Config, problems: tuple[str, ...], redactor: Redactor, console: Console) -> int:
    hardening.clear_inherited_signals()
    with contextlib.ExitStack() as stack:
        fault = _configuration_fault(problems) if problems else None
        _harden(console)
        envelope = Envelope(config.container_id, ulid(time.time(), os.urandom(10)))
        recording, record_fault = _open_recording(config, envelope, redactor, console)
        keep = recording.journal if recording else None
        journal, journal_fault = _open_journal(config, envelope, redactor, console, keep)
        stack.callback(close_journal, journal)
        try:
            work = LocalWork(config, redactor, envelope.run_id, recording)
            stack.callback(work.close)
            reporter = Reporter(config, journal, console, work.vital_signs, work.session_id)
            if recording is not None:
                stack.callback(lambda: recording.close(reporter.outcome))
            health = HealthFile(config.health_file, lambda text: reporter.log("warn", text))
            stack.callback(health.remove)
            inbox = Inbox()
            link = Link(config, journal, reporter, inbox.post)
            work.renew_ws_token = link.renew
            work.pass_on = link.pass_on
            if config.log_format == "text" and os.isatty(2) and moves(os.environ):
                from agent.commands.live_row import LiveRow

                row = LiveRow(config, redactor.text, color=wants_color(os.environ), ascii_only=is_ascii(os.environ))
                row.follow(reporter, work.vital_signs)
                console.show_below(row)
            supervisor = Supervisor(
                config,
                work,
                reporter,
                link.sender,
                inbox,
                listen=signals.listen,
                write_health=partial(_write_health, health, reporter),
                emergency_exit=partial(leave, work, reporter, console, stack),
                fault=fault or journal_fault or record_fault,
                salvage=partial(salvage_all, config, link.endpoint, reporter, link.keep_renewed)
                if link.endpoint
                else None,
                observe=recording.observe if recording else None,
            )
            for warning in config.warnings:
                reporter.log("warn", warning)
            if redactor.skipped:
                names = ", ".join(redactor.skipped)
                reporter.log("warn", f"too short or too ordinary to be hidden in the output: {names}", kind="redaction")
        except Exception as error:
            return answer_alone(error, config, console, journal)
        try:
            outcome = await supervisor.run()
        except Exception as bug:
            outcome = await answer_for(bug, work, reporter, link)
        return reporter.finish(outcome)


def _salvage(config: Config, link: Link, reporter: Reporter) -> Callable[[], Awaitable[None]] | None:
    return partial(salvage_all, config, link.endpoint, reporter, link.keep_renewed) if link.endpoint else None


def _write_health(health: HealthFile, reporter: Reporter) -> None:
    health.write(reporter.health())
    reporter.warn_of_journal()  # a look each second is soon enough


def _configuration_fault(problems: tuple[str, ...]) -> Cause:
    error = ConfigError(problems)
    message = "the configuration has problems: " + "; ".join(problems)
    return Cause(CauseKind.FAULT, error.exit, error.code, "config", message, error.details)


def _harden(console: Console) -> None:
    for step in (hardening.become_subreaper, hardening.harden_self):
        try:
            step()
        except OSError as error:
            console.say("warn", f"{step.__name__} is not possible here: {error.strerror}")


def _open_recording(
    config: Config, envelope: Envelope, redactor: Redactor, console: Console
) -> tuple[Recording | None, Cause | None]:
    """Open the recording, if one is wanted. The Cause is set where that is impossible."""
    if config.record_dir is None:
        return None, None
    complain = partial(console.say, "warn")
    try:
        return Recording(config.record_dir, envelope.run_id, config, redactor, complain), None
    except OSError as error:
        trouble = f"RECORD_DIR: {config.record_dir} cannot be written ({error.strerror})"
        return None, _configuration_fault((f"{trouble}; for example /record, writable by this user",))


def _open_journal(
    config: Config, envelope: Envelope, redactor: Redactor, console: Console, keep: Path | None
) -> tuple[Journal, Cause | None]:
    """Open the journal. The Cause is set where JOURNAL_DIR was given and cannot be used."""
    make = partial(
        Journal.open, envelope=envelope, limits=config.limits, message_limit=config.message_limit,
        redact=redactor.json, now=time.time, keep=keep,
        followed=config.ws_server is not None,
    )  # fmt: skip
    try:
        return make(config.journal_dir, limit=_journal_limit(config)), None
    except OSError as error:
        trouble = f"JOURNAL_DIR: {config.journal_dir} cannot be written ({error.strerror})"
    journal = make(None, limit=config.journal_limit)
    if config.is_set("JOURNAL_DIR"):
        return journal, _configuration_fault((f"{trouble}; for example /var/lib/agent-journal, writable by this user",))
    held = config.limits.memory_journal_bytes // MIB
    console.say("warn", f"{trouble}: at most {held} MiB of undelivered output are held in memory")
    return journal, None


def _journal_limit(config: Config) -> int:
    """JOURNAL_LIMIT; where the journal lies in memory (tmpfs), at most a share of the container's memory."""
    group = cgroup.find()
    limit = group.usage().memory_limit if group else None
    if limit is None or config.is_set("JOURNAL_LIMIT") or not is_in_memory(config.journal_dir):
        return config.journal_limit
    return min(config.journal_limit, int(limit * config.limits.tmpfs_share))


def close_journal(journal: Journal) -> None:
    """Remove the journal, or keep it on the disk if something is undelivered."""
    if journal.queued:
        journal.close()
    else:
        journal.remove()
