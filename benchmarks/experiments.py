"""What is measured. All peers take their turns in each round, in a new order, so that noise hits everybody alike."""

from __future__ import annotations

import os
import random
import signal
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from benchmarks import corpus
from benchmarks.peers import AGENT, ALL, NODE, Peer
from benchmarks.run import Case, Result, measure, sink, start

#: Lines of the run that shows what a start costs; what longer ones cost more is theirs.
SHORT = 50


class Plan(msgspec.Struct, frozen=True):
    """How much of everything."""

    rounds: int
    lines: int
    latency_lines: int
    stall: float
    backlog_lines: int
    long_line: int
    idle: float


FULL = Plan(
    rounds=5, lines=20_000, latency_lines=1_000, stall=60.0, backlog_lines=10_000, long_line=48_000_000, idle=30.0
)
BRIEF = Plan(rounds=1, lines=3_000, latency_lines=200, stall=3.0, backlog_lines=2_000, long_line=4_000_000, idle=3.0)


class Series:
    """Values of one quantity of one peer, one a round."""

    def __init__(self) -> None:
        self.values: list[float] = []

    @property
    def median(self) -> float:
        return statistics.median(self.values) if self.values else float("nan")

    def shown(self, unit: float = 1.0, digits: int = 0) -> str:
        """Median and range."""
        if not self.values:
            return "-"
        low, high = min(self.values) / unit, max(self.values) / unit
        text = f"{self.median / unit:,.{digits}f}"
        return text if len(self.values) == 1 else f"{text} ({low:,.{digits}f}-{high:,.{digits}f})"


class Book:
    """All that was measured: peer and quantity -> series; and everything that went wrong, with us and with others."""

    def __init__(self) -> None:
        self.series: dict[tuple[str, str], Series] = {}
        self.problems: list[str] = []
        self.peers_problems: list[str] = []

    def note(self, peer: Peer, quantity: str, value: float | None) -> None:
        if value is not None:
            self.get(peer, quantity).values.append(value)

    def get(self, peer: Peer, quantity: str) -> Series:
        return self.series.setdefault((peer.name, quantity), Series())

    def ratio(self, quantity: str, peer: Peer, base: Peer) -> float:
        return self.get(peer, quantity).median / self.get(base, quantity).median

    def check(self, peer: Peer, result: Result, what: str) -> None:
        target = self.problems if peer is AGENT else self.peers_problems
        target += [f"{peer.name}, {what}: {problem}" for problem in result.problems[:5]]


