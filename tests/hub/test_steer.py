"""`agent tell`, `interrupt`, `cancel` and `answer`: beside a hub and an agent in name, and with real runs."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trio

from agent.hub import steer
from agent.protocol.events import log, status
from tests.hub.test_api import TOKENS
from tests.receiver.test_server import acked, connected
from tests.support.hub_client import Client, open_client
from tests.support.runs import Written

RUN = "01RUN"


class Said(NamedTuple):
    code: int
    out: str
    err: str
    #: What the agent got.
    got: dict[str, Any] | None


class Stage:
    """A hub with one live run, whose agent answers each command with `state` and `reason`; with neither, not at all."""

    def __init__(
        self, client: Client, agent: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.client = client
        self.agent = agent
        self.run = Written(run_id=RUN)
        #: A command has reached the agent.
        self.reached = trio.Event()
        self._capsys = capsys
        monkeypatch.setattr("agent.signals.let_kill", lambda: None)
        monkeypatch.setenv("HUB_URL", f"http://127.0.0.1:{client.port}")
        monkeypatch.setenv("HUB_TOKEN", "operators")

    async def say(self, *events: Any) -> None:
        begin = len(self.run.lines)
        for line in self.run.add(*events).lines[begin:]:
            await self.agent.send_message(line)

    async def has_said(self, *events: Any) -> None:
        """Say it, and return once the hub has stored it."""
        await self.say(*events)
        await self.agent.send_message(self.run.heartbeat())
        while await acked(self.agent) < self.run.seq:
            pass

    async def command(self, name: str, *arguments: str, state: str = "accepted", reason: str = "") -> Said:
        code: int = -1
        got: dict[str, Any] | None = None

        async def answer() -> None:
            nonlocal got
            while got is None or "ack" in got:
                got = json.loads(await self.agent.get_message())
            record = {"id": got["id"], "command": name, "by": got["by"], "state": state}
            words = f"{got['by']}: {name} ({state}{reason})"
            await self.say(
                # claude's own, which is no word of the run.
                log("info", words, source="claude", kind="command", command=record | {"state": "refused"}),
                log("info", words, source="operator", kind="command", command=record | {"id": "other"}),
            )
            if state:
                await self.say(log("info", words, source="operator", kind="command", command=record))
            self.reached.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer)
            try:
                code = await trio.to_thread.run_sync(steer.COMMANDS[name].main, arguments)
            except SystemExit as end:
                code = int(end.code or 0)
            nursery.cancel_scope.cancel()
        out, err = self._capsys.readouterr()
        return Said(code, out, err, got)


@pytest.fixture
async def stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> AsyncIterator[Stage]:
    async with open_client(tmp_path, TOKENS) as client, connected(client.receiver.url, "/?token=agents") as agent:
        stage = Stage(client, agent, monkeypatch, capsys)
        await stage.has_said(status("running", "claude works", phase="RUNNING"))
        yield stage


@asynccontextmanager
async def another_run(stage: Stage, run_id: str) -> AsyncIterator[None]:
    async with connected(stage.client.receiver.url, "/?token=agents") as agent:
        await agent.send_message(Written("c2", run_id).add(status("running", "x")).lines[0])
        await acked(agent)
        yield


async def test_the_run_s_word_is_printed(stage: Stage) -> None:
    said = await stage.command("tell", "01R", "use tabs", "--by", "ada")
    assert said[:3] == (0, "agent tell: ada: tell (accepted)\n", "")
    assert said.got is not None
    assert (said.got["by"], said.got["data"]) == ("ada", {"command": "message", "text": "use tabs"})
    said = await stage.command("interrupt", "c1", "--by", "ada", state="refused", reason=": too late")
    assert said[:3] == (1, "", "agent interrupt: ada: interrupt (refused: too late)\n")
    said = await stage.command("cancel", RUN)
    assert said.code == 0
    assert said.got is not None
    assert (said.got["type"], said.got["data"]) == ("STATUS", {"status": "cancel"})


async def test_a_run_that_says_nothing_is_not_waited_for_for_ever(stage: Stage) -> None:
    said = await stage.command("tell", RUN, "x", "--wait", "0.3", state="")
    assert said.code == 75
    assert "nothing of it within 0.3 s; it may still take effect" in said.err


async def test_a_run_that_ends_meanwhile_has_not_taken_it(stage: Stage) -> None:
    async def end() -> None:
        await stage.reached.wait()
        for line in stage.run.complete().lines[-1:]:
            await stage.agent.send_message(line)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(end)
        said = await stage.command("tell", RUN, "x", "--wait", "20", state="")
    assert said[:3] == (1, "", "agent tell: the run ended before it took this\n")


async def test_a_text_comes_from_stdin(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("two\nlines\n"))
    said = await stage.command("tell", RUN, "-")
    assert said.got is not None
    assert said.got["data"]["text"] == "two\nlines"


async def test_a_question_is_answered_by_the_beginning_of_its_id(stage: Stage) -> None:
    def asked(id: str) -> Any:
        question = {"id": id, "tool": "Bash", "input": {}, "suggestions": []}
        return status("waiting", "claude asks", phase="RUNNING", question=question)

    await stage.say(asked("q-one"), asked("q-two"), asked("r"), asked("closed"))
    await stage.has_said(status("running", "closed", phase="RUNNING", question={"id": "closed", "answer": "denied"}))
    said = await stage.command("answer", RUN, "q-t", "deny", "not now")
    assert said.got is not None
    assert said.got["data"] == {"command": "answer", "question": "q-two", "behavior": "deny", "message": "not now"}
    said = await stage.command("answer", RUN, "r", "allow-always")
    assert said.got is not None
    assert said.got["data"] == {"command": "answer", "question": "r", "behavior": "allow_always"}
    several, none = "may be any of 2 questions", "no question begins with"
    for name, words in (("q", several), ("closed", none), ("x", "q-one (Bash)")):
        said = await stage.command("answer", RUN, name, "allow")
        assert (said.code, said.got) == (78, None)
        assert words in said.err
    said = await stage.command("answer", RUN, "r", "allow", "because")
    assert (said.code, "only deny takes a reason" in said.err) == (78, True)


async def test_a_run_must_be_named_so_that_one_is_meant(stage: Stage) -> None:
    said = await stage.command("tell", "nobody", "x")
    assert (said.code, "no live run begins with 'nobody'; `agent watch` lists them" in said.err) == (78, True)
    async with another_run(stage, "01OTHER"):
        said = await stage.command("tell", "01", "x")
        assert (said.code, "may be any of 2 runs" in said.err) == (78, True)
        assert "01OTHER (c2)" in said.err
        assert (await stage.command("tell", "01R", "x")).code == 0


async def test_the_hub_s_refusals(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_TOKEN", "watchers")
    said = await stage.command("tell", RUN, "x")
    assert (said.code, "the hub refuses" in said.err) == (77, True)
    monkeypatch.setenv("HUB_TOKEN", "operators")
    async with another_run(stage, "02"):
        pass
    await stage.client.receiver.until(lambda: len(stage.client.receiver.connections) == 1)
    said = await stage.command("tell", "02", "x")
    assert (said.code, "no agent is connected for this run" in said.err) == (1, True)
    monkeypatch.setenv("HUB_URL", "http://127.0.0.1:1")
    said = await stage.command("tell", RUN, "x")
    assert (said.code, "is --hub or HUB_URL right?" in said.err) == (69, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tell", RUN], "the following arguments are required: TEXT"),
        (["tell", RUN, "use", "tabs"], "unrecognized arguments: tabs"),
        (["answer", RUN, "q", "maybe"], "invalid choice: 'maybe'"),
        (["cancel"], "the following arguments are required: RUN"),
        (["cancel", RUN, "--wait", "x"], "'x' is no number of seconds; for example 30"),
    ],
)
def test_a_wrong_command_line_is_named(capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    name, *rest = arguments
    with pytest.raises(SystemExit, match="64"):
        steer.COMMANDS[name].parser().parse_args(rest)
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("tell", RUN, " "), "the text is empty"),
        (("tell", RUN, "x" * 50_001), "the text is longer than 50,000 characters"),
        (("tell", RUN, "\udcff"), "the text is not UTF-8"),
        (("interrupt", RUN, "\udcff"), "the text is not UTF-8"),
        (("tell", "\udcff", "x"), "RUN is not UTF-8"),
        (("tell", RUN, "x", "--by", "\udcff"), "--by is not UTF-8"),
        (("tell", RUN, "x", "--by", ""), "--by takes 1 to 200 characters"),
        (("tell", RUN, "x", "--by", "b" * 201), "--by takes 1 to 200 characters"),
    ],
)
async def test_what_no_hub_would_take_is_refused_in_words(stage: Stage, arguments: tuple[str, ...], words: str) -> None:
    said = await stage.command(*arguments)
    assert (said.code, said.err) == (78, f"agent {arguments[0]}: {words}\n")
    assert said.got is None or "ack" in said.got, "no command was sent"


async def test_stdin_that_is_no_text_is_refused(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe"), encoding="utf-8"))
    said = await stage.command("tell", RUN, "-")
    assert (said.code, said.err) == (78, "agent tell: the text is not UTF-8\n")
    monkeypatch.setattr(sys, "stdin", io.StringIO("x" * 2_000_000))
    said = await stage.command("tell", RUN, "-")
    assert "longer than 50,000 characters" in said.err


async def test_nothing_that_others_wrote_moves_the_cursor(stage: Stage) -> None:
    evil = "\x1b]0;x\x07\x1b[2J\r\n\u202eevil"
    said = await stage.command("tell", RUN, "x", "--by", evil, reason=evil)
    assert said.code == 0
    assert said.out.rstrip("\n").isprintable()
