"""One simulated run: the agent put together as `agent.commands.run` does, in a world made from a seed."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Collection
from functools import cache, partial
from pathlib import Path
from typing import Any

import msgspec
import trio
from trio._core import _run as scheduler

from agent.commands import last_resort
from agent.commands import run as runner
from agent.config.config import Config
from agent.exits import Exit
from agent.journal.journal import Journal, Record
from agent.journal.run_directory import Run as JournalRun
from agent.outcome.causes import Cause, CauseKind
from agent.outcome.verdict import Outcome
from agent.protocol.events import Envelope
from agent.protocol.phase import Phase
from agent.redaction.redactor import Redactor
from agent.report.console import Console
from agent.report.reporter import Reporter
from agent.run.inbox import Inbox, Report, Signalled
from agent.run.link import Link
from agent.run.supervisor import Supervisor
from agent.run.waiting import LimitWaits
from tests.simulation import plan
from tests.simulation.chance import Chance
from tests.simulation.clock import virtual_clock
from tests.simulation.history import History
from tests.simulation.server import Server
from tests.simulation.world import Disk, World

#: Virtual seconds after which a run counts as hung; no configuration drawn here allows as much.
BUDGET = 900.0

_BAD_CONFIG = Cause(CauseKind.FAULT, Exit.CONFIG, "config", "config", "the configuration has a problem")

scheduler._ALLOW_DETERMINISTIC_SCHEDULING = True  # batches in the order of tasks, shuffled by `scheduler._r` alone


class Ended(BaseException):
    """The process is gone, after a third signal."""


class Simulated:
    """All that is known of a run once it is over."""

    def __init__(self, chance: Chance) -> None:
        self.chance = chance
        self.config: Config = plan.configuration(chance)
        self.history = History(*plan.bug(chance))
        self.signals = plan.signals(chance)
        #: The supervisor's inbox: time, report, and the phase that it met.
        self.trail: list[tuple[float, Report, Phase]] = []
        self.phases: list[tuple[float, Phase]] = []
        #: When a server was there for the agent, and when no more.
        self.links: list[tuple[float, bool]] = []
        self.outcome: Outcome | None = None
        self.exit: int | None = None
        self.hung = False
        self.aborted = False
        self.crash: Exception | None = None
        self.took = 0.0
        self.undelivered: list[Record] = []
        #: Everything, of a run without a server.
        self.unsent: list[Record] = []
        self.queued = 0
        self.confirmed = 0
        self.on_disk = False
        self.journal_most = 0
        self.resident_most = 0
        self.left: list[str] = []
        self.said: list[bytes] = []
        self.world: World
        self.server: Server
        self.supervisor: Supervisor

    @property
    def digest(self) -> str:
        return self.history.digest()


def simulate(seed: int, without: Collection[str] = ()) -> Simulated:
    """Run one seed to its end. Two calls with the same arguments give the same history."""
    run = Simulated(Chance(seed, without))
    scheduler._r.seed(seed)
    before = _held()
    patience = trio.CancelScope()
    trio.run(partial(_outside, run, patience), clock=virtual_clock(patience))
    after = _held()
    if after[0] != before[0] or after[1] > before[1]:  # fewer threads: an idle one of Trio's has ended meanwhile
        run.left.append(f"descriptors and threads: {after}, {before} before")
    return run


def _held() -> tuple[int, int]:
    """Descriptors and threads of this process."""
    return len(os.listdir("/proc/self/fd")), threading.active_count()  # noqa: PTH208  (once a run, and quick)


async def _outside(run: Simulated, patience: trio.CancelScope) -> None:
    """The world ends after the agent; whatever is left of the agent then is a leak."""
    history = run.history
    with contextlib.ExitStack() as stack:
        async with trio.open_nursery() as outside:
            patience.deadline = BUDGET
            with patience:
                await _agent(run, outside, stack)
            run.hung = patience.cancelled_caught
            run.took = trio.current_time()
            history.note("exit", run.exit)
            claude = run.world.claude
            if claude is not None and claude.alive and "claude.unkillable" not in run.chance.faults:
                run.left.append("claude")
            swept = "claude.unsweepable" not in run.chance.faults and run.history.bug != "sweep"
            if claude is not None and claude.escapee and swept:
                run.left.append("a descendant of claude")
            outside.cancel_scope.cancel("the world ends")


async def _agent(run: Simulated, outside: trio.Nursery, stack: contextlib.ExitStack) -> None:
    config, chance, history = run.config, run.chance, run.history
    redactor = _redactor()
    envelope = Envelope(config.container_id, "RUN")
    wall = _wall_clock(chance)
    journal = _journal(run, envelope, redactor, wall, stack)
    world = run.world = World(config, chance, history, redactor, outside)
    server = run.server = Server(chance, history, envelope, outside, config.ask_timeout)
    console = Console(config.log_level, limits=config.limits, redact=redactor.text, now=wall, write=run.said.append)
    reporter = Reporter(config, journal, console, world.vital_signs, "session", wall)
    inbox = Inbox()
    link = Link(config, journal, reporter, inbox.post, open_stream=server.open_stream, rng=chance.of("back-off"))
    world.pass_on = link.pass_on
    if link.sender is not None:
        heartbeat = reporter.heartbeat

        def beat() -> bytes:
            history.strike("sender")
            return heartbeat()

        told = link.sender._listener

        def connected(up: bool) -> None:
            run.links.append((trio.current_time(), up))
            told.connected(up)

        link.sender._listener = msgspec.structs.replace(told, heartbeat=beat, connected=connected)
    entered, at_phase = reporter.entered, plan.signal_at_phase(chance)

    def enter(phase: Phase, cause: Any) -> None:
        run.phases.append((trio.current_time(), phase))
        history.note("phase", phase.value)
        entered(phase, cause)
        if at_phase is not None and at_phase[0] is phase:
            history.note("signal", at_phase[1])
            inbox.post(Signalled(at_phase[1]))

    reporter.entered = enter  # type: ignore[method-assign]
    run.supervisor = supervisor = Supervisor(
        config, world, reporter, link.sender, inbox,
        listen=partial(_listen, run),
        write_health=lambda: history.strike("health"),
        emergency_exit=partial(_leave, run, world),
        observe=partial(_observe, run),
        fault=_BAD_CONFIG if "config" in chance.faults else None,
        waits=LimitWaits(config, wall, chance.of("claude.limited").random),
    )  # fmt: skip
    outside.start_soon(server.leave)
    outside.start_soon(server.be_away)
    if "server.stops_acking" in chance.faults:
        outside.start_soon(_later, chance.of("server.stops_acking").uniform(0, 3), server.stop_acking)
    try:
        run.outcome = await supervisor.run()
    except Exception as bug:
        run.crash = bug
        run.outcome = await last_resort.answer_for(bug, world, reporter, link)
    except BaseException as group:
        if not run.aborted:
            raise group
    run.undelivered = _after(journal, journal.confirmed_seq)
    run.queued, run.confirmed = journal.queued, journal.confirmed_seq
    if run.outcome is not None:
        run.exit = reporter.finish(run.outcome)
    runner.close_journal(journal)


@cache
def _redactor() -> Redactor:
    """Every simulated run has the same secrets."""
    return Redactor(plan.template().secrets)


def _after(journal: Journal, seq: int) -> list[Record]:
    """All records above a number; one read ends at the end of a segment."""
    found: list[Record] = []
    while records := journal.read(found[-1].seq if found else seq, 1 << 40, 1 << 40):
        found += records
    return found


def _observe(run: Simulated, report: Report, phase: Phase) -> None:
    run.history.strike("supervisor")
    run.trail.append((trio.current_time(), report, phase))
    run.history.note("inbox", type(report).__name__, getattr(report, "task", ""))


async def _listen(run: Simulated, deliver: Callable[[int], None]) -> None:
    run.history.strike("signals")
    for at, number in run.signals:
        await trio.sleep_until(at)
        run.history.note("signal", number)
        deliver(number)
    await trio.sleep_forever()


async def _later(seconds: float, call: Callable[[], None]) -> None:
    await trio.sleep(seconds)
    call()


def _leave(run: Simulated, world: World, number: int) -> None:
    run.aborted = True
    run.exit = 128 + number
    world.emergency_sweep()
    raise Ended


def _wall_clock(chance: Chance) -> Callable[[], float]:
    """Virtual time; one that jumps loses or wins hours now and then."""
    rng = chance.of("clock.jumps")
    jumps = "clock.jumps" in chance.faults

    def now() -> float:
        return 1.8e9 + trio.current_time() + (rng.choice((0, 0, -86400, 86400)) if jumps else 0)

    return now


def _journal(
    run: Simulated, envelope: Envelope, redactor: Redactor, now: Callable[[], float], stack: contextlib.ExitStack
) -> Journal:
    config, chance = run.config, run.chance
    directory = None
    if chance.faults & {"disk.refuses", "disk.tears"} or chance.of("journal").random() < 0.2:
        parent = Path(tempfile.mkdtemp(prefix="simulated-", dir=_MEMORY))
        stack.callback(shutil.rmtree, parent, ignore_errors=True)
        run.on_disk = True
        directory = Disk.create(parent, JournalRun(envelope.container_id, envelope.run_id, "0", "0"))
        directory.arm(chance, run.history)
    journal = Journal(
        directory, envelope, limits=config.limits, limit=config.journal_limit, message_limit=config.message_limit,
        redact=redactor.json, now=now,
    )  # fmt: skip
    append = journal.append

    def watched(events: Any) -> None:
        before = journal.last_seq
        append(events)
        if config.ws_server is None:
            run.unsent += _after(journal, before)
            journal.confirm(journal.last_seq)
        if journal.sent_seq <= journal.confirmed_seq:  # what is in flight may not be dropped
            run.journal_most = max(run.journal_most, journal.size)
        if directory is not None and journal.refused is None:
            resident = sum(s.size for s in journal._store._resident if s.records is not None)
            run.resident_most = max(run.resident_most, resident)

    journal.append = watched  # type: ignore[method-assign]
    return journal


_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
