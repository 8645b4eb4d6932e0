"""The work of a simulated run: git, sweep, harvest and vitals as a seed has them, and a disk that may refuse."""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal

import trio

from agent.config.config import Config
from agent.errors import CliError, CloneError
from agent.exits import Exit, ExitStatus
from agent.journal.run_directory import RunDirectory
from agent.process.descendants import Survivor
from agent.process.run import Patience
from agent.protocol.events import Publish, log, status
from agent.redaction.redactor import Redactor
from agent.repository.cloned import Cloned
from agent.run.work import Swept
from agent.steps.finished import Finished
from tests.simulation.chance import Chance
from tests.simulation.claude import Claude
from tests.simulation.history import History


class SimulatedStep:
    """work.StepRun: some lines, and an end; a stop takes what its signals take."""

    def __init__(self, chance: Chance, history: History, name: Literal["setup", "verify"], number: int = 1) -> None:
        self._draws = f"{name}{number}"
        self._chance = chance
        self._history = history
        self._name = name
        self._over = trio.Event()

    async def run(self, patience: Patience) -> Finished:
        rng = self._chance.of(self._draws)
        self._history.strike(self._name)
        took = rng.choice((0.0, 0.1, 2.0))
        try:
            await trio.sleep(1000 if f"{self._name}.hangs" in self._chance.faults else took)
        except trio.Cancelled:
            with trio.CancelScope(shield=True), patience.wait(0.5):
                await trio.sleep(rng.choice((0.0, 0.3, 5.0)))
            raise
        finally:
            self._over.set()
        failing = f"{self._name}.fails" in self._chance.faults and rng.random() < 0.8
        return Finished(ExitStatus(code=rng.choice((1, 2, 75)) if failing else 0), took)

    async def read(self, publish: Publish) -> None:
        publish([log("info", f"a line of {self._name}", source=self._name)])
        await self._over.wait()


