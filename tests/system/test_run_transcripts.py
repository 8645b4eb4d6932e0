"""Every recorded transcript through the whole pipeline: each line is at the server, once, in order, byte for byte.

Whole runs in one process: the real framer, transcript, journal on disk, sender and supervisor, a scripted claude that
writes the recording in random chunks, and a server that loses the connection now and then.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from trio_websocket import WebSocketConnection

from agent.config.config import Config
from agent.exits import ExitStatus
from tests.support import places
from tests.support.memory_claude import MemoryClaude
from tests.support.memory_run import agree, whole_run
from tests.support.peer import Peer

TRANSCRIPTS = sorted(places.TRANSCRIPTS.glob("*.jsonl"))


class _Metadata(msgspec.Struct):
    claude: msgspec.Raw = msgspec.Raw()
    part: dict[str, Any] | None = None


class _Data(msgspec.Struct):
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


class _Message(msgspec.Struct):
    type: str
    data: _Data
    seq: int = 0


def of_claude(texts: Iterable[str]) -> list[bytes]:
    """The raw messages of claude as a consumer finds them: copies dropped, parts joined."""
    found: list[bytes] = []
    parts: list[str] = []
    following = 1
    for text in texts:
        if not text.startswith('{"type":"LOG"'):
            following = max(following, json.loads(text).get("seq", 0) + 1)
            continue
        message = msgspec.json.decode(text, type=_Message)
        if message.seq < following:
            continue
        following = message.seq + 1
        data = message.data
        if data.metadata.part is not None:
            part = data.metadata.part
            assert part["i"] == len(parts) + 1
            parts.append(part["text"])
            if len(parts) < part["n"]:
                continue
            data = msgspec.json.decode("".join(parts), type=_Data)
            parts = []
        if bytes(data.metadata.claude):
            found.append(bytes(data.metadata.claude))
    assert parts == []
    return found


def chunked(stream: bytes, chance: random.Random) -> list[bytes]:
    chunks, start = [], 0
    while start < len(stream):
        end = start + chance.choice([1, 100, 5000, 65536, 1 << 20])
        chunks.append(stream[start:end])
        start = end
    return chunks


def lines_of(stream: bytes) -> list[bytes]:
    """What should arrive: the lines that hold one JSON object (the others arrive as text), without pieces of one."""
    return [line for line in stream.split(b"\n") if _is_whole(line)]


def _is_whole(line: bytes) -> bool:
    try:
        message = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    if not isinstance(message, dict):
        return False
    return message.get("type") != "stream_event" and message.get("subtype") != "thinking_tokens"


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
async def test_every_line_arrives(path: Path, tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    stream = path.read_bytes()
    meta = json.loads(path.with_name(path.stem + ".meta.json").read_text())
    chance = random.Random(path.stem)
    code = meta["exit_code"]
    status = ExitStatus(code=code) if code >= 0 else ExitStatus(signal=-code)

    def claude(config: Config) -> MemoryClaude:
        chunks = chunked(stream, chance)
        return MemoryClaude(config, chunks, stderr=meta["stderr"] or "", status=status, pause=0.01)

    async def serve(peer: Peer, ws: WebSocketConnection, number: int) -> None:
        """The first connections break after some messages."""
        texts = peer.connections[number]
        limit = chance.randrange(5, 60) if number < 3 else None
        while limit is None or len(texts) < limit:
            texts.append(await ws.get_message())
        await peer.cut(number)

    with trio.fail_after(600):
        finished = await whole_run(claude=claude, serve=serve, journal_dir=tmp_path)
    agree(finished)
    assert of_claude(finished.peer.texts) == lines_of(stream)
