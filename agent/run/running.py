"""The running of claude: its tasks, from the pipes that it is given to its exit status.

Synchronous but for what its tasks do. The supervisor brings it the ends of these tasks.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from agent.config import Config
from agent.exits import ExitStatus
from agent.process import Patience
from agent.report import Reporter
from agent.repository import Cloned
from agent.run.inbox import Heard
from agent.run.lifetime import Lifetimes
from agent.run.tasks import Start, TaskName
from agent.run.work import ClaudeRun, Work


class Running:
    """The claude of one run.

    Args:
        start: starts a task in a lifetime.
        hear: takes what claude says to the run to the supervisor's inbox.
    """

    def __init__(
        self,
        config: Config,
        work: Work,
        reporter: Reporter,
        lives: Lifetimes,
        start: Start,
        hear: Callable[[Heard], None],
    ) -> None:
        self._limits = config.limits
        self._work = work
        self._reporter = reporter
        self._lives = lives
        self._start = start
        self._hear = hear
        #: None until its pipes are open.
        self.run: ClaudeRun | None = None
        #: None while it has not ended.
        self.status: ExitStatus | None = None
        #: It has its result, and did not end in RESULT_GRACE.
        self.lingered = False
        self._said_all = trio.Event()

    @property
    def ended(self) -> bool:
        """Whether nothing can be told it any more: it has ended, or is as good as that."""
        return self.status is not None or self.lingered

    def prepare(self, cloned: Cloned | None) -> None:
        """Open the pipes, once: a claude that goes on after a wait or a verification is the same one."""
        if self.run is None:
            # As a task, so that a full disk is a fault of the run and not of the supervisor.
            self._start(self._lives.work, TaskName.BEGIN, lambda: self._begin(cloned))

    def begin(self, run: ClaudeRun, patience: Patience) -> None:
        """Start the process with its readers, even if the run is to stop at once: it closes the pipes' other ends."""
        publish, lives = self._reporter.publish, self._lives
        self.run = self._reporter.run = run
        run.listen(lambda said: self._hear(Heard(said)))
        self._start(lives.output, TaskName.STDOUT, lambda: self._read_stdout(run))
        self._start(lives.output, TaskName.STDERR, lambda: run.read_stderr(publish))
        self._start(lives.work, TaskName.CLAUDE, lambda: run.run(patience))
        # It ends with claude, not when the work is cancelled: a stop begins with a word to claude.
        self._start(lives.output, TaskName.PROMPT, run.feed)
        self._start(lives.vitals, "vitals:usage", run.poll)
        self._start(lives.work, TaskName.WATCHDOG, run.watch)

    def replace_reader(self, task: str) -> None:
        """Read on in place of this task, if it was a reader and has failed."""
        publish, run = self._reporter.publish, self.run
        if run is not None and task == TaskName.STDOUT:
            self._start(self._lives.output, "drain:stdout", lambda: run.drain_stdout(publish))
        elif run is not None and task == TaskName.STDERR:
            self._start(self._lives.output, "drain:stderr", lambda: run.drain_stderr(publish))

    async def wait_for_the_rest(self) -> None:
        """Wait for the last lines of a claude that has ended: its result may be among them. Cancelling: safe."""
        with trio.move_on_after(self._limits.drain):
            await self._said_all.wait()

    async def _begin(self, cloned: Cloned | None) -> ClaudeRun:
        if cloned is None:
            raise AssertionError("RUNNING follows a clone")
        return self._work.begin(cloned, self._reporter.publish)

    async def _read_stdout(self, run: ClaudeRun) -> None:
        try:
            await run.read_stdout(self._reporter.publish)
        finally:
            self._said_all.set()
