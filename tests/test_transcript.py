"""The transcript: one LOG a line, byte for byte; what a person reads of it; and what the run comes to."""

from __future__ import annotations

import json
import random
import unicodedata
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import stream_json
from agent.describe import Kind, one_line, tool_call
from agent.events import Event
from agent.limits import MIB, Limits
from agent.lines import LineFramer, Oversize
from agent.stream_json import Line
from agent.summary import Summary, Todo
from agent.transcript import Transcript
from agent.verdict import ExitStatus, verdict

HERE = Path(__file__).parent
TRANSCRIPTS = sorted(path.stem for path in (HERE / "transcripts").glob("*.jsonl"))
KINDS = set(get_args(Kind))


def data(event: Event) -> Any:
    return json.loads(event.data)


def line(type: str, **fields: Any) -> bytes:
    return json.dumps({"type": type, **fields}, ensure_ascii=False).encode()


def system(subtype: str, **fields: Any) -> bytes:
    return line("system", subtype=subtype, **fields)


def assistant(*blocks: dict[str, Any], **fields: Any) -> bytes:
    message = {"id": "m1", "model": "claude-opus-5-5", "content": list(blocks)}
    return line("assistant", **{"message": message, "parent_tool_use_id": None, **fields})


def user(*blocks: dict[str, Any], **fields: Any) -> bytes:
    return line("user", **{"message": {"role": "user", "content": list(blocks)}, "parent_tool_use_id": None, **fields})


def call(name: str, id: str = "t1", **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": name, "input": arguments}


def answer(content: Any, id: str = "t1", **fields: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": id, "content": content, **fields}


def readable(message: str) -> bool:
    """One line, whatever terminal shows it."""
    return not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or c in "\u202e\u2066" for c in message)


def feed(*lines: bytes, transcript: Transcript | None = None) -> tuple[list[Event], Summary]:
    transcript = transcript or Transcript()
    events = [event for line in lines for event in transcript.feed(line)]
    return events, transcript.summary


def said(*lines: bytes) -> list[tuple[str, str, str]]:
    """(level for a person, kind, message) of every LOG."""
    events, _ = feed(*lines)
    return [(e.level, data(e)["metadata"]["kind"], e.message) for e in events if e.type == "LOG"]


def last(*lines: bytes) -> tuple[str, str, str]:
    return said(*lines)[-1]


# --- golden transcripts


def chunked(stream: bytes, seed: str) -> list[bytes]:
    chance = random.Random(seed)
    chunks, start = [], 0
    while start < len(stream):
        end = start + chance.choice([1, 7, 100, 1000, 65536])
        chunks.append(stream[start:end])
        start = end
    return chunks


def golden(event: Event) -> dict[str, Any]:
    """An event without the raw message, which is compared with the line itself."""
    if event.type != "LOG":
        return {"type": event.type, "keep": event.keep, "data": data(event)}
    return {"level": event.level, "kind": data(event)["metadata"]["kind"], "message": event.message}


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_golden(name: str, update_golden: bool) -> None:
    stream = (HERE / "transcripts" / f"{name}.jsonl").read_bytes()
    meta = json.loads((HERE / "transcripts" / f"{name}.meta.json").read_text())
    framer, transcript = LineFramer(64 * MIB), Transcript()
    lines = [line for chunk in chunked(stream, name) for line in framer.feed(chunk)] + framer.end()
    events = []
    for line in lines:
        assert isinstance(line, bytes)
        log, *rest = transcript.feed(line)
        assert (log.type, [event.type for event in rest]) == ("LOG", ["STATUS"] * len(rest))
        assert len(rest) <= 1
        assert log.data.endswith(b',"claude":' + line + b"}}")
        assert data(log)["metadata"]["claude"] == json.loads(line)
        events += [log, *rest]

    code = meta["exit_code"]
    status = ExitStatus(code=code) if code >= 0 else ExitStatus(signal=-code)
    outcome = verdict(status, transcript.summary, None, stderr_tail=meta["stderr"])
    found = [
        *map(golden, events),
        {"summary": msgspec.to_builtins(transcript.summary)},
        {"verdict": msgspec.to_builtins(outcome)},
    ]
    path = HERE / "golden" / f"{name}.jsonl"
    if update_golden:
        path.write_text("".join(json.dumps(item, ensure_ascii=False) + "\n" for item in found))
    assert [json.loads(item) for item in path.read_text().splitlines()] == json.loads(json.dumps(found))


def test_every_golden_file_has_its_transcript() -> None:
    assert sorted(path.stem for path in (HERE / "golden").glob("*.jsonl")) == TRANSCRIPTS


# --- what a person reads

INIT = system("init", cwd="/workspace", session_id="s1", model="m", claude_code_version="2.1.330",
              permissionMode="dontAsk", tools=["Bash", "Edit"], mcp_servers=[])  # fmt: skip


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (call("Edit", file_path="/workspace/src/login.js", old_string="a", new_string="b"), "Edit src/login.js"),
        (call("Write", file_path="/etc/passwd", content="x"), "Write /etc/passwd"),
        (call("Read", file_path="/workspace2/a"), "Read /workspace2/a"),
        (call("NotebookEdit", notebook_path="/workspace/a.ipynb"), "NotebookEdit a.ipynb"),
        (call("Bash", command="npm test", description="Run the tests"), "Bash: npm test"),
        (call("Bash", command="cat <<X\n  a\nX"), "Bash: cat <<X a X"),
        (call("Grep", pattern="TODO", path="/workspace"), "Grep: TODO"),
        (call("Agent", description="Sub job", prompt="long"), "Agent: Sub job"),
        (call("TodoWrite", todos=[{"content": "a"}]), "TodoWrite"),
        (call("ListAgents"), "ListAgents"),
        (call("Bash", command=5), 'Bash {"command": 5}'),
        (call("mcp__demo__ping", text="hi"), 'mcp__demo__ping {"text": "hi"}'),
        ({"type": "tool_use", "name": "Bash", "input": ["no object"]}, 'Bash ["no object"]'),
        ({"type": "tool_use", "name": "Bash"}, "Bash"),
    ],
)
def test_tool_calls(block: dict[str, Any], message: str) -> None:
    assert last(INIT, assistant(block)) == ("info", "tool_use", message)


