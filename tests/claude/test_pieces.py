"""What claude is writing: a few pieces a second, none with a part of a secret, and nothing that costs the run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
import trio

from agent.claude.output import ClaudeOutput
from agent.claude.pieces import PIECE, Pieces
from agent.limits import Limits
from agent.protocol.events import Event
from agent.redaction.redactor import Redactor
from tests.support.canaries import canary
from tests.support.claude_lines import assistant

LIMITS = Limits()
SECRET = canary("pieces")
WORDS = "It grows word by word, as long as it likes. "


def piece(type: str, parent: str | None = None, **event: Any) -> bytes:
    line = {"type": "stream_event", "event": {"type": type, **event}, "session_id": "s", "parent_tool_use_id": parent}
    return json.dumps(line, separators=(",", ":"), ensure_ascii=False).encode()


def started(
    id: str = "m1", parent: str | None = None, block: dict[str, Any] | None = None, index: int = 0
) -> list[bytes]:
    content = {"type": "text", "text": ""} if block is None else block
    return [
        piece("message_start", parent, message={"id": id, "content": [], "usage": {}}),
        piece("content_block_start", parent, index=index, content_block=content),
    ]


def delta(text: str, parent: str | None = None, index: int = 0, key: str = "text") -> bytes:
    kind = {"text": "text_delta", "thinking": "thinking_delta", "partial_json": "input_json_delta"}[key]
    return piece("content_block_delta", parent, index=index, delta={"type": kind, key: text})


class Shown(list[dict[str, Any]]):
    """The data of what was shown, by `take` of each line at once, or some seconds apart."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.pieces = Pieces(Redactor({"TOKEN": SECRET}), limits, self.append)

    def take(self, *lines: bytes) -> None:
        for line in lines:
            assert line.startswith(PIECE)
            self.pieces.take(line)

    async def take_slowly(self, *lines: bytes) -> None:
        for line in lines:
            await trio.sleep(1)
            self.take(line)

    def text(self, id: str) -> str:
        return "".join(shown.get("text", "") for shown in self if shown["id"] == id)


async def test_text_grows_and_is_numbered(autojump_clock: trio.abc.Clock) -> None:
    shown = Shown()
    shown.take(*started())
    await shown.take_slowly(*[delta(WORDS)] * 20)
    assert [data["piece"] for data in shown] == list(range(1, len(shown) + 1))
    assert {(data["kind"], data["id"]) for data in shown} == {("text", "m1/0")}
    assert (WORDS * 20).startswith(shown.text("m1/0"))
    assert len(shown.text("m1/0")) > len(WORDS * 15)


async def test_a_few_pieces_a_second_and_not_one_a_delta(autojump_clock: trio.abc.Clock) -> None:
    shown = Shown()
    shown.take(*started())
    for _ in range(100):  # 10 s, 1,000 deltas
        await trio.sleep(0.1)
        shown.take(*[delta(WORDS)] * 10)
    assert len(shown) <= 10 / LIMITS.partial_interval + 1
    assert len(shown.text("m1/0")) > 0.95 * 1000 * len(WORDS)


async def test_a_secret_in_several_deltas_never_shows(autojump_clock: trio.abc.Clock) -> None:
    shown = Shown()
    shown.take(*started())
    at = [delta(SECRET[i : i + 3]) for i in range(0, len(SECRET), 3)]
    await shown.take_slowly(delta("The token: "), *at, delta(" and "), *[delta(WORDS)] * 80)
    assert shown.text("m1/0").startswith("The token: [redacted] and It grows")


async def test_what_hides_a_secret_is_taken_away_first(autojump_clock: trio.abc.Clock) -> None:
    shown = Shown()
    shown.take(*started())
    hidden = "\u200b".join(SECRET) + "\x00\x1b\u202e"
    await shown.take_slowly(delta("A "), delta(hidden), delta(" b\tc\n"), *[delta(WORDS)] * 80)
    assert shown.text("m1/0").startswith("A [redacted] b\tc\nIt grows")


async def test_a_call_tells_how_long_it_is_and_not_what_it_says(autojump_clock: trio.abc.Clock) -> None:
    shown = Shown()
    shown.take(*started(block={"type": "tool_use", "id": "t", "name": "Write", "input": {}}, index=2))
    await shown.take_slowly(*[delta('{"content":"', index=2, key="partial_json")] * 3)
    assert shown == [
        {"kind": "tool_use", "id": "m1/2", "tool": "Write", "piece": n, "size": 12 * n} for n in (1, 2, 3)
    ]  # fmt: skip


async def test_thoughts_and_subagents_grow_beside_each_other(autojump_clock: trio.abc.Clock) -> None:
    shown = Shown()
    shown.take(*started("m1", None, {"type": "thinking", "thinking": ""}), *started("m2", "toolu_1"))
    for _ in range(20):
        await shown.take_slowly(delta(f"{WORDS}1 ", key="thinking"), delta(f"{WORDS}2 ", "toolu_1"))
    assert {(data["kind"], data["id"], data.get("parent")) for data in shown} == {
        ("thinking", "m1/0", None), ("text", "m2/0", "toolu_1"),
    }  # fmt: skip
    assert "2 It" not in shown.text("m1/0")
    assert "2 It" in shown.text("m2/0")


