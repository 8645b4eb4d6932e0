"""How cost grows: one quantity at a time, the others at their usual value; and many agents beside each other."""

from __future__ import annotations

import contextlib
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
        "outage": ("seconds of outage, 20 ms a line", "backlog lines/s", _outage(bench)),
        "secrets": ("number of secrets", "CPU ms / 1,000 lines", _secrets(bench)),
        "processes": ("processes in the tree", "CPU ms / minute", _processes(bench)),
    }
    rows, points = _beside(bench, agents)
    curves["agents"] = ("agents beside each other", "total RSS, MB", points)
    text = [
        f"**{unit}** over **{title}**\n\n" + report.table([title, unit], [[f"{x:,g}", f"{y:,.2f}"] for x, y in curve])
        for title, unit, curve in curves.values()
    ]
    head = [
        "agents", "RSS MB each", "start-up storm s", "CPU s of all starts", "reconnect storm: first, median, last s",
        "CPU ms / minute each, idle",
    ]  # fmt: skip
    text.append("**Many agents, one receiver**\n\n" + report.table(head, rows))
    problems = "\n".join(f"- {problem}" for problem in bench.book.problems) or "Nothing was lost, doubled or reordered."
    pictures = {
        f"growth-{name}": chart.curves(f"{unit} over {title}", "", {"agent": curve})
        for name, (title, unit, curve) in curves.items()
    }
    return "\n\n".join([*text, problems]) + "\n", pictures


def _lines(bench: Bench) -> list[Point]:
    counts = (1_000, 5_000, 20_000, 60_000)
    return [(count, bench.run(AGENT, Case(bench.corpus(count)), "lines").rss / 2**20) for count in counts]


def _length(bench: Bench) -> list[Point]:
    points = []
    base = bench.run(AGENT, Case(bench.corpus(SHORT)), "start").cpu
    for size in (400, 2_000, 10_000, 50_000, 250_000, 1_000_000):
        result = bench.run(AGENT, Case(bench.corpus(max(12, 20_000_000 // size), size)), f"{size} bytes")
        points.append((float(size), max(0.0, result.cpu - base) * 1e3 / (result.bytes / 1e6)))
    return points


def _rate(bench: Bench) -> list[Point]:
    points = []
    base = bench.run(AGENT, Case(bench.corpus(SHORT)), "start").cpu
    for rate in (20, 100, 500, 1_500):
        count = max(100, 3 * rate)
        result = bench.run(AGENT, Case(bench.corpus(count), interval=1 / rate), f"{rate}/s")
        points.append((float(rate), max(0.0, result.cpu - base) * 1e6 / count))
    return points


def _outage(bench: Bench) -> list[Point]:
    points = []
    for seconds in (1, 3, 9):
        case = Case(bench.corpus(50 * (seconds + 2)), interval=0.02, outage=float(seconds))
        result = bench.run(AGENT, case, f"{seconds} s outage")
        if result.drained:
            points.append((float(seconds), result.lines / result.drained))
    return points


def _secrets(bench: Bench) -> list[Point]:
    points = []
    base = bench.run(AGENT, Case(bench.corpus(SHORT)), "start").cpu
    for count in (0, 5, 20, 50, 100):
        secrets = "\n".join(f"SECRET_{i}: q{i:02}7Zr+Xk{i * 7919:06}vLw9TbN4mYd" for i in range(count))
        result = bench.run(AGENT, Case(bench.corpus(_LINES), environment={"CLAUDE_ENV": secrets}), f"{count} secrets")
        points.append((float(5 + count), max(0.0, result.cpu - base) * 1e6 / _LINES))
    return points


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