class Bench:
    """One run of the bench: its plan, its book, and a directory for everything that it makes."""

    def __init__(
        self, plan: Plan, workdir: Path, peers: Sequence[Peer] = ALL, say: Callable[[str], None] = print
    ) -> None:
        self.plan = plan
        self.book = Book()
        self.peers = [peer for peer in ALL if peer in peers]
        self.say = say
        self.workdir = workdir
        self._rng = random.Random()

    def corpus(self, count: int, size: int | None = None) -> Path:
        path = self.workdir / f"corpus-{count}-{size or 'mix'}"
        if not path.exists():
            corpus.write(path, count, size=size)
        return path

    def run(self, peer: Peer, case: Case, what: str) -> Result:
        result = measure(peer, case, self.workdir)
        self.book.check(peer, result, what)
        self.say(f"{what:>12}  {peer.name:<6} {result.lines / max(result.span, 1e-9):>9,.0f} lines/s "
                 f"{result.cpu:6.2f} s CPU {result.rss >> 20:>4} MB")  # fmt: skip
        return result

    def _rounds(self, peers: Sequence[Peer]) -> list[tuple[int, Peer]]:
        turns = []
        for number in range(self.plan.rounds):
            order = [peer for peer in self.peers if peer in peers]
            self._rng.shuffle(order)
            turns += [(number, peer) for peer in order]
        return turns

    def throughput(self) -> None:
        """At full speed: lines a second, CPU without the start, memory, and the start itself."""
        book, lines = self.book, self.plan.lines
        for _, peer in self._rounds(ALL):
            small = self.run(peer, Case(self.corpus(SHORT)), "start")
            large = self.run(peer, Case(self.corpus(lines)), "throughput")
            book.note(peer, "start", small.start)
            book.note(peer, "small rss", small.rss)
            book.note(peer, "rate", large.lines / large.span)
            book.note(peer, "bandwidth", large.bytes / large.span)
            book.note(peer, "cpu", (large.cpu - small.cpu) / (lines - SHORT) * 1000)
            book.note(peer, "rss", large.rss)

    def latency(self) -> None:
        """At a line each 5 ms: from claude's write to the sink's read."""
        case = Case(self.corpus(self.plan.latency_lines), interval=0.005)
        for _, peer in self._rounds((AGENT, NODE)):
            delays = sorted(self.run(peer, case, "latency").latencies)
            self.book.note(peer, "p50", delays[len(delays) // 2])
            self.book.note(peer, "p90", delays[len(delays) * 9 // 10])
            self.book.note(peer, "p99", delays[len(delays) * 99 // 100])

    def memory(self) -> None:
        """Four times the lines, and a server that reads nothing for a while."""
        for peer in (AGENT, NODE):
            if peer in self.peers:
                many = self.run(peer, Case(self.corpus(4 * self.plan.lines)), "4 x lines")
                self.book.note(peer, "4 x rss", many.rss)
                stalled = self.run(peer, Case(self.corpus(self.plan.backlog_lines), stall=self.plan.stall), "stall")
                self.book.note(peer, "stall rss", stalled.rss)
                self.book.note(peer, "stall wrote", stalled.wrote)

    def outage(self) -> None:
        """The server goes away at the first line and comes back when claude is done: the backlog is drained."""
        case = Case(self.corpus(self.plan.backlog_lines), outage=2.0)
        for _ in range(self.plan.rounds):
            result = self.run(AGENT, case, "outage")
            if result.drained:
                self.book.note(AGENT, "drain rate", result.lines / result.drained)
                self.book.note(AGENT, "copies", result.copies)

    def long_line(self) -> None:
        """One line of so many bytes, and of a quarter of it: the time from the first arrival is linear."""
        for quantity, size in (("long", self.plan.long_line), ("quarter", self.plan.long_line // 4)):
            path = self.workdir / f"corpus-long-{size}"
            if not path.exists():
                corpus.write(path, 3, size=size)
            for _, peer in self._rounds((AGENT, NODE)):
                result = self.run(peer, Case(path), f"{size / 1e6:g} MB line")
                self.book.note(peer, quantity, result.span)
                self.book.note(peer, f"{quantity} rss", result.rss)

    def idle(self) -> None:
        """CPU while claude thinks, and how soon SIGTERM is over with a claude that ends at once."""
        for _, peer in self._rounds((AGENT, NODE)):
            self._idle(peer)

    def _idle(self, peer: Peer) -> None:
        case = Case(self.corpus(SHORT), hold=300.0)
        with tempfile.TemporaryDirectory(dir=self.workdir) as folder, sink(case.corpus) as receiver:
            process = start(peer, case, Path(folder), receiver.port)
            wait_until(lambda: any(tally["lines"] for tally in receiver.tallies()), 60)
            time.sleep(1)
            before = cpu_seconds(process.pid)
            time.sleep(self.plan.idle)
            self.book.note(peer, "idle", (cpu_seconds(process.pid) - before) * 60 / self.plan.idle)
            self.book.note(peer, "idle rss", memory(process.pid))
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
            if peer is AGENT:
                time.sleep(0.05)
                self.book.note(peer, "stop", receiver.tallies()[0]["complete"] - began)
        self.say(f"{'idle':>12}  {peer.name}")


def wait_until(condition: Callable[[], bool], within: float) -> None:
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.02)


def cpu_seconds(pid: int) -> float:
    """What all threads of a process have used, to the nanosecond."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def memory(pid: int) -> int:
    """Resident bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
