"""The whole agent around the real claude CLI, against a mock of the Messages API."""

from __future__ import annotations

import json
from pathlib import Path
from signal import SIGTERM
from typing import Any

import pytest
import trio

from tests.support.collector import Collector, in_phase, said
from tests.support.mock_api import UNICODE, MockApi, Step
from tests.support.real_cli import around_cli
from tests.support.run_agent import KEY, Ran, start_agent

pytestmark = pytest.mark.cli

#: What the CLI may take to end, with children that are deaf to it.
GRACE = "5s"


def options(api: MockApi, task: str) -> dict[str, str]:
    return around_cli(api, TASK=task, KILL_GRACE=GRACE)


async def run(directory: Path, collector: Collector, api: MockApi, task: str, **environ: str) -> Ran:
    async with start_agent(directory, collector.url, **{**options(api, task), **environ}) as agent:
        ran = await agent.ended(90)
    return ran.agrees(collector)


def came_to(ran: Ran) -> tuple[int, str]:
    return ran.code, ran.complete["reason"]


def of_kind(ran: Ran, kind: str) -> list[dict[str, Any]]:
    return [data for data in ran.of_type("LOG") if data["metadata"].get("kind") == kind]


async def test_a_text_reply(tmp_path: Path, collector: Collector, api: MockApi) -> None:
    ran = await run(tmp_path, collector, api, "mock:text Say hello.")
    assert came_to(ran) == (0, "success")
    result = ran.complete["result"]
    assert result["text"] == "Hello from the mock."
    assert result["cost"] > 0
    assert result["session_id"]
    assert "mock:text Say hello." in api.requests[0].prompts


@pytest.mark.smoke
async def test_edits(tmp_path: Path, collector: Collector, api: MockApi) -> None:
    """Without ALLOWED_TOOLS, as most users run it."""
    task = 'mock:edit {"path": "file.txt", "old": "version", "new": "edition"}'
    ran = await run(tmp_path, collector, api, task)
    assert came_to(ran) == (0, "success")
    assert (ran.directory / "workspace/file.txt").read_text() == "edition 0\n"
    assert any(data["message"].startswith("Edit file.txt") for data in ran.of_type("LOG"))


async def test_a_failing_tool(tmp_path: Path, collector: Collector, api: MockApi) -> None:
    ran = await run(tmp_path, collector, api, "mock:failing-tool")
    assert came_to(ran) == (0, "success")
    assert len(of_kind(ran, "tool_error")) == 1


async def test_parallel_tools(tmp_path: Path, collector: Collector, api: MockApi) -> None:
    ran = await run(tmp_path, collector, api, 'mock:parallel {"path": "three.txt"}')
    assert came_to(ran) == (0, "success")
    assert (ran.directory / "workspace/three.txt").read_text() == "three"
    assert {"one", "two"} <= {block["content"] for block in api.requests[-1].tool_results}


async def test_a_denied_tool(tmp_path: Path, collector: Collector, api: MockApi) -> None:
    script: list[Step] = [
        {"tools": [["Write", {"file_path": "yes.txt", "content": "x"}], ["Bash", {"command": "touch no.txt"}]]},
        {"text": "Done."},
    ]
    ran = await run(tmp_path, collector, api, f"mock:script {json.dumps(script)}", ALLOWED_TOOLS="Write")
    assert came_to(ran) == (0, "success")
    assert (ran.directory / "workspace/yes.txt").exists()
    assert not (ran.directory / "workspace/no.txt").exists()
    denials = ran.complete["result"]["permission_denials"]
    assert [denial["tool_name"] for denial in denials] == ["Bash"]
    assert "touch no.txt" in denials[0]["call"]


async def test_max_turns(tmp_path: Path, collector: Collector, api: MockApi) -> None:
    ran = await run(tmp_path, collector, api, "mock:loop", MAX_TURNS="3")
    assert came_to(ran) == (1, "max_turns")
    assert ran.of_type("ERROR")[-1]["code"] == "max_turns"
    assert len(api.requests) == 3


async def test_wrong_credentials_fail_fast(tmp_path: Path, collector: Collector, api: MockApi) -> None:
    ran = await run(tmp_path, collector, api, "mock:unauthorized")
    assert came_to(ran) == (77, "auth")
    assert ran.seconds < 40


async def test_an_overloaded_api(tmp_path: Path, collector: Collector, api: MockApi) -> None:
    ran = await run(tmp_path, collector, api, "mock:overloaded")
    assert came_to(ran) == (0, "success")
    assert [data["retry"]["attempt"] for data in ran.of_type("STATUS") if "retry" in data] == [1, 2]


async def test_a_broken_api(tmp_path: Path, collector: Collector, api: MockApi) -> None:
    ran = await run(tmp_path, collector, api, "mock:broken", CLAUDE_ENV="CLAUDE_CODE_MAX_RETRIES: 1")
    assert came_to(ran) == (75, "api_unavailable")


