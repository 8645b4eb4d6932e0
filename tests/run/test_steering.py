"""Commands of operators: each takes effect once, each is acknowledged, and claude's input closes when none is left."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.limits import Limits
from agent.protocol import parse_inbound
from agent.protocol.events import Event, log
from agent.protocol.inbound import Command
from agent.run.steering import Steering
from agent.transcript import MessageState, Replied, ResultGiven
from tests.support.journals import COMPLETE, data_of, missing, open_journal, read_all


class Claude:
    def __init__(self, takes: bool = True) -> None:
        self.lines: list[Any] = []
        self.open = True
        self.takes = takes

    def tell(self, *lines: bytes) -> bool:
        if self.open and self.takes:
            self.lines += map(json.loads, lines)
        return self.open and self.takes

    def hang_up(self) -> None:
        self.open = False


class Stage:
    def __init__(self, *, allowed: bool = True, takes: bool = True, **limits: int) -> None:
        self.logs: list[dict[str, Any]] = []
        self.claude = Claude(takes)
        self.steering = Steering(allowed, self.publish, msgspec.structs.replace(Limits(), **limits))

    def publish(self, batch: Sequence[Event]) -> None:
        self.logs += [json.loads(event.data) for event in batch]

    def begin(self) -> Stage:
        self.steering.begin(self.claude)
        return self

    @property
    def states(self) -> list[tuple[str, str]]:
        commands = [log["metadata"]["command"] for log in self.logs if log["metadata"]["kind"] == "command"]
        return [(command["id"], command["state"]) for command in commands]

    @property
    def reason(self) -> str:
        return str(self.logs[-1]["metadata"]["command"]["reason"])


def message(id: str = "1", text: str = "use tabs") -> Command:
    return Command("c", "R", id, "alice", "message", text)


def interrupt(id: str = "i", text: str = "") -> Command:
    return Command("c", "R", id, "bob", "interrupt", text)


def cancel(id: str = "c") -> Command:
    return Command("c", "R", id, "carol", "cancel")


def test_a_cancel_is_answered_and_ends_the_run_once() -> None:
    stage, ended = Stage(allowed=False, commands=1), list[str]()
    stage.steering.take(cancel("c1"))
    assert "ALLOW_REMOTE_CANCEL=1" in stage.reason
    stage.steering.cancel = lambda: (ended.append("ended"), stage.steering.end("over"))[0]
    stage.steering.take(message("m1"))
    for id in ("c2", "c2", "c3"):
        stage.steering.take(cancel(id))
    assert ended == ["ended"]
    assert stage.states == [
        ("c1", "refused"), ("m1", "refused"), ("c2", "accepted"), ("c2", "delivered"), ("c3", "refused"),
    ]  # fmt: skip


def test_a_message_is_accepted_and_delivered_once_claude_takes_it() -> None:
    stage = Stage().begin()
    stage.steering.take(message())
    (line,) = stage.claude.lines
    assert line["message"]["content"] == [{"type": "text", "text": "use tabs"}]
    stage.steering.heard(MessageState(line["uuid"], "queued"))
    assert stage.states == [("1", "accepted")]
    stage.steering.heard(MessageState(line["uuid"], "started"))
    stage.steering.heard(MessageState(line["uuid"], "completed"))
    assert stage.states == [("1", "accepted"), ("1", "delivered")]
    assert stage.logs[0]["metadata"]["source"] == "operator"
    assert stage.logs[0]["message"] == "alice: message: use tabs (accepted)"
    stage.steering.heard(ResultGiven())
    assert not stage.claude.open
    stage.steering.take(message("2"))
    assert stage.reason == "too late: claude has its result"
    assert stage.steering.records[0] == {"id": "1", "command": "message", "by": "alice", "state": "delivered"}


def test_a_message_is_never_a_command_of_the_cli() -> None:
    stage = Stage().begin()
    stage.steering.take(message("1", "/clear"))
    stage.steering.take(interrupt("2", "/clear"))
    texts = [line["message"]["content"][0]["text"] for line in stage.claude.lines if line["type"] == "user"]
    assert texts == ["\n/clear"] * 2


def test_a_result_closes_the_input_of_a_run_that_nobody_steers() -> None:
    stage = Stage(allowed=False).begin()
    stage.steering.heard(ResultGiven())
    assert (stage.claude.open, stage.logs) == (False, [])


def test_the_input_stays_open_for_a_message_that_is_under_way() -> None:
    stage = Stage().begin()
    stage.steering.take(message())
    stage.steering.heard(ResultGiven())
    assert stage.claude.open
    stage.steering.heard(ResultGiven())
    assert not stage.claude.open, "a CLI that does not tell what it took"
    assert stage.states == [("1", "accepted"), ("1", "delivered")]


def test_an_interrupt_with_a_message_goes_in_together() -> None:
    stage = Stage().begin()
    stage.steering.take(interrupt(text="do that"))
    request, line = stage.claude.lines
    assert request["request"] == {"subtype": "interrupt"}
    stage.steering.heard(Replied(request["request_id"]))
    stage.steering.heard(ResultGiven())
    assert stage.claude.open
    stage.steering.heard(MessageState(line["uuid"], "started"))
    stage.steering.heard(ResultGiven())
    assert not stage.claude.open
    assert stage.states == [("i", "accepted"), ("i", "delivered")]


def test_an_interrupt_alone_leaves_time_for_a_message() -> None:
    stage = Stage().begin()
    stage.steering.take(interrupt())
    stage.steering.heard(Replied(stage.claude.lines[0]["request_id"]))
    assert (stage.steering.interrupter, stage.steering.waits) == ("bob", False)
    stage.steering.heard(ResultGiven())
    assert (stage.claude.open, stage.steering.waits) == (True, True)
    stage.steering.take(message())
    assert not stage.steering.waits
    stage.steering.heard(MessageState(stage.claude.lines[1]["uuid"], "started"))
    stage.steering.heard(ResultGiven())
    assert not stage.claude.open


def test_what_is_refused_says_why_and_does_nothing() -> None:
    for stage, command, reason in (
        (Stage(allowed=False).begin(), message(), "this run takes no commands; ALLOW_STEERING=1 would let it"),
        (Stage(), message(), "claude does not run yet"),
        (Stage(command_bytes=3).begin(), message(), "its text of 8 bytes is longer than 3"),
        (
            Stage(command_bytes=3).begin(),
            Command("c", "R", "1", "alice", "answer", question="q", behavior="deny", message="long"),
            "its text of 4 bytes is longer than 3",
        ),
        (Stage(commands_under_way=0).begin(), message(), "0 commands are under way; send it again later"),
        (Stage(commands=0).begin(), message(), "a run takes 0 commands at most"),
        (
            Stage(takes=False).begin(),
            message(),
            "claude does not take it any more: it has its result, or does not read",
        ),
    ):
        stage.steering.take(command)
        assert stage.reason.startswith(reason)
        assert stage.claude.lines == []


def test_a_server_that_sends_without_end_fills_nothing() -> None:
    stage, ended = Stage(allowed=False, commands=10, commands_refused=10).begin(), list[str]()
    for number in range(1000):
        stage.steering.take(message(f"m{number}"))
        stage.steering.take(cancel(f"c{number}"))
    assert len(stage.logs) == 20
    assert len(stage.steering.records) == 10
    stage.steering.answer = lambda command: "" if command.question == "open" else "no such question is open"
    for id, question in (("a1", "closed"), ("a2", "open"), ("a2", "open")):
        stage.steering.take(Command("c", "R", id, "dan", "answer", question=question, behavior="allow"))
    stage.steering.cancel = lambda: ended.append("ended")
    stage.steering.take(cancel("last"))
    assert ended == ["ended"]
    assert stage.states[20:] == [(id, state) for id in ("a2", "last") for state in ("accepted", "delivered")]


def test_a_long_text_is_whole_in_a_log_of_its_own() -> None:
    stage = Stage(command_shown=8).begin()
    stage.steering.take(message("1", "use tabs"))
    stage.steering.take(message("2", "use spaces"))
    assert [log["metadata"].get("text") for log in stage.logs] == [
        "use tabs", "use spaces", "use spac ... (cut, 10 characters)",
    ]  # fmt: skip
    assert stage.logs[1]["message"] == "alice: the whole text of 2, 10 characters"
    assert [log["metadata"]["kind"] for log in stage.logs] == ["command", "text", "command"]
    assert stage.states == [("1", "accepted"), ("2", "accepted")]


@pytest.mark.parametrize(("on_disk", "shown"), [(True, 2000), (False, 2000), (True, 8000)])
def test_a_journal_that_is_full_drops_no_acknowledgement(tmp_path: Path, on_disk: bool, shown: int) -> None:
    """However much is said between them, and however little a server takes in the end: a long one is cut then."""
    journal = open_journal(tmp_path if on_disk else None, limit=16 * 1024)
    claude = Claude()
    steering = Steering(True, journal.append, msgspec.structs.replace(Limits(), command_shown=shown))
    steering.begin(claude)

    def say() -> None:
        journal.append([log("info", f"{number}", text="x" * 3000) for number in range(8)])

    expected = {}
    for number in range(30):
        say()
        steering.take(message(f"m{number}", "use tabs " * (1000 if number % 3 else 1)))
        say()
        if number % 2:
            steering.heard(MessageState(claude.lines[-1]["uuid"], "started"))
        expected[f"m{number}"] = ["accepted", "delivered" if number % 2 else "refused"]
    steering.end("too late")
    say()
    journal.append([COMPLETE])
    journal.narrow(4096, refused=True)
    records = read_all(journal)
    assert missing(records) == []
    assert all(len(record.message) <= 4096 for record in records)
    assert data_of(records[-1])["stream"]["dropped"] > 400
    told: dict[str, list[str]] = {}
    for record in records:
        command = data_of(record).get("metadata", {}).get("command")
        if command is not None:
            told.setdefault(command["id"], []).append(command["state"])
    assert told == expected
    journal.close()


def test_what_is_under_way_at_the_end_is_refused() -> None:
    stage = Stage().begin()
    stage.steering.take(message())
    stage.steering.end("too late: claude has ended")
    assert stage.states == [("1", "accepted"), ("1", "refused")]
    stage.steering.take(message("2"))
    assert stage.reason == "too late: claude has ended"


@given(st.data())
def test_no_command_is_applied_twice_and_none_is_lost(data: st.DataObject) -> None:
    """Whatever comes, in whatever order and however often."""
    stage = Stage(commands_under_way=3, commands=6)
    ids = st.sampled_from("abcdefgh")
    for _ in range(data.draw(st.integers(0, 30))):
        match data.draw(st.sampled_from(["message", "interrupt", "both", "begin", "result", "state", "reply"])):
            case "message":
                stage.steering.take(message(data.draw(ids)))
            case "interrupt":
                stage.steering.take(interrupt(data.draw(ids)))
            case "both":
                stage.steering.take(interrupt(data.draw(ids), "text"))
            case "begin":
                if not stage.claude.lines and stage.claude.open:
                    stage.begin()
            case "result":
                stage.steering.heard(ResultGiven())
            case "state":
                uuids = [line["uuid"] for line in stage.claude.lines if "uuid" in line] or ["x"]
                state = data.draw(st.sampled_from(["queued", "started", "completed", "cancelled"]))
                stage.steering.heard(MessageState(data.draw(st.sampled_from(uuids)), state))
            case "reply":
                requests = [line["request_id"] for line in stage.claude.lines if "request_id" in line] or ["x"]
                stage.steering.heard(Replied(data.draw(st.sampled_from(requests))))
    stage.steering.end("over")
    uuids = [line["uuid"] for line in stage.claude.lines if "uuid" in line]
    assert len(uuids) == len(set(uuids))
    states: dict[str, list[str]] = {}
    for id, state in stage.states:
        states.setdefault(id, []).append(state)
    for found in states.values():
        accepted = found.count("accepted")
        assert accepted <= 1
        assert found[-1] != "accepted"
        assert not accepted or found[:2] in (["accepted", "delivered"], ["accepted", "refused"])
        assert len(found) == 2 or not accepted


def test_the_form_of_a_command() -> None:
    def parsed(data: Any, **more: Any) -> Any:
        fields = {"type": "COMMAND", "containerID": "c", "runID": "R", "id": "1", "by": "alice", "data": data, **more}
        return parse_inbound(json.dumps(fields))

    assert parsed({"command": "message", "text": "use tabs"}) == message()
    assert parsed({"command": "interrupt"}, by=None).by == "unknown"
    assert parsed({"command": "interrupt"}, id="") is None
    assert parsed({"command": "interrupt"}, id=7) is None
    for data in (None, [], {"command": "message"}, {"command": "message", "text": 1}, {"command": "x"}, {},
                 {"command": "answer", "behavior": "allow"}, {"command": "answer", "question": "q"}):  # fmt: skip
        assert parsed(data).fault


def test_a_claude_that_comes_after_the_end_takes_nothing() -> None:
    stage = Stage()
    stage.steering.end("over")
    stage.begin()
    stage.steering.take(message())
    assert (stage.states, stage.reason, stage.claude.lines) == ([("1", "refused")], "over", [])
