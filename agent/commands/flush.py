"""`agent flush DIR`: delivers the journals of dead runs, and completes those that have no COMPLETE."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import trio

from agent import signals
from agent.arguments import ArgumentParser
from agent.config import Config, Renewal, examine
from agent.delivery import Listener, Sender
from agent.errors import AgentError, ConfigError, ServerUnreachable, first_leaf
from agent.exits import Exit
from agent.files import remove_stale
from agent.journal import Journal, is_run
from agent.redaction import verified_redactor
from agent.run import deliver, endpoint_of, open_orphan, troubles


def parser() -> ArgumentParser:
    """Return the parser of its command line."""
    parser = ArgumentParser(
        prog="agent flush",
        description="Delivers dead runs to the server of WS_SERVER, with WS_TOKEN and WS_CA_FILE as for `agent run`. "
        "It must answer within SERVER_WAIT.",
        epilog="exit status: 0 when everything is delivered, 69 when something is not, 64 when the command line is "
        "wrong, 78 when it cannot do as it was told.",
    )
    parser.add_argument(
        "directory",
        type=Path,
        metavar="DIR",
        help="the directory of one dead run (JOURNAL_DIR/<runID>), or a JOURNAL_DIR: then all dead runs in it",
    )
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command: print a line for each run on stderr. Returns the exit status."""
    directory: Path = parser().parse_args(argv).directory
    try:
        config = _configuration(os.environ, dotenv=Path.cwd() / ".env")
        return trio.run(Flush(config).run, directory)
    except AgentError as error:
        print(f"agent flush: {error}", file=sys.stderr)
        return int(error.exit)


def _runs(directory: Path) -> list[Path]:
    """Find the runs: `directory` itself, or all runs in it, oldest first."""
    try:
        return [directory] if is_run(directory) else sorted(path for path in directory.iterdir() if is_run(path))
    except OSError as error:
        raise AgentError(f"{directory} cannot be read: {error.strerror}", exit=Exit.CONFIG) from None


def _configuration(environ: Mapping[str, str], *, dotenv: Path) -> Config:
    """Load the server's variables; those of a task may be missing or wrong.

    Raises:
        ConfigError: the server's variables have problems, or there is no server.
    """
    config, problems = examine(environ, dotenv=dotenv, in_container=False)
    ours = [problem for problem in problems if problem.startswith(("WS_", "SERVER_WAIT", ".env"))]
    if not ours and config.ws_server is None:
        ours = ["WS_SERVER: is none, but something must receive what is delivered; for example wss://runs.example.com"]
    if ours:
        raise ConfigError(ours)
    return config


class Flush:
    """Delivers dead runs to one server, one after the other."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._endpoint = endpoint_of(config)
        self._redactor = verified_redactor(config.secrets)
        #: The reason why the server takes nothing. The next run need not wait for it again.
        self._trouble = ""

    async def run(self, directory: Path) -> int:
        """Deliver the run in `directory`, or all dead ones in the directories below; returns the exit status.

        What dead runs left in TMPDIR goes as well.

        Cancelling: safe, what is not confirmed stays; a stop signal does the same.
        Raises AgentError: `directory` cannot be read.
        """
        paths = _runs(directory)
        if not paths:
            self._say(f"{directory} holds no run")
        await remove_stale(self._config.limits.stale_removal)

        async def _flush() -> int:
            delivered = [await self._flush(path, alone=path == directory) for path in paths]
            return int(Exit.SUCCEEDED if all(delivered) else Exit.SERVER_UNREACHABLE)

        return await signals.run_until_stopped(_flush)

    async def _flush(self, path: Path, *, alone: bool) -> bool:
        """Deliver a run. A live run is a failure only if it was named `alone`, since its agent delivers it."""
        if self._trouble:
            self._say(f"{path.name}: not delivered, see above")
            return False
        try:
            journal = await open_orphan(path, self._config.limits)
        except BlockingIOError:
            self._say(f"{path.name}: left alone, its agent is alive or somebody else delivers it")
            return not alone
        except (OSError, ValueError) as error:
            self._say(f"{path.name}: not delivered, it cannot be read: {error}")
            return False
        count = journal.queued
        trouble = "interrupted"
        try:
            await self._deliver(journal)
            trouble = ""
        except* AgentError as group:
            trouble = self._trouble = str(first_leaf(group))
        finally:
            more = troubles(journal)
            if trouble:
                self._say(f"{path.name}: {journal.queued} of {count} messages not delivered: {trouble}{more}")
            else:
                self._say(f"{path.name}: {count} messages delivered{more}")
        return not trouble

    async def _deliver(self, journal: Journal) -> None:
        config = self._config
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_watch, journal, config.limits.flush_stall)

            def begins(sender: Sender) -> None:
                if "WS_TOKEN" in config.renewable:
                    nursery.start_soon(self._renew, sender)

            await deliver(journal, self._endpoint, config.limits, Listener(), config.server_wait, begins)
            nursery.cancel_scope.cancel("delivered")

    async def _renew(self, sender: Sender) -> None:
        """Show the server each new value of WS_TOKEN_FILE. Cancelling: safe."""
        config = self._config
        renewal = Renewal({"WS_TOKEN": config.renewable["WS_TOKEN"]}, {"WS_TOKEN": config.ws_token}, config.limits)
        while True:
            found = await trio.to_thread.run_sync(renewal.look, abandon_on_cancel=True)
            if token := found.get("WS_TOKEN"):
                self._redactor.learn(found)
                self._endpoint = self._endpoint.with_token(token)
                sender.renew(token)
            await trio.sleep(config.limits.renewal_interval)

    def _say(self, text: str) -> None:
        print(f"agent flush: {self._redactor.text(text)}", file=sys.stderr)


async def _watch(journal: Journal, within: float) -> None:
    """Give up a server that confirms nothing for so long, so that the command ends.

    Cancelling: safe.
    """
    confirmed = -1
    while journal.confirmed_seq > confirmed:
        confirmed = journal.confirmed_seq
        await trio.sleep(within)
    raise ServerUnreachable(f"the server has confirmed nothing for {within:g} s")
