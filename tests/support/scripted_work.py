"""A run's work without a process or a descriptor, for the mock clock: what each step does is given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

import trio
import trio.lowlevel

from agent.claude.watchdog import Activity, Bark
from agent.exits import ExitStatus
from agent.process.run import Patience
from agent.protocol.events import Publish, log
from agent.repository.cloned import Cloned
from agent.run.work import Swept
from agent.steps.finished import Finished
from agent.transcript.control import ResultGiven, Said
from agent.transcript.summary import Bill, Result, Summary

GOOD = Summary(
    lines=1,
    inits=1,
    results=1,
    turns=3,
    session_id="s",
    last_result=Result("success", False, 3, 0.41),
    bill=Bill(num_turns=3, cost=0.41, session_cost=0.41),
)


class ScriptedClaude:
    """work.ClaudeRun: works for `seconds`, says what `lines` say, and answers a stop after `stop_after`."""

    def __init__(self, script: ScriptedWork) -> None:
        self.activity = Activity()
        self.summary = Summary()
        self.stderr_tail = ""
        self.script = script
        self.told: list[bytes] = []
        self._gone = trio.Event()
        self._listener: Callable[[Said], None] = lambda said: None
        self._hung_up = trio.Event()
        self._news = trio.Event()

    async def run(self, patience: Patience) -> ExitStatus:
        try:
            await trio.sleep(self.script.seconds)
            if not self.script.late:
                self.summary = self.script.summary
            if self.script.waits:
                await self._converse()
            return self.script.status
        except trio.Cancelled:
            with trio.CancelScope(shield=True):
                with patience.wait(5):
                    await trio.sleep(self.script.stop_after)
                    self.summary = self.script.summary
                    return ExitStatus(code=0)
                return ExitStatus(signal=9)
        finally:
            if not self.script.leaks:
                self._gone.set()

    async def feed(self) -> None:
        await self.script.step("feed")

    async def _converse(self) -> None:
        """Give a result, and another one for each thing that it is told, until its input is closed."""
        while not self._hung_up.is_set():
            self._listener(ResultGiven())
            self._news = trio.Event()
            await self._news.wait()
            if not self._hung_up.is_set():
                await trio.sleep(self.script.seconds)
        await trio.sleep(self.script.lingers)

    def listen(self, listener: Callable[[Said], None]) -> None:
        self._listener = listener

    def tell(self, *lines: bytes) -> bool:
        if self._hung_up.is_set():
            return False
        self.told += lines
        self._news.set()
        return True

    def hang_up(self) -> None:
        self._hung_up.set()
        self._news.set()

    async def poll(self) -> None:
        pass

    async def read_stdout(self, publish: Publish) -> None:
        await self.script.step("stdout")
        for number in range(self.script.lines):
            publish([log("info", f"line {number}", source="claude")])
            await trio.lowlevel.checkpoint()
        await self._gone.wait()
        if self.script.late:
            await trio.sleep(self.script.late)
            self.summary = self.script.summary

    async def read_stderr(self, publish: Publish) -> None:
        await self._gone.wait()

    async def drain_stdout(self, publish: Publish) -> None:
        publish([log("info", "drained", source="claude", kind="raw")])
        await self._gone.wait()

    async def drain_stderr(self, publish: Publish) -> None:
        await self._gone.wait()

    async def watch(self) -> Bark:
        await trio.sleep(self.script.bark_after)
        return self.script.bark


class ScriptedStep:
    """work.StepRun: says a line, and ends as the script has it."""

    def __init__(self, script: ScriptedWork, name: Literal["setup", "verify"]) -> None:
        self.script = script
        self.name = name

    async def run(self, patience: Patience) -> Finished:
        await self.script.step(self.name)
        ends = self.script.ends[self.name]
        return ends.pop(0) if len(ends) > 1 else ends[0]

    async def read(self, publish: Publish) -> None:
        publish([log("info", f"a line of {self.name}", source=self.name)])


class ScriptedWork:
    """work.Work. `faults` maps the name of a step to what it does instead: raise, or wait."""

    def __init__(self) -> None:
        self.seconds = 5.0
        self.status = ExitStatus(code=0)
        self.summary = GOOD
        self.lines = 3
        self.stop_after = 0.1
        self.leaks = False
        #: Seconds from claude's end until the last of its output, with its result, is read.
        self.late = 0.0
        #: Whether claude stays after its result until its input is closed, and how long beyond that.
        self.waits = False
        self.lingers = 0.0
        self.bark = Bark.IDLE
        self.bark_after = float("inf")
        self.swept = Swept()
        #: How each run of a step ends; the last one for all further ones.
        self.ends = {name: [Finished(ExitStatus(code=0), 0.1)] for name in ("setup", "verify")}
        self.faults: dict[str, Callable[[], Awaitable[Any]]] = {}
        self.steps: list[str] = []
        self.concluded: dict[str, Any] | None = None

    async def step(self, name: str) -> None:
        self.steps.append(name)
        await trio.lowlevel.checkpoint()
        if name in self.faults:
            await self.faults[name]()

    async def check(self) -> str:
        await self.step("check")
        return "2.1.330"

    async def clone(self, publish: Publish, patience: Patience) -> Cloned:
        await self.step("clone")
        return Cloned("a" * 40, "main", "main")

    def setup(self) -> ScriptedStep:
        return ScriptedStep(self, "setup")

    def verify(self) -> ScriptedStep:
        return ScriptedStep(self, "verify")

    def begin(self, cloned: Cloned, publish: Publish) -> ScriptedClaude:
        self.steps.append("begin")
        self.claude = ScriptedClaude(self)
        return self.claude

    async def sweep(self) -> Swept:
        await self.step("sweep")
        return self.swept

    async def harvest(self, cloned: Cloned, run: Any, publish: Publish, verdict: str) -> Mapping[str, Any] | None:
        await self.step("harvest")
        return {"base": cloned.head, "head": cloned.head, "files": 1, "insertions": 2, "deletions": 3}

    def vitals(self, publish: Publish, exceeded: Callable[[int, int], None]) -> tuple[tuple[str, Any], ...]:
        self.exceeded = exceeded
        return (("sampler", lambda: self.step("sampler")),)

    def vital_signs(self) -> dict[str, Any]:
        return {"memory": 5}

    def conclude(self, fields: dict[str, Any], publish: Publish) -> None:
        self.concluded = fields

    def emergency_sweep(self) -> None:
        self.steps.append("emergency_sweep")
