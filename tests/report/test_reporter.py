"""What a run says of itself, in its own words."""

import errno
import json
import os
from pathlib import Path
from types import SimpleNamespace

import msgspec
import trio

from agent.config.load import load
from agent.errors import CloneError, ConfigError
from agent.journal.journal import Journal
from agent.journal.run_directory import RunDirectory
from agent.limits import Limits
from agent.outcome import causes
from agent.outcome.verdict import Outcome, judge
from agent.protocol import events
from agent.protocol.events import Envelope
from agent.protocol.phase import Phase
from agent.report.console import Console
from agent.report.reporter import Reporter
from agent.transcript.summary import Result, Summary
from tests.support.scripted_work import GOOD, ScriptedClaude, ScriptedWork

SUCCESS = Outcome(0, "success", None, "done")
FAILURE = Outcome(66, "clone_failed", "clone", "no such repository", "fatal: not found")


class Voice:
    def __init__(self, tmp_path: Path, journal_in: Path | None = None, **variables: str) -> None:
        given = {"REPO_URL": "https://example.com/x", "TASK": "first line\nsecond", "WS_SERVER": "ws://server",
                 "TERMINATION_LOG": str(tmp_path / "termination"), "LABELS": "team=web"}  # fmt: skip
        self.config = load({**given, **variables}, in_container=False)
        envelope = Envelope("c", "RUN")
        self.journal = Journal.open(
            journal_in, envelope, limits=self.config.limits, limit=1 << 30, message_limit=1 << 18,
            redact=lambda data: data, now=lambda: 0.0,
        )  # fmt: skip
        self.lines: list[str] = []
        self.console = console = Console(
            limits=Limits(),
            write=lambda line: self.lines.append(line.decode()),
            redact=lambda t: t.replace("s3cr3t", "***"),
        )
        self.reporter = Reporter(self.config, self.journal, console, lambda: {"memory": 7}, "sess", trio.current_time)

    @property
    def messages(self) -> list[dict]:
        return [json.loads(record.message) for record in self.journal.read(0, 1 << 30, 1000)]


async def test_the_first_status_introduces_the_run(tmp_path, autojump_clock) -> None:
    voice = Voice(tmp_path)
    voice.reporter.entered(Phase.PENDING, None)
    data = voice.messages[0]["data"]
    assert data["status"] == "starting"
    assert (data["repo"], data["title"], data["sessionID"]) == ("https://example.com/x", "first line", "sess")
    assert data["labels"] == {"team": "web"}
    assert data["versions"]["agent"]


async def test_stopping_says_why(tmp_path, autojump_clock) -> None:
    voice = Voice(tmp_path)
    voice.reporter.entered(Phase.STOPPING, causes.by_signal(15))
    assert "SIGTERM" in voice.messages[0]["data"]["message"]


async def test_a_person_reads_the_sentence_once(tmp_path, autojump_clock) -> None:
    voice = Voice(tmp_path)
    voice.reporter.entered(Phase.STOPPING, causes.by_fault("clone", CloneError(FAILURE.message)))
    voice.reporter.complete(FAILURE, signal=None, changes=None, survivors=())
    voice.reporter.finish(FAILURE)
    words = [line[13:].rstrip() for line in voice.lines]
    assert words[:2] == ["info  agent  stopping: clone_failed", "info  agent  failed: clone_failed"]
    assert words[2].startswith("error agent  exit 66 (clone_failed): no such repository [")
    assert len(words) == 3
    assert all("no such repository" in json.dumps(message) for message in voice.messages), "the server reads it in each"


async def test_success_is_status_and_complete(tmp_path, autojump_clock) -> None:
    voice = Voice(tmp_path)
    voice.reporter.complete(SUCCESS, signal=None, changes=None, survivors=())
    assert [m["type"] for m in voice.messages] == ["STATUS", "COMPLETE"]
    assert voice.messages[0]["data"]["status"] == "completed"
    assert voice.messages[1]["data"]["stream"]["lastSeq"] == 2


async def test_failure_is_error_status_and_complete(tmp_path, autojump_clock) -> None:
    voice = Voice(tmp_path)
    voice.reporter.complete(FAILURE, signal=None, changes=None, survivors=())
    error, last, complete = voice.messages
    assert (error["type"], error["data"]["code"], error["data"]["details"]) == ("ERROR", "clone", "fatal: not found")
    assert (last["data"]["status"], complete["data"]["exitCode"]) == ("failed", 66)


async def test_nothing_follows_complete_on_the_wire(tmp_path, autojump_clock) -> None:
    voice = Voice(tmp_path)
    voice.reporter.complete(SUCCESS, signal=None, changes=None, survivors=())
    voice.reporter.log("warn", "too late")
    voice.reporter.notice("warn", "connection lost")
    assert voice.messages[-1]["type"] == "COMPLETE"
    assert any("too late" in line for line in voice.lines)


