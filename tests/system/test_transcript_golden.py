"""Recorded transcripts, in any chunking, give their golden events, summary and verdict.

`pytest --update-golden` rewrites them. A failure in the field becomes a test by copying its transcript here.
"""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
import pytest

from agent.exits import ExitStatus
from agent.limits import KIB, MIB, Limits
from agent.lines import LineFramer
from agent.outcome.verdict import judge
from agent.protocol.events import Event
from agent.transcript.transcript import Transcript
from tests.support import places
from tests.support.claude_lines import (
    data,
)

TRANSCRIPTS = sorted(path.stem for path in places.TRANSCRIPTS.glob("*.jsonl"))


def chunked(stream: bytes, seed: str) -> list[bytes]:
    chance = random.Random(seed)
    chunks, start = [], 0
    while start < len(stream):
        end = start + chance.choice([1, 7, 100, 1000, 65536])
        chunks.append(stream[start:end])
        start = end
    return chunks


def golden(event: Event) -> dict[str, Any]:
    """An event without the raw message, which is compared with the line itself."""
    if event.type != "LOG":
        return {"type": event.type, "keep": event.keep, "data": data(event)}
    return {"level": event.level, "kind": data(event)["metadata"]["kind"], "message": event.message}


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_golden(name: str, update_golden: bool) -> None:
    stream = (places.TRANSCRIPTS / f"{name}.jsonl").read_bytes()
    meta = json.loads((places.TRANSCRIPTS / f"{name}.meta.json").read_text())
    framer, transcript = LineFramer(64 * MIB, KIB), Transcript(Limits())
    lines = [line for chunk in chunked(stream, name) for line in framer.feed(chunk)] + framer.end()
    events = []
    for line in lines:
        assert isinstance(line, bytes)
        found = transcript.feed(line)
        if json.loads(line).get("subtype") == "thinking_tokens":
            assert found == []  # the message of the thoughts has their number
            continue
        log, *rest = found
        assert (log.type, [event.type for event in rest]) == ("LOG", ["STATUS"] * len(rest))
        assert len(rest) <= 1
        assert log.data.endswith(b',"claude":' + line + b"}}")
        assert data(log)["metadata"]["claude"] == json.loads(line)
        events += [log, *rest]

    code = meta["exit_code"]
    status = ExitStatus(code=code) if code >= 0 else ExitStatus(signal=-code)
    outcome = judge(status, transcript.summary, None, stderr_tail=meta["stderr"])
    told = [
        *map(golden, events),
        {"summary": msgspec.to_builtins(transcript.summary)},
        {"verdict": msgspec.to_builtins(outcome)},
    ]
    path = places.GOLDEN / f"{name}.jsonl"
    if update_golden:
        path.write_text("".join(json.dumps(item, ensure_ascii=False) + "\n" for item in told))
    assert [json.loads(item) for item in path.read_text().splitlines()] == json.loads(json.dumps(told))


def test_every_golden_file_has_its_transcript() -> None:
    assert sorted(path.stem for path in places.GOLDEN.glob("*.jsonl")) == TRANSCRIPTS
