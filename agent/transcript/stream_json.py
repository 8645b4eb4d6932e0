"""Lines of `claude --output-format stream-json`, typed as far as the transcript needs them.

A run writes thousands of lines of any length. So a single pass checks the syntax and finds the fields, and no value is
built before it is needed: a field is `Raw`, the bytes of its value, which the functions below read. The format is the
CLI's own and changes between versions: nothing here raises, whatever a line holds, and a field of another type than
expected counts as absent.
"""

from __future__ import annotations

import codecs
import math
from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from agent.limits import EXCERPT_BYTES, KIB, NESTING, VALUE_BYTES
from agent.text import without_halves

#: Small enough to stay in the processor's cache when it is decoded.
_PIECE = 16 * KIB

NONE = Raw()


class Block(msgspec.Struct):
    """A block of a message's content: text, thinking, tool_use, tool_result ..."""

    type: str = ""
    text: Raw = NONE
    thinking: Raw = NONE
    name: str = ""
    id: str = ""
    input: Raw = NONE
    tool_use_id: str = ""
    content: Raw = NONE
    is_error: bool | None = None


class Message(msgspec.Struct):
    """A message of the conversation, as the Messages API has it."""

    id: str | None = None
    model: str | None = None
    content: list[Block] | str = ""


class Line(msgspec.Struct, rename={"permission_mode": "permissionMode", "model_usage": "modelUsage"}):
    """A line of any kind, with the fields of all kinds: `type` may come last."""

    type: str = ""
    subtype: str = ""
    message: Message | str | None = None
    parent_tool_use_id: str | None = None
    # assistant and user
    tool_use_result: Raw = NONE
    tool_result_meta: Raw = NONE
    aborted: Raw = NONE
    task_description: Raw = NONE
    error: Raw = NONE
    is_api_error_message: Raw = NONE
    api_error_status: Raw = NONE
    api_error_params: Raw = NONE
    # system/init
    session_id: Raw = NONE
    cwd: Raw = NONE
    model: Raw = NONE
    claude_code_version: Raw = NONE
    tools: Raw = NONE
    mcp_servers: Raw = NONE
    mcp_server_errors: Raw = NONE
    plugin_errors: Raw = NONE
    permission_mode: Raw = NONE
    # system/api_retry
    attempt: Raw = NONE
    max_retries: Raw = NONE
    retry_delay_ms: Raw = NONE
    error_status: Raw = NONE
    # system/task_*, system/background_tasks_changed
    task_id: Raw = NONE
    tool_use_id: Raw = NONE
    description: Raw = NONE
    is_backgrounded: Raw = NONE
    patch: Raw = NONE
    status: Raw = NONE
    summary: Raw = NONE
    tasks: Raw = NONE
    # system/code_change_published, system/vcs_state_changed
    provider: Raw = NONE
    url: Raw = NONE
    action: Raw = NONE
    branch: Raw = NONE
    kind: Raw = NONE
    # other system lines
    estimated_tokens: Raw = NONE
    content: Raw = NONE
    level: Raw = NONE
    tool_name: Raw = NONE
    hook_name: Raw = NONE
    outcome: Raw = NONE
    exit_code: Raw = NONE
    stderr: Raw = NONE
    compact_metadata: Raw = NONE
    # tool_progress, rate_limit_event
    elapsed_time_seconds: Raw = NONE
    rate_limit_info: Raw = NONE
    # result
    is_error: Raw = NONE
    num_turns: Raw = NONE
    total_cost_usd: Raw = NONE
    duration_ms: Raw = NONE
    terminal_reason: Raw = NONE
    stop_reason: Raw = NONE
    api_error: Raw = NONE
    errors: Raw = NONE
    result: Raw = NONE
    usage: Raw = NONE
    model_usage: Raw = NONE
    model_usage_since_last_result: Raw = NONE
    permission_denials: Raw = NONE
    structured_output: Raw = NONE
    # control_request, control_response
    request_id: Raw = NONE
    request: Raw = NONE
    response: Raw = NONE
    # command_lifecycle
    command_uuid: Raw = NONE
    state: Raw = NONE


