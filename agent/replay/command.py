"""`agent replay PATH`: plays a recording, a transcript or a journal again (docs/replay.md)."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import trio

from agent import signals
from agent.arguments import ArgumentParser
from agent.config import Config, examine
from agent.errors import AgentError, ConfigError, first_leaf
from agent.exits import Exit
from agent.limits import KIB
from agent.replay import standin
from agent.replay.load import Recorded, load, transcript_of

#: Variables that are taken from the recorded configuration: they identify the run, or say what it obeyed. The rest is
#: the replay's own.
_IDENTITY = (
    "REPO_URL", "REPO_REF", "TASK", "LABELS", "CONTAINER_ID", "LOG_LEVEL", "ALLOW_STEERING", "ALLOW_REMOTE_CANCEL",
    "ASK", "ASK_TIMEOUT",
)  # fmt: skip
_UNKNOWN = {"REPO_URL": "https://recorded.invalid/repository"}
#: Variables whose problems concern a replay.
_OURS = ("WS_", "SERVER_", "LOG_", "MESSAGE_LIMIT", "STRICT_DELIVERY")
#: Seconds. The recording says what ended the run; no limit of the replay may end it.
_FOR_EVER = 10 * 365 * 86400.0


def main(argv: Sequence[str]) -> int:
    """Run the command. Returns the exit status of the run that is played, 70 if it is not that of the recorded one."""
    own = parser()
    options, rest = own.parse_known_args(list(argv))
    if rest and not options.as_claude:
        own.error(f"unrecognized arguments: {' '.join(rest)}")
    signals.let_kill()  # until there is a run to end
    try:
        if options.install is not None or options.as_claude:
            return _stand_in(options, rest)
        recorded = load(options.path, partial=options.partial)
        config = _configuration(
            recorded, options.server, f"replay of {options.path.name or options.path.absolute().name}"
        )
        from agent.replay.printing import JsonPrinter, PersonPrinter  # what a claude stand-in does without
        from agent.replay.replay import Replay

        printer = JsonPrinter() if options.json else PersonPrinter(config.limits)
        return trio.run(Replay(recorded, config, options.speed, printer).run)
    except BaseExceptionGroup as group:
        error = first_leaf(group)
        if not isinstance(error, AgentError):
            raise
        return _refuse(error)
    except AgentError as error:
        return _refuse(error)
    except OSError as error:
        print(f"agent replay: {error.filename or options.path}: {error.strerror}", file=sys.stderr)
        return int(Exit.CONFIG)


def _refuse(error: AgentError) -> int:
    print(f"agent replay: {error}", file=sys.stderr)
    return int(error.exit)


def parser() -> ArgumentParser:
    """Return the parser of its command line."""
    parser = ArgumentParser(
        prog="agent replay",
        description="Plays a recording, a transcript or a journal again (docs/replay.md).",
        allow_abbrev=False,
    )
    parser.add_argument("path", metavar="PATH", type=Path, help="a directory in RECORD_DIR or JOURNAL_DIR, or a file")
    parser.add_argument("--server", help="where to send it (WS_SERVER); without either it is shown here")
    parser.add_argument("--json", action="store_true", help="print the messages as JSON, one per line, for programs")
    parser.add_argument("--speed", type=_speed, default=1.0, help="2 is twice as fast, max as fast as possible (1)")
    parser.add_argument("--partial", action="store_true", help="play what is there of a run that is cut off")
    parser.add_argument("--as-claude", action="store_true", help="be the claude of that run: output and exit status")
    parser.add_argument("--perform-edits", action="store_true", help="as claude: write the files that it wrote then")
    parser.add_argument("--install", type=Path, metavar="FILE", help="make FILE such a claude, for CLAUDE_BIN")
    return parser


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number above 0 nor max; for example 10")
    return speed


def _stand_in(options: argparse.Namespace, rest: Sequence[str]) -> int:
    transcript = transcript_of(options.path)
    if options.install is not None:
        standin.install(options.install, transcript, speed=options.speed, perform_edits=options.perform_edits)
        return 0
    if "--version" in rest:
        print(standin.version(transcript))
        return 0
    return standin.play(transcript, speed=options.speed, perform_edits=options.perform_edits)


def _configuration(recorded: Recorded, server: str | None, title: str) -> Config:
    """Combine the identity of the recorded run with this replay's server.

    Raises:
        ConfigError: the server's variables have problems.
    """
    known = {name: recorded.configuration[name] for name in _IDENTITY if name in recorded.configuration}
    environ = {**os.environ, **_UNKNOWN, "TASK": title, **known}
    environ.pop("TASK_FILE", None)
    environ["WS_SERVER"] = server or environ.get("WS_SERVER") or "none"
    config, problems = examine(environ, in_container=False)
    ours = [problem for problem in problems if problem.startswith(_OURS)]
    if ours:
        raise ConfigError(ours)
    limits = msgspec.structs.replace(
        config.limits,
        drain=_FOR_EVER,
        harvest=_FOR_EVER,
        harvest_after_signal=_FOR_EVER,
        memory_journal_bytes=4 * config.limits.replay_ahead_bytes,
    )
    retries = recorded.configuration.get("VERIFY_RETRIES", "")
    # The messages of a journal were split already, and must not be split again.
    longest = max((len(step.message.data) for step in recorded.steps if step.message is not None), default=0)
    return msgspec.structs.replace(
        config,
        message_limit=max(config.message_limit, longest + KIB) if longest else config.message_limit,
        repo_url=config.repo_url or _UNKNOWN["REPO_URL"],
        task=config.task or title,
        setup_command=recorded.configuration.get("SETUP_COMMAND"),
        verify_command=recorded.configuration.get("VERIFY_COMMAND"),
        verify_retries=int(retries) if retries.isdecimal() else 0,
        timeout=_FOR_EVER,
        idle_timeout=None,
        push_branch=None,
        limits=limits,
    )
