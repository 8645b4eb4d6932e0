"""The loop that drives a run: phases, lifetimes, the barrier, stops. Mock clock, no descriptor, a peer in memory."""

import signal
from operator import attrgetter

import pytest
import trio

from agent.config.load import load
from agent.errors import CliError, CloneError
from agent.exits import Exit, ExitStatus
from agent.journal.journal import Journal
from agent.limits import Limits
from agent.protocol.events import Envelope
from agent.protocol.phase import Phase
from agent.report.console import Console
from agent.report.reporter import Reporter
from agent.run.inbox import CancelRequested, Inbox
from agent.run.link import Link
from agent.run.machine import LIVES
from agent.run.supervisor import Supervisor
from agent.steps.finished import Finished
from tests.support.peer import Peer
from tests.support.scripted_work import ScriptedWork


class Stage:
    """A supervisor with everything around it."""

    def __init__(self, nursery: trio.Nursery, *, server: bool = True, fault=None, **variables: str) -> None:
        given = {"REPO_URL": "https://example.com/x", "TASK": "do it", "ANTHROPIC_API_KEY": "k", "CONTAINER_ID": "c"}
        given["WS_SERVER"] = "ws://server" if server else "none"
        self.config = load({**given, **variables}, in_container=False)
        self.work = ScriptedWork()
        self.peer = Peer(nursery)
        self.left = []
        self.said: list[str] = []
        envelope = Envelope("c", "RUN")
        self.journal = Journal.open(
            None, envelope, limits=self.config.limits, limit=1 << 30, message_limit=1 << 18,
            redact=lambda data: data, now=lambda: 0.0, followed=server,
        )  # fmt: skip
        console = Console(limits=Limits(), write=lambda line: self.said.append(line.decode()))
        self.reporter = Reporter(self.config, self.journal, console, self.work.vital_signs, "session")
        self.inbox = Inbox()
        link = Link(self.config, self.journal, self.reporter, self.inbox.post, open_stream=self.peer.open_stream)
        self.send_signal, self.signals = trio.open_memory_channel[int](10)
        self.health = 0
        self.supervisor = Supervisor(
            self.config, self.work, self.reporter, link.sender, self.inbox, listen=self._listen,
            write_health=self._health, emergency_exit=self.left.append, fault=fault, observe=self._observe,
        )  # fmt: skip
        self.seen: list[Phase] = []

    async def _listen(self, deliver) -> None:
        async for number in self.signals:
            deliver(number)

    def _health(self) -> None:
        self.health += 1

    def _observe(self, report, phase) -> None:
        if phase in LIVES:
            lifetimes = {
                name: attrgetter(attribute)(self.supervisor)
                for name, attribute in {
                    "watch": "_lives.watch", "vitals": "_lives.vitals", "link": "_delivering.life",
                    "work": "_lives.work", "sweep": "_lives.sweep", "output": "_lives.output",
                    "harvest": "_lives.harvest",
                }.items()
            }  # fmt: skip
            alive = {name for name, lifetime in lifetimes.items() if not lifetime.empty}
            assert alive <= set(LIVES[phase].alive), f"{phase}: {alive}, docs/state-diagram.md says otherwise"
        if not self.seen or self.seen[-1] is not phase:
            self.seen.append(phase)

    def signal_in(self, nursery: trio.Nursery, seconds: float, number: int = signal.SIGTERM) -> None:
        async def later() -> None:
            await trio.sleep(seconds)
            self.send_signal.send_nowait(number)

        nursery.start_soon(later)

    async def run(self, within: float = 100.0):
        with trio.fail_after(within):
            outcome = await self.supervisor.run()
        await trio.sleep(2)
        return outcome

    @property
    def types(self) -> list[str]:
        return [message["type"] for message in self.peer.stored]

    @property
    def complete(self) -> dict:
        last = self.peer.stored[-1]
        assert last["type"] == "COMPLETE"
        assert self.types.count("COMPLETE") == 1
        return last["data"]

    @property
    def phases(self) -> list[str]:
        return [m["data"]["phase"] for m in self.peer.stored if m["type"] == "STATUS" and "phase" in m["data"]]


async def fail(error: Exception) -> None:
    raise error


async def test_a_straight_run(autojump_clock, nursery) -> None:
    stage = Stage(nursery)
    outcome = await stage.run()
    assert (outcome.exit, outcome.reason) == (0, "success")
    assert stage.complete["exitCode"] == 0
    assert stage.complete["result"]["cost"] == 0.41
    assert stage.complete["changes"]["files"] == 1
    assert "ERROR" not in stage.types
    assert list(dict.fromkeys(stage.phases)) == [
        "PENDING", "CONNECTING", "CLONING", "RUNNING", "STOPPING", "DRAINING", "REPORTING",
    ]  # fmt: skip
    assert stage.peer.messages[-1]["type"] == "HEARTBEAT"
    assert stage.work.steps.index("sweep") < stage.work.steps.index("harvest")
    assert stage.health > 3


async def test_without_a_server(autojump_clock, nursery) -> None:
    stage = Stage(nursery, server=False)
    outcome = await stage.run()
    assert outcome.exit == 0
    assert not stage.peer.connections
    assert stage.journal.queued == 0