def test_replies_are_told_by_their_first_words() -> None:
    assert last(assistant({"type": "text", "text": "  I fixed\n\nthe bug.  "})) == ("info", "text", "I fixed the bug.")
    long = last(assistant({"type": "text", "text": "word " * 1_000_000}))[2]
    assert long.startswith("word word")
    assert long.endswith("…")
    assert len(long) <= 200


def test_several_blocks_are_one_line_of_the_worst_level_and_its_kind() -> None:
    blocks = answer("ok"), answer("boom\n", "t2", is_error=True)
    assert last(user(*blocks)) == ("warn", "tool_error", "tool -> ok | tool failed: boom")


def test_subagents_are_marked() -> None:
    fields = {"parent_tool_use_id": "t0", "task_description": "Sub job"}
    events, summary = feed(assistant({"type": "text", "text": "Hm."}, **fields))
    assert events[0].message == "[Sub job] Hm."
    assert summary.turns == 0


def test_results_of_tools() -> None:
    bash, write = assistant(call("Bash", command="npm test")), assistant(call("Write", file_path="/workspace/a"))
    assert last(bash, user(answer("1 passed"))) == ("debug", "tool_result", "Bash -> 1 passed")
    assert last(bash, user(answer([{"type": "image"}]))) == ("debug", "tool_result", "Bash -> [image]")
    assert last(bash, user(answer([{"type": "text", "text": "hi"}]))) == ("debug", "tool_result", "Bash -> hi")
    failure = "<tool_use_error>Exit code 1\nboom</tool_use_error>"
    assert last(bash, user(answer(failure, is_error=True))) == (
        "warn", "tool_error", "Bash: npm test failed: Exit code 1 boom",
    )  # fmt: skip
    events, summary = feed(INIT, write, user(answer("done")), write, user(answer("done")))
    assert events[-1].message == "changed a"
    assert summary.files == ("a",)
    assert feed(INIT, write, user(answer("no", is_error=True)))[1].files == ()


def test_the_server_gets_what_spares_the_person() -> None:
    [event], _ = feed(user(answer("ok")))
    assert (event.level, data(event)["level"]) == ("debug", "info")


def test_an_init_names_mcp_servers_that_are_not_there() -> None:
    assert last(INIT) == ("info", "init", "claude 2.1.330, m, permissions: dontAsk, 2 tools")
    servers = [{"name": n, "status": s} for n, s in (("a", "failed"), ("b", "connected"), ("c", "pending"))]
    events, summary = feed(system("init", mcp_servers=servers))
    assert (events[0].level, summary.mcp_failed) == ("warn", ("a (failed)", "c (pending)"))
    assert "a (failed), c (pending)" in events[0].message
    assert last(INIT, INIT) == ("debug", "init", "claude goes on")


