"""Questions of claude: each is answered once, by a person or by the end of its time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import inf
from typing import Any

from agent.limits import Limits
from agent.protocol.events import Event
from agent.protocol.inbound import Command
from agent.run.asking import Asking
from agent.transcript import Question
from tests.run.test_steering import Claude
from tests.support.memory_run import configuration

RULE = {"type": "addRules", "rules": [{"toolName": "Bash"}], "behavior": "allow", "destination": "localSettings"}


class Stage:
    def __init__(self, *, absence: float = 0.0, ask: str = "1") -> None:
        self.said: list[dict[str, Any]] = []
        self.lines: list[str] = []
        self.room = 200_000
        self.claude = Claude()
        self.asking = Asking(configuration(ASK=ask), self.publish, lambda question: absence, lambda: self.room)
        self.asking.begin(self.claude)

    def publish(self, batch: Sequence[Event]) -> None:
        self.said += [json.loads(event.data) for event in batch]
        self.lines += [event.message for event in batch]

    @property
    def answers(self) -> list[tuple[str, dict[str, Any]]]:
        return [(line["response"]["request_id"], line["response"]["response"]) for line in self.claude.lines]


def question(id: str = "q1") -> Question:
    return Question(id, "Bash", {"command": "make"}, [RULE, "no rule"], "Build it")


def answer(behavior: str, id: str = "q1", message: str = "") -> Command:
    return Command("c", "R", "k", "alice", "answer", question=id, behavior=behavior, message=message)


def test_a_person_answers() -> None:
    stage = Stage()
    assert all(stage.asking.ask(question(id)) for id in ("q1", "q2", "q3"))
    assert stage.said[0]["status"] == "waiting"
    assert stage.said[0]["question"] == {
        "id": "q1", "tool": "Bash", "input": {"command": "make"}, "suggestions": [RULE, "no rule"],
    }  # fmt: skip
    assert stage.asking.answer(answer("allow", "q2")) == ""
    assert stage.asking.answer(answer("allow_always", "q1")) == ""
    assert stage.asking.answer(answer("deny", "q3", "not now")) == ""
    assert stage.answers == [
        ("q2", {"behavior": "allow"}),
        ("q1", {"behavior": "allow", "updatedPermissions": [{**RULE, "destination": "session"}]}),
        ("q3", {"behavior": "deny", "message": "not now"}),
    ]
    assert stage.asking.open == {}
    assert stage.asking.answer(answer("allow")).startswith("no such question is open")
    assert len(stage.answers) == 3


def test_a_question_that_is_open_is_not_replaced() -> None:
    stage = Stage()
    assert stage.asking.ask(question())
    assert not stage.asking.ask(Question("q1", "Bash", {"command": "another"}))
    assert (len(stage.said), stage.claude.lines) == (1, [])
    assert stage.asking.open["q1"].input == {"command": "make"}


def test_what_is_allowed_for_ever_without_a_rule_is_allowed_once() -> None:
    stage = Stage()
    stage.asking.ask(Question("q1", "Bash", {"command": "make"}, ["no rule"]))
    assert stage.asking.answer(answer("allow_always")) == ""
    assert stage.said[-1]["question"] == {"id": "q1", "answer": "allowed once, since claude suggests no rule"}


def test_the_log_of_the_container_shows_the_whole_call() -> None:
    stage = Stage()
    stage.asking.ask(Question("q1", "Bash", {"command": "echo hi\nrm -rf /", "description": "Say hi"}, [], "Say hi"))
    stage.asking.ask(Question("q2", "Bash", {"command": "make"}))
    stage.asking.ask(Question("q3", "Tool", {"run": {"command": ["rm", "-rf", "/"]}}))
    stage.asking.ask(Question("q4", "Bash", {"command": "echo " + "x" * 100_000 + "; rm -rf /"}))
    first, second, third, fourth = stage.lines
    assert first == "claude asks to use Bash: Say hi\nBash: command echo hi ⏎ rm -rf /, description Say hi"
    assert second == "claude asks to use Bash: make"
    assert third.endswith('Tool: {"command":["rm","-rf","/"]}')
    assert "characters are not shown" in fourth
    assert fourth.endswith("x; rm -rf /")
    assert len(fourth) < 17_000
    assert [said["question"].get("cut", False) for said in stage.said] == [False, False, False, True]


def test_what_nobody_has_seen_whole_is_not_allowed_for_the_whole_run() -> None:
    stage = Stage()
    stage.asking.ask(Question("q1", "Bash", {"command": "echo " + "x" * 17_000 + "; rm -rf /"}, [RULE]))
    assert "too long to be shown whole" in stage.asking.answer(answer("allow_always"))
    assert (stage.answers, list(stage.asking.open)) == ([], ["q1"])
    assert stage.asking.answer(answer("allow")) == ""
    assert stage.answers == [("q1", {"behavior": "allow"})]
    stage.asking.ask(Question("q2", "Bash", {"command": "x" * 4000}, [RULE]))
    assert "cut" not in stage.said[-1]["question"]
    stage.room = 4000
    assert "too long to be shown whole" in stage.asking.answer(answer("allow_always", "q2")), (
        "its server takes less now"
    )
    stage.asking.ask(Question("q3", "Bash", {"command": "x" * 4000}, [RULE]))
    assert stage.said[-1]["question"]["cut"] is True


def test_nobody_answers_in_time() -> None:
    stage = Stage()
    stage.asking.ask(question())
    stage.asking.expire("q1")
    stage.asking.expire("q1")
    assert [behavior["behavior"] for _, behavior in stage.answers] == ["deny"]
    assert any("nobody answered within 300 s" in said["message"] for said in stage.said)
    assert stage.asking.open == {}


def test_nobody_is_there_or_the_call_cannot_be_shown() -> None:
    stage = Stage(absence=inf)
    assert not stage.asking.ask(question())
    assert not Stage(absence=Limits().ask_absence).asking.ask(question())
    assert Stage(absence=1.0).asking.ask(question()), "it may be back at once"
    assert "no server is connected" in stage.said[0]["message"]
    assert not Stage().asking.ask(Question("q", ""))
    assert stage.answers[0][1]["behavior"] == "deny"


def test_a_question_without_a_description_says_what_the_call_is() -> None:
    for call, words in (
        (Question("q", "Read", {"file_path": "/etc/hosts"}), "Read /etc/hosts"),
        (Question("q", "Bash", {"command": "make"}), "Bash: make"),
        (Question("q", "mcp__x__y", {"a": 1}), 'mcp__x__y {"a":1}'),
        (Question("q", "Odd", None), "Odd null"),
    ):
        stage = Stage()
        stage.asking.ask(call)
        assert stage.said[0]["message"] == f"claude asks to use {words}"


def test_a_run_that_asks_nothing_opens_no_question() -> None:
    """A command of claude's may write into claude's output; an open question would keep IDLE_TIMEOUT from running."""
    stage = Stage(ask="0")
    assert not stage.asking.ask(question())
    assert "ASK=1 would let it" in stage.said[0]["message"]
    assert stage.answers[0][1]["behavior"] == "deny"
    assert stage.asking.open == {}


def test_a_run_that_is_being_ended_asks_nothing() -> None:
    stage = Stage()
    stage.asking.end()
    assert not stage.asking.ask(question())
    assert "the run is being ended" in stage.said[0]["message"]


def test_a_question_that_is_taken_back() -> None:
    stage = Stage()
    stage.asking.ask(question())
    assert stage.said[0]["message"] == "claude asks to use Bash: Build it"
    stage.asking.withdraw("q1")
    assert (stage.asking.open, stage.claude.lines) == ({}, [])
