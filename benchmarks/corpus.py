"""Lines as `claude --output-format stream-json` writes them, in the mix of sizes that real runs have.

Every line ends in a number (its `uuid`) and a slot that a paced writer fills with its send time, so that the receiver
can tell what is lost, doubled or out of order, how long it took, and whether a byte has changed.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SESSION = "5c21f7ed-0000-4000-8000-000000000001"
#: The end of every line: 19 digits of nanoseconds, and 12 of the line's number.
SENT = b'"sent":"0000000000000000000"'
NUMBER = b'"uuid":"00000000-0000-4000-8000-'
END = b'"sent":"%019d","uuid":"00000000-0000-4000-8000-%012d"}'
#: From the end of a line to the first digit of each.
SENT_OFFSET = len(END % (0, 0)) - len(b'"sent":"')
NUMBER_OFFSET = 14

#: Share, smallest and largest size in bytes.
MIX = ((0.60, 300, 600), (0.30, 2048, 4096), (0.09, 20_000, 20_500), (0.01, 200_000, 201_000))

_PROSE = """
the login test fails because its session expires before redirect returns a promise nobody awaits in middleware
function import return const undefined module exports async handler request response error stack trace index
npm test passed skipped coverage src/auth/session.ts lib/router.js README.md build output warning deprecated
"""
_WORDS = _PROSE.split()
_FOREIGN = ("façade", "naïve", "→", "✓", "größer", "日本語", "test—ok", "…", "Ünïcode", "🎉")


def write(path: Path, count: int, *, seed: int = 1, size: int | None = None) -> None:
    """`count` lines, the first an init and the last a result; each of about `size` bytes, or of the mix without."""
    with path.open("wb") as file:
        file.writelines(line + b"\n" for line in lines(count, seed=seed, size=size))


def lines(count: int, *, seed: int = 1, size: int | None = None) -> Iterator[bytes]:
    rng = random.Random(seed)
    texts = _texts(rng)
    yield _finish(_INIT, 0)
    sizes = [(share, low, high) for share, low, high in MIX] if size is None else [(1.0, size, size + 1)]
    weights = [share for share, _, _ in sizes]
    for number in range(1, count - 1):
        _, low, high = rng.choices(sizes, weights)[0]
        yield _line(rng, texts, number, rng.randrange(low, high))
    yield _finish(_RESULT, count - 1)


def _texts(rng: random.Random) -> tuple[str, str]:
    """Prose and source code of 256 KiB each to cut pieces from; 8 % of the pieces are drawn from ASCII alone."""
    words = [rng.choice(_FOREIGN) if rng.random() < 0.02 else rng.choice(_WORDS) for _ in range(40_000)]
    lines = [" ".join(words[n : n + 9]) + ("\n" if n % 5 else '\n\t"quoted": "a\\b"\n') for n in range(0, 40_000, 9)]
    text = "".join(lines)
    return text, text.encode("ascii", "ignore").decode()


def _line(rng: random.Random, texts: tuple[str, str], number: int, size: int) -> bytes:
    """One message of the conversation. Short ones are replies; long ones are replies, edits, and what tools gave."""
    text = texts[rng.random() < 0.08]
    start = rng.randrange(len(text) - 60_000)
    piece = text[start : start + min(size, 60_000)]
    kind = 0 if size < 1000 else number % 3
    # Escapes and characters outside of ASCII take more than one byte, and the rest of the line its own: cut to fit.
    spare = max(0, size - len(_finish(_fields(number, kind, ""), number)))
    count = spare * len(piece) // len(json.dumps(piece, ensure_ascii=False).encode())
    body = piece * (count // len(piece)) + piece[: count % len(piece)]
    return _finish(_fields(number, kind, body if text is texts[1] else "✓ " + body), number)


def _fields(number: int, kind: int, body: str) -> dict[str, Any]:
    if kind == 0:
        return _assistant(number, {"type": "text", "text": body})
    if kind == 1:
        call = {"file_path": "/workspace/src/auth/session.ts", "old_string": "", "new_string": body}
        return _assistant(number, {"type": "tool_use", "id": f"toolu_{number:024}", "name": "Edit", "input": call})
    block = {"tool_use_id": f"toolu_{number - 1:024}", "type": "tool_result", "content": body, "is_error": False}
    message = {"role": "user", "content": [block]}
    return {"type": "user", "message": message, "parent_tool_use_id": None, "session_id": SESSION}


def _assistant(number: int, block: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "assistant",
        "message": {"id": f"msg_{number:012}", "role": "assistant", "model": "claude-opus-5-5", "content": [block]},
        "parent_tool_use_id": None,
        "session_id": SESSION,
    }


def _finish(fields: dict[str, Any], number: int) -> bytes:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()[:-1] + b"," + END % (0, number)


_INIT = {
    "type": "system",
    "subtype": "init",
    "cwd": "/workspace",
    "session_id": SESSION,
    "tools": ["Bash", "Edit", "Read", "Write"],
    "mcp_servers": [],
    "model": "claude-opus-5-5",
    "permissionMode": "default",
    "claude_code_version": "2.1.330",
}
_RESULT = {
    "type": "result",
    "subtype": "success",
    "is_error": False,
    "duration_ms": 1,
    "duration_api_ms": 1,
    "num_turns": 1,
    "result": "Done.",
    "session_id": SESSION,
    "total_cost_usd": 0.5,
    "usage": {"input_tokens": 1, "output_tokens": 1},
}