async def test_a_stalled_stream_keeps_its_bill(tmp_path: Path, collector: Collector, api: MockApi) -> None:
    ran = await run(tmp_path, collector, api, "mock:stall", TIMEOUT="8s")
    assert came_to(ran) == (124, "timeout")
    assert ran.complete["result"]["cost"] is not None
    assert ran.complete["result"]["session_id"]
    assert ran.seconds < 8 + 20


async def test_a_reply_of_a_megabyte(tmp_path: Path, collector: Collector, api: MockApi) -> None:
    ran = await run(tmp_path, collector, api, "mock:big")
    assert came_to(ran) == (0, "success")
    parts = [data["metadata"]["part"] for data in ran.of_type("LOG") if "part" in data["metadata"]]
    first = "".join(part["text"] for part in parts if part["id"] == parts[0]["id"])
    assert json.loads(first)["metadata"]["claude"]["message"]["content"][0]["text"] == "0123456789abcdef" * (1 << 16)


async def test_unicode(tmp_path: Path, collector: Collector, api: MockApi) -> None:
    ran = await run(tmp_path, collector, api, "mock:unicode Grüße \N{GRINNING FACE} e\u0301 \u2028")
    assert came_to(ran) == (0, "success")
    assert ran.complete["result"]["text"] == UNICODE
    assert any("Grüße \N{GRINNING FACE} e\u0301 \u2028" in text for text in api.requests[0].prompts)


# --- nothing is left

NOHUP = "nohup sh -c 'trap \"\" TERM INT HUP; sleep 300' > /dev/null 2>&1 & echo started"
DEAF = "trap '' TERM INT HUP; echo deaf; sleep 300 & wait; sleep 300"


def bash(command: str, *more: Step) -> str:
    script: list[Step] = [{"tools": [["Bash", {"command": command, "timeout": 600_000}]]}, *more]
    return f"mock:script {json.dumps(script)}"


async def test_nothing_is_left_of_a_success(tmp_path: Path, collector: Collector, api: MockApi) -> None:
    ran = await run(tmp_path, collector, api, bash(NOHUP, {"text": "Done."}))
    assert came_to(ran) == (0, "success")
    assert {survivor["name"] for survivor in ran.complete["survivors"]} == {"sh", "sleep"}


@pytest.mark.parametrize("command", [NOHUP, DEAF], ids=["nohup", "deaf"])
async def test_nothing_is_left_after_a_timeout(
    tmp_path: Path, collector: Collector, api: MockApi, command: str
) -> None:
    ran = await run(tmp_path, collector, api, bash(command, {"text": "Still", "stall": True}), TIMEOUT="5s")
    assert came_to(ran) == (124, "timeout")
    assert ran.seconds < 5 + 5 + 20


@pytest.mark.parametrize("command", [NOHUP, DEAF], ids=["nohup", "deaf"])
async def test_nothing_is_left_after_sigterm(tmp_path: Path, collector: Collector, api: MockApi, command: str) -> None:
    task = bash(command, {"text": "Still", "stall": True})
    async with start_agent(tmp_path, collector.url, **options(api, task)) as agent:
        await collector.until(said("Bash"), 60)
        await trio.sleep(1)
        agent.signal(SIGTERM)
        ran = await agent.ended()
    ran.agrees(collector, code=143, reason="cancelled")
    assert ran.complete["result"] is not None, "the bill is kept"
    ran.stopped(within=20)


async def test_sigterm_before_the_first_reply(tmp_path: Path, collector: Collector, api: MockApi) -> None:
    async with start_agent(tmp_path, collector.url, **options(api, "mock:silent")) as agent:
        await collector.until(in_phase("RUNNING"), 60)
        agent.signal(SIGTERM)
        ran = await agent.ended()
    ran.agrees(collector, code=143, reason="cancelled")


# --- what claude is writing


def _previews(ran: Ran, kind: str) -> list[dict[str, Any]]:
    found = [message["data"] for message in ran.messages if message["type"] == "PREVIEW"]
    return [data for data in found if data["kind"] == kind]