async def test_heartbeat(tmp_path, autojump_clock) -> None:
    voice = Voice(tmp_path)
    voice.reporter.entered(Phase.PENDING, None)
    beat = json.loads(voice.reporter.heartbeat())
    assert "seq" not in beat
    assert (beat["data"]["phase"], beat["data"]["lastSeq"], beat["data"]["memory"]) == ("PENDING", 1, 7)
    run = ScriptedClaude(ScriptedWork())
    run.summary = msgspec.structs.replace(GOOD, last_tool="Bash")
    voice.reporter.run = run
    assert json.loads(voice.reporter.heartbeat())["data"]["lastTool"] == "Bash"


async def test_health(tmp_path, autojump_clock) -> None:
    voice = Voice(tmp_path)
    assert voice.reporter.health()["server"] == "waiting"
    unchanged = voice.reporter.health()
    await trio.sleep(100)
    assert voice.reporter.health() == unchanged, "it is only touched while nothing happens"
    voice.reporter.connected = True
    assert voice.reporter.health()["server"] == "up"
    voice.reporter.connected = False
    assert voice.reporter.health()["server"] == "down"
    assert Voice(tmp_path, WS_SERVER="none").reporter.health()["server"] == "none"


async def test_the_end_says_the_same_everywhere(tmp_path, autojump_clock) -> None:
    voice = Voice(tmp_path)
    voice.reporter.complete(FAILURE, signal=None, changes=None, survivors=())
    assert voice.reporter.finish(FAILURE) == 66
    termination = json.loads((tmp_path / "termination").read_text())
    assert (termination["exitCode"], termination["reason"], termination["undelivered"]) == (66, "clone_failed", 3)
    assert "exit 66 (clone_failed)" in voice.lines[-1]
    assert "[undelivered=3 confirmedSeq=0; lost: there is no journal on a disk]" in voice.lines[-1]


class FullDisk:
    """From now on until `freed`, a journal's disk takes nothing."""

    def __init__(self, monkeypatch) -> None:
        self.freed = False
        for method in ("append", "rewrite"):
            monkeypatch.setattr(RunDirectory, method, self._taking(getattr(RunDirectory, method)))

    def _taking(self, write):
        def take(*arguments) -> None:
            if not self.freed:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            write(*arguments)

        return take


async def test_a_disk_that_refuses_the_journal_is_told_once(tmp_path, autojump_clock, monkeypatch) -> None:
    voice = Voice(tmp_path, tmp_path / "journal")
    disk = FullDisk(monkeypatch)
    voice.reporter.log("info", "x")
    for _ in range(3):
        voice.reporter.warn_of_journal()
    (warning,) = [m["data"] for m in voice.messages if m["data"].get("level") == "warn"]
    assert "takes nothing (No space left on device)" in warning["message"]
    assert "lost if the agent is killed" in warning["message"]
    voice.reporter.complete(SUCCESS, signal=None, changes=None, survivors=())
    voice.reporter.finish(SUCCESS)
    kept = f"kept in {tmp_path}/journal/RUN but for what the disk refuses (No space left on device), deliver it with"
    assert kept in voice.lines[-1]
    disk.freed = True
    voice.reporter.finish(SUCCESS)
    assert f"kept in {tmp_path}/journal/RUN, deliver it with `agent flush`]" in voice.lines[-1]
    voice.journal.remove()


async def test_in_a_container_only_a_volume_keeps_the_journal(tmp_path, autojump_clock) -> None:
    voice = Voice(tmp_path, tmp_path / "journal")
    voice.reporter._config = msgspec.structs.replace(voice.config, in_container=True)
    voice.reporter.complete(SUCCESS, signal=None, changes=None, survivors=())
    voice.reporter.finish(SUCCESS)
    assert "if that is a volume that stays, the next agent delivers it]" in voice.lines[-1]
    assert "agent flush" not in voice.lines[-1]
    voice.journal.remove()


async def test_damage_of_the_journal_is_told_at_the_end_at_the_latest(tmp_path, autojump_clock) -> None:
    voice = Voice(tmp_path)
    voice.reporter.complete(SUCCESS, signal=None, changes=None, survivors=())
    voice.journal.problems.append("segment 1: messages 2 to 3 are lost (Input/output error)")
    voice.reporter.finish(SUCCESS)
    assert "messages 2 to 3 are lost" in voice.lines[-2]


async def test_strict_delivery(tmp_path, autojump_clock) -> None:
    voice = Voice(tmp_path, STRICT_DELIVERY="1")
    voice.reporter.complete(SUCCESS, signal=None, changes=None, survivors=())
    assert voice.reporter.finish(SUCCESS) == 74
    assert "the server has not confirmed all of it (STRICT_DELIVERY=1) [undelivered=" in voice.lines[-1]
    voice.journal.confirm(voice.journal.last_seq)
    assert voice.reporter.finish(SUCCESS) == 0


