"""The transcript: exactly one LOG a line, a STATUS where there is progress, and what the run has come to."""

from __future__ import annotations

import json
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.limits import MIB, Limits
from agent.lines import Oversize
from agent.protocol.events import Event
from agent.transcript import stream_json
from agent.transcript.kinds import Kind
from agent.transcript.stream_json import Line
from agent.transcript.summary import Todo
from agent.transcript.transcript import OpenCalls, Transcript
from tests.support.claude_lines import (
    INIT,
    answer,
    assistant,
    call,
    data,
    feed,
    last,
    line,
    readable,
    said,
    strict,
    system,
    user,
)
from tests.support.places import TRANSCRIPTS

KINDS = set(get_args(Kind))


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


def test_an_init_names_what_claude_skipped() -> None:
    errors = [{"name": "bad", "type": "unknown_type", "message": 'Skipped: unknown type "nope"'}]
    plugins = [{"plugin": "inline[0]", "type": "path-not-found", "message": "Path not found: /nope"}]
    assert last(system("init", mcp_server_errors=errors, plugin_errors=plugins)) == (
        "warn", "init", 'claude skipped an MCP server: bad: Skipped: unknown type "nope"; '
        "claude skipped a plugin: inline[0]: Path not found: /nope",
    )  # fmt: skip


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


@pytest.mark.parametrize(
    ("answers", "refusals"),
    [
        ([401], 1),
        ([401, 401], 2),
        ([401, 403, 401, 401], 4),
        ([401, 500, 401], 1),
        ([401, 500, 401, 401], 2),
        ([401, 401, 500], 2),
        ([500, 529, None, 429], 0),
        (["401", "401"], 0),
    ],
)
def test_refused_credentials_in_a_row_are_counted(answers: list[Any], refusals: int) -> None:
    retries = [system("api_retry", attempt=n, error_status=answer) for n, answer in enumerate(answers, 1)]
    assert feed(*retries)[1].refusals == refusals


def test_refusals_of_each_request_count_anew() -> None:
    attempts = [system("api_retry", attempt=attempt, error_status=401) for attempt in (1, 1, 1)]
    assert feed(*attempts)[1].refusals == 1
    assert feed(*attempts, system("api_retry", attempt=2, error_status=401))[1].refusals == 2


@pytest.mark.parametrize(
    "other",
    [b"", b"[]", b'"api_retry"', b'{"type":"user","text":"\\"api_retry\\""}', b'{"subtype":"api_retry"',
     b'{"type":"x","subtype":"api_retry","error_status":401,"attempt":2}',
     b'{"type":"assistant","subtype":"api_retry","error_status":401,"attempt":2}'],
)  # fmt: skip
def test_other_lines_are_no_refusals(other: bytes) -> None:
    assert feed(other)[1].refusals == 0
    retry = system("api_retry", attempt=2, error_status=401)
    assert feed(retry, other, retry)[1].refusals == 2


def test_a_refusal_with_bad_utf8_counts() -> None:
    assert feed(b'{"type":"system","subtype":"api_retry","error":"\xff","error_status":401}')[1].refusals == 1


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


@pytest.mark.parametrize("text", ["x" * (50 * MIB), "日" * (17 * MIB)])
def test_a_line_of_50_mb(text: str) -> None:
    raw = assistant({"type": "text", "text": text})
    [event], _ = feed(raw)
    assert event.data.endswith(raw + b"}}")
    assert len(event.message) == 200


@pytest.mark.parametrize(
    ("head", "type"), [(b'{"type":"user","message":{"content":"secr', "user"), (b'{"is_error":false', None)]
)
def test_a_skipped_line_is_reported_without_its_text(head: bytes, type: str | None) -> None:
    transcript = Transcript(Limits())
    [event] = transcript.oversize(Oversize(70_000_000, head))
    assert data(event)["metadata"] == {
        "source": "claude", "kind": "oversize", "claude": {"length": 70_000_000, "type": type},
    }  # fmt: skip
    assert (event.level, "70,000,000 bytes" in event.message) == ("warn", True)
    assert (transcript.summary.lines, transcript.summary.size, transcript.summary.bad_lines) == (1, 70_000_000, 1)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


FIELDS = list(msgspec.structs.fields(Line))


BLOCK_FIELDS = [field.encode_name for field in msgspec.structs.fields(stream_json.Block)]


