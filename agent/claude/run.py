"""A claude process with its pipes: prompt in, output out, and how it is stopped."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import trio

from agent.claude import prompt, watchdog
from agent.claude.command import cannot_run
from agent.claude.output import ClaudeOutput
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
        tap: Tap | None = None,
    ) -> None:
        """Open the pipes; no process is started yet. Raises OSError.

        Args:
            private: the directory where the pipe of the prompt is made.
            transcribe: takes the redacted lines of each read of stdout, and must not raise.
            tap: gives a stream in place of each output pipe, for a recording to listen in.
        """
        limits = config.limits
        self._config = config
        self._command = command
        self._prompt = prompt.open_prompt(prompt.encode_prompt(config.task), private, limits.pipe_bytes)
        stdout, stdout_end = open_output_pipe(limits.pipe_bytes)
        stderr, stderr_end = open_output_pipe(limits.pipe_bytes)
        self._stdio = Stdio(self._prompt.read_end, stdout_end, stderr_end)
        super().__init__(
            stdout if tap is None else tap(stdout, "stdout"),
            stderr if tap is None else tap(stderr, "stderr"),
            redactor,
            limits,
            transcribe,
        )

    async def run(self, patience: Patience) -> ExitStatus:
        """Run claude to its end. Raises CliError if it cannot be executed, Unkillable if it cannot be ended.

        Cancelling: is the request to stop; the exit status is returned all the same (run_process).
        """
        grace = self._config.kill_grace
        polite = min(self._limits.interrupt_grace, grace)
        try:
            return await run_process(
                self._command,
                self._stdio,
                # SIGINT first: the CLI answers it with a result that carries cost and usage.
                stop=[(signal.SIGINT, polite), (signal.SIGTERM, grace - polite)],
                patience=patience,
                limits=self._limits,
            )
        except OSError as error:
            raise cannot_run(self._command.argv[0], error) from error

    async def feed(self) -> None:
        """Write the rest of the prompt.

        Cancelling: safe; claude sees the end of the prompt.
        """
        await prompt.write_prompt(self._prompt)

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
