"""The loop that drives a run: phases, lifetimes, the barrier, stops. Mock clock, no descriptor, a peer in memory."""

import signal
from functools import partial
from operator import attrgetter

import pytest
import trio

from agent.claude.watchdog import Bark
from agent.config.load import load
from agent.errors import CliError, CloneError
from agent.exits import Exit, ExitStatus
from agent.journal.journal import Journal
from agent.limits import Limits
from agent.outcome import causes
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
                    "watch": "_watch", "vitals": "_vitals", "link": "_delivering.life", "work": "_working",
                    "sweep": "_sweep", "output": "_output", "harvest": "_harvest",
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


@pytest.mark.parametrize(("number", "exit"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
async def test_a_signal_stops_in_order_and_keeps_the_bill(autojump_clock, nursery, number, exit) -> None:
    stage = Stage(nursery)
    stage.work.seconds = 1000
    stage.signal_in(nursery, 3, number)
    began = trio.current_time()
    outcome = await stage.run()
    assert (outcome.exit, outcome.reason) == (exit, "cancelled")
    assert stage.complete["signal"] == signal.Signals(number).name
    assert stage.complete["result"]["cost"] == 0.41
    assert trio.current_time() - began < 3 + 0.1 + 2 + 0.5


@pytest.mark.parametrize("seconds", [0.0, 0.0001, 0.001, 0.5])
async def test_a_signal_in_any_early_phase(autojump_clock, nursery, seconds) -> None:
    stage = Stage(nursery)
    stage.work.faults = {"check": lambda: trio.sleep(0.0005), "clone": lambda: trio.sleep(1)}
    stage.signal_in(nursery, seconds)
    assert (await stage.run()).exit == 143
    assert stage.complete["exitCode"] == 143
    assert "begin" not in stage.work.steps


async def test_second_signal_ends_the_wait(autojump_clock, nursery) -> None:
    stage = Stage(nursery)
    stage.work.seconds, stage.work.stop_after = 1000, 4.9
    stage.signal_in(nursery, 1)
    stage.signal_in(nursery, 1.5)
    began = trio.current_time()
    await stage.run()
    assert trio.current_time() - began < 1.5 + 2.5


async def test_third_signal_leaves(autojump_clock, nursery) -> None:
    stage = Stage(nursery)
    stage.work.seconds, stage.work.stop_after = 1000, 4.9
    stage.work.faults = {"sweep": lambda: trio.sleep(2)}
    for seconds in (1, 1.1, 1.2):
        stage.signal_in(nursery, seconds)
    await stage.run()
    assert stage.left == [signal.SIGTERM]


async def test_timeout_covers_the_clone(autojump_clock, nursery) -> None:
    stage = Stage(nursery, TIMEOUT="10s")
    stage.work.faults = {"clone": lambda: trio.sleep(1000)}
    outcome = await stage.run()
    assert (outcome.exit, outcome.reason) == (124, "timeout")
    assert stage.complete["reason"] == "timeout"


@pytest.mark.parametrize(
    ("bark", "exit", "reason"),
    [(Bark.IDLE, 124, "idle"), (Bark.REFUSED, 77, "auth"), (Bark.LINGERS, 0, "exited_after_kill")],
)
async def test_the_watchdog_s_word_is_obeyed(autojump_clock, nursery, bark, exit, reason) -> None:
    stage = Stage(nursery, IDLE_TIMEOUT="3s")
    stage.work.seconds, stage.work.bark, stage.work.bark_after = 1000, bark, 3
    outcome = await stage.run()
    assert (outcome.exit, outcome.reason) == (exit, reason)


@pytest.mark.parametrize("stop_after", [0.0, 1.0, 1.9, 2.0, 3.0, 4.9, 9.0])
@pytest.mark.parametrize("saving", [0.3, 1.9])
async def test_a_stop_saves_the_work_however_long_claude_takes_to_end(
    autojump_clock, nursery, stop_after: float, saving: float
) -> None:
    stage = Stage(nursery)
    stage.work.seconds, stage.work.stop_after = 1000, stop_after
    stage.work.faults["harvest"] = partial(trio.sleep, saving)
    stage.signal_in(nursery, 2)
    began = trio.current_time()
    with trio.fail_after(100):
        await stage.supervisor.run()
    assert trio.current_time() - began - 2 < 10, "docker kills the container 10 s after its first signal"
    await trio.sleep(1)
    assert stage.complete["changes"]["files"] == 1


async def test_saving_gets_what_claude_leaves_of_the_stop(autojump_clock, nursery) -> None:
    """4 s are more than saving gets at least; claude left them."""
    stage = Stage(nursery)
    stage.work.seconds = 1000
    stage.work.faults["harvest"] = partial(trio.sleep, 4)
    stage.signal_in(nursery, 2)
    await stage.run()
    assert stage.complete["changes"]["files"] == 1


async def test_a_second_signal_does_not_give_up_the_work_before_it_is_saved(autojump_clock, nursery) -> None:
    stage = Stage(nursery)
    stage.work.seconds, stage.work.stop_after = 1000, 4
    stage.work.faults["harvest"] = partial(trio.sleep, 0.5)
    stage.signal_in(nursery, 2)
    stage.signal_in(nursery, 3)
    await stage.run()
    assert stage.complete["changes"]["files"] == 1


async def test_a_second_signal_ends_the_saving(autojump_clock, nursery) -> None:
    stage = Stage(nursery)
    stage.work.seconds = 1000
    stage.work.faults["harvest"] = trio.sleep_forever
    stage.signal_in(nursery, 2)
    stage.signal_in(nursery, 3)
    began = trio.current_time()
    with trio.fail_after(100):
        await stage.supervisor.run()
    assert trio.current_time() - began < 3.5
    await trio.sleep(1)
    assert "changes" not in stage.complete


async def test_a_cancel_by_the_server_has_no_clock_of_docker_s(autojump_clock, nursery) -> None:
    stage = Stage(nursery, ALLOW_REMOTE_CANCEL="1")
    stage.work.seconds = 1000
    stage.work.faults["harvest"] = partial(trio.sleep, stage.config.limits.harvest - 0.5)

    async def later() -> None:
        await trio.sleep(3)
        stage.inbox.post(CancelRequested())

    nursery.start_soon(later)
    await stage.run()
    assert stage.complete["changes"]["files"] == 1


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


async def test_a_reader_that_fails_is_replaced_by_a_drain(autojump_clock, nursery) -> None:
    stage = Stage(nursery)
    stage.work.faults = {"stdout": lambda: fail(ValueError("a bug"))}
    await stage.run()
    assert any(message["data"].get("message") == "drained" for message in stage.peer.stored)


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


async def test_a_leaked_pipe_does_not_delay_the_end(autojump_clock, nursery) -> None:
    stage = Stage(nursery)
    stage.work.leaks = True
    began = trio.current_time()
    assert (await stage.run()).exit == 0
    assert trio.current_time() - began < 5 + stage.config.limits.ack_grace + stage.config.limits.drain + 3


async def test_no_server_at_the_start(autojump_clock, nursery) -> None:
    stage = Stage(nursery, SERVER_WAIT="5s")
    stage.peer.refuse = ConnectionRefusedError(111, "Connection refused")
    outcome = await stage.run(within=20)
    assert (outcome.exit, outcome.reason) == (69, "server_unreachable")
    assert "clone" not in stage.work.steps


async def test_server_not_required(autojump_clock, nursery) -> None:
    stage = Stage(nursery, SERVER_REQUIRED="0")
    stage.peer.refuse = ConnectionRefusedError(111, "Connection refused")
    outcome = await stage.run(within=60)
    assert outcome.exit == 0
    assert stage.journal.queued > 0, "nobody was there; the journal keeps it"


async def test_a_bad_configuration_still_completes(autojump_clock, nursery) -> None:
    fault = causes.by_fault("configuration", CliError("bad", exit=Exit.CONFIG, code="config"))
    stage = Stage(nursery, fault=fault)
    outcome = await stage.run(within=20)
    assert outcome.exit == 78
    assert stage.complete["exitCode"] == 78
    assert stage.work.steps == ["sweep"]


async def test_a_bad_configuration_without_a_server_is_not_waited_for(autojump_clock, nursery) -> None:
    stage = Stage(nursery, fault=causes.by_fault("x", CliError("bad", exit=Exit.CONFIG, code="config")))
    stage.peer.refuse = ConnectionRefusedError(111, "Connection refused")
    began = trio.current_time()
    assert (await stage.run(within=20)).exit == 78
    assert trio.current_time() - began <= stage.config.limits.first_answer + 3


def slow_handshake(stage: Stage, seconds: float) -> None:
    async def open_stream() -> trio.abc.Stream:
        await trio.sleep(seconds)
        return await stage.peer.open_stream()

    assert stage.supervisor._sender is not None
    stage.supervisor._sender._open_stream = open_stream


@pytest.mark.parametrize("failing", ["check", "clone"])
async def test_a_run_that_fails_at_once_is_told_to_a_server_that_is_slow_to_answer(
    failing: str, autojump_clock, nursery
) -> None:
    stage = Stage(nursery, SERVER_REQUIRED="0")
    setattr(stage.work, failing, lambda *_: fail(CloneError("no")))
    slow_handshake(stage, 4.9)
    assert (await stage.run(within=20)).exit == 66
    assert stage.complete["exitCode"] == 66
    assert stage.journal.queued == 0


@pytest.mark.parametrize(("tried", "patience"), [(0.0, 5.0), (1.5, 3.5), (60.0, 0.0)])
async def test_a_server_that_never_answered_is_not_waited_for(
    tried: float, patience: float, autojump_clock, nursery
) -> None:
    stage = Stage(nursery, SERVER_REQUIRED="0")
    stage.peer.refuse = ConnectionRefusedError(111, "Connection refused")

    async def clone(*_) -> None:
        await trio.sleep(tried)
        raise CloneError("no")

    stage.work.clone = clone  # type: ignore[method-assign]
    ended: list[float] = []
    stage.work.conclude = lambda *_: ended.append(trio.current_time())  # type: ignore[method-assign]
    with trio.fail_after(100):
        assert (await stage.supervisor.run()).exit == 66
    assert trio.current_time() - ended[0] == pytest.approx(patience, abs=0.01)


async def test_no_answer_gives_a_stopped_run_more_time(autojump_clock, nursery) -> None:
    stage = Stage(nursery, SERVER_REQUIRED="0")
    slow_handshake(stage, 1.9)
    stage.signal_in(nursery, 0.0)
    began = trio.current_time()
    with trio.fail_after(20):
        assert (await stage.supervisor.run()).exit == 143
    assert trio.current_time() - began <= stage.config.limits.flush_after_signal + 0.5


async def test_flush_waits_for_a_server_that_comes_back(autojump_clock, nursery) -> None:
    stage = Stage(nursery)

    async def go_away_and_come_back() -> None:
        await trio.sleep(2)
        stage.peer.refuse = ConnectionRefusedError(111, "Connection refused")
        await stage.peer.cut()
        await trio.sleep(300)
        stage.peer.refuse = None

    nursery.start_soon(go_away_and_come_back)
    assert (await stage.run(within=700)).exit == 0
    assert stage.complete["exitCode"] == 0


async def test_the_wait_at_the_end_is_told_and_has_its_variable(autojump_clock, nursery) -> None:
    stage = Stage(nursery, DELIVERY_WAIT="3m")

    async def leave() -> None:
        await trio.sleep(3)
        stage.peer.refuse = ConnectionRefusedError(111, "Connection refused")
        await stage.peer.cut()

    nursery.start_soon(leave)
    began = trio.current_time()
    with trio.fail_after(1000):
        assert (await stage.supervisor.run()).exit == 0
    assert 180 <= trio.current_time() - began < 200
    waiting = [line for line in stage.said if "waiting up to" in line]
    assert len(waiting) == 3, waiting
    assert "waiting up to 3 min for the server, " in waiting[0]
    assert "messages left (Connection refused); DELIVERY_WAIT sets how long" in waiting[0]


async def test_nobody_is_told_of_waiting_where_the_server_is_there(autojump_clock, nursery) -> None:
    stage = Stage(nursery)
    assert (await stage.run()).exit == 0
    assert not [line for line in stage.said if "waiting up to" in line]