def test_an_api_retry_is_a_status_too() -> None:
    retry = system("api_retry", attempt=2, max_retries=10, retry_delay_ms=1234.5, error_status=529, error="overloaded")
    [log, status], summary = feed(retry)
    assert (log.level, log.message) == ("warn", "API retry 2 of 10 in 1.2 s (overloaded, HTTP 529)")
    assert (status.type, status.keep) == ("STATUS", False)
    assert data(status) == {
        "status": "running", "message": log.message,
        "retry": {"attempt": 2, "of": 10, "delay": 1234, "reason": "overloaded", "status": 529},
    }  # fmt: skip
    assert summary.api_retries == 1


def test_the_end_of_retrying_is_an_error() -> None:
    text = {"type": "text", "text": "Invalid API key"}
    message = {"id": "x", "model": "<synthetic>", "content": [text]}
    error = line("assistant", message=message, error="authentication_failed", api_error_status=401,
                 is_api_error_message=True)  # fmt: skip
    events, summary = feed(error)
    assert (events[0].level, events[0].message) == ("error", "Invalid API key")
    assert summary.turns == 0
    assert summary.last_api_error is not None
    assert (summary.last_api_error.status, summary.last_api_error.category) == (401, "authentication_failed")


@pytest.mark.parametrize(
    ("fields", "level", "message"),
    [
        ({"subtype": "success", "is_error": False, "num_turns": 12, "total_cost_usd": 0.4142},
         "info", "result: success, 12 turns, $0.41"),
        ({"subtype": "success", "is_error": True, "num_turns": 1, "terminal_reason": "api_error", "result": "401\n!"},
         "error", "result: api_error, 1 turn: 401 !"),
        ({"subtype": "error_max_turns", "is_error": True, "num_turns": 4, "errors": ["Reached 3"]},
         "error", "result: error_max_turns, 4 turns: Reached 3"),
        ({"subtype": "error_during_execution", "is_error": True, "terminal_reason": "aborted_tools",
          "errors": ["[ede_diagnostic] x=1"]}, "error", "result: aborted_tools, 0 turns"),
        ({"subtype": "success", "is_error": "no", "num_turns": True, "total_cost_usd": 1e400},
         "error", "result: failed, 0 turns"),
        ({}, "error", "result: failed, 0 turns"),
    ],
)  # fmt: skip
def test_results(fields: dict[str, Any], level: str, message: str) -> None:
    raw = line("result", **fields).replace(b"Infinity", b"1e400")
    assert last(raw) == (level, "result", message)


