"""A command with its output: real shells and pipes."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
import trio

from agent.exits import ExitStatus
from agent.limits import Limits
from agent.process.child import Command, Launch
from agent.process.run import Patience
from agent.protocol.events import Event
from agent.redaction.redactor import Redactor
from agent.steps import step as module
from agent.steps.finished import Finished
from agent.steps.step import Step, StepName
from tests.support.children import alive, appears, gone

SECRET = "s3cr3t-token-of-the-operator"
LIMITS = msgspec.structs.replace(Limits(), drain=0.3, stderr_line_bytes=1000, step_tail_lines=3, step_tail_chars=40)


class Ran:
    """A step that was run to its end, with a reader beside it."""

    def __init__(
        self,
        command: str,
        directory: Path,
        *,
        timeout: float = 30,
        grace: float = 5,
        name: StepName = "setup",
        **env: str,
    ) -> None:
        place = Command([], {"PATH": os.environ["PATH"], **env}, directory, Launch(report=lambda text: None))
        self.step = Step(name, command, place, Redactor({"TOKEN": SECRET}), LIMITS, timeout, grace)
        self.events: list[Event] = []
        self.patience = Patience()
        self.finished: Finished | None = None

    def _publish(self, batch: Sequence[Event]) -> None:
        self.events += batch

    @property
    def lines(self) -> list[str]:
        return [event.message for event in self.events]

    async def to_its_end(self) -> Finished:
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.step.read, self._publish)
                self.finished = await self.step.run(self.patience)
                with trio.move_on_after(LIMITS.drain):
                    await self.step._read.wait()
                nursery.cancel_scope.cancel("the run is over")
        return self.finished


async def test_a_good_one(tmp_path: Path) -> None:
    ran = Ran("pwd; echo $WHO >&2; read x || echo no input; printf rest", tmp_path, WHO="claude")
    finished = await ran.to_its_end()
    assert finished.good
    assert ran.lines == [str(tmp_path), "claude", "no input", "rest"]
    metadata = json.loads(ran.events[0].data)
    assert metadata == {"level": "info", "message": str(tmp_path), "metadata": {"source": "setup"}}


async def test_a_failure_has_the_last_of_its_output(tmp_path: Path) -> None:
    ran = Ran("for n in 1 2 3 4 5; do echo line $n; done; exit 3", tmp_path)
    finished = await ran.to_its_end()
    assert finished.status == ExitStatus(code=3)
    assert finished.tail == "line 3\nline 4\nline 5"
    assert len(ran.lines) == 5
    finished = await Ran("printf %0100d 0; exit 1", tmp_path).to_its_end()
    assert finished.tail == "0" * 40


async def test_lines_are_masked_clean_and_of_bounded_length(tmp_path: Path) -> None:
    cut = SECRET[:9] + "\\033[31m" + SECRET[9:]
    command = f"printf 'a {SECRET}\\nb {cut}\\n10%%\\r20%%\\n'; head -c 5000 /dev/zero | tr '\\0' x; echo; exit 1"
    ran = Ran(command, tmp_path)
    finished = await ran.to_its_end()
    assert ran.lines == ["a [redacted]", "b [redacted]", "10%", "20%", "(a line of 5000 bytes is not shown)"]
    assert SECRET not in finished.tail


async def test_its_time_limit(tmp_path: Path) -> None:
    ran = Ran("echo begun; sleep 600", tmp_path, timeout=1.0)
    finished = await ran.to_its_end()
    assert (finished.good, finished.overdue, finished.tail) == (False, 1.0, "begun")
    assert finished.duration < 30


async def test_a_deaf_one_is_killed_with_its_group(tmp_path: Path) -> None:
    ran = Ran("trap '' TERM; sleep 600 & echo $! >ready; while :; do sleep 1; done", tmp_path, timeout=1.0, grace=0.3)
    finished = await ran.to_its_end()
    assert finished.status == ExitStatus(signal=signal.SIGKILL)
    await gone(int((tmp_path / "ready").read_text()))


async def test_a_stop_asks_the_whole_group_and_gives_no_end(tmp_path: Path) -> None:
    code = (
        "trap 'exit 0' TERM; (trap 'echo asked >child; exit 0' TERM; echo >ready; while :; do sleep 0.05; done) & wait"
    )
    ran = Ran(code, tmp_path)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ran.step.read, ran._publish)
            with trio.CancelScope() as scope:

                async def stop() -> None:
                    await appears(tmp_path / "ready")
                    scope.cancel("stop")

                nursery.start_soon(stop)
                ran.finished = await ran.step.run(ran.patience)
    assert ran.finished is None
    assert scope.cancelled_caught
    await appears(tmp_path / "child")


async def test_a_service_goes_on_and_is_still_read(tmp_path: Path) -> None:
    ran = Ran("(echo $$ >pid; while [ ! -e go ]; do sleep 0.02; done; echo served; exec sleep 600) & echo up", tmp_path)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ran.step.read, ran._publish)
            finished = await ran.step.run(ran.patience)
            assert finished.good
            assert finished.duration < 15
            (tmp_path / "go").touch()
            while "served" not in ran.lines:
                await trio.sleep(0.02)
            nursery.cancel_scope.cancel("the run is over")
    assert ran.lines == ["up", "served"]
    group = int((tmp_path / "pid").read_text())
    assert alive(group) is False
    os.killpg(group, signal.SIGKILL)


async def test_a_verification_leaves_nothing_of_its_group(tmp_path: Path) -> None:
    ran = Ran("sleep 600 & echo $! >left; echo done", tmp_path, name="verify")
    finished = await ran.to_its_end()
    assert (finished.good, finished.tail) == (True, "done")
    await gone(int((tmp_path / "left").read_text()))
    assert json.loads(ran.events[0].data)["metadata"]["source"] == "verify"


async def test_one_that_cannot_be_started(tmp_path: Path) -> None:
    finished = await Ran("true", tmp_path / "nowhere").to_its_end()
    assert finished.trouble == "No such file or directory"
    assert not finished.good


async def test_no_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(size: int) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(module, "open_output_pipe", refuse)
    assert (await Ran("true", tmp_path).to_its_end()).words == "it cannot be started: Too many open files"


async def test_a_recording_listens_in(tmp_path: Path) -> None:
    ran = Ran("echo heard", tmp_path)
    copied: list[Event] = []
    ran.step._tee = lambda publish: lambda batch: (copied.extend(batch), publish(batch))[1]
    await ran.to_its_end()
    assert copied == ran.events != []
