"""The world as a recording has it (work.Work): each step waits until it is told what it came to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec
import trio

from agent.claude import Bark, ClaudeOutput
from agent.config import Config
from agent.errors import AgentError
from agent.exits import ExitStatus
from agent.process import Patience
from agent.protocol import Publish
from agent.redaction import Redactor
from agent.repository import Cloned
from agent.run import Swept
from agent.steps import Finished

#: Chunks on their way to a reader. A few, since a replay at full speed must not run ahead of the journal.
_AHEAD = 16
_KILLED = Finished(ExitStatus(signal=9), 0.0)


class Result:
    """The result of a recorded task, once the player supplies it."""

    def __init__(self) -> None:
        self._event = trio.Event()
        self._value: Any = None
        self._error: Exception | None = None

    @property
    def settled(self) -> bool:
        return self._event.is_set()

    def settle(self, value: Any, error: Exception | None = None) -> None:
        if not self._event.is_set():
            self._value, self._error = value, error
            self._event.set()

    async def get(self) -> Any:
        """Wait for the result. Cancelling: safe."""
        await self._event.wait()
        if self._error is not None:
            raise self._error
        return self._value


class _Pipe(trio.abc.ReceiveStream):
    """claude's end of a pipe, played; `write` waits while the reader is behind."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[bytes](_AHEAD)

    async def write(self, data: bytes) -> None:
        """Write to the reader. Cancelling: safe; nothing was written."""
        await self._send.send(data)

    def hang_up(self) -> None:
        self._send.close()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return the next chunk, empty at the end. Cancelling: safe."""
        try:
            return await self._receive.receive()
        except trio.EndOfChannel:
            return b""

    async def aclose(self) -> None:
        """Close the reader's end. Cancelling: safe."""
        self._receive.close()


class PlayedClaude(ClaudeOutput):
    """The recorded claude (run.work.ClaudeRun)."""

    def __init__(
        self, config: Config, redactor: Redactor, status: Result, expected: Sequence[Mapping[str, Any]] | None
    ) -> None:
        #: The number of lines that it was told, as recorded so far.
        self.told = 0
        self._expected = expected
        self.stdout = _Pipe()
        self.stderr = _Pipe()
        self._status = status
        super().__init__(self.stdout, self.stderr, redactor, config.limits)

    async def run(self, patience: Patience) -> ExitStatus:
        """Wait for the recorded end. Cancelling: the request to stop; it ends when the recorded claude did."""
        with trio.CancelScope(shield=True):
            status: ExitStatus = await self._status.get()
        return status

    async def feed(self) -> None:
        """Do nothing, since nobody reads a prompt. Cancelling: safe."""

    def tell(self, *lines: bytes) -> bool:
        """Take what the recorded claude took next; refuse anything else, as a claude that has ended does."""
        if self._expected is None:
            return True
        told = [msgspec.json.decode(line) for line in lines]
        as_recorded = list(self._expected[self.told : self.told + len(told)]) == told
        self.told += len(told) if as_recorded else 0
        return as_recorded

    def hang_up(self) -> None:
        """claude ends when it did then."""

    async def poll(self) -> None:
        """Ask nothing: the recorded output has the answers. Cancelling: safe."""

    async def watch(self) -> Bark:
        """Never bark: the watchdog's report comes from the recording. Cancelling: safe."""
        await trio.sleep_forever()
        raise AssertionError("sleep_forever ends by cancellation only")


class PlayedStep:
    """A recorded step of the operator's (run.work.StepRun)."""

    def __init__(self, end: Result) -> None:
        self._end = end

    async def run(self, patience: Patience) -> Finished:
        """Wait for the recorded end. Cancelling: safe."""
        finished: Finished = await self._end.get()
        return finished

    async def read(self, publish: Publish) -> None:
        """Read nothing: its lines are played with git's. Cancelling: safe."""


class PlayedWork:
    """The recorded work (run.work.Work): each step waits until the player supplies its result."""

    def __init__(self, config: Config, redactor: Redactor, expected: Sequence[Mapping[str, Any]] | None = None) -> None:
        """`expected` is what claude was told after its task; None if that is not known."""
        self.results = {name: Result() for name in ("check", "clone", "setup", "claude", "sweep", "harvest")}
        #: Of the verifications, by their number: how many have begun, and how many have ended.
        self._ends: dict[int, Result] = {}
        self._verifications = self._verified = 0
        self._over = False
        self.cloning = trio.Event()
        self.began = trio.Event()
        self.publish: Publish = lambda batch: None
        self.claude = PlayedClaude(config, redactor, self.results["claude"], expected)

    async def check(self) -> str:
        """Wait for the recorded version. Cancelling: safe."""
        return str(await self.results["check"].get())

    async def clone(self, publish: Publish, patience: Patience) -> Cloned:
        """Wait for the recorded clone. Cancelling: safe."""
        self.publish = publish
        self.cloning.set()
        cloned: Cloned = await self.results["clone"].get()
        return cloned

    def setup(self) -> PlayedStep:
        return PlayedStep(self.results["setup"])

    def verify(self) -> PlayedStep:
        self._verifications += 1
        return PlayedStep(self._verification(self._verifications))

    def verified(self, finished: Finished) -> None:
        """Supply the end of the next verification, which may not have begun yet."""
        self._verified += 1
        self._verification(self._verified).settle(finished)

    def let_go(self) -> None:
        """Supply the end that a truncated recording lacks: whatever runs ends as if it had been killed."""
        self.claude.stdout.hang_up()
        self.claude.stderr.hang_up()
        self.results["setup"].settle(_KILLED)
        self.results["claude"].settle(ExitStatus(signal=9))
        self.results["sweep"].settle(Swept())
        self.results["harvest"].settle(None)
        for name in ("check", "clone"):
            self.results[name].settle(None, AgentError("the recording ends before this step did"))
        self._over = True
        for number in range(self._verified + 1, self._verifications + 1):
            self._verification(number).settle(_KILLED)

    def _verification(self, number: int) -> Result:
        result = self._ends.setdefault(number, Result())
        if self._over:
            result.settle(_KILLED)
        return result

    def begin(self, cloned: Cloned, publish: Publish) -> PlayedClaude:
        self.began.set()
        return self.claude

    async def sweep(self) -> Swept:
        """Wait for the recorded sweep. Cancelling: safe."""
        swept: Swept = await self.results["sweep"].get()
        return swept

    async def harvest(self, cloned: Cloned, run: Any, publish: Publish, verdict: str) -> Mapping[str, Any] | None:
        """Wait for the recorded changes. Cancelling: safe."""
        changes: Mapping[str, Any] | None = await self.results["harvest"].get()
        return changes

    def conclude(self, fields: Mapping[str, Any], publish: Publish) -> None:
        """There is no directory for results."""

    def vitals(
        self, publish: Publish, exceeded: Callable[[int, int], None]
    ) -> Sequence[tuple[str, Callable[[], Awaitable[Any]]]]:
        return ()

    def vital_signs(self) -> dict[str, Any]:
        return {}

    def emergency_sweep(self) -> None:
        """Do nothing, since no process of the recording is alive."""