async def test_timeout_covers_the_clone(autojump_clock, nursery) -> None:
    stage = Stage(nursery, TIMEOUT="10s")
    stage.work.faults = {"clone": lambda: trio.sleep(1000)}
    outcome = await stage.run()
    assert (outcome.exit, outcome.reason) == (124, "timeout")
    assert stage.complete["reason"] == "timeout"


async def test_the_server_may_cancel(autojump_clock, nursery) -> None:
    stage = Stage(nursery)
    stage.work.seconds = 1000

    async def later() -> None:
        await trio.sleep(1)
        stage.inbox.post(CancelRequested())

    nursery.start_soon(later)
    assert (await stage.run()).exit == 79


async def test_the_memory_guard(autojump_clock, nursery) -> None:
    stage = Stage(nursery)
    stage.work.seconds = 1000

    async def later() -> None:
        await trio.sleep(1)
        stage.work.exceeded(99, 100)
        stage.work.exceeded(99, 100)

    nursery.start_soon(later)
    outcome = await stage.run()
    assert (outcome.exit, outcome.reason) == (137, "memory_guard")


@pytest.mark.parametrize(
    ("step", "error", "exit"),
    [
        ("check", CliError("missing"), 127),
        ("clone", CloneError("gone"), 66),
        ("clone", CloneError("net", exit=Exit.RETRYABLE), 75),
        ("clone", ValueError("a bug"), 70),
        ("stdout", ValueError("a bug"), 70),
        ("feed", ValueError("a bug"), 70),
    ],
)
async def test_what_a_task_raises(autojump_clock, nursery, step, error, exit) -> None:
    stage = Stage(nursery)
    stage.work.faults = {step: lambda: fail(error)}
    outcome = await stage.run()
    assert outcome.exit == exit
    assert stage.complete["exitCode"] == exit
    errors = [message["data"] for message in stage.peer.stored if message["type"] == "ERROR"]
    assert len(errors) == 1
    if exit == 70:
        assert "ValueError: a bug" in errors[0]["error"]
        assert "Traceback" in errors[0]["details"]


async def test_a_setup_runs_before_claude(autojump_clock, nursery) -> None:
    stage = Stage(nursery, SETUP_COMMAND="npm ci")
    stage.work.faults = {"setup": lambda: trio.sleep(100)}
    assert (await stage.run(within=200)).exit == 0
    assert list(dict.fromkeys(stage.phases))[2:5] == ["CLONING", "SETTING_UP", "RUNNING"]
    assert [step for step in stage.work.steps if step in ("clone", "setup", "begin")] == ["clone", "setup", "begin"]
    lines = [m["data"]["message"] for m in stage.peer.stored if m["data"].get("metadata", {}).get("source") == "setup"]
    assert lines == ["a line of setup"]


@pytest.mark.parametrize(
    ("finished", "exit", "reason", "words"),
    [
        (
            Finished(ExitStatus(code=2), 1.0, "no such package"),
            72,
            "setup_failed",
            "SETUP_COMMAND failed: exit status 2",
        ),
        (Finished(ExitStatus(code=143), 9.0, overdue=9), 72, "setup_failed", "SETUP_COMMAND failed: it was not over"),
        (Finished(ExitStatus(code=75), 1.0), 75, "retryable", "SETUP_COMMAND says by its exit status (75)"),
    ],
)
async def test_a_setup_that_fails_spends_nothing(autojump_clock, nursery, finished, exit, reason, words) -> None:
    stage = Stage(nursery, SETUP_COMMAND="npm ci")
    stage.work.ends["setup"] = [finished]
    outcome = await stage.run()
    assert (outcome.exit, outcome.reason) == (exit, reason)
    assert stage.complete["message"].startswith(words)
    (error,) = (message["data"] for message in stage.peer.stored if message["type"] == "ERROR")
    assert (error["code"], error.get("details", "")) == ("setup", finished.tail)
    assert "begin" not in stage.work.steps
    assert stage.work.steps.index("sweep") < stage.work.steps.index("harvest")


async def test_a_stop_and_the_time_limit_end_a_setup(autojump_clock, nursery) -> None:
    stage = Stage(nursery, SETUP_COMMAND="npm ci")
    stage.work.faults = {"setup": trio.sleep_forever}
    stage.signal_in(nursery, 3)
    assert (await stage.run()).exit == 143
    late = Stage(nursery, SETUP_COMMAND="npm ci", TIMEOUT="10s")
    late.work.faults = {"setup": trio.sleep_forever}
    assert (await late.run()).reason == "timeout"


@pytest.mark.parametrize("step", ["sampler", "harvest", "sweep"])
async def test_what_is_dispensable_costs_a_warning(autojump_clock, nursery, step) -> None:
    stage = Stage(nursery)
    stage.work.faults = {step: lambda: fail(ValueError("a bug"))}
    assert (await stage.run()).exit == 0
    assert any("a bug" in str(m["data"].get("message")) and m["data"]["level"] == "warn" for m in stage.peer.stored
               if m["type"] == "LOG")  # fmt: skip