async def test_after_the_end_of_a_block_nothing_more_of_it_is_shown(autojump_clock: trio.abc.Clock) -> None:
    for end in (
        piece("content_block_stop", index=0),
        piece("message_stop"),
        piece("message_start", message={"id": "m2"}),
    ):
        shown = Shown()
        shown.take(*started(), delta(WORDS * 20))
        before = list(shown)
        shown.take(end)
        await shown.take_slowly(delta(WORDS * 20))
        assert shown == before != []


@pytest.mark.parametrize(
    "lost",
    [PIECE, PIECE + b',"event":5}', PIECE + b',"event":{"type":"content_block_delta","delta":{"text":"\\ud800"}}}',
     PIECE + b',"event":{"type":"content_block_delta","index":"0"}}', PIECE + b"[" * 100_000],
)  # fmt: skip
async def test_without_a_piece_that_cannot_be_read_the_rest_is_not_shown(
    lost: bytes, autojump_clock: trio.abc.Clock
) -> None:
    shown = Shown()
    shown.take(*started())
    await shown.take_slowly(delta(SECRET[:20]), lost, delta(SECRET[20:]), delta(WORDS * 50))
    assert shown == []


async def test_memory_is_bounded_whatever_comes(autojump_clock: trio.abc.Clock) -> None:
    shown = Shown()
    for number in range(1000):
        shown.take(*started(f"m{number}", f"toolu_{number}"))
    assert len(shown.pieces._blocks) == LIMITS.partial_blocks
    shown.take(*started(), delta("x" * 10**6), delta(WORDS * 10))
    await shown.take_slowly(delta(WORDS * 1000), delta(WORDS))
    assert shown == []
    shown.take(*started(), delta(WORDS * 10**5))
    assert shown == [], "longer than a piece may be"


def tokens(number: Any) -> bytes:
    line = {"type": "system", "subtype": "thinking_tokens", "estimated_tokens": number, "estimated_tokens_delta": 8}
    return json.dumps(line, separators=(",", ":")).encode()


async def test_thoughts_that_are_kept_from_us_are_counted(autojump_clock: trio.abc.Clock) -> None:
    shown = Shown()
    shown.pieces.take(tokens(4))
    shown.take(*started("m1", None, {"type": "redacted_thinking", "data": "x"}))
    for number in (8, 16, 16, "x", None, 1e400, 24):
        shown.pieces.take(tokens(number))
        await trio.sleep(1)
    assert shown == [
        {"kind": "thinking", "id": "m1/0", "piece": at, "tokens": number} for at, number in enumerate((8, 16, 24), 1)
    ]  # fmt: skip


class Chunks(trio.abc.ReceiveStream):
    def __init__(self, *chunks: bytes) -> None:
        self._chunks = [*chunks, b""]

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        return self._chunks.pop(0)

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


def lines(*raw: bytes) -> bytes:
    return b"\n".join([*raw, b""])


async def read(chunks: Sequence[bytes], pieces: Pieces | None, *, drain: bool = False) -> tuple[list[Event], bytes]:
    events: list[Event] = []
    transcribed: list[bytes] = []
    output = ClaudeOutput(Chunks(*chunks), Chunks(), Redactor({"TOKEN": SECRET}), LIMITS, transcribed.append, pieces)
    await (output.drain_stdout if drain else output.read_stdout)(events.extend)
    return events, b"".join(transcribed)


@pytest.mark.parametrize("drain", [False, True])
async def test_pieces_are_neither_logged_nor_transcribed_by_any_reader(drain: bool) -> None:
    whole = assistant({"type": "text", "text": WORDS * 20}, parent_tool_use_id=None)
    shown = Shown()
    for pieces in (None, shown.pieces):
        events, transcribed = await read(
            [lines(*started(), delta(WORDS * 20), delta(SECRET[:20]), whole)], pieces, drain=drain
        )
        assert len(events) == 1
        assert SECRET[:20].encode() not in transcribed + b"".join(event.data for event in events)
        assert drain or transcribed == lines(whole)
    assert drain == (shown == [])


async def test_a_piece_that_cannot_be_read_is_said_and_what_it_holds_is_not() -> None:
    broken = PIECE + b',"half":"word'
    events, transcribed = await read([lines(broken)], Pieces(Redactor({}), LIMITS, lambda data: None))
    assert [(event.level, event.message) for event in events] == [
        ("warn", f"a line of {len(broken)} bytes cannot be read and was skipped: a piece of a message"),
    ]  # fmt: skip
    assert transcribed == b""


async def test_a_bug_in_showing_costs_the_pieces_and_not_the_run() -> None:
    def show(data: dict[str, Any]) -> None:
        raise KeyError("a bug")

    whole = assistant({"type": "text", "text": "Done."})
    pieces = Pieces(Redactor({}), LIMITS, show)
    events, _ = await read([lines(*started(), delta(WORDS * 20), delta(WORDS), whole)], pieces)
    assert [(event.level, event.message) for event in events] == [
        ("warn", "from here on no text is shown while it grows: KeyError: 'a bug'"), ("info", "Done."),
    ]  # fmt: skip
