"""Whole runs in one process on the mock clock: the real supervisor, journal and sender between scripted ends."""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import trio
from trio_websocket import WebSocketConnection

from agent.config.config import Config
from agent.config.load import load
from agent.journal.journal import Journal
from agent.limits import Limits
from agent.outcome.verdict import Outcome
from agent.protocol.events import Envelope
from agent.redaction.redactor import Redactor
from agent.report.console import Console
from agent.report.reporter import Reporter
from agent.run.inbox import Inbox
from agent.run.link import Link
from agent.run.supervisor import Supervisor
from tests.support.memory_claude import MemoryClaude, MemoryWork, working
from tests.support.peer import Peer

Deliver = Callable[[int], None]


def configuration(**environ: str) -> Config:
    usual = {"REPO_URL": "https://example.com/r.git", "TASK": "Fix it", "WS_SERVER": "ws://server", "HOME": "/nowhere"}
    return load({**usual, **environ}, in_container=True)


class ThirdSignal(BaseException):
    """In place of the end of the process."""


@dataclass
class Finished:
    """What a run came to."""

    outcome: Outcome
    exit: int
    peer: Peer
    work: MemoryWork
    #: Mock seconds.
    seconds: float
    last_line: str
    undelivered: int

    @property
    def stored(self) -> list[dict[str, Any]]:
        return self.peer.stored


async def whole_run(
    *,
    config: Config | None = None,
    claude: Callable[[Config], MemoryClaude] = working,
    serve: Callable[[Peer, WebSocketConnection, int], Awaitable[None]] = Peer.take_all,
    reach: Callable[[Deliver], None] = lambda deliver: None,
    journal_dir: Path | None = None,
) -> Finished:
    """One run; a bug in the supervisor is raised.

    `reach` gets the function that delivers a stop signal, once the run listens.
    """
    config = config or configuration()
    said: list[bytes] = []
    console = Console(limits=Limits(), write=said.append)
    envelope = Envelope("container", "RUN")
    journal = Journal.open(
        journal_dir, envelope, limits=config.limits, limit=config.journal_limit, message_limit=config.message_limit,
        redact=Redactor(config.secrets).json, now=lambda: 0.0, followed=config.ws_server is not None,
    )  # fmt: skip
    work = MemoryWork(config, claude)
    reporter = Reporter(config, journal, console, work.vital_signs, "session", lambda: 0.0)
    began = trio.current_time()

    async def listen(deliver: Deliver) -> None:
        reach(deliver)
        await trio.sleep_forever()

    def leave(number: int) -> None:
        raise ThirdSignal

    async with trio.open_nursery() as nursery:
        peer = Peer(nursery)
        peer.serve = partial(serve, peer)
        inbox = Inbox()
        link = Link(config, journal, reporter, inbox.post, open_stream=peer.open_stream, rng=random.Random(0))
        supervisor = Supervisor(
            config, work, reporter, link.sender, inbox, listen=listen, write_health=lambda: None, emergency_exit=leave
        )
        outcome = await supervisor.run()
        exit = reporter.finish(outcome)
        seconds = trio.current_time() - began
        await trio.testing.wait_all_tasks_blocked()  # the peer reads what is still under way
        nursery.cancel_scope.cancel("the run is over")
    undelivered = journal.queued
    journal.remove()
    return Finished(outcome, exit, peer, work, seconds, said[-1].decode(), undelivered)


def agree(finished: Finished) -> None:
    """COMPLETE is the last of an unbroken row, and everything tells the same."""
    stored = finished.stored
    assert [message["seq"] for message in stored] == list(range(1, len(stored) + 1))
    complete, status = stored[-1], [message for message in stored if message["type"] == "STATUS"][-1]
    assert complete["type"] == "COMPLETE", complete
    assert complete["data"]["exitCode"] == finished.exit == finished.outcome.exit
    assert complete["data"]["reason"] == status["data"]["reason"] == finished.outcome.reason
    assert status["data"]["status"] == ("failed" if finished.exit else "completed")
    assert f"exit {finished.exit} ({finished.outcome.reason})" in finished.last_line
    assert finished.undelivered == 0
    assert json.dumps(stored).count('"exitCode"') == 1
