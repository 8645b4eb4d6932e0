"""SETUP_COMMAND in whole runs: between the clone and claude, in claude's place, and ended with the run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.collector import collecting
from tests.support.run_agent import run_agent

pytestmark = pytest.mark.system


def lines(ran, source: str = "setup") -> list[str]:  # type: ignore[no-untyped-def]
    return [
        data["message"] for data in ran.of_type("LOG") if data.get("metadata", {}).get("source") == source
    ]  # fmt: skip


async def test_it_runs_in_claude_s_place_and_claude_finds_what_it_made(tmp_path: Path) -> None:
    """Claude's environment, user, directory and isolation; its files are part of the work."""
    command = (
        "pwd; id -u; env >.seen; cat .seen | sed 's/=.*//' | sort >names.txt; rm .seen; cat /proc/$PPID/environ | wc -c"
    )
    async with collecting() as collector:
        ran = await run_agent(
            tmp_path, collector.url,
            [["read"], ["init"], ["bash", "cp names.txt copy.txt"], ["environment"], ["result"]],
            SETUP_COMMAND=command, WS_TOKEN="a-token-of-the-server", OUTPUT_DIR=str(tmp_path / "out"),
        )  # fmt: skip
        ran.agrees(collector, code=0)
    assert ran.phases == [
        "PENDING",
        "CONNECTING",
        "CLONING",
        "SETTING_UP",
        "RUNNING",
        "STOPPING",
        "DRAINING",
        "REPORTING",
    ]
    (told,) = (
        data["metadata"]["claude"]["message"]["content"][0]["text"]
        for data in ran.of_type("LOG")
        if data["message"].startswith('{"argv"')
    )
    claude = json.loads(told)
    assert lines(ran)[0] == claude["cwd"]
    patch = (tmp_path / "out" / "changes.patch").read_text()
    names = {line[1:] for line in patch.splitlines() if line.startswith("+") and not line.startswith("+++")}
    assert set(claude["environ"]) - {"CLAUDE_CODE_SCRIPT"} <= names
    assert not {"WS_TOKEN", "GITHUB_TOKEN", "SETUP_COMMAND", "WS_SERVER"} & names
    assert "copy.txt" in patch
    assert "a-token-of-the-server" not in ran.stderr


@pytest.mark.parametrize(
    ("command", "variables", "code", "reason"),
    [
        ("echo here; echo there >&2; exit 3", {}, 72, "setup_failed"),
        ("echo here; echo there >&2; sleep 600 & wait", {"SETUP_TIMEOUT": "2s"}, 72, "setup_failed"),
        ("echo here; echo there >&2; exit 75", {}, 75, "retryable"),
        ("echo here; echo there; kill -9 $$", {}, 72, "setup_failed"),
        ("echo here; echo there; sleep 600", {"TIMEOUT": "4s"}, 124, "timeout"),
    ],
)
async def test_a_failure_ends_the_run_before_claude(
    tmp_path: Path, command: str, variables: dict[str, str], code: int, reason: str
) -> None:
    async with collecting() as collector:
        ran = await run_agent(tmp_path, collector.url, "ok", SETUP_COMMAND=command, KILL_GRACE="500", **variables)
        ran.agrees(collector, code=code, reason=reason)
    assert lines(ran) == ["here", "there"]
    assert "RUNNING" not in ran.phases
    if code != 124:
        assert ran.of_type("ERROR")[0] | {"error": ""} == {"error": "", "code": "setup", "details": "here\nthere"}


async def test_a_command_that_the_shell_cannot_read_ends_the_run_before_the_clone(tmp_path: Path) -> None:
    async with collecting() as collector:
        ran = await run_agent(tmp_path, collector.url, "ok", SETUP_COMMAND="if true")
        ran.agrees(collector, code=78, reason="config")
    assert "SETUP_COMMAND: the shell cannot read it" in ran.complete["message"]
    assert "CLONING" not in ran.phases


async def test_a_service_serves_claude_and_is_swept_with_it(tmp_path: Path) -> None:
    command = "(while :; do echo served >>served.txt; sleep 0.05; done) & setsid sleep 600 & echo up"
    script = [
        ["read"],
        ["init"],
        ["bash", "rm -f served.txt; until [ -s served.txt ]; do sleep 0.05; done"],
        ["result"],
    ]
    async with collecting() as collector:
        ran = await run_agent(tmp_path, collector.url, script, SETUP_COMMAND=command)
        ran.agrees(collector, code=0)
    assert lines(ran) == ["up"]
    assert {"sleep", "sh"} <= {process["name"] for process in ran.complete["survivors"]}


async def test_its_output_is_masked(tmp_path: Path) -> None:
    from tests.support.run_agent import KEY

    async with collecting() as collector:
        ran = await run_agent(
            tmp_path, collector.url, "ok", SETUP_COMMAND="echo $ANTHROPIC_API_KEY | tee key >&2; exit 1"
        )
        ran.agrees(collector, code=72)
    assert lines(ran) == ["[redacted]"]
    assert KEY not in json.dumps(ran.complete)
