"""Answers to our requests tell of the usage and are nothing else; a result is told to whoever listens."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.limits import Limits
from agent.lines import Oversize
from agent.transcript.control import ResultGiven, Said
from agent.transcript.summary import Usage
from agent.transcript.transcript import Transcript

#: As CLI 2.1.332 gives them.
COST = (
    "Estimated cost:        $0.4108\nTotal duration (API):  0s\nUsage by model:\n"
    "     claude-opus-5-5:  100 input, 20 output, 0 cache read, 0 cache write ($0.0008)\n"
    "     claude-haiku-5:  1.5k input, 20 output, 2m cache read, 7 cache write ($0.41)\n"
)
CONTEXT = {"categories": [], "totalTokens": 12366, "maxTokens": 1000000, "percentage": 1}


def reply(response: Any, id: str = "agent-1") -> bytes:
    answer = {"subtype": "success", "request_id": id, "response": response}
    return json.dumps({"type": "control_response", "response": answer}).encode()


def test_an_answer_tells_of_the_usage_and_makes_no_event() -> None:
    transcript = Transcript(Limits())
    assert transcript.feed(reply({"text": COST})) == []
    assert transcript.feed(reply(CONTEXT, "agent-2")) == []
    assert transcript.summary.usage == Usage(0.4108, (1600, 40, 2_000_000, 7), 12366, 1000000)
    assert (transcript.replies, transcript.summary.lines) == (2, 2)


@pytest.mark.parametrize(
    "response",
    [
        None, [], "text", {"text": 1}, {"text": "Estimated cost: much"}, {"totalTokens": -1, "maxTokens": 2},
        {"totalTokens": True, "maxTokens": 0}, {"text": "1.2.3 input, . output, 0 cache read, 0 cache write"},
    ],
)  # fmt: skip
def test_an_answer_of_another_form_tells_nothing(response: Any) -> None:
    transcript = Transcript(Limits())
    assert transcript.feed(reply(response)) == []
    usage = transcript.summary.usage
    assert (usage.cost, usage.context, sum(usage.tokens or ())) == (None, None, 0)


def test_an_answer_to_somebody_else_is_a_line_like_any_other() -> None:
    transcript = Transcript(Limits())
    assert len(transcript.feed(reply({"text": COST}, "other-1"))) == 1
    assert transcript.summary.usage == Usage()


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"result","subtype":"success"}',
        b'{"type":"result","result":' + b"[" * 10_000,
        Oversize(9, b'{"type":"result"'),
    ],
    ids=["whole", "broken", "oversize"],
)
def test_a_result_is_told_whatever_its_form(line: bytes | Oversize) -> None:
    heard: list[Said] = []
    transcript = Transcript(Limits())
    transcript.listener = heard.append
    transcript.feed(b'{"type":"assistant"}')
    assert heard == []
    if isinstance(line, Oversize):
        transcript.oversize(line)
    else:
        transcript.feed(line)
    assert heard == [ResultGiven()]