def test_the_last_result_counts_and_keeps_what_complete_needs() -> None:
    denial = {"tool_name": "Write", "tool_use_id": "t1",
              "tool_input": {"file_path": "/workspace/a", "content": "x" * MIB}}  # fmt: skip
    first = line("result", subtype="success", is_error=False, num_turns=2, session_id="s")
    second = line("result", subtype="success", is_error=False, num_turns=1, usage={"input_tokens": 5}, result="é" * MIB,
                  modelUsage={"m": {"costUSD": 1}}, permission_denials=[denial], structured_output=[1])  # fmt: skip
    _, summary = feed(INIT, first, second)
    result = summary.last_result
    assert result is not None
    assert (summary.results, result.num_turns, result.usage, result.model_usage, result.structured_output) == (
        2, 1, {"input_tokens": 5}, {"m": {"costUSD": 1}}, [1],
    )  # fmt: skip
    assert [denial.call for denial in result.permission_denials] == ["Write a"]
    assert result.text == "é" * (Limits().result_bytes // 2 - 1)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (system("permission_denied", tool_name="Write", message="Not granted."),
         ("warn", "permission_denied", "permission denied: Write: Not granted.")),
        (system("model_fallback", content="Switched to Sonnet"), ("warn", "model_fallback", "Switched to Sonnet")),
        (system("model_refusal_no_fallback"), ("warn", "model_fallback", "model refusal no fallback")),
        (system("hook_started", hook_name="Stop"), ("debug", "hook", "hook Stop started")),
        (system("hook_response", hook_name="Stop", outcome="success"), ("debug", "hook", "hook Stop success")),
        (system("hook_response", hook_name="Stop", outcome="error", exit_code=2, stderr="no\n"),
         ("warn", "hook", "hook Stop: error, exit status 2: no")),
        (system("task_started", task_id="b1", description="Build"), ("info", "task", "task started: Build")),
        (system("task_notification", status="stopped", summary="Build"), ("info", "task", "task stopped: Build")),
        (system("background_tasks_changed", tasks=[{}]), ("debug", "task", "1 background task open")),
        (system("compact_boundary", compact_metadata={"pre_tokens": 151035, "post_tokens": 2712}),
         ("info", "compact", "conversation compacted: 151,035 -> 2,712 tokens")),
        (system("compact_boundary"), ("info", "compact", "conversation compacted")),
        (system("thinking_tokens", estimated_tokens=8), ("debug", "thinking", "thinking")),
        (system("session_writes_lost", error_code="ENOSPC"),
         ("warn", "system", "claude could not save its session: ENOSPC")),
        (system("status", status="compacting"), ("debug", "progress", "compacting")),
        (system("informational", content="Stopped", level="notice"), ("info", "system", "Stopped")),
        (system("of_tomorrow"), ("debug", "system", "of_tomorrow")),
        (system(""), ("debug", "system", "system")),
        (line("tool_progress", tool_name="Bash", elapsed_time_seconds=30.4),
         ("debug", "progress", "Bash running for 30 s")),
        (line("rate_limit_event", rate_limit_info={"status": "rejected", "rateLimitType": "five_hour", "resetsAt": 0,
                                                   "utilization": 0.93}),
         ("warn", "rate_limit", "rate limit five_hour: rejected, 93% used")),
        (line("rate_limit_event"), ("warn", "rate_limit", "rate limit :")),
        (line("stream_event", event={}), ("debug", "partial", "part of a message")),
        (line("control_response", response={}), ("debug", "control", "control_response")),
        (line("of_tomorrow", subtype="x"), ("debug", "other", "of_tomorrow/x")),
        (b"{}", ("debug", "other", "no type")),
        (line("assistant"), ("debug", "other", "assistant")),
        (line("user", message="?"), ("debug", "other", "user")),
        (line("user", message={"content": "Go on"}), ("debug", "user", "user: Go on")),
        (user({"type": "text", "text": "[Request interrupted by user]"}),
         ("debug", "user", "user: [Request interrupted by user]")),
        (user({"type": "image"}), ("debug", "other", "image")),
        (line("assistant", message={"content": "Hi"}), ("info", "text", "Hi")),
        (assistant({"type": "thinking", "thinking": "Hm."}), ("debug", "thinking", "thinking: Hm.")),
        (assistant({"type": "redacted_thinking"}), ("debug", "other", "redacted_thinking")),
        (assistant(), ("debug", "other", "empty assistant message")),
        (line("assistant", error="server_error", message={"content": []}), ("error", "api_error", "server_error")),
    ],
)  # fmt: skip
def test_everything_else(raw: bytes, expected: tuple[str, str, str]) -> None:
    assert last(raw) == expected


def test_terminal_sequences_and_control_characters_never_reach_a_message() -> None:
    hostile = "\x1b[31mred\x1b[0m \x1b]0;title\x07a\x00b\u202ec\u2028d\x9b1me\x07\r\n\tf\x1b"
    assert one_line(hostile) == "red a b c de f"
    assert last(assistant(call(hostile, x=1)))[2] == 'red a b c de f {"x": 1}'


