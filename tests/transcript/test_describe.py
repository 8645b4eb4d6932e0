"""What a person reads of a line: one line, without surprises for a terminal."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from agent.text import one_line
from agent.transcript.describe import tool_call
from tests.support.claude_lines import (
    INIT,
    answer,
    assistant,
    call,
    last,
    line,
    system,
    user,
)


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


def test_a_tool_call_without_a_working_directory_keeps_its_path() -> None:
    assert tool_call("Read", msgspec.Raw(b'{"file_path":"/a/b"}'), "") == ("Read /a/b", "/a/b")
    assert tool_call("Read", msgspec.Raw(b'{"file_path":"/a/b"}'), "/") == ("Read a/b", "a/b")


def test_replies_are_told_by_their_first_words() -> None:
    assert last(assistant({"type": "text", "text": "  I fixed\n\nthe bug.  "})) == ("info", "text", "I fixed the bug.")
    long = last(assistant({"type": "text", "text": "word " * 1_000_000}))[2]
    assert long.startswith("word word")
    assert long.endswith("…")
    assert len(long) <= 200


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
        (assistant({"type": "redacted_thinking"}), ("debug", "thinking", "thinking")),
        (assistant({"type": "text", "text": "So I"}, aborted=True), ("info", "text", "(broken off) So I")),
        (system("notification", text="Ready.", priority="low"), ("info", "system", "Ready.")),
        (system("code_change_published", provider="github", url="https://github.com/o/r/pull/1", action="created"),
         ("info", "code_change", "pull request created: https://github.com/o/r/pull/1")),
        (system("code_change_published", provider="gitlab", url="u", action="auto-merge-enabled"),
         ("info", "code_change", "merge request auto merge enabled: u")),
        (system("vcs_state_changed", kind="push", branch="fix"), ("info", "vcs", "pushed fix")),
        (system("vcs_state_changed", kind="commit"), ("info", "vcs", "committed")),
        (system("instruction_size_warning", file_count=2, total_chars=90_000, total_limit_chars=40_000),
         ("warn", "system", "2 files of instructions have 90,000 characters; claude follows 40,000 well")),
        (system("memory_saved", written_paths=["a", "b"]), ("info", "system", "2 memories saved")),
        (system("plugin_install", status="failed", name="x", error="no"), ("info", "system", "plugin x failed: no")),
        (system("plugin_install", status="started"), ("info", "system", "plugin started")),
        (system("ui_toast", plugin="p", text={"a": 1}), ("info", "system", "plugin p")),
        (system("local_command_output", content=""), ("info", "system", "local command output")),
        (system("commands_changed", commands=[]), ("debug", "silent", "commands changed")),
        (line("auth_status", isAuthenticating=True), ("info", "system", "login")),
        (line("command_lifecycle", command_uuid="u"), ("debug", "silent", "command lifecycle")),
        (assistant(), ("debug", "other", "empty assistant message")),
        (line("assistant", error="server_error", message={"content": []}), ("error", "api_error", "server_error")),
        (line("assistant", error="server_error", message={"content": "No."}), ("error", "api_error", "No.")),
        (user(answer([5, {"text": 5}, {"type": "document"}])), ("debug", "tool_result", "tool -> [document]")),
        (user(answer([])), ("debug", "tool_result", "tool ->")),
    ],
)  # fmt: skip
def test_everything_else(raw: bytes, expected: tuple[str, str, str]) -> None:
    assert last(raw) == expected


def test_terminal_sequences_and_control_characters_never_reach_a_message() -> None:
    hostile = "\x1b[31mred\x1b[0m \x1b]0;title\x07a\x00b\u202ec\u2028d\x9b1me\x07\r\n\tf\x1b"
    assert one_line(hostile) == "red a b c de f"
    assert last(assistant(call(hostile, x=1)))[2] == 'red a b c de f {"x": 1}'
