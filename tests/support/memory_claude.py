"""Work without a world: a claude in memory that plays lines, for whole runs on the mock clock (agent.run.work.Work)."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import trio
from trio.testing import memory_stream_one_way_pair

from agent.claude import watchdog
from agent.claude.output import ClaudeOutput
from agent.claude.watchdog import Bark
from agent.config.config import Config
from agent.exits import ExitStatus
from agent.process.run import Patience
from agent.protocol.events import Publish, log
from agent.redaction.redactor import Redactor
from agent.repository.cloned import Cloned
from agent.run.work import Swept
from tests.support.claude_lines import INIT, assistant, line

RESULT = line("result", subtype="success", is_error=False, num_turns=1, total_cost_usd=0.01, session_id="s1",
              result="Done.", usage={}, permission_denials=[])  # fmt: skip
INTERRUPTED = line("result", subtype="error_during_execution", is_error=True, num_turns=1, total_cost_usd=0.01,
                   session_id="s1", terminal_reason="aborted_streaming", errors=["interrupted"])  # fmt: skip
REPLY = assistant({"type": "text", "text": "Working."})
GOOD_END = ExitStatus(code=0)


class MemoryClaude(ClaudeOutput):
    """Writes chunks with a pause before each, then ends; on a cancel it gives its bill, as the real one on SIGINT.

    A deaf one is killed after its grace, and gives none.
    """

    def __init__(
        self,
        config: Config,
        chunks: Sequence[bytes],
        *,
        stderr: str = "",
        status: ExitStatus = GOOD_END,
        pause: float = 0.1,
        deaf: bool = False,
    ) -> None:
        self._config = config
        self._chunks = chunks
        self._said = stderr.encode()
        self._status = status
        self._pause = pause
        self._deaf = deaf
        self._out, stdout = memory_stream_one_way_pair()
        self._err, stderr = memory_stream_one_way_pair()
        self._prompt_written = trio.Event()
        super().__init__(stdout, stderr, Redactor(config.secrets), config.limits)

    async def run(self, patience: Patience) -> ExitStatus:
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            await self._prompt_written.wait()
            if self._said:
                await self._err.send_all(self._said)
            for chunk in self._chunks:
                await trio.sleep(self._pause)
                await self._out.send_all(chunk)
            return self._status
        except trio.Cancelled:
            with trio.CancelScope(shield=True):
                return await self._stop(patience)
        finally:
            self._out.close()
            self._err.close()

    async def _stop(self, patience: Patience) -> ExitStatus:
        with patience.wait(self._config.kill_grace):
            if self._deaf:
                await trio.sleep_forever()
            await trio.sleep(self._pause)
            await self._out.send_all(INTERRUPTED + b"\n")
            return ExitStatus(code=0)
        return ExitStatus(signal=signal.SIGKILL)

    async def feed(self) -> None:
        await trio.sleep(self._pause)
        self._prompt_written.set()

    def tell(self, *lines: bytes) -> bool:
        return True

    def hang_up(self) -> None:
        pass

    async def poll(self) -> None:
        pass

    async def drain_stdout(self, publish: Publish) -> None:
        raise AssertionError("no reader fails here")

    async def drain_stderr(self, publish: Publish) -> None:
        raise AssertionError("no reader fails here")

    async def watch(self) -> Bark:
        return await watchdog.watch(
            self.activity,
            lambda: self.summary,
            idle_timeout=self._config.idle_timeout,
            result_grace=self._config.result_grace,
            limits=self._config.limits,
        )


class MemoryWork:
    """`claude` makes the claude of this run."""

    def __init__(self, config: Config, claude: Callable[[Config], MemoryClaude]) -> None:
        self._config = config
        self._claude = claude
        #: In the order in which they began.
        self.steps: list[str] = []

    async def check(self) -> str:
        self.steps.append("check")
        await trio.sleep(0.01)
        return "2.1.330"

    async def clone(self, publish: Publish, patience: Patience) -> Cloned:
        self.steps.append("clone")
        publish([log("info", "Cloning", source="git")])
        await trio.sleep(0.1)
        return Cloned("c0ffee", "main")

    def begin(self, cloned: Cloned, publish: Publish) -> MemoryClaude:
        self.steps.append("claude")
        return self._claude(self._config)

    async def sweep(self) -> Swept:
        self.steps.append("sweep")
        with trio.CancelScope(shield=True):
            await trio.sleep(0.01)
        return Swept()

    async def harvest(self, cloned: Cloned, run: Any, publish: Publish, verdict: str) -> Mapping[str, Any] | None:
        self.steps.append("harvest")
        await trio.sleep(0.01)
        return {"base": cloned.head, "head": cloned.head, "files": 0, "insertions": 0, "deletions": 0}

    def conclude(self, fields: Mapping[str, Any], publish: Publish) -> None:
        self.steps.append("conclude")

    def vitals(
        self, publish: Publish, exceeded: Callable[[int, int], None]
    ) -> Sequence[tuple[str, Callable[[], Awaitable[Any]]]]:
        return ()

    def vital_signs(self) -> dict[str, Any]:
        return {}

    def emergency_sweep(self) -> None:
        self.steps.append("emergency sweep")


def working(config: Config) -> MemoryClaude:
    """One reply and a good result."""
    return MemoryClaude(config, [INIT + b"\n", REPLY + b"\n", RESULT + b"\n"])


def deaf(config: Config) -> MemoryClaude:
    return MemoryClaude(config, [INIT + b"\n", REPLY + b"\n", RESULT + b"\n"], deaf=True)
