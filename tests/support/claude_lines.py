"""Lines as claude prints them, and what the transcript makes of them."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import msgspec

from agent.limits import Limits
from agent.protocol.events import Event
from agent.transcript.summary import Summary
from agent.transcript.transcript import Transcript


def data(event: Event) -> Any:
    return json.loads(event.data)


def line(type: str, **fields: Any) -> bytes:
    return json.dumps({"type": type, **fields}, ensure_ascii=False).encode()


def system(subtype: str, **fields: Any) -> bytes:
    return line("system", subtype=subtype, **fields)


def assistant(*blocks: dict[str, Any], **fields: Any) -> bytes:
    message = {"id": "m1", "model": "claude-opus-5-5", "content": list(blocks)}
    return line("assistant", **{"message": message, "parent_tool_use_id": None, **fields})


def user(*blocks: dict[str, Any], **fields: Any) -> bytes:
    return line("user", **{"message": {"role": "user", "content": list(blocks)}, "parent_tool_use_id": None, **fields})


def call(name: str, id: str = "t1", **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": name, "input": arguments}


def answer(content: Any, id: str = "t1", **fields: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": id, "content": content, **fields}


INIT = system("init", cwd="/workspace", session_id="s1", model="m", claude_code_version="2.1.330",
              permissionMode="dontAsk", tools=["Bash", "Edit"], mcp_servers=[])  # fmt: skip


def readable(message: str) -> bool:
    """One line, whatever terminal shows it."""
    return not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or c in "\u202e\u2066" for c in message)


def strict(event: Event) -> Any:
    """The data as a receiver reads it that accepts nothing but UTF-8 and the JSON of RFC 8259."""
    found = msgspec.json.decode(event.data)
    json.dumps(found, ensure_ascii=False).encode()
    event.data.decode()
    return found


def feed(*lines: bytes, transcript: Transcript | None = None) -> tuple[list[Event], Summary]:
    transcript = transcript or Transcript(Limits())
    events = [event for line in lines for event in transcript.feed(line)]
    return events, transcript.summary


def said(*lines: bytes) -> list[tuple[str, str, str]]:
    """(level for a person, kind, message) of every LOG."""
    events, _ = feed(*lines)
    return [(e.level, data(e)["metadata"]["kind"], e.message) for e in events if e.type == "LOG"]


def last(*lines: bytes) -> tuple[str, str, str]:
    return said(*lines)[-1]
