"""The connection of a run to its server: the sender, and how what it hears reaches the supervisor."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import trio

from agent.config import Config
from agent.delivery import Endpoint, Listener, OpenStream, Sender
from agent.journal import Journal
from agent.protocol import Cancel, Command, events, timestamp
from agent.report import Reporter
from agent.run.inbox import Answered, CancelRequested, Commanded, Connected, Report


def endpoint_of(config: Config) -> Endpoint:
    """WS_SERVER with its token and its certificates, as an address to connect to."""
    ca_file = str(config.ws_ca_file) if config.ws_ca_file else None
    return Endpoint.parse(
        config.ws_server or "", token=config.ws_token, ca_file=ca_file, hint=config.server_hint, environ=config.environ
    )


class Link:
    """The sender of a run and its listener. Without a server there is neither.

    Args:
        post: takes a report to the supervisor's inbox.
    """

    def __init__(
        self,
        config: Config,
        journal: Journal,
        reporter: Reporter,
        post: Callable[[Report], None],
        *,
        open_stream: OpenStream | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.endpoint: Endpoint | None = None
        self.sender: Sender | None = None
        #: The sender of a dead run, which is delivered beside this one.
        self._beside: Sender | None = None
        #: A token that has replaced the first one.
        self._token: str | None = None
        self._asked_to_cancel = False
        self._config = config
        self._envelope = journal.envelope
        self._reporter = reporter
        self._post = post
        if config.ws_server is not None:
            self.endpoint = endpoint_of(config)
            listener = Listener(
                self._connected, self._notice, self._cancel, reporter.heartbeat,
                answered=lambda: post(Answered()), command=self._command,
            )  # fmt: skip
            chance = rng or random.SystemRandom()
            self.sender = sender = Sender(
                journal, self.endpoint, config.limits, listener, open_stream=open_stream, rng=chance
            )
            reporter.server_trouble = lambda: sender.trouble

    def pass_on(self, data: dict[str, Any]) -> None:
        """Show a piece of what is being written to whoever watches now. `data` is that of a PREVIEW."""
        if self.sender is not None:
            self.sender.pass_on(self._envelope.preview(data, timestamp(time.time())))

    def renew(self, token: str) -> None:
        """Show this token from the next connection on."""
        self._token = token
        for sender in (self.sender, self._beside):
            if sender is not None:
                sender.renew(token)

    def keep_renewed(self, sender: Sender) -> None:
        """Give the sender of a dead run the token in use, and each later one. Only one such sender is alive."""
        self._beside = sender
        if self._token is not None:
            sender.renew(self._token)

    def _connected(self, up: bool) -> None:
        first = self._reporter.connected is None
        self._reporter.connected = up
        if up:
            self._post(Connected(first))
        else:
            self._reporter.lost_at = trio.current_time()

    def _notice(self, level: events.Level, message: str) -> None:
        self._reporter.notice(level, message)

    def _cancel(self, request: Cancel) -> None:
        if request != Cancel(self._envelope.container_id, self._envelope.run_id):
            return
        if self._config.allow_remote_cancel:
            self._post(CancelRequested())
        elif not self._asked_to_cancel:
            self._asked_to_cancel = True  # once, or a server could fill the journal
            self._reporter.notice("warn", "the server asked to cancel this run; ALLOW_REMOTE_CANCEL=1 would obey it")

    def _command(self, command: Command) -> None:
        if (command.container_id, command.run_id) == (self._envelope.container_id, self._envelope.run_id):
            self._post(Commanded(command))
