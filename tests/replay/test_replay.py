"""Whole runs are recorded, and come to the same when they are played again."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.support.collector import collecting, in_phase
from tests.support.places import ROOT, TRANSCRIPTS
from tests.support.run_agent import KEY, run_agent, start_agent

#: Runs that end by themselves: script of claude, variables, exit code.
RUNS = [
    ("ok", {}, 0),
    ("no-result", {}, 1),
    ("failed", {}, 1),
    ("dies:9", {}, 137),
    ("two-results", {}, 0),
    ("garbage", {}, 0),
    ([["read"], ["init"], ["text", "x" * 20_000], ["stderr", "oh"], ["result"]], {"MESSAGE_LIMIT": "4096"}, 0),
    ([["read"], ["init"], ["result"], ["raw", '{"half']], {}, 0),
    ("lingers", {"RESULT_GRACE": "300"}, 0),
    ("hang", {"TIMEOUT": "1500"}, 124),
    ("silent", {"IDLE_TIMEOUT": "500"}, 124),
    ("refused", {}, 77),
    ("ok", {"REPO_URL": "/nowhere/at/all"}, 66),
    ("ok", {"SETUP_COMMAND": "echo up; sleep 300 &"}, 0),
    ("ok", {"SETUP_COMMAND": "echo no; exit 4"}, 72),
    ("ok", {"VERIFY_COMMAND": "echo good"}, 0),
    ("ok", {"VERIFY_COMMAND": "echo bad; exit 1", "VERIFY_RETRIES": "1"}, 1),
    ("failed", {"VERIFY_COMMAND": "echo good"}, 1),
    (
        [["read"], ["init"], ["result"], ["obey", [["bash", "touch done"]]]],
        {"VERIFY_COMMAND": "echo look; test -e done", "VERIFY_RETRIES": "2"},
        0,
    ),
    ("ok", {"CLAUDE_BIN": "/nowhere/claude"}, 127),
]


_REPLAY = "import sys; from agent.replay.command import main; sys.exit(main(sys.argv[1:]))"


def recording_in(parent: Path) -> Path:
    (found,) = parent.iterdir()
    return found


def play(path: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": "/nonexistent", **environ}
    command = [sys.executable, "-c", _REPLAY, str(path), "--json", "--speed", "max", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def messages(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def of_claude(found: list[dict[str, Any]]) -> list[Any]:
    return [
        message["data"]["metadata"].get("claude")
        for message in found
        if message["type"] == "LOG" and message["data"].get("metadata", {}).get("source") == "claude"
    ]


@pytest.mark.parametrize(("script", "variables", "code"), RUNS)
@pytest.mark.system
async def test_a_recorded_run_comes_to_the_same(tmp_path: Path, script: str, variables: Any, code: int) -> None:
    records = tmp_path / "record"
    async with collecting() as collector:
        ran = await run_agent(tmp_path, collector.url, script, RECORD_DIR=str(records), **variables)
        assert ran.code == code
        then = collector.messages
    same = {name: value for name, value in variables.items() if name == "MESSAGE_LIMIT"}
    played = await trio.to_thread.run_sync(lambda: play(recording_in(records), **same))
    assert played.returncode == code, played.stderr
    assert f"exit {code}; exit code, reason" in played.stderr
    now = messages(played.stdout)
    assert of_claude(now) == of_claude(then)
    old, new = then[[m["type"] for m in then].index("COMPLETE")]["data"], now[-1]["data"]
    for name in ("exitCode", "reason", "result", "changes", "signal"):
        assert new.get(name) == old.get(name), name
    phases = [
        [m["data"]["phase"] for m in found if m["type"] == "STATUS" and "phase" in m["data"]] for found in (then, now)
    ]
    assert list(dict.fromkeys(phases[0])) == list(dict.fromkeys(phases[1]))


@pytest.mark.system
async def test_a_cancelled_run_comes_to_the_same(tmp_path: Path) -> None:
    records = tmp_path / "record"
    async with (
        collecting() as collector,
        start_agent(tmp_path, collector.url, "polite", RECORD_DIR=str(records)) as agent,
    ):
        await collector.until(in_phase("RUNNING"))
        await trio.sleep(0.3)
        agent.signal(signal.SIGTERM)
        assert (await agent.ended()).code == 143
    played = await trio.to_thread.run_sync(play, recording_in(records))
    assert played.returncode == 143, played.stderr
    assert messages(played.stdout)[-1]["data"]["signal"] == "SIGTERM"


def of_operators(found: list[dict[str, Any]]) -> list[Any]:
    """States of commands and questions."""
    states = []
    for message in found:
        data = message["data"]
        if data.get("metadata", {}).get("source") == "operator":
            states.append((data["metadata"]["command"], data["message"]))
        elif "question" in data:
            states.append(data["question"])
    return states


@pytest.mark.system
async def test_a_run_that_was_steered_and_asked_comes_to_the_same(tmp_path: Path) -> None:
    records = tmp_path / "record"
    script = [["read"], ["init"], ["ask", "q1", "Bash", {"command": "make"}], ["ask", "q2", "Bash", {"command": "rm"}],
              ["answered"], ["follow"]]  # fmt: skip
    allowed = {"ALLOW_STEERING": "1", "ASK": "1"}
    async with (
        collecting() as collector,
        start_agent(tmp_path, collector.url, script, RECORD_DIR=str(records), **allowed) as agent,
    ):
        first = await collector.until(lambda message: message["data"].get("question", {}).get("id") == "q2")

        async def command(id: str, **data: str) -> None:
            names = {name: first[name] for name in ("containerID", "runID")}
            for _ in range(2):
                await collector.send({"type": "COMMAND", **names, "id": id, "by": "ada", "data": data})

        async def told(words: str) -> None:
            await collector.until(lambda message: words in str(message["data"].get("message")))

        await command("k1", command="answer", question="q2", behavior="deny", message="no")
        await command("k2", command="answer", question="q2", behavior="allow")
        await command("k3", command="message", text=f"use tabs, not {KEY}")
        await command("k4", command="answer", question="q1", behavior="allow")
        await told("I am told: use tabs")
        await command("k5", command="interrupt", text="finish")
        assert (await agent.ended()).code == 0
        then = collector.messages
    path = recording_in(records)
    assert KEY not in (path / "timeline.ndjson").read_text()
    went_in = [entry["stdin"] for entry in messages((path / "timeline.ndjson").read_text()) if "stdin" in entry]
    assert [line["type"] for line in went_in] == [
        "control_response", "user", "control_response", "control_request", "user",
    ]  # fmt: skip
    played = await trio.to_thread.run_sync(play, path)
    assert played.returncode == 0, played.stderr
    assert "lines told to claude, " in played.stderr
    assert "lines of operators, result as recorded" in played.stderr
    assert of_operators(messages(played.stdout)) == of_operators(then)
    timeline = path / "timeline.ndjson"
    timeline.write_text(timeline.read_text().replace('"behavior":"deny"', '"behavior":"allow"', 1))
    played = await trio.to_thread.run_sync(play, path)
    assert (played.returncode, "lines told to claude" in played.stderr) == (70, True), played.stderr


@pytest.mark.system
async def test_a_recording_holds_everything_and_no_secret(tmp_path: Path) -> None:
    records = tmp_path / "record"
    async with collecting() as collector:
        await run_agent(tmp_path, collector.url, [["read"], ["init"], ["text", f"the key is {KEY}"], ["result"]],
                        RECORD_DIR=str(records))  # fmt: skip
        then = collector.messages
    path = recording_in(records)
    for file in path.rglob("*"):
        assert file.stat().st_mode & 0o077 == 0
        assert not file.is_file() or KEY not in file.read_text()
    configuration = json.loads((path / "run.json").read_text())["configuration"]
    assert configuration["TASK"] == "Fix the bug"
    assert "ANTHROPIC_API_KEY" not in configuration
    kept = [json.loads(line) for file in sorted((path / "journal").iterdir()) for line in file.read_text().splitlines()]
    assert kept == [message for message in then if "seq" in message], "the journal has moved here"
    meta = json.loads((path / "claude.meta.json").read_text())
    assert (meta["exit_code"], len(meta["line_times_ms"])) == (0, 3)
    assert meta["line_times_ms"] == sorted(meta["line_times_ms"])


async def test_a_replay_reaches_a_server(tmp_path: Path) -> None:
    transcript = TRANSCRIPTS / "07-multi-20.jsonl"
    async with collecting() as collector:
        played = await trio.to_thread.run_sync(lambda: play(transcript, "--server", collector.url))
        assert played.returncode == 0, played.stderr
        assert played.stdout == ""
        raw = [json.loads(line) for line in transcript.read_text().splitlines()]
        assert of_claude(collector.messages) == raw
        numbers = [message["seq"] for message in collector.messages if "seq" in message]
        assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.system
async def test_a_journal_is_sent_again_as_it_was(tmp_path: Path) -> None:
    records = tmp_path / "record"
    async with collecting() as collector:
        await run_agent(tmp_path, collector.url, RECORD_DIR=str(records))
        then = [message for message in collector.messages if "seq" in message]
    async with collecting() as collector:
        played = await trio.to_thread.run_sync(lambda: play(recording_in(records) / "journal", WS_SERVER=collector.url))
        now = [message for message in collector.messages if "seq" in message]
    assert played.returncode == 0, played.stderr
    for message in (*then, *now):
        message["data"].pop("stream", None)
    assert [(m["type"], m["data"]) for m in now] == [(m["type"], m["data"]) for m in then]
    assert now[0]["runID"] != then[0]["runID"]


async def test_no_server_ends_a_replay(tmp_path: Path) -> None:
    transcript = TRANSCRIPTS / "01-text.jsonl"
    played = await trio.to_thread.run_sync(lambda: play(transcript, "--server", "ws://127.0.0.1:9", SERVER_WAIT="300"))
    assert played.returncode == 69
    assert "no WebSocket server" in played.stderr


@pytest.mark.parametrize("arguments", [[], ["--json"]], ids=["person", "json"])
@pytest.mark.parametrize("file", ["/dev/full", ""], ids=["full", "gone"])
def test_nobody_takes_what_is_printed(tmp_path: Path, file: str, arguments: list[str]) -> None:
    transcript = TRANSCRIPTS / "07-multi-20.jsonl"
    command = [sys.executable, "-c", _REPLAY, str(transcript), "--speed", "max", *arguments]
    reading, writing = os.pipe()
    os.close(reading)
    with open(file or writing, "wb") as stdout:
        ran = subprocess.run(command, env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}, stdout=stdout,
                             stderr=subprocess.PIPE, text=True, timeout=60, check=False)  # fmt: skip
    assert (ran.returncode, ran.stderr.count("\n")) == (74, 1), ran.stderr
    assert "stdout takes no more" in ran.stderr


@pytest.mark.parametrize("arguments", [["--json"], ["--as-claude"]])
def test_a_signal_ends_a_replay(tmp_path: Path, arguments: list[str]) -> None:
    """One that waits for the next line of its recording."""
    path = tmp_path / "t.jsonl"
    path.write_text('{"type":"system"}\n' * 2)
    path.with_suffix(".meta.json").write_text('{"line_times_ms":[0,60000],"exit_code":0}')
    command = [sys.executable, "-m", "agent", "replay", str(path), *arguments]
    with subprocess.Popen(command, env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as process:  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            if '"system"' in line:
                break
        process.terminate()
        _, said = process.communicate(timeout=20)
    assert process.returncode == (143 if arguments == ["--json"] else -signal.SIGTERM), said


def on_terminal(path: Path) -> str:
    """What a replay shows on a terminal."""
    ours, theirs = pty.openpty()
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", _REPLAY, str(path), "--json", "--speed", "max"], env=env,
                          stdout=subprocess.DEVNULL, stderr=theirs) as process:  # fmt: skip
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # the end of a terminal
            while chunk := os.read(ours, 65536):
                shown += chunk
        process.wait(20)
    os.close(ours)
    return shown.decode()


def test_a_person_watches_a_replay_as_a_run() -> None:
    command = [sys.executable, "-c", _REPLAY, str(TRANSCRIPTS / "32-401.jsonl"), "--speed", "max"]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": "/nonexistent", "LANG": "C.UTF-8"}
    played = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    lines = played.stdout.splitlines()
    assert lines[0].startswith("── run ")
    assert [line[9:] for line in lines if "replay of" in line] == ["         title: replay of 32-401.jsonl"]
    assert any(line[9:].startswith("agent  ■ exit 77") for line in lines)
    assert len([line for line in lines if "✗" in line]) >= 1
    assert played.stderr == "agent replay: exit 77; nothing is recorded to compare it with\n"


def test_a_bar_is_for_a_terminal_only(tmp_path: Path) -> None:
    transcript = TRANSCRIPTS / "07-multi-20.jsonl"
    *_, bar, verdict, rest = on_terminal(transcript).split("\n")
    assert bar.endswith("[########################################] 100% 66/66\r")
    assert verdict == "agent replay: exit 0; nothing is recorded to compare it with\r"
    assert rest == ""
    assert play(transcript).stderr == "agent replay: exit 0; nothing is recorded to compare it with\n"


def test_an_error_stands_above_the_bar() -> None:
    shown = on_terminal(TRANSCRIPTS / "32-401.jsonl").split("\n")
    errors = [line for line in shown if " error " in line]
    assert errors
    assert all("\r\x1b[K" in line for line in errors)


def test_another_outcome_than_the_recorded_one_is_told(tmp_path: Path) -> None:
    """As if the verdict had changed since."""
    (tmp_path / "run.json").write_text('{"format":1,"containerID":"c","runID":"r"}\n')
    (tmp_path / "claude.jsonl").write_text("")
    (tmp_path / "timeline.ndjson").write_text(
        '{"t":0.0,"inbox":{"report":"Ended","phase":"PENDING","task":"check","value":"2"}}\n'
        '{"t":0.1,"inbox":{"report":"Ended","phase":"CLONING","task":"clone","value":{"head":null}}}\n'
        '{"t":0.2,"inbox":{"report":"Ended","phase":"RUNNING","task":"claude","value":{"code":0}}}\n'
        '{"t":0.3,"end":{"exit":0,"reason":"success","code":null,"message":"m"}}\n'
    )
    played = play(tmp_path)
    assert played.returncode == 70
    assert "not as recorded: exit code: 1 now, 0 then; reason: 'no_result' now, 'success' then" in played.stderr


def test_the_recorded_speed(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"type":"system"}\n{"type":"system"}\n')
    for speed, at, most in (("1", 500, 30.0), ("8", 4000, 4.0)):
        path.with_suffix(".meta.json").write_text(f'{{"line_times_ms":[0,{at}],"exit_code":0}}')
        replayed = subprocess.run(
            [sys.executable, "-c", _TIMED, str(path), speed], env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        took = float(replayed.stderr.split()[-1])
        assert 0.5 <= took < most, replayed.stderr


_TIMED = """
import sys, time
from agent.replay import command as replay; from agent.replay import replay as replaying
began = time.monotonic()
replay.main([sys.argv[1], "--speed", sys.argv[2]])
print(time.monotonic() - began, file=sys.stderr)
"""
