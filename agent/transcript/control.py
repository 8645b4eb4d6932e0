"""The control messages of claude's stdout: answers to requests of ours, and what the run must act on."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from agent.limits import VALUE_BYTES
from agent.transcript.stream_json import Line, mapping, text
from agent.transcript.summary import Usage

#: The IDs of our control requests begin so. An answer to one is no news to anybody else.
OURS: Final = "agent-"
#: Those among them that an operator asked for.
COMMANDED: Final = "agent-command-"
#: `{"type":"control_response","response":{"subtype":"success","request_id":"agent-1", ...`, as the CLI writes it.
REPLY: Final = b'{"type":"control_response"'

#: The words of `/cost`, which are all that the CLI gives.
_COST: Final = re.compile(r"^Estimated cost:\s+\$([0-9]{1,9}(?:\.[0-9]{1,9})?)", re.MULTILINE)
_TOKENS: Final = re.compile(
    r"([0-9.]{1,12})([kmb]?) input, ([0-9.]{1,12})([kmb]?) output, "
    r"([0-9.]{1,12})([kmb]?) cache read, ([0-9.]{1,12})([kmb]?) cache write"
)
_UNITS: Final = {"": 1, "k": 1_000, "m": 1_000_000, "b": 1_000_000_000}


class ResultGiven(msgspec.Struct, frozen=True, tag=True):
    """claude gave a result, or something that may be one: it waits for its input to be closed."""


class MessageState(msgspec.Struct, frozen=True, tag=True):
    """A change of a message that was sent with `uuid`: queued, started (it is in the next request), completed,
    cancelled ...
    """

    uuid: str
    state: str


class Replied(msgspec.Struct, frozen=True, tag=True):
    """claude answered a control request of an operator's."""

    request: str


class Question(msgspec.Struct, frozen=True, tag=True):
    """claude asks whether it may use a tool, and waits for the answer. Without `tool` its call is too long."""

    id: str
    tool: str
    input: Any = None
    suggestions: list[Any] = []
    description: str = ""


class QuestionWithdrawn(msgspec.Struct, frozen=True, tag=True):
    """claude does not ask any more."""

    id: str


Said = ResultGiven | MessageState | Replied | Question | QuestionWithdrawn


def read_question(line: Line) -> Question | None:
    """The question of a control request, None if it asks for something else."""
    request = mapping(line.request)
    if request.get("subtype", "can_use_tool") != "can_use_tool":
        return None
    suggestions = request.get("permission_suggestions")
    return Question(
        text(line.request_id, 200),
        str(request.get("tool_name", ""))[:200],
        request.get("input"),
        suggestions if isinstance(suggestions, list) else [],
        str(request.get("description") or "")[:1000],
    )


def own_reply(line: Line) -> tuple[str, dict[str, Any]] | None:
    """The ID and the answer to a control request of ours, empty where it is an error; None if the line is none."""
    if line.type != "control_response":
        return None
    answer = mapping(line.response)
    id = str(answer.get("request_id", ""))[:80]
    if not id.startswith(OURS):
        return None
    response = answer.get("response")
    return id, response if isinstance(response, dict) else {}


def learn_usage(known: Usage, reply: dict[str, Any]) -> Usage:
    """The usage with what a reply tells of it: a cost in words, or the sizes of the context."""
    words = reply.get("text")
    if isinstance(words, str) and len(words) <= VALUE_BYTES:
        if cost := _COST.search(words):
            known = msgspec.structs.replace(known, cost=float(cost[1]))
        if models := list(_TOKENS.finditer(words)):
            tokens = [sum(_tokens(model[i], model[i + 1]) for model in models) for i in (1, 3, 5, 7)]
            known = msgspec.structs.replace(known, tokens=tuple(tokens))
    used, limit = reply.get("totalTokens"), reply.get("maxTokens")
    if type(used) is int and type(limit) is int and used >= 0 and limit > 0:
        known = msgspec.structs.replace(known, context=used, context_limit=limit)
    return known


def _tokens(number: str, unit: str) -> int:
    try:
        return int(float(number) * _UNITS[unit])
    except ValueError:  # more than one point
        return 0