async def test_secrets_are_masked_in_the_termination_message(tmp_path, autojump_clock) -> None:
    voice = Voice(tmp_path)
    outcome = Outcome(66, "clone_failed", "clone", "token s3cr3t refused")
    voice.reporter.complete(outcome, signal=None, changes=None, survivors=())
    voice.reporter.finish(outcome)
    assert "s3cr3t" not in (tmp_path / "termination").read_text()


async def test_debug_is_not_sent_unless_asked_for(tmp_path, autojump_clock) -> None:
    voice = Voice(tmp_path)
    voice.reporter.log("debug", "noise")
    assert not voice.messages
    assert voice.reporter.publish([events.log("debug", "x")]) is None


async def test_a_bug_that_the_run_survives_is_an_error(tmp_path, autojump_clock) -> None:
    voice = Voice(tmp_path)
    voice.reporter.fault(causes.by_fault("sender", ValueError("oops")))
    assert voice.messages[0]["data"]["code"] == "internal"
    voice.reporter.fault(causes.by_fault("sender", ValueError("oops")))
    assert "".join(voice.lines).count("ValueError: oops\n" + " " * 25) == 1, "the traceback once"
    assert causes.by_fault("x", CloneError("y")).code == "clone"


async def test_without_a_server_claude_s_answer_stands_whole_on_stderr(tmp_path, autojump_clock) -> None:
    """Nobody else has it."""
    answer = "line\n" * 300 + "token s3cr3t, the end"
    for server, whole in (("none", True), ("ws://server", False)):
        voice = Voice(tmp_path, WS_SERVER=server, LOG_LEVEL="error")
        summary = Summary(last_result=Result("success", False, 3, 0.41, text=answer[:50]))
        voice.reporter.run = SimpleNamespace(summary=summary)
        line = json.dumps({"type": "result", "result": answer}).encode()
        voice.reporter.publish([events.claude_log("info", "result: success", "result", line)])
        voice.reporter.complete(SUCCESS, signal=None, changes=None, survivors=())
        shown = "".join(voice.lines)
        assert ("token ***, the end" in shown) == whole
        assert "s3cr3t" not in shown


async def test_the_last_line_is_there_at_every_level_and_names_the_trouble(tmp_path, autojump_clock) -> None:
    voice = Voice(tmp_path)
    voice.console.level = "error"
    voice.reporter.server_trouble = lambda: "Connection refused"
    voice.reporter.complete(SUCCESS, signal=None, changes=None, survivors=())
    voice.reporter.finish(SUCCESS)
    assert "exit 0 (success)" in voice.lines[-1]
    assert "confirmedSeq=0; server: Connection refused; " in voice.lines[-1]


async def test_problems_of_the_configuration_stand_one_a_line(tmp_path, autojump_clock) -> None:
    voice = Voice(tmp_path, WS_SERVER="none")
    problems = ["TIMEOUT=x is no duration", "REPO_URL is not set"]
    outcome = judge(None, None, causes.by_fault("the configuration", ConfigError(problems)))
    voice.reporter.complete(outcome, signal=None, changes=None, survivors=())
    voice.reporter.finish(outcome)
    words = [line[13:].rstrip() for line in voice.lines]
    assert words[:2] == [f"error agent  {problem}" for problem in problems]
    assert words[2].startswith("error agent  exit 78 (config): the configuration has 2 problems [")
    assert "TIMEOUT=x is no duration; REPO_URL is not set" in (tmp_path / "termination").read_text()


async def test_a_single_problem_of_the_configuration_stands_in_the_last_line(tmp_path, autojump_clock) -> None:
    voice = Voice(tmp_path, WS_SERVER="none")
    outcome = judge(None, None, causes.by_fault("the configuration", ConfigError(["REPO_URL is not set"])))
    voice.reporter.finish(outcome)
    assert [line[13:].rstrip() for line in voice.lines] == ["error agent  exit 78 (config): REPO_URL is not set"]


async def test_health_tells_when_the_wait_at_the_end_is_over(tmp_path, autojump_clock) -> None:
    voice = Voice(tmp_path)
    ends = trio.current_time() + 600
    voice.reporter.delivery_left = lambda: ends - trio.current_time()
    assert voice.reporter.health()["until"] == 0
    voice.reporter.complete(SUCCESS, signal=None, changes=None, survivors=())
    first = voice.reporter.health()["until"]
    await trio.sleep(100)
    assert voice.reporter.health()["until"] == first == round(ends)


async def test_without_a_server_nobody_reads_that_it_is_sought(tmp_path, autojump_clock) -> None:
    for server, lines in (("none", 0), ("ws://server", 1)):
        voice = Voice(tmp_path, WS_SERVER=server)
        voice.reporter.entered(Phase.CONNECTING, None)
        assert (len(voice.lines), len(voice.messages)) == (lines, 1)
        said = voice.messages[0]["data"]["message"]
        assert said == ("connecting to the server" if lines else "no server is told of this run")