class _Bare(msgspec.Struct):
    """An object of which nothing but its kind is read."""

    type: Raw = NONE
    subtype: Raw = NONE


_line = msgspec.json.Decoder(Line)
_bare = msgspec.json.Decoder(_Bare)
_text = msgspec.json.Decoder(str)
_value = msgspec.json.Decoder()


def parse(line: bytes, *, utf8: bool = False) -> tuple[Line | None, bytes]:
    """Parse a line; returns its message, None if the line is no JSON object, and the line in a form that may be sent.

    Strict receivers close the connection on bad UTF-8 and on half surrogate pairs, so both become U+FFFD. `utf8` says
    that the line is known to be UTF-8 (`is_utf8`).
    """
    if not utf8 and not line.isascii() and not is_utf8(line):
        line = line.decode("utf-8", "replace").encode()
    if _is_too_deep(line):
        return None, line
    try:
        return _decode(line), line
    except msgspec.DecodeError:
        repaired = without_halves(line)
        if repaired == line:
            return None, line
    try:
        return _decode(repaired), repaired
    except msgspec.DecodeError:
        return None, line


#: Every byte but brackets.
_NO_BRACKET = bytes(set(range(256)) - set(b"[]{}"))


def _is_too_deep(line: bytes) -> bool:
    """Whether lists and objects are nested deeper than receivers can be asked to follow, at most NESTING by two.

    Python's own limit is none: from 3.14 on it is the size of the stack. Also true of some lines that are no JSON.
    """
    if line.count(b"[") + line.count(b"{") <= NESTING:
        return False
    outside_strings = line.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2]
    brackets = b"".join(outside_strings).translate(None, _NO_BRACKET)
    for _ in range(NESTING):
        inner = brackets.replace(b"[]", b"").replace(b"{}", b"")
        if inner == brackets:
            break
        brackets = inner
    return bool(brackets)


def _decode(line: bytes) -> Line:
    try:
        return _line.decode(line)
    except msgspec.ValidationError:
        bare = _bare.decode(line)
        return Line(text(bare.type), text(bare.subtype))


def is_utf8(data: bytes | memoryview) -> bool:
    """Whether the data is UTF-8. Checked in pieces: long data decoded at once would need up to four times its size in
    memory, and half as much time again.
    """
    view = memoryview(data)
    start = 0
    try:
        while start < len(view):
            piece = view[start : start + _PIECE]
            start += codecs.utf_8_decode(piece, "strict", start + len(piece) == len(view))[1]
    except UnicodeDecodeError:
        return False
    return True


def text(raw: Raw, limit: int = EXCERPT_BYTES) -> str:
    """Read a string, or about its first `limit` bytes and an ellipsis; "" if it is no string."""
    if raw is NONE:
        return ""
    view = memoryview(raw)
    if not view or view[0] != 0x22:
        return ""
    if len(view) <= limit:
        return _text.decode(raw)
    # The cut may go through a character or a pair of escapes: 12 bytes at most.
    for end in range(limit, max(limit - 13, 0), -1):
        try:
            return _text.decode(view[:end].tobytes() + b'"') + "…"
        except ValueError:
            continue
    return ""


def value(raw: Raw, limit: int = VALUE_BYTES) -> Any:
    """Read a value of any type; None if it is absent or longer than `limit` bytes."""
    if raw is NONE or not 0 < len(memoryview(raw)) <= limit:
        return None
    try:
        return _value.decode(raw)
    except (ValueError, RecursionError):
        return None


def number(raw: Raw) -> float | int | None:
    """Read a finite number; None if it is none."""
    found = value(raw)
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        return None
    return found


def integer(raw: Raw) -> int | None:
    """Read a finite number without its fraction; None if it is no number."""
    found = number(raw)
    return None if found is None else int(found)


def mapping(raw: Raw) -> dict[str, Any]:
    """Read an object; empty if it is none."""
    found = value(raw)
    return found if isinstance(found, dict) else {}


_T = TypeVar("_T")


def items(raw: Raw, type: type[_T]) -> list[_T]:
    """Read the elements of a type from a list; none if it is no list."""
    found = value(raw)
    return [item for item in found if isinstance(item, type)] if isinstance(found, list) else []
