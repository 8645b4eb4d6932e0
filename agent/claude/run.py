"""A claude process with its pipes: the conversation in, output out, and how it is stopped."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import trio

from agent.claude import watchdog
from agent.claude.conversation import Conversation
from agent.claude.output import ClaudeOutput
from agent.claude.pieces import Pieces
from agent.claude.program import cannot_run
from agent.claude.watchdog import Bark
from agent.config import Config
from agent.exits import ExitStatus
from agent.process import Command, Patience, Stdio, open_output_pipe, run_process
from agent.redaction import Redactor

Tap = Callable[[trio.abc.ReceiveStream, Literal["stdout", "stderr"]], trio.abc.ReceiveStream]


class LocalClaude(ClaudeOutput):
    """The claude of a run on this machine. Each coroutine is a task of its own, and none knows of the others."""

    def __init__(
        self,
        config: Config,
        command: Command,
        private: Path,
        redactor: Redactor,
        *,
        transcribe: Callable[[bytes], None] | None = None,
        pieces: Pieces | None = None,
        tap: Tap | None = None,
        told: Callable[[bytes], None] | None = None,
    ) -> None:
        """Open the pipes; no process is started yet. Raises OSError.

        Args:
            private: the directory where the pipe of the conversation is made.
            transcribe: takes the redacted lines of each read of stdout, and must not raise.
            pieces: takes the pieces of messages that claude is writing.
            tap: gives a stream in place of each output pipe, for a recording to listen in.
            told: gets each line that claude is told after its task, for a recording too.
        """
        limits = config.limits
        self._config = config
        self._command = command
        #: Control requests about the usage.
        self._asked = 0
        self._conversation = Conversation(config.task, private, limits, told)
        stdout, stdout_end = open_output_pipe(limits.pipe_bytes)
        stderr, stderr_end = open_output_pipe(limits.pipe_bytes)
        self._stdio = Stdio(self._conversation.read_end, stdout_end, stderr_end)
        super().__init__(
            stdout if tap is None else tap(stdout, "stdout"),
            stderr if tap is None else tap(stderr, "stderr"),
            redactor,
            limits,
            transcribe,
            pieces,
        )

    async def run(self, patience: Patience) -> ExitStatus:
        """Run claude to its end. Raises CliError if it cannot be executed, Unkillable if it cannot be ended.

        Cancelling: is the request to stop; the exit status is returned all the same (run_process).
        """
        limits, grace = self._limits, self._config.kill_grace
        asked = min(limits.ask_grace, limits.ask_share * grace)
        polite = min(limits.interrupt_grace, grace - asked)
        try:
            return await run_process(
                self._command,
                self._stdio,
                # claude is asked first: a SIGINT while it waits for the API ends it without a result, so without a
                # bill. Otherwise it answers a SIGINT with one, too.
                stop=[
                    (self._conversation.stop, asked),
                    (signal.SIGINT, polite),
                    (signal.SIGTERM, grace - asked - polite),
                ],
                patience=patience,
                limits=self._limits,
            )
        except OSError as error:
            raise cannot_run(self._command.argv[0], error) from error
        finally:
            self._conversation.hang_up()

    async def feed(self) -> None:
        """Write the task, and whatever claude is told later, until `hang_up` or claude's end.

        Cancelling: safe; claude sees the end of its input.
        """
        await self._conversation.feed()

    def tell(self, *lines: bytes) -> bool:
        """Hand lines to claude, all or none; False if its input is closed, or too much of it is waiting."""
        return self._conversation.tell(*lines)

    def hang_up(self) -> None:
        """Close claude's input: it ends once it has nothing left to do."""
        self._conversation.hang_up()

    async def poll(self) -> None:
        """Ask claude now and then what the run has cost and how full its context is; the answers are in `summary`.

        Cancelling: safe.
        """
        conversation = self._conversation
        while conversation.open:
            await trio.sleep(self._limits.usage_interval)
            # One question at a time: a claude that does not answer is not asked again.
            if self.replies == self._asked:
                cost = conversation.request("get_session_cost")
                questions = cost, conversation.request("get_context_usage", detail="summary")
                self._asked += len(questions) if conversation.tell(*questions) else 0

    async def watch(self) -> Bark:
        """Return as soon as there is a reason to end claude.

        Cancelling: safe; a run that goes well ends it so.
        """
        return await watchdog.watch(
            self.activity,
            lambda: self.summary,
            idle_timeout=self._config.idle_timeout,
            result_grace=self._config.result_grace,
            limits=self._limits,
        )