@given(st.text(st.sampled_from("ab \n\t\x1b[0;m\x9b\u202e…日")), st.integers(1, 30))
def test_one_line_is_one_printable_bounded_line(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert len(line) <= limit
    assert readable(line)
    assert line == line.strip()


def test_a_tool_call_without_a_working_directory_keeps_its_path() -> None:
    assert tool_call("Read", msgspec.Raw(b'{"file_path":"/a/b"}'), "") == ("Read /a/b", "/a/b")
    assert tool_call("Read", msgspec.Raw(b'{"file_path":"/a/b"}'), "/") == ("Read a/b", "a/b")


# --- progress and memory


def todo_progress(*lines: bytes) -> list[tuple[int, int, int]]:
    events, _ = feed(*lines)
    found = [data(e)["progress"] for e in events if e.type == "STATUS"]
    assert all(progress["stage"] == "todo" for progress in found)
    return [(progress["done"], progress["total"], progress["percent"]) for progress in found]


def todo_write(*statuses: str) -> tuple[bytes, bytes]:
    todos = [
        {"content": f"Step {n}", "activeForm": f"Doing {n}", "status": status} for n, status in enumerate(statuses)
    ]
    return assistant(call("TodoWrite", todos=todos)), user(answer("ok"), tool_use_result={"newTodos": todos})


def test_the_to_do_list_is_progress() -> None:
    first, second = todo_write("in_progress", "pending", "pending"), todo_write("completed", "in_progress", "pending")
    assert todo_progress(*first, *first, *second) == [(0, 3, 0), (1, 3, 33)]
    assert feed(*second)[1].todo == Todo(1, 3, "Doing 1")
    assert last(*second) == ("info", "todo", "to-do 1/3: Doing 1")


def test_the_to_do_list_of_single_items_is_the_same() -> None:
    def step(tool: str, result: Any) -> tuple[bytes, bytes]:
        return assistant(call(tool)), user(answer("ok"), tool_use_result=result)

    def change(task: str, to: str) -> tuple[bytes, bytes]:
        return step("TaskUpdate", {"taskId": task, "statusChange": {"to": to}})

    one, two = (step("TaskCreate", {"task": {"id": n, "subject": f"Step {n}"}}) for n in ("1", "2"))
    lines = *one, *two, *change("1", "completed"), *change("9", "completed"), *change("2", "deleted")
    assert todo_progress(*lines) == [(0, 1, 0), (0, 2, 0), (1, 2, 50), (1, 1, 100)]
    listed = step("TaskList", {"tasks": [{"id": "1", "status": "completed"}, {"id": "2", "status": "pending"}]})
    assert todo_progress(*lines, *listed)[-1] == (1, 2, 50)
    assert todo_progress(*step("TaskList", "Error: no")) == []
    assert todo_progress(*step("TaskUpdate", {"taskId": []})) == []


def test_a_subagents_to_do_list_is_not_the_runs() -> None:
    ask, reply = todo_write("completed")
    inside = json.loads(reply) | {"parent_tool_use_id": "t0"}
    assert todo_progress(ask, json.dumps(inside).encode()) == []


def test_background_tasks_are_open_until_they_end() -> None:
    def task(subtype: str, **fields: Any) -> bytes:
        return system(subtype, task_id="b1", **fields)

    def open_after(*lines: bytes) -> tuple[str, ...]:
        return feed(*lines)[1].open_tasks

    started = task("task_started", is_backgrounded=True)
    assert open_after(started) == ("b1",)
    assert open_after(started, task("task_notification", status="stopped")) == ()
    assert open_after(started, task("task_updated", patch={"status": "killed"})) == ()
    assert open_after(started, task("task_updated", patch={"title": "x"})) == ("b1",)
    assert open_after(task("task_started")) == ("b1",)  # version 2.1.197
    foreground = task("task_started", is_backgrounded=False)
    assert open_after(foreground) == ()
    assert open_after(foreground, task("task_updated", patch={"is_backgrounded": True})) == ("b1",)
    changed = system("background_tasks_changed", tasks=[{"task_id": "b2"}])
    assert open_after(started, changed) == ("b2",)
    assert open_after(started, system("background_tasks_changed", tasks=[])) == ()


def test_turns_are_replies_not_blocks() -> None:
    def reply(id: str) -> bytes:
        return line("assistant", message={"id": id, "model": "m", "content": [{"type": "text", "text": "."}]})

    assert feed(reply("a"), reply("a"), reply("b"))[1].turns == 2


def test_what_is_remembered_is_bounded() -> None:
    transcript = Transcript(msgspec.structs.replace(Limits(), remembered=10))
    for n in range(100):
        task = {"task": {"id": str(n), "subject": "x"}}
        feed(
            assistant(call("Write", f"w{n}", file_path=f"/f{n}")),
            user(answer("ok", f"w{n}")),
            assistant(call("TaskCreate", f"c{n}")),
            user(answer("ok", f"c{n}"), tool_use_result=task),
            assistant(call("Bash", f"never answered {n}")),
            system("task_started", task_id=f"b{n}"),
            transcript=transcript,
        )
    summary = transcript.summary
    assert (len(summary.files), summary.todo, len(summary.open_tasks)) == (10, Todo(0, 10, ""), 10)
    assert (summary.tool_calls, summary.last_tool, summary.lines) == (300, "Bash", 600)
    assert len(transcript._calls) == 10


# --- lines that are not what they should be


def strict(event: Event) -> Any:
    """The data as a receiver reads it that accepts nothing but UTF-8 and the JSON of RFC 8259."""
    found = msgspec.json.decode(event.data)
    json.dumps(found, ensure_ascii=False).encode()
    event.data.decode()
    return found


@pytest.mark.parametrize(
    ("raw", "claude"),
    [
        (b"[SandboxDebug] hello", "[SandboxDebug] hello"),
        (b"", ""),
        (b"5", "5"),
        (b'"text"', '"text"'),
        (b"[]", "[]"),
        (b'{"type":"assistant"', '{"type":"assistant"'),
        (b'{"a":NaN}', '{"a":NaN}'),
        (b'{"a":1}{"b":2}', '{"a":1}{"b":2}'),
        (b"\xff\x1b[31mred", "\ufffd\x1b[31mred"),
        (b'{"a":' * 100_000, '{"a":' * 100_000),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", '{"a":' + "[" * 100_000 + "]" * 100_000 + "}"),
    ],
)
def test_what_is_no_json_object_goes_out_as_a_string(raw: bytes, claude: str) -> None:
    [event], summary = feed(raw)
    found = strict(event)
    assert (found["level"], found["metadata"]) == ("info", {"source": "claude", "kind": "raw", "claude": claude})
    assert readable(event.message)
    assert summary.bad_lines == 1


