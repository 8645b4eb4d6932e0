"""The dialogue: the timer of a question, and the silence that counts only while no question is open. Mock clock."""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import trio

from agent.claude.watchdog import Activity
from agent.protocol.events import Event
from agent.protocol.inbound import Command
from agent.report import Reporter
from agent.run.dialogue import Dialogue
from agent.run.tasks import Task
from agent.run.work import ClaudeRun
from agent.transcript import Question, QuestionWithdrawn
from tests.run.test_steering import Claude
from tests.support.memory_run import configuration


class Stage:
    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []
        self.timers: list[str] = []
        self.tasks: list[Task] = []
        #: Since then nobody is there; None while somebody is.
        self.left: float | None = None
        self.claude = Claude()
        self.claude.activity = Activity()  # type: ignore[attr-defined]
        reporter = SimpleNamespace(run_id="R", publish=self.publish, connected=True, room=9999)
        self.dialogue = Dialogue(
            configuration(ASK="1"), cast("Reporter", reporter), self.start, lambda: None, self.absence
        )
        self.dialogue.begin(cast("ClaudeRun", self.claude))

    def publish(self, batch: Sequence[Event]) -> None:
        self.said += [json.loads(event.data) for event in batch]

    def start(self, name: str, task: Task) -> None:
        self.timers.append(name)
        self.tasks.append(task)

    def absence(self, question: Question) -> float:
        return 0.0 if self.left is None else trio.current_time() - self.left

    async def silence(self) -> float:
        await trio.sleep(60)
        return cast("float", self.claude.activity.idle)  # type: ignore[attr-defined]


def answer(id: str, question: str) -> Command:
    return Command("c", "R", id, "alice", "answer", question=question, behavior="allow")


async def test_silence_counts_only_while_no_question_is_open(autojump_clock: trio.testing.MockClock) -> None:
    stage = Stage()
    assert await stage.silence() == 60
    stage.dialogue.heard(Question("q1", "Bash"))
    stage.dialogue.heard(Question("q2", "Bash"))
    assert await stage.silence() == 0
    stage.dialogue.commanded(answer("1", "q1"))
    assert await stage.silence() == 0
    stage.dialogue.commanded(answer("2", "q2"))
    assert await stage.silence() == 60
    stage.dialogue.heard(Question("q3", "Bash"))
    stage.dialogue.heard(QuestionWithdrawn("q3"))
    assert await stage.silence() == 60


async def test_each_question_has_a_timer_that_denies_it(autojump_clock: trio.testing.MockClock) -> None:
    stage = Stage()
    stage.dialogue.heard(Question("q1", "Bash"))
    stage.dialogue.heard(Question("q2", "Bash"))
    assert all(stage.dialogue.owns(timer) for timer in stage.timers)
    assert not stage.dialogue.owns("deadline")
    stage.dialogue.commanded(answer("1", "q1"))
    for timer in stage.timers:
        stage.dialogue.timer_ended(timer)
    answers = {line["response"]["request_id"]: line["response"]["response"] for line in stage.claude.lines}
    assert answers["q1"] == {"behavior": "allow"}
    assert answers["q2"]["behavior"] == "deny"
    assert await stage.silence() == 60


async def test_a_question_waits_for_a_server_that_is_away_for_a_moment(autojump_clock: trio.testing.MockClock) -> None:
    for back_after, seconds, words in ((8, 300, "nobody answered within 300 s"), (20, 9, "no server is connected")):
        stage = Stage()
        stage.left = began = trio.current_time()
        await trio.sleep(1)
        stage.dialogue.heard(Question("q1", "Bash"))
        assert stage.said[-1]["status"] == "waiting"
        async with trio.open_nursery() as nursery:

            async def come_back(stage: Stage = stage, back_after: float = back_after) -> None:
                await trio.sleep(back_after)
                stage.left = None

            nursery.start_soon(come_back)
            alone = await stage.tasks[0]()
            assert trio.current_time() == began + 1 + seconds
        stage.dialogue.timer_ended(stage.timers[0], alone=alone)
        assert words in stage.said[-2]["message"]
        assert stage.claude.lines[-1]["response"]["response"]["behavior"] == "deny"


async def test_every_command_is_in_the_fields(autojump_clock: trio.testing.MockClock) -> None:
    stage = Stage()
    assert stage.dialogue.fields == {}
    stage.dialogue.end("over")
    stage.dialogue.commanded(answer("1", "q1"))
    (record,) = stage.dialogue.fields["commands"]
    assert (record["state"], record["reason"]) == ("refused", "over")
