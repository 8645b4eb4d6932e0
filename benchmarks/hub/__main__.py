"""The options and loads of the hub's benchmark."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.hub import __doc__ as _doc
from benchmarks.hub import real
from benchmarks.hub.load import agents, name, readers, store, watchers
from benchmarks.hub.serving import Hub

#: The agent that sends while others come back.
_OTHER = 900_000
_context = multiprocessing.get_context("spawn")


class _Process:
    """A process of the load, and the pipe to it."""

    def __init__(self, target: Callable[..., None], *arguments: object) -> None:
        self.pipe, theirs = _context.Pipe()
        self._process = _context.Process(target=target, args=(theirs, *arguments))
        self._process.start()

    def until_connected(self) -> Connection:
        self.pipe.recv()
        return self.pipe

    def ask(self) -> Any:
        """End it, and return its report."""
        self.pipe.send("end")
        return self.report()

    def report(self) -> Any:
        found = self.pipe.recv()
        self._process.join()
        return found


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    """Quantiles in milliseconds."""
    values = sorted(values)
    shares = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    return {
        name: round(values[min(int(len(values) * share), len(values) - 1)] * 1000, 1)
        for name, share in shares.items() if values
    }  # fmt: skip


def _print(hub: Hub, found: dict[str, Any]) -> None:
    stalls = hub.end()
    print(json.dumps({**found, **({"stalls ms": stalls} if stalls else {}), "load": os.getloadavg()[0]}))


def _load(args: argparse.Namespace, directory: Path) -> int:
    """Agents that send, watchers that watch."""
    hub = Hub(directory, stalls=args.stalls)
    fleet = _Process(agents, hub.port, range(args.agents), args.rate, args.seconds)
    pipe = fleet.until_connected()
    runs = args.watchers // 2
    watched = [number * max(args.agents // max(runs, 1), 1) % args.agents for number in range(runs)]
    watch = _Process(watchers, hub.port, watched, args.watchers - runs)
    time.sleep(1)
    hub.go()
    pipe.send("go")
    if args.restart:
        time.sleep(args.seconds / 2)
        hub.kill()
        hub.start()
    while not pipe.poll(0.5):
        hub.look()
    pipe.recv()
    used = hub.used()
    sent = fleet.report()
    time.sleep(1)
    lines, rows = watch.ask()
    rate = sent["messages"] / sent["took"]
    _print(hub, {
        "agents": args.agents, "watchers": args.watchers, "messages/s": round(rate), "cpu": round(used, 3),
        "us/message": round(used / rate * 1e6), "rss MiB": hub.most >> 20, "line ms": _quantiles(lines),
        "row ms": _quantiles(rows), "ack ms": _quantiles(sent["beats"]), "lines seen": len(lines),
        "rows seen": len(rows), "missing": sent["missing"],
    })  # fmt: skip
    return 1 if sent["missing"] else 0


def _back(args: argparse.Namespace, directory: Path) -> int:
    """Agents of large runs that come back at once to a hub that was started again."""
    stored = store(directory / "store", args.runs, args.mib)
    os.sync()
    if args.index:
        before = Hub(directory)
        while _runs(before)["indexing"]:
            time.sleep(0.5)
        before.end()
    hub = Hub(directory, *args.serve, stalls=args.stalls)
    other = _Process(agents, hub.port, [_OTHER], 10.0, args.seconds)
    pipe = other.until_connected()
    watch = _Process(watchers, hub.port, [_OTHER], 1)
    whole = [f"/api/runs/{name(1)}/messages"] if args.mib >= 1 else []
    read = _Process(readers, hub.port, ["/healthz", "/api/runs?q=bench+1&limit=1000", *whole])
    time.sleep(1)
    pipe.send("go")
    began = time.monotonic()
    fleet = _Process(agents, hub.port, range(args.runs), 1.0, args.seconds - 2, stored)
    back = fleet.until_connected()
    back.send("go")
    while not pipe.poll(0.1):
        hub.look()
    pipe.recv()
    found, sent = other.report(), (back.recv(), fleet.report())[1]
    took = time.monotonic() - began
    lines, rows = watch.ask()
    answers = {path: _quantiles(times) for path, times in read.ask().items()}
    _print(hub, {
        "runs": args.runs, "MiB": args.mib, "took": round(took, 1), "rss MiB": hub.most >> 20,
        "line ms": _quantiles(lines), "lines seen": len(lines), "row ms": _quantiles(rows), "answers ms": answers,
        "back ms": _quantiles(sent["beats"]), "missing": sent["missing"] + found["missing"],
    })  # fmt: skip
    return 1 if sent["missing"] + found["missing"] else 0


def _start(args: argparse.Namespace, directory: Path) -> int:
    """A hub over many stored runs: without an index, and started again."""
    store(directory / "store", args.runs, args.mib)
    found: dict[str, Any] = {"runs": args.runs, "MiB": args.mib}
    listed = 0
    for which in ("without an index", "with it"):
        began = time.monotonic()
        hub = Hub(directory)
        answer = _runs(hub)
        first, known = time.monotonic() - began, answer["totals"]["runs"]
        while answer["indexing"]:
            time.sleep(0.02)
            answer = _runs(hub)
        listed = answer["totals"]["runs"]
        took = time.monotonic() - began
        found[which] = {"first answer s": round(first, 2), "runs in it": known, "all s": round(took, 2)}
        hub.end()
    print(json.dumps({**found, "listed": listed, "load": os.getloadavg()[0]}))
    return 0 if listed == known == args.runs else 1


def _runs(hub: Hub) -> dict[str, Any]:
    """What the list says of all runs."""
    with urllib.request.urlopen(f"http://127.0.0.1:{hub.port}/api/runs?limit=1", timeout=60) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def _real(args: argparse.Namespace, directory: Path) -> int:
    """Real agents, and a hub that is killed in the middle."""
    hub = Hub(directory, stalls=args.stalls)
    watch = _Process(watchers, hub.port, [], args.watchers)
    agents = real.start(directory, hub.port, args.agents, args.seconds, 3.0)
    address = f"http://127.0.0.1:{hub.port}/api/runs?limit=1000"

    def runs() -> list[dict[str, Any]]:
        with urllib.request.urlopen(address, timeout=60) as answer:
            found: list[dict[str, Any]] = json.load(answer)["runs"]
            return found

    def connections() -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{hub.port}/metrics", timeout=60) as answer:
            (line,) = [line for line in answer.read().decode().splitlines() if line.startswith("agent_connections ")]
            return float(line.split()[1])

    while sum(row["phase"] == "RUNNING" for row in runs()) < 0.9 * args.agents:
        time.sleep(1)
    time.sleep(args.seconds / 4)
    hub.kill()
    hub.start()
    began, back = time.monotonic(), 0.0
    while any(agent.poll() is None for agent in agents):
        hub.look()
        if not back and connections() >= sum(agent.poll() is None for agent in agents):
            back = time.monotonic() - began
        time.sleep(0.5)
    time.sleep(2)
    rows = runs()
    used = hub.used()
    watch.ask()
    whole = sum(bool(row["comparison"] and row["comparison"]["whole"]) for row in rows)
    _print(hub, {
        "real agents": args.agents, "runs": len(rows), "whole": whole, "messages": sum(row["events"] for row in rows),
        "failed": sum(agent.returncode != 0 for agent in agents), "all back after s": round(back, 1),
        "cpu": round(used, 3), "rss MiB": hub.most >> 20,
    })  # fmt: skip
    return 0 if whole == args.agents else 1


def main() -> int:
    """Run one load. Returns the exit status."""
    parser = argparse.ArgumentParser(description=_doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    loads = parser.add_subparsers(required=True)
    load = loads.add_parser("load")
    load.add_argument("--agents", type=int, default=1000)
    load.add_argument("--rate", type=float, default=2.0)
    load.add_argument("--watchers", type=int, default=20)
    load.add_argument("--restart", action="store_true")
    load.set_defaults(run=_load)
    back = loads.add_parser("back")
    back.add_argument("--runs", type=int, default=200)
    back.add_argument("--mib", type=float, default=20.0)
    back.add_argument("--index", action="store_true", help="the hub has an index of them")
    back.add_argument("--serve", action="append", default=[], metavar="OPTION", help="an option of `agent serve`")
    back.set_defaults(run=_back)
    begin = loads.add_parser("start")
    begin.add_argument("--runs", type=int, default=5000)
    begin.add_argument("--mib", type=float, default=0.02)
    begin.set_defaults(run=_start)
    whole = loads.add_parser("real")
    whole.add_argument("--agents", type=int, default=200)
    whole.add_argument("--watchers", type=int, default=20)
    whole.set_defaults(run=_real)
    for one in (load, back, whole):
        one.add_argument("--seconds", type=float, default=20.0)
        one.add_argument("--stalls", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        status: int = args.run(args, Path(directory))
    return status


if __name__ == "__main__":
    sys.exit(main())
