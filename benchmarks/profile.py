"""Where the time of a run goes: the agent under py-spy, at full speed, as a table of functions and a flame graph.

    python -m benchmarks.profile [--lines N] [--out FILE.svg]

py-spy is installed into .tools/bench/py-spy; it may need the right to trace a process (root, or ptrace_scope 0).
"""

from __future__ import annotations

import argparse
import collections
import subprocess
import tempfile
from pathlib import Path

from benchmarks import corpus, peers
from benchmarks.run import Case, environment, sink

_PY_SPY = "0.4.3"
_SHOWN = 30


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile")
    parser.add_argument("--lines", type=int, default=20_000)
    parser.add_argument("--out", type=Path, help="write a flame graph as SVG")
    options = parser.parse_args()
    peers.AGENT.prepare()
    peers.install(peers.TOOLS / "py-spy", _PY_SPY, [f"py-spy=={_PY_SPY}"])
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "run"
        directory.mkdir()
        path = directory / "corpus"
        corpus.write(path, options.lines)
        form, target = ("flamegraph", options.out.resolve()) if options.out else ("raw", directory / "stacks")
        with sink(path) as receiver:
            # Only the thread that runs counts: waiting ones would look as busy.
            spy = [peers.TOOLS / "py-spy/bin/py-spy", "record", "--gil", "-r", "500", "-f", form, "-o", target]
            given = environment(peers.AGENT, Case(path), directory, receiver.port)
            done = subprocess.run(
                [*spy, "--", *peers.AGENT.argv()], env=given, cwd=directory, capture_output=True, text=True, check=False
            )
        if done.returncode != 0:
            raise SystemExit(done.stderr[-2000:])
        if options.out:
            print(options.out)
        else:
            _show(target.read_text())


def _show(stacks: str) -> None:
    """Shares of all samples: in a function and what it calls, and in the function itself."""
    alone: collections.Counter[str] = collections.Counter()
    within: collections.Counter[str] = collections.Counter()
    for line in stacks.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [frame.rsplit(":", 1)[0] for frame in stack.split(";")]
        alone[frames[-1]] += int(count)
        for frame in set(frames):
            within[frame] += int(count)
    total = sum(alone.values()) or 1
    for title, counter in (("with what it calls", within), ("itself", alone)):
        print(f"\n{title}")
        for frame, count in counter.most_common(_SHOWN):
            print(f"{count / total:7.1%}  {frame}")


if __name__ == "__main__":
    main()
