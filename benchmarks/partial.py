"""python -m benchmarks.partial: what a reply costs that is shown while it is written (PARTIAL=1).

A reply of 400 kB, as the CLI prints it: whole, and whole behind 20,000 deltas. It goes through reader, redactor,
transcript and a journal on the disk, with five secrets registered. Times are CPU time, the best of several rounds.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import trio

from agent.claude import ClaudeOutput, Pieces
from agent.journal import Journal
from agent.limits import Limits
from agent.protocol import Envelope
from agent.redaction import Redactor

ROUNDS = 5
DELTAS, SIZE = 20_000, 20
#: Bytes of one read of the pipe.
READ = 64 * 1024
LIMITS = Limits()
WORDS = "it grows word by word, as long as it likes and no longer than that"


def main() -> None:
    rng = random.Random(7)
    redactor = Redactor({str(number): rng.randbytes(20).hex() for number in range(5)})
    words = " ".join(rng.choices(WORDS.split(), k=90_000))
    text = words[: DELTAS * SIZE]
    whole, deltas = _whole(text), list(_deltas(text))
    joined = b"".join([*deltas, whole])
    reads = [joined[at : at + READ] for at in range(0, len(joined), READ)]
    runs = {"PARTIAL=0": [whole], "PARTIAL=1, in a burst": reads, "PARTIAL=1, a read each": [*deltas, whole]}
    print("| | stdout | journal | CPU | CPU a delta |\n|---|---|---|---|---|")
    base = 0.0
    for name, chunks in runs.items():
        best, journal = min(_round(chunks, redactor, shows=len(chunks) > 1) for _ in range(ROUNDS))
        base = base or best
        each = f"{(best - base) / DELTAS * 1e6:.1f} us" if len(chunks) > 1 else "-"
        print(f"| {name} | {sum(map(len, chunks)):,} | {journal:,} | {best * 1e3:.0f} ms | {each} |")


def _round(chunks: Sequence[bytes], redactor: Redactor, *, shows: bool) -> tuple[float, int]:
    """CPU seconds, and bytes of the journal."""
    envelope, previews = Envelope("c", "r"), list[bytes]()
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal.open(Path(folder), envelope, limits=LIMITS, limit=1 << 30, message_limit=1 << 20,
                               redact=redactor.json, now=time.time)  # fmt: skip

        async def read() -> None:
            pieces = (
                Pieces(redactor, LIMITS, lambda data: previews.append(envelope.preview(data, ""))) if shows else None
            )
            claude = ClaudeOutput(_Chunks(chunks), _Chunks(()), redactor, LIMITS, None, pieces)
            await claude.read_stdout(journal.append)

        began = time.process_time()
        trio.run(read)
        return time.process_time() - began, journal.size


class _Chunks(trio.abc.ReceiveStream):
    def __init__(self, chunks: Sequence[bytes]) -> None:
        self._chunks = iter(chunks)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        return next(self._chunks, b"")

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


def _line(**message: object) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def _whole(text: str) -> bytes:
    message = {"id": "msg_1", "model": "m", "content": [{"type": "text", "text": text}]}
    return _line(type="assistant", message=message, parent_tool_use_id=None, session_id="s", uuid="u")


def _deltas(text: str) -> Iterator[bytes]:
    def event(**fields: object) -> bytes:
        return _line(type="stream_event", event=fields, session_id="s" * 36, parent_tool_use_id=None, uuid="u" * 36)

    yield event(type="message_start", message={"id": "msg_1", "content": []})
    yield event(type="content_block_start", index=0, content_block={"type": "text", "text": ""})
    for at in range(0, len(text), SIZE):
        yield event(type="content_block_delta", index=0, delta={"type": "text_delta", "text": text[at : at + SIZE]})
    yield event(type="content_block_stop", index=0)


if __name__ == "__main__":
    main()
