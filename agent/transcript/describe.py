"""The description of a message for a person, and that of a tool call."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from agent.limits import MESSAGE_CHARS
from agent.protocol import Level, encode_json
from agent.text import one_line, spelled_out
from agent.transcript.kinds import Kind
from agent.transcript.stream_json import NONE, text


class Note(msgspec.Struct, frozen=True):
    """The description of a line, for its LOG; `status` holds the fields of a STATUS beside it, if there is one."""

    level: Level
    kind: Kind
    message: str
    status: dict[str, Any] | None = None


class _Input(msgspec.Struct):
    """The arguments of tools that name the subject of a call."""

    file_path: Raw = NONE
    notebook_path: Raw = NONE
    path: Raw = NONE
    command: Raw = NONE
    pattern: Raw = NONE
    url: Raw = NONE
    query: Raw = NONE
    description: Raw = NONE
    subject: Raw = NONE
    skill: Raw = NONE


_input = msgspec.json.Decoder(_Input)

_PATHS = {
    "Read": "file_path", "Write": "file_path", "Edit": "file_path", "MultiEdit": "file_path",
    "NotebookEdit": "notebook_path", "LS": "path",
}  # fmt: skip
_SUBJECTS = {
    "Bash": "command", "Glob": "pattern", "Grep": "pattern", "WebFetch": "url", "WebSearch": "query",
    "ToolSearch": "query", "Agent": "description", "Task": "description", "Skill": "skill", "TaskCreate": "subject",
}  # fmt: skip
#: Tools shown without arguments, since the to-do list that they change is shown instead.
_BARE = {"TodoWrite", "TaskList"}
#: Tools whose success changes the file that they name.
WRITERS = {"Write", "Edit", "MultiEdit", "NotebookEdit"}


def whole_call(name: str, arguments: Any) -> str:
    """Describe a call with all that it has, on one line: a person shall judge it.

    The only argument stands as it is, several with their names, and what is no text as JSON.
    """
    said = arguments
    if isinstance(arguments, dict):
        given = {key: _argument(value) for key, value in arguments.items()}
        named = [f"{key} {value}" for key, value in given.items()]
        said = next(iter(given.values())) if len(given) == 1 else ", ".join(named)
    return spelled_out(": ".join(filter(None, (name, _argument(said)))))


def _argument(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else encode_json(value).decode()


def tool_call(name: str, arguments: Raw, cwd: str) -> tuple[str, str]:
    """Describe a call, as "Edit src/login.js" or "Bash: npm test"; also returns the path that it names, or ""."""
    field = _PATHS.get(name) or _SUBJECTS.get(name)
    if field is not None:
        try:
            subject = text(getattr(_input.decode(arguments), field))
        except msgspec.DecodeError:  # the model may call with arguments that are no object
            subject = ""
        if subject and name in _PATHS:
            path = subject.removeprefix(cwd.rstrip("/") + "/") if cwd else subject
            return one_line(f"{name} {path}"), path
        if subject:
            return one_line(f"{name}: {subject}"), ""
    given = memoryview(arguments)[: 4 * MESSAGE_CHARS].tobytes().decode("utf-8", "replace")
    if name in _BARE or given in ("", "{}"):
        return one_line(name), ""
    return one_line(f"{name} {given}"), ""