@pytest.mark.parametrize(
    ("raw", "repaired"),
    [
        (b'{"type":"x","a":"\xff\xc3"}', '{"type":"x","a":"\ufffd\ufffd"}'),
        (b'{"type":"x","a":"\xed\xa0\x80"}', '{"type":"x","a":"\ufffd\ufffd\ufffd"}'),
        (rb'{"type":"x","a":"\ud800"}', r'{"type":"x","a":"\ufffd"}'),
        (rb'{"type":"x","a":"\uDC00\ud83d\uDE00\ud83dx"}', r'{"type":"x","a":"\ufffd\ud83d\uDE00\ufffdx"}'),
        (rb'{"type":"x","a":"\\ud800\\\ud800"}', r'{"type":"x","a":"\\ud800\\\ufffd"}'),
        (rb'{"type":"x","\ud800":1}', r'{"type":"x","\ufffd":1}'),
    ],
)
def test_bad_utf8_and_half_surrogate_pairs_are_repaired(raw: bytes, repaired: str) -> None:
    [event], summary = feed(raw)
    assert event.data.endswith(b',"claude":' + repaired.encode() + b"}}")
    assert strict(event)["metadata"]["kind"] == "other"
    assert summary.bad_lines == 1


def test_a_repaired_reply_reads_as_one() -> None:
    raw = assistant({"type": "text", "text": "HERE"}).replace(b"HERE", rb"good \ud800 \"quoted\"")
    assert last(raw) == ("info", "text", 'good \ufffd "quoted"')


@pytest.mark.parametrize(
    "raw",
    [
        b'{"type":5,"subtype":[]}',
        b'{"type":"assistant","message":{"content":{}}}',
        b'{"type":"assistant","message":{"content":[5]}}',
        b'{"type":"assistant","message":[]}',
        b'{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":7}]}}',
        b'{"type":"system","subtype":"init","tools":5,"mcp_servers":[1,null],"cwd":{}}',
        b'{"type":"system","subtype":"api_retry","attempt":"x","retry_delay_ms":[]}',
        b'{"type":"result","permission_denials":{},"errors":"x","usage":[]}',
        b'{"type":"rate_limit_event","rate_limit_info":{"resetsAt":1e300,"utilization":"x"}}',
        b'{"type":"assistant","type":"user"}',
        b' {"type":"x"} \r',
    ],
)
def test_known_fields_of_unknown_types_pass_through(raw: bytes) -> None:
    events, summary = feed(raw)
    assert events[0].data.endswith(b',"claude":' + raw + b"}}")
    strict(events[0])
    assert summary.bad_lines == 0


@pytest.mark.parametrize("text", ["x" * (50 * MIB), "日" * (17 * MIB)])
def test_a_line_of_50_mb(text: str) -> None:
    raw = assistant({"type": "text", "text": text})
    [event], _ = feed(raw)
    assert event.data.endswith(raw + b"}}")
    assert len(event.message) == 200


