"""The order of proof: when VERIFY_COMMAND begins, and where the run goes from its end.

`Proving` knows what the command is asked and what its answer means. Here is which event of the machine follows, and
what claude and operators may do meanwhile. Without a VERIFY_COMMAND claude's end is simply the end of RUNNING.

Synchronous; the supervisor calls it.
"""

from __future__ import annotations

from collections.abc import Callable

from agent.exits import ExitStatus
from agent.protocol import Phase
from agent.report import Reporter
from agent.run.dialogue import Dialogue
from agent.run.machine import Fire, RunMachine
from agent.run.proving import Proving
from agent.run.running import Running
from agent.run.tasks import Task, TaskName
from agent.steps import Finished


class Verifying:
    """The way of one run from claude's result, or from its end, to STOPPING.

    Args:
        fire: brings an event to the machine.
        start: starts a task that ends with the work.
    """

    def __init__(
        self,
        machine: RunMachine,
        fire: Fire,
        running: Running,
        proving: Proving,
        dialogue: Dialogue,
        reporter: Reporter,
        start: Callable[[str, Task], None],
    ) -> None:
        self._machine = machine
        self._fire = fire
        self._running = running
        self._proving = proving
        self._dialogue = dialogue
        self._reporter = reporter
        self._start = start

    def claude_ended(self, status: ExitStatus) -> None:
        """Take the end of claude's process. Its last lines may still be on their way."""
        self._running.status = status
        if self._machine.phase is Phase.RUNNING and not self._proving.over:
            self._start(TaskName.REST, self._running.wait_for_the_rest)
        else:
            self._fire(self._machine.exited)

    def claude_lingers(self) -> None:
        """Go on without a claude that does not end after its result."""
        self._running.lingered = True
        words = "claude has its result but does not exit; ending it"
        if self._dialogue.waits:
            words = "claude was interrupted, and nobody has told it anything since; ending it"
        self._reporter.log("warn", words)
        self.exited()

    def exited(self) -> None:
        """Go on from a claude that has ended, or is as good as that: its work is verified first."""
        if not self._begin():
            self._fire(self._machine.exited)

    def keep(self) -> bool:
        """Whether claude stays for VERIFY_COMMAND, which begins: it may have to go on."""
        return self._proving.may_send_back and self._begin()

    def ended(self, finished: Finished) -> None:
        """Go on from the end of VERIFY_COMMAND: back to claude, or to claude's end."""
        self._proving.end(finished)
        run = self._running.run
        if self._machine.phase is not Phase.VERIFYING or run is None:
            return
        run.activity.release()
        if self._proving.sends_back(run, ended=self._running.ended):
            self._dialogue.begin(run)
            self._fire(self._machine.rejected)
            return
        self._proving.over = self._machine.verified = True
        self._dialogue.hold("too late: claude has its result")
        run.hang_up()
        if self._running.ended:
            self._fire(self._machine.exited)

    def _begin(self) -> bool:
        """Verify the result that claude has given, if it is a good one; whether that begins."""
        run = self._running.run
        if (
            self._machine.phase is not Phase.RUNNING
            or run is None
            or not self._proving.is_due(run, self._running.status)
        ):
            return False
        self._dialogue.hold("claude has its result, and VERIFY_COMMAND runs; send it again if claude goes on")
        run.activity.hold()
        self._fire(self._machine.resulted)
        return True