async def test_text_grows_while_claude_writes_it(tmp_path: Path, collector: Collector, api: MockApi) -> None:
    """A secret stands in two deltas; the whole message follows, and the same is journalled as without."""
    words = "It grows word by word, as long as it likes. " * 8
    text = f"{words}The key is {KEY}, they say. {words * 9}"
    script: list[Step] = [{"thinking": words * 4, "text": text, "delta": 16, "pace": 0.004,
                           "tools": [["Write", {"file_path": "a.txt", "content": words}]]},
                          {"text": "Done."}]  # fmt: skip
    task = f"mock:script {json.dumps(script)}"
    ran = await run(tmp_path, collector, api, task, PARTIAL="1")
    assert came_to(ran) == (0, "success")
    shown = _previews(ran, "text")
    grown = "".join(data["text"] for data in shown)
    assert [data["piece"] for data in shown] == list(range(1, len(shown) + 1))
    assert text.replace(KEY, "[redacted]").startswith(grown)
    assert "[redacted]" in grown
    (said,) = [data for data in of_kind(ran, "text") if data["message"].startswith("It grows")]
    assert said["metadata"]["claude"]["message"]["id"] == shown[0]["id"].removesuffix("/1")
    assert "".join(data.get("text", "") for data in _previews(ran, "thinking")) in words * 4
    assert _previews(ran, "thinking")[-1]["tokens"] > 50
    assert {data["tool"] for data in _previews(ran, "tool_use")} == {"Write"}
    last = max(at for at, message in enumerate(ran.messages) if message["type"] == "PREVIEW")
    assert last < ran.messages.index(ran.numbered[-1])
    assert "stream_event" not in "".join(text for text in collector.texts if '"seq":' in text)
    assert not any(KEY[:20] in text for text in collector.texts)


async def test_without_partial_nothing_is_shown_before_it_is_whole(
    tmp_path: Path, collector: Collector, api: MockApi
) -> None:
    script: list[Step] = [{"text": "It grows. " * 200, "delta": 16, "pace": 0.004}]
    ran = await run(tmp_path, collector, api, f"mock:script {json.dumps(script)}")
    assert came_to(ran) == (0, "success")
    assert {message["type"] for message in ran.messages} == {"LOG", "STATUS", "HEARTBEAT", "COMPLETE"}


async def test_the_output_of_a_command_is_shown_while_it_runs(
    tmp_path: Path, collector: Collector, api: MockApi
) -> None:
    command = f"for i in 1 2 3 4 5; do echo line $i; sleep 0.6; done; echo {KEY}; sleep 1; printf end; sleep 0.6"
    script: list[Step] = [{"tools": [["Bash", {"command": command, "description": "d"}]]}, {"text": "Done."}]
    ran = await run(tmp_path, collector, api, f"mock:script {json.dumps(script)}", PARTIAL="1")
    assert came_to(ran) == (0, "success")
    shown = _previews(ran, "output")
    assert len(shown) >= 2
    assert [data["piece"] for data in shown] == list(range(1, len(shown) + 1))
    assert shown[0]["text"].startswith("line 1\n")
    assert shown[-1]["text"] == "line 1\nline 2\nline 3\nline 4\nline 5\n[redacted]\n"
    (result,) = of_kind(ran, "tool_result")
    (block,) = result["metadata"]["claude"]["message"]["content"]
    assert {data["id"] for data in shown} == {block["tool_use_id"]}
    assert [block["content"]] == [shown[-1]["text"] + "end"]


async def test_commands_of_one_message_are_shown_each_in_its_turn(
    tmp_path: Path, collector: Collector, api: MockApi
) -> None:
    """The CLI runs them one after another, since they write, and keeps the output of each until it has ended."""
    commands = [f"for i in 1 2 3; do echo {name} $i; sleep 0.6; done; touch {name}" for name in ("one", "two")]
    script: list[Step] = [
        {"tools": [["Bash", {"command": each, "description": "d"}] for each in commands]}, {"text": "Done."},
    ]  # fmt: skip
    ran = await run(tmp_path, collector, api, f"mock:script {json.dumps(script)}", PARTIAL="1")
    assert came_to(ran) == (0, "success")
    calls = [block["id"] for data in of_kind(ran, "tool_use")
             for block in data["metadata"]["claude"]["message"]["content"]]  # fmt: skip
    for call, name in zip(calls, ("one", "two"), strict=True):
        shown = [data["text"] for data in _previews(ran, "output") if data["id"] == call]
        assert shown[-1].startswith(f"{name} 1\n{name} 2\n")
        assert {text.split()[0] for text in shown} == {name}


async def test_commands_that_run_at_the_same_time_are_told_apart(
    tmp_path: Path, collector: Collector, api: MockApi
) -> None:
    """The CLI lets them, since they only read, and names them where background tasks are on."""
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"{name} begins\n")
    commands = [f"cat {tmp_path}/{name}; sleep 7" for name in ("one", "two")]
    script: list[Step] = [
        {"tools": [["Bash", {"command": each, "description": "d"}] for each in commands]}, {"text": "Done."},
    ]  # fmt: skip
    ran = await run(tmp_path, collector, api, f"mock:script {json.dumps(script)}", PARTIAL="1",
                    CLAUDE_ENV="CLAUDE_CODE_DISABLE_BACKGROUND_TASKS: 0")  # fmt: skip
    assert came_to(ran) == (0, "success")
    calls = [block["id"] for data in of_kind(ran, "tool_use")
             for block in data["metadata"]["claude"]["message"]["content"]]  # fmt: skip
    shown = [(data["id"], data["text"]) for data in _previews(ran, "output")]
    assert sorted(shown) == sorted(zip(calls, ("one begins\n", "two begins\n"), strict=True))