@pytest.mark.parametrize("at", [0, 1, 2])
def test_bad_utf8_is_found_across_the_pieces_of_a_long_line(at: int) -> None:
    raw = b'{"a":"' + b"x" * (MIB - 6 - at) + "日".encode()
    assert stream_json.parse(raw + b'"}')[1] == raw + b'"}'
    assert stream_json.parse(raw[:-1] + b'"}')[1] == raw[:-3] + "\ufffd".encode() + b'"}'
    assert stream_json.parse(raw[:-1])[1] == raw[:-3] + "\ufffd".encode()


@pytest.mark.parametrize(
    ("head", "type"), [(b'{"type":"user","message":{"content":"secr', "user"), (b'{"is_error":false', None)]
)
def test_a_skipped_line_is_reported_without_its_text(head: bytes, type: str | None) -> None:
    transcript = Transcript()
    [event] = transcript.oversize(Oversize(70_000_000, head))
    assert data(event)["metadata"] == {
        "source": "claude", "kind": "oversize", "claude": {"length": 70_000_000, "type": type},
    }  # fmt: skip
    assert (event.level, "70,000,000 bytes" in event.message) == ("warn", True)
    assert (transcript.summary.lines, transcript.summary.size, transcript.summary.bad_lines) == (1, 70_000_000, 1)


def test_excerpts_of_strings_are_cut_between_characters() -> None:
    for text in ("日本語", "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"), 'a"\\b', "\x1bü"):
        for ascii in (True, False):
            raw = msgspec.Raw(json.dumps(text * 50, ensure_ascii=ascii).encode())
            for limit in range(30, 90):
                cut = stream_json.text(raw, limit)
                assert cut
                assert (text * 50).startswith(cut)


# --- fuzz

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = list(msgspec.structs.fields(Line))
BLOCK_FIELDS = [field.encode_name for field in msgspec.structs.fields(stream_json.Block)]
blocks = st.dictionaries(st.sampled_from(BLOCK_FIELDS), json_values, max_size=5) | st.builds(
    lambda type, name, content: {"type": type, "name": name, "id": "t", "tool_use_id": "t", "content": content},
    st.sampled_from(["text", "tool_use", "tool_result"]),
    st.sampled_from(["Bash", "Write", "TodoWrite", "TaskCreate"]),
    json_values,
)
messages = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["assistant", "user", "result", "system", "tool_progress", "rate_limit_event", "x"]),
        "subtype": st.sampled_from(["init", "api_retry", "task_started", "task_updated", "hook_response", "success"]),
        "message": st.builds(lambda content: {"content": content}, st.lists(blocks, max_size=3)) | json_values,
    }
).flatmap(
    lambda fixed: st.dictionaries(
        st.sampled_from([field.encode_name for field in FIELDS]), json_values, max_size=8
    ).map(lambda more: more | fixed)
)


def check(raw: bytes, events: list[Event]) -> None:
    assert [event.type for event in events] in (["LOG"], ["LOG", "STATUS"])
    for event in events:
        strict(event)
        assert readable(event.message)
        assert len(event.message) <= 200
    metadata = strict(events[0])["metadata"]
    assert metadata["kind"] in KINDS
    try:
        expected = msgspec.json.decode(raw)
        raw.decode()
    except (ValueError, RecursionError):
        return
    assert metadata["claude"] == (expected if isinstance(expected, dict) else raw.decode())


@given(st.lists(messages, max_size=6))
def test_any_message_gives_one_log(lines: list[dict[str, Any]]) -> None:
    transcript = Transcript()
    for message in lines:
        raw = json.dumps(message).encode()
        check(raw, transcript.feed(raw))
    msgspec.json.encode(transcript.summary)


REAL = [
    line
    for name in ("104-subagent-forward-text", "18-todo-write-enabled", "32-401", "106-hooks")
    for line in (HERE / "transcripts" / f"{name}.jsonl").read_bytes().splitlines()
]


@given(st.sampled_from(REAL), st.lists(st.tuples(st.integers(0, 6000), st.binary(max_size=4), st.integers(0, 40))))
def test_any_damage_to_a_real_line_gives_one_log(raw: bytes, edits: list[tuple[int, bytes, int]]) -> None:
    for start, new, removed in edits:
        raw = raw[:start] + new.replace(b"\n", b"") + raw[start + removed :]
    transcript = Transcript()
    transcript.feed(INIT)
    check(raw, transcript.feed(raw))