class World:
    """work.Work."""

    def __init__(
        self, config: Config, chance: Chance, history: History, redactor: Redactor, outside: trio.Nursery
    ) -> None:
        self.claude: Claude | None = None
        #: Takes the data of a PREVIEW, as that of agent.run.local_work.
        self.pass_on: Callable[[dict[str, Any]], None] = lambda data: None
        self.harvested = False
        self._verifications = 0
        self._config = config
        self._chance = chance
        self._history = history
        self._redactor = redactor
        self._outside = outside

    async def check(self) -> str:
        rng, faults = self._chance.of("check"), self._chance.faults
        self._history.strike("check")
        await trio.sleep(rng.choice((0.0, 0.01, 0.3)))
        if "claude.missing" in faults:
            exit = rng.choice((Exit.CLI_MISSING, Exit.CLI_NOT_EXECUTABLE))
            raise CliError("claude is not there", exit=exit)
        if "claude.check_hangs" in faults:
            await trio.sleep(self._config.limits.cli_check)
            raise CliError("`claude --version` does not end")
        return "2.1.330"

    async def clone(self, publish: Publish, patience: Patience) -> Cloned:
        rng = self._chance.of("git")
        self._history.strike("clone")
        try:
            for percent in range(0, 100, 20):
                progress = {"stage": "Receiving objects", "percent": percent}
                publish([status("running", "cloning", keep=False, level="debug", progress=progress)])
                await trio.sleep(rng.choice((0.0, 0.0, 0.1, 0.5)))
            if "git.hangs" in self._chance.faults:
                await trio.sleep_forever()
        except trio.Cancelled:
            with trio.CancelScope(shield=True), patience.wait(self._config.limits.git_grace):
                await trio.sleep(rng.choice((0.0, 0.1, 5.0)))
            raise
        if "git.fails" in self._chance.faults:
            exit, code = rng.choice(((Exit.CLONE_FAILED, "clone"), (Exit.RETRYABLE, "clone"), (Exit.AUTH, "auth")))
            raise CloneError("git could not clone", exit=exit, code=code)  # type: ignore[arg-type]
        publish([log("info", "cloned", source="git")])
        head = rng.choice(("0123456789abcdef0123456789abcdef01234567", None))
        return Cloned(head, "main")

    def verify(self) -> SimulatedStep:
        self._verifications += 1
        return SimulatedStep(self._chance, self._history, "verify", self._verifications)

    def setup(self) -> SimulatedStep:
        return SimulatedStep(self._chance, self._history, "setup")

    def begin(self, cloned: Cloned, publish: Publish) -> Claude:
        self._history.strike("begin")
        if "git.begin_fails" in self._chance.faults:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.claude = Claude(self._config, self._chance, self._history, self._redactor, self._outside, self.pass_on)
        return self.claude

    async def sweep(self) -> Swept:
        self._history.strike("sweep")
        claude, faults = self.claude, self._chance.faults
        with trio.CancelScope(shield=True):
            await trio.sleep(self._config.limits.sweep if "sweep.slow" in faults else 0)
        if claude is None or not claude.leaked:
            return Swept()
        leak = Survivor(4711, "sleep")
        if "claude.unsweepable" in faults:
            return Swept((), (leak,))
        claude.swept()
        return Swept((leak,), ())

    async def harvest(self, cloned: Cloned, run: Any, publish: Publish, verdict: str) -> Mapping[str, Any] | None:
        self._history.strike("harvest")
        await trio.sleep(
            1000 if "harvest.hangs" in self._chance.faults else self._chance.of("harvest").choice((0, 0.3))
        )
        self.harvested = True
        return {"base": cloned.head, "head": cloned.head, "files": 1, "insertions": 1, "deletions": 0}

    def conclude(self, fields: Mapping[str, Any], publish: Publish) -> None:
        pass

    def vitals(
        self, publish: Publish, exceeded: Callable[[int, int], None]
    ) -> Sequence[tuple[str, Callable[[], Awaitable[Any]]]]:
        faults = self._chance.faults

        async def sampler() -> None:
            rng = self._chance.of("vitals")
            await trio.sleep(rng.choice((0.0, rng.uniform(0, 5))))
            self._history.strike("vitals")
            if "disk.low" in faults:
                publish([log("warn", "the disk is nearly full", kind="disk")])
                await trio.sleep(rng.uniform(0, 5))
                publish([log("warn", "the disk is still nearly full", kind="disk")])
            if "memory.guard" in faults:
                exceeded(99 << 20, 100 << 20)
            await trio.sleep_forever()

        return (("sampler", sampler),)

    def vital_signs(self) -> dict[str, Any]:
        return {"cpu": 0.5, "memory": 1 << 20}

    def emergency_sweep(self) -> None:
        if self.claude is not None:
            self.claude.kill()
            self.claude.swept()


class Disk(RunDirectory):
    """A run's directory on a disk that refuses for some time, or gives back less than it took."""

    def arm(self, chance: Chance, history: History) -> None:
        rng = chance.of("disk.refuses")
        first = rng.choice((0, 0, 1, 5, 30))
        refuses = "disk.refuses" in chance.faults
        self._operation = 0
        self._history = history
        self._refused = range(first, first + rng.choice((1, 3, 20, 10**9))) if refuses else range(0)
        self._number = rng.choice((errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EMFILE))
        self._tears = chance.of("disk.tears") if "disk.tears" in chance.faults else None

    def _may_refuse(self) -> None:
        self._operation += 1
        if self._operation in self._refused:
            self._history.note("the disk refuses")
            raise OSError(self._number, os.strerror(self._number))

    def open_segment(self, first: int) -> int:
        self._may_refuse()
        return super().open_segment(first)

    def append(self, file: int, block: bytes, end: int) -> None:
        if hasattr(self, "_operation"):
            self._may_refuse()
        super().append(file, block, end)

    def rewrite(self, first: int, block: bytes, start: int) -> None:
        self._may_refuse()
        super().rewrite(first, block, start)

    def read(self, first: int) -> bytes:
        content = super().read(first)
        if self._tears is not None and self._tears.random() < 0.3:
            cut = self._tears.randrange(len(content) + 1)
            self._history.note("the disk lost", len(content) - cut, "bytes")
            return content[:cut]
        return content