def test_the_end_of_a_limit_is_known_until_it_is_lifted() -> None:
    rejected = {"status": "rejected", "resetsAt": 1795455961}
    transcript = Transcript(Limits())

    def known(*lines: bytes) -> float | None:
        for raw in lines:
            transcript.feed(raw)
        return transcript.summary.resets_at

    assert known(line("rate_limit_event", rate_limit_info={"status": "allowed", "resetsAt": 1795455961})) is None
    assert known(line("rate_limit_event", rate_limit_info=rejected)) == 1795455961
    assert known(line("rate_limit_event", rate_limit_info={"status": "allowed"})) is None
    params = {"rate_limit_info": rejected}
    assert known(line("assistant", message={"content": []}, error="rate_limit", api_error_params=params)) == 1795455961
    for odd in (0, -1, True, 1e300, "soon", None):
        assert known(line("rate_limit_event", rate_limit_info={"status": "rejected", "resetsAt": odd})) is None


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
    transcript = Transcript(Limits())
    for message in lines:
        raw = json.dumps(message).encode()
        check(raw, transcript.feed(raw))
    msgspec.json.encode(transcript.summary)


REAL = [
    line
    for name in ("104-subagent-forward-text", "18-todo-write-enabled", "32-401", "106-hooks")
    for line in (TRANSCRIPTS / f"{name}.jsonl").read_bytes().splitlines()
]


@given(st.sampled_from(REAL), st.lists(st.tuples(st.integers(0, 6000), st.binary(max_size=4), st.integers(0, 40))))
def test_any_damage_to_a_real_line_gives_one_log(raw: bytes, edits: list[tuple[int, bytes, int]]) -> None:
    for start, new, removed in edits:
        raw = raw[:start] + new.replace(b"\n", b"") + raw[start + removed :]
    transcript = Transcript(Limits())
    transcript.feed(INIT)
    check(raw, transcript.feed(raw))


def test_denied_and_interrupted_tools_are_told_from_failed_ones() -> None:
    def ended(kind: str | None, **more: Any) -> tuple[str, str, str]:
        meta = [{"id": "other", "non_execution_kind": "cancelled"}, 5, {"id": "t1", "non_execution_kind": kind, **more}]
        failed = user(answer("No.", is_error=True), tool_result_meta=meta)
        return last(INIT, assistant(call("Bash", command="npm test")), failed)

    rejected = {"permission_decision": {"decision": "reject", "source": "config"}}
    assert ended("user-rejected", **rejected) == ("warn", "tool_denied", "Bash: npm test was denied: No.")
    assert ended("permission-rule")[1] == ended("of_tomorrow")[1] == "tool_denied"
    assert ended("interrupted") == ("warn", "tool_interrupted", "Bash: npm test was interrupted")
    assert ended("user-rejected")[1] == ended("user-rejected", permission_decision=5)[1] == "tool_interrupted"
    assert ended("cancelled")[1] == "tool_interrupted"
    assert ended(None, remedy={}) == ("warn", "tool_error", "Bash: npm test failed: No.")


def test_thoughts_are_one_line_with_their_number_of_tokens() -> None:
    pieces = [system("thinking_tokens", estimated_tokens=n, estimated_tokens_delta=8) for n in range(8, 1600, 8)]
    thought = assistant({"type": "thinking", "thinking": "Hm."})
    assert said(*pieces, thought, thought) == [
        ("debug", "thinking", "thinking, 1,592 tokens: Hm."),
        ("debug", "thinking", "thinking: Hm."),
    ]


def test_the_calls_that_have_no_result_yet_are_known_by_their_tool() -> None:
    transcript = Transcript(Limits())
    for number in range(3):
        feed(assistant(call("Bash", f"t{number}", command="x"), call("Read", f"r{number}")), transcript=transcript)
    feed(user(answer("ok", "t1")), transcript=transcript)
    feed(assistant(call("Bash", "s0", command="x"), parent_tool_use_id="a0"), transcript=transcript)
    assert transcript.running("Bash") == OpenCalls((("t0", "t2"), ("s0",)))
    assert transcript.running("Write") == OpenCalls()


def test_the_name_of_a_command_that_runs_is_known_as_soon_as_the_cli_tells_it() -> None:
    transcript = Transcript(Limits())
    feed(assistant(call("Bash", "t0", command="x"), call("Bash", "t1", command="y")), transcript=transcript)
    for started in (
        system("task_started", task_id="b1", tool_use_id="t1", is_backgrounded=False, task_type="local_bash"),
        system("task_started", task_id="b9", tool_use_id="t9", is_backgrounded=False),
        system("task_started", task_id={}, tool_use_id=[]),
        system("task_started", task_id="b2", tool_use_id="t2", is_backgrounded=True),
    ):
        feed(started, transcript=transcript)
    running = transcript.running("Bash")
    assert running.tasks == {"t1": "b1"}
    assert "b2" in running.background
    feed(user(answer("ok", "t1")), transcript=transcript)
    assert transcript.running("Bash").tasks == {}
