"""python -m benchmarks: the agent beside its peers; see README.md."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks import chart, growth, report
from benchmarks.experiments import BRIEF, FULL, Bench
from benchmarks.peers import ALL

RESULTS = Path(__file__).resolve().parent / "results"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--short", action="store_true", help="under a minute: agent and node, one round")
    parser.add_argument("--rounds", type=int, default=FULL.rounds)
    parser.add_argument("--growth", nargs="?", const=30, type=int, metavar="AGENTS",
                        help="curves instead, with up to AGENTS agents beside each other (30)")  # fmt: skip
    parser.add_argument("--out", type=Path, default=None, help="directory for the results (benchmarks/results)")
    options = parser.parse_args()
    plan = BRIEF if options.short else type(FULL)(**{**_fields(FULL), "rounds": options.rounds})
    peers = [peer for peer in ALL if not options.short or peer.name in ("agent", "node")]
    for peer in peers:
        peer.prepare()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(plan, Path(folder), peers, lambda line: print(line, file=sys.stderr, flush=True))
        if options.growth is not None:
            return _finish(bench, options.out or RESULTS, "growth", *growth.measure(bench, options.growth))
        bench.throughput()
        bench.latency()
        if not options.short:
            bench.memory()
            bench.long_line()
            bench.idle()
        bench.outage()
        text, picture = report.markdown(bench), _bars(bench)
        if options.short and options.out is None:
            print(text)
            return 1 if bench.book.problems else 0
        return _finish(bench, options.out or RESULTS, "results", text, {"results": picture})


def _fields(plan: object) -> dict[str, object]:
    import msgspec

    return msgspec.structs.asdict(plan)  # type: ignore[type-var]


def _bars(bench: Bench) -> str:
    def values(quantity: str, unit: float) -> dict[str, float]:
        found = {peer.name: bench.book.get(peer, quantity) for peer in bench.peers}
        return {name: series.median / unit for name, series in found.items() if series.values}

    return chart.bars(
        [
            ("lines a second", values("rate", 1)),
            ("CPU ms for 1,000 lines", values("cpu", 1e-3)),
            ("peak memory, MB", values("rss", 1 << 20)),
            ("start to connected, ms", values("start", 1e-3)),
        ]
    )


def _finish(bench: Bench, directory: Path, name: str, text: str, pictures: dict[str, str]) -> int:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{name}.md").write_text(text)
    for picture, svg in pictures.items():
        (directory / f"{picture}.svg").write_text(svg)
    print(text)
    return 1 if bench.book.problems else 0


if __name__ == "__main__":
    sys.exit(main())
