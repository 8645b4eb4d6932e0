"""Pieces of what claude is writing, for whoever watches now (PARTIAL=1).

With `--include-partial-messages` the CLI prints a line for each delta of the API: thousands for a long reply, which
then comes whole. So a piece is no LOG. What has grown is told a few times a second, and what is not told is no loss.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec
import trio

from agent.limits import Limits
from agent.redaction import GrowingText, Redactor

#: A piece of a message, as the CLI writes it.
PIECE: Final = b'{"type":"stream_event"'

#: The number of tokens of the thoughts so far, which comes also where the thoughts themselves are kept from us.
TOKENS: Final = b'{"type":"system","subtype":"thinking_tokens"'

#: Characters that no view shows, which could hide a secret from the redactor and not from a person.
_UNSEEN: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+")

_KINDS: Final = {
    "text": "text", "thinking": "thinking", "redacted_thinking": "thinking",
    "tool_use": "tool_use", "server_tool_use": "tool_use", "mcp_tool_use": "tool_use",
}  # fmt: skip


class _Message(msgspec.Struct):
    id: str = ""


class _Content(msgspec.Struct):
    type: str = ""
    name: str = ""


class _Delta(msgspec.Struct):
    text: str = ""
    thinking: str = ""
    partial_json: str = ""


class _Event(msgspec.Struct):
    type: str = ""
    index: int = 0
    message: _Message | None = None
    content_block: _Content | None = None
    delta: _Delta | None = None


class _Line(msgspec.Struct):
    event: _Event
    parent_tool_use_id: str | None = None


class _Tokens(msgspec.Struct):
    estimated_tokens: float = 0


_decode = msgspec.json.Decoder(_Line).decode
_decode_tokens = msgspec.json.Decoder(_Tokens).decode


class _Block:
    """A block of a message that is being written."""

    def __init__(self, about: dict[str, Any], text: GrowingText) -> None:
        self.about = about
        self.text = text
        #: Characters of a call's input, or tokens of thoughts.
        self.size = self.told = 0
        self.pieces = 0
        self.due = 0.0


class Pieces:
    """Takes the lines of pieces in order, and calls `show` with the data of a PREVIEW now and then."""

    def __init__(self, redactor: Redactor, limits: Limits, show: Callable[[dict[str, Any]], None]) -> None:
        self._redactor = redactor
        self._limits = limits
        self._show = show
        #: The message that is being written, of the conversation (None) and of each subagent.
        self._messages: dict[str | None, str] = {}
        self._blocks: dict[tuple[str | None, int], _Block] = {}

    def take(self, line: bytes) -> bool:
        """Take a line that begins with PIECE or TOKENS, as it came from claude; returns whether it can be read."""
        if line.startswith(TOKENS):
            self._count(line)
            return True
        try:
            found = _decode(line)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            # Without this piece the rest could be what no redactor knows: the halves of a secret around it.
            self._blocks.clear()
            return False
        event, parent = found.event, found.parent_tool_use_id
        key = parent, event.index
        if event.type == "content_block_delta":
            block = self._blocks.get(key)
            if block is not None and event.delta is not None:
                self._grow(block, event.delta)
        elif event.type == "content_block_start" and event.content_block is not None:
            self._begin(key, event.content_block)
        elif event.type == "content_block_stop":
            self._blocks.pop(key, None)
        elif event.type == "message_start" and event.message is not None:
            self._forget(parent)
            self._messages[parent] = event.message.id[:200]
        elif event.type == "message_stop":
            self._forget(parent)
        return True

    def _forget(self, parent: str | None) -> None:
        self._messages.pop(parent, None)
        for key in [key for key in self._blocks if key[0] == parent]:
            del self._blocks[key]

    def _begin(self, key: tuple[str | None, int], content: _Content) -> None:
        parent, index = key
        kind, message = _KINDS.get(content.type), self._messages.get(parent)
        if kind is None or not message:
            return
        about: dict[str, Any] = {"kind": kind, "id": f"{message}/{index}"}
        if kind == "tool_use":
            about["tool"] = self._redactor.text(content.name[:200])
        if parent is not None:
            about["parent"] = parent[:200]
        self._blocks[key] = _Block(about, GrowingText(self._redactor, self._limits.partial_held))
        if len(self._blocks) > self._limits.partial_blocks:
            oldest = next(iter(self._blocks))
            del self._blocks[oldest]

    def _count(self, line: bytes) -> None:
        """Take the number of tokens of the thoughts. Whose they are is not said: the conversation's, most likely."""
        try:
            tokens = int(_decode_tokens(line).estimated_tokens)
        except (msgspec.DecodeError, UnicodeError, OverflowError):
            return
        for (parent, _), block in self._blocks.items():
            if parent is None and block.about["kind"] == "thinking":
                block.size = tokens
                self._tell(block)

    def _grow(self, block: _Block, delta: _Delta) -> None:
        if block.about["kind"] == "tool_use":
            block.size += len(delta.partial_json)
        else:
            block.text.add(_UNSEEN.sub("", delta.text or delta.thinking))
        self._tell(block)

    def _tell(self, block: _Block) -> None:
        now = trio.current_time()
        if now < block.due:
            return
        text = block.text.take()
        if not text and block.size <= block.told:
            return
        block.due = now + self._limits.partial_interval
        block.told = block.size
        block.pieces += 1
        grown: dict[str, Any] = {"text": text} if text else {}
        if block.size:
            grown["tokens" if block.about["kind"] == "thinking" else "size"] = block.size
        if len(text) <= self._limits.partial_chars:
            self._show({**block.about, "piece": block.pieces, **grown})
