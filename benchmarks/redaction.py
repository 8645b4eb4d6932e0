"""python -m benchmarks.redaction: what redaction costs a line, with and without a match.

The lines are a realistic mix: short messages, long results, and what tools print (the recorded transcripts, with
source code as tool results between them). Times are CPU time, the best of several rounds.
"""

from __future__ import annotations

import inspect
import json
import random
import string
import time
from collections.abc import Callable
from pathlib import Path

import hypothesis.core

from agent.redaction.redactor import Redactor
from agent.redaction.secret_forms import forms

ROUNDS = 5
TRANSCRIPTS = Path(__file__).resolve().parent.parent / "tests" / "transcripts"


def main() -> None:
    rng = random.Random(7)
    lines = _lines()
    size = sum(map(len, lines)) / len(lines)
    print(f"{len(lines)} lines, mean {size:,.0f} bytes, nothing matches (us a line)\n")
    print("| secrets | redactor | MB/s | slow path | `in` for every form | ratio |\n|---|---|---|---|---|---|")
    for count in (0, 5, 50, 200):
        secrets = {str(number): _token(rng) for number in range(count)}
        redactor = Redactor(secrets)
        patterns = [form.pattern for secret in secrets.values() for form in forms(secret)]
        fast = _seconds(lambda r=redactor: [r.json(line) for line in lines]) / len(lines)
        plain = _seconds(lambda p=patterns: [any(x in line for x in p) for line in lines]) / len(lines)
        slow = sum(1 for line in lines if redactor.suspicious(line)) / len(lines)
        ratio = f"{plain / fast:.0f}x" if count else "-"
        print(f"| {count} | {fast * 1e6:.1f} | {size / fast / 1e6:,.0f} | {slow:.1%} | {plain * 1e6:.0f} | {ratio} |")
    print("\n1 line with a hit at its end (ms)\n\n| line | 5 KB | 100 KB | 1 MB |\n|---|---|---|---|")
    secret = _token(rng)
    redactor = Redactor({"X": secret})
    for name, text in _texts().items():
        cells = []
        for length in (5_000, 100_000, 1_000_000):
            line = json.dumps({"text": (text * (length // len(text) + 1))[:length] + secret}).encode()
            assert secret.encode() not in redactor.json(line)
            cells.append(f"{_seconds(lambda data=line: redactor.json(data)) * 1e3:.1f}")
        print(f"| {name} | {' | '.join(cells)} |")


def _lines() -> list[bytes]:
    recorded = [line for path in sorted(TRANSCRIPTS.glob("*.jsonl")) for line in path.read_bytes().splitlines()]
    source = inspect.getsource(hypothesis.core)
    results = [
        json.dumps({"type": "user", "content": source[at : at + 20_000]}) for at in range(0, len(source), 20_000)
    ]
    return [line for line in recorded if len(line) < 500_000] + [result.encode() for result in results] * 10


def _texts() -> dict[str, str]:
    source = inspect.getsource(hypothesis.core)
    return {
        "prose": "The quick brown fox jumps over the lazy dog, and nobody is astonished.\n" * 50,
        "source code": source,
        "JSON in the string": json.dumps({"source": source}),
        "backslashes only": "\\",
    }


def _token(rng: random.Random) -> str:
    return "".join(rng.choices(string.ascii_letters + string.digits, k=40))


def _seconds(work: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return min(times)


if __name__ == "__main__":
    main()
