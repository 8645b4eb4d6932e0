"""How cost grows: one quantity at a time, the others at their usual value; and many agents beside each other."""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import chart, report
from benchmarks.experiments import SHORT, Bench, cpu_seconds, memory, wait_until
from benchmarks.peers import AGENT
from benchmarks.run import Case, SinkProcess, sink, start

Point = tuple[float, float]

#: Lines of a run in most curves.
_LINES = 4_000


def measure(bench: Bench, agents: int) -> tuple[str, dict[str, str]]:
    """The curves as Markdown, and as pictures by name."""
    curves = {
        "lines": ("number of lines", "peak RSS, MB", _lines(bench)),
        "length": ("bytes a line", "CPU ms / MB", _length(bench)),
        "rate": ("lines a second", "CPU us / line", _rate(bench)),
        "outage": ("seconds of outage, 400 lines each", "backlog lines/s", _outage(bench)),
        "secrets": ("number of secrets", "CPU ms / 1,000 lines", _secrets(bench)),
        "processes": ("processes in the tree", "CPU ms / minute", _processes(bench)),
    }
    rows, points = _beside(bench, agents)
    curves["agents"] = ("agents beside each other", "total RSS, MB", points)
    text = [
        f"**{unit}** over **{title}**\n\n" + report.table([title, unit], [[f"{x:,.0f}", f"{y:,.2f}"] for x, y in curve])
        for title, unit, curve in curves.values()
    ]
    head = [
        "agents", "RSS MB each", "start-up storm s", "CPU s of all starts", "reconnect storm: first, median, last s",
        "CPU ms / minute each, idle",
    ]  # fmt: skip
    text.append("**Many agents, one receiver**\n\n" + report.table(head, rows))
    problems = "\n".join(f"- {problem}" for problem in bench.book.problems) or "Nothing was lost, doubled or reordered."
    pictures = {
        f"growth-{name}": chart.curve(f"{unit} over {title}", title, curve)
        for name, (title, unit, curve) in curves.items()
    }
    return "\n\n".join([report.facts(), *text, problems]) + "\n", pictures


def _lines(bench: Bench) -> list[Point]:
    counts = (1_000, 5_000, 20_000, 60_000)
    return [(count, bench.run(AGENT, Case(bench.corpus(count)), "lines").rss / 2**20) for count in counts]


def _length(bench: Bench) -> list[Point]:
    points = []
    for size in (400, 2_000, 10_000, 50_000, 250_000, 1_000_000):
        corpus = bench.corpus(max(12, 20_000_000 // size), size)
        points.append((float(size), _marginal_cpu(bench, Case(corpus), f"{size} bytes") * 1e9 / corpus.stat().st_size))
    return points


def _rate(bench: Bench) -> list[Point]:
    points = []
    for rate in (20, 100, 500, 1_500):
        count = max(100, 3 * rate)
        case = Case(bench.corpus(count), interval=1 / rate)
        points.append((float(rate), _marginal_cpu(bench, case, f"{rate}/s") * 1e6 / count))
    return points


def _outage(bench: Bench) -> list[Point]:
    """The server comes back when claude has ended: what arrives then is backlog and nothing else."""
    points = []
    for seconds in (1, 3, 9):
        case = Case(bench.corpus(400 * seconds), interval=1 / 400, outage=seconds + 0.5)
        result = bench.run(AGENT, case, f"{seconds} s outage")
        if result.drained:
            points.append((float(seconds), result.lines / result.drained))
    return points


def _secrets(bench: Bench) -> list[Point]:
    points = []
    for count in (0, 5, 20, 50, 100):
        secrets = "\n".join(f"SECRET_{i}: q{i:02}7Zr+Xk{i * 7919:06}vLw9TbN4mYd" for i in range(count))
        case = Case(bench.corpus(_LINES), environment={"CLAUDE_ENV": secrets})
        points.append((float(5 + count), _marginal_cpu(bench, case, f"{count} secrets") * 1e6 / _LINES))
    return points


def _marginal_cpu(bench: Bench, case: Case, what: str) -> float:
    """Seconds of CPU beyond those of the same run with a few lines: the median of three."""
    start = msgspec.structs.replace(case, corpus=bench.corpus(SHORT), interval=0.0)
    return max(0.0, statistics.median(
        bench.run(AGENT, case, what).cpu - bench.run(AGENT, start, "start").cpu for _ in range(3)
    ))  # fmt: skip


def _processes(bench: Bench) -> list[Point]:
    points = []
    for count in (1, 10, 50, 200):
        with _running(bench, 1, processes=count) as (_, processes):
            before = cpu_seconds(processes[0].pid)
            time.sleep(6)
            points.append((float(count), (cpu_seconds(processes[0].pid) - before) * 10 * 1e3))
        bench.say(f"{'processes':>12}  {count}")
    return points


def _beside(bench: Bench, most: int) -> tuple[list[list[str]], list[Point]]:
    rows, points = [], []
    for count in sorted({count for count in (1, 5, 20, 50, 100, 200) if count < most} | {most}):
        began = time.monotonic()
        with _running(bench, count) as (receiver, processes):
            ready = max(_connects(receiver)) - began
            spent = sum(cpu_seconds(process.pid) for process in processes)
            resident = [memory(process.pid) for process in processes]
            before = spent
            time.sleep(5)
            idle = (sum(cpu_seconds(process.pid) for process in processes) - before) * 12 / count
            receiver.tell("outage 1")
            back = time.monotonic() + 1
            wait_until(lambda: len(_connects(receiver)) >= 2 * count, 90)  # noqa: B023  (called before the next turn)
            again = sorted(moment - back for moment in _connects(receiver))[-count:]
        bench.say(f"{'agents':>12}  {count}")
        points.append((float(count), sum(resident) / 2**20))
        rows.append([
            str(count), f"{sum(resident) / count / 2**20:.1f}", f"{ready:.1f}", f"{spent:.1f}",
            f"{again[0]:.2f}, {again[count // 2]:.2f}, {again[-1]:.2f}", f"{idle * 1e3:.0f}",
        ])  # fmt: skip
    return rows, points


def _connects(receiver: SinkProcess) -> list[float]:
    return [moment for tally in receiver.tallies() for moment in tally["connects"]]


@contextlib.contextmanager
def _running(bench: Bench, count: int, processes: int = 0) -> Iterator[tuple[SinkProcess, list[subprocess.Popen[Any]]]]:
    """So many agents, each with a claude that has said its first line and thinks."""
    case = Case(bench.corpus(SHORT), hold=600.0, processes=processes)
    with tempfile.TemporaryDirectory(dir=bench.workdir) as folder, sink(case.corpus) as receiver:
        began: list[subprocess.Popen[Any]] = []
        try:
            for index in range(count):
                directory = Path(folder) / str(index)
                directory.mkdir()
                own = msgspec.structs.replace(case, environment={"CONTAINER_ID": f"bench-{index}"})
                began.append(start(AGENT, own, directory, receiver.port, f"run-{index}"))
            wait_until(lambda: sum(tally["lines"] > 0 for tally in receiver.tallies()) >= count, 30 + 3 * count)
            yield receiver, began
        finally:
            for process in began:
                process.terminate()
            for process in began:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.communicate(timeout=30)
                process.kill()
                process.wait()
