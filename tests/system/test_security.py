"""Whole runs with a secret in every place that takes one: none is in anything that is sent, written or run.

The redactor's own tests try every chunking; here every encoding goes through the whole agent, and what it says is
searched by other code (tests/support/canaries.py).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.canaries import Canaries, Spy, encodings, everything_written
from tests.support.collector import unused_port
from tests.support.git_servers import http_server
from tests.support.run_agent import origin
from tests.support.spied_run import (
    BY_FILE,
    CANARIES,
    ENVIRONMENT,
    MCP,
    SECRETS,
    received,
    receiver,
    spied_run,
    spying_git,
    with_password,
)

pytestmark = pytest.mark.system


def transcript(path: Path, without: str = "") -> str:
    """A recording in which tools print every secret in every encoding, into all that a message has."""
    secrets = {name: secret for name, secret in SECRETS.items() if name != without}
    lines: list[dict[str, Any]] = [{"type": "system", "subtype": "init", "tools": ["Bash"], "session_id": "s"}]
    stderr = []
    for name, secret in secrets.items():
        for form in encodings(secret):
            tool = {"type": "tool_use", "id": f"t{len(lines)}", "name": "Bash", "input": {"command": f"echo {form}"}}
            result = {"type": "tool_result", "tool_use_id": f"t{len(lines)}", "content": f"{name}: {form}"}
            lines += [
                {"type": "assistant", "message": {"content": [tool]}},
                {"type": "user", "message": {"content": [result]}, "tool_use_result": {"stdout": form, form: 1}},
            ]
            if "\n" not in form or secret in form:
                stderr.append(form)  # each line is a message of its own: a wrapped one is not recognised
    every = " ".join(secrets.values())
    lines += [
        {"type": "assistant", "message": {"content": [{"type": "text", "text": every}]}},
        {"type": "system", "subtype": every, "status": every},
        {"type": every},
        {"type": "result", "subtype": "success", "is_error": False, "num_turns": 3, "result": every,
         "usage": {every: 1},
         "permission_denials": [{"tool_name": every, "tool_use_id": every, "tool_input": {"command": every}}]},
    ]  # fmt: skip
    texts = [json.dumps(line, ensure_ascii=n % 2 == 0) for n, line in enumerate(lines)]
    texts.insert(5, every)  # no JSON at all
    path.write_text("".join(text + "\n" for text in texts))
    meta = {"line_times_ms": [0] * len(texts), "stderr": "\n".join(stderr) + "\n", "exit_code": 0}
    path.with_suffix("").with_suffix(".meta.json").write_text(json.dumps(meta))
    return str(path)


def as_files(directory: Path) -> dict[str, str | None]:
    """The same secrets, by NAME_FILE."""
    found: dict[str, str | None] = {}
    for name in BY_FILE:
        (directory / name).write_text(ENVIRONMENT[name] + "\n")
        (directory / name).chmod(0o600)
        found |= {name: None, f"{name}_FILE": str(directory / name)}
    return found | {"MCP_CONFIG": str(directory / "MCP_CONFIG"), "MCP_CONFIG_FILE": None}


@pytest.mark.parametrize("source", ["environment", "files"])
@pytest.mark.smoke
async def test_no_secret_is_sent_written_or_shown(tmp_path: Path, source: str) -> None:
    """Everything at once: clone over HTTP with the token, all encodings in stdout and stderr, the result, COMPLETE."""
    script = transcript(tmp_path / "play.jsonl")
    files = as_files(tmp_path) if source == "files" else {}
    repository = origin(tmp_path)
    async with receiver(tmp_path) as server:
        with http_server(tmp_path, ("alice", SECRETS["GITHUB_TOKEN"])) as git:
            ran = (
                await spied_run(
                    tmp_path,
                    f"{server.url}/?token={SECRETS['server']}",
                    script,
                    REPO_URL=with_password(git.url) + f"/{repository.name}",
                    TASK=f"Use {SECRETS['GITHUB_TOKEN']} and not " + "x" * 50 + SECRETS["env"],
                    LABELS=f"team={SECRETS['WS_TOKEN']}",
                    OUTPUT_DIR=str(tmp_path / "output"),
                    RECORD_DIR=str(tmp_path / "record"),
                    **files,
                )
            ).clean()
        assert ran.code == 0, ran.stderr
        assert len(git.authorizations) > 1
        lines = server.lines()
        assert len(lines) > 2 * len(SECRETS) * 10
        assert json.loads(lines[-1])["type"] == "COMPLETE"
        assert CANARIES.seen_in_lines(received(server)) == set()
        assert all(json.loads(line) for line in lines)
        handed_over = [everything_written(tmp_path / name) for name in ("output", "record")]
        assert [text.count("[redacted]") > 500 for text in handed_over] == [True, True]
        assert CANARIES.seen_in_lines("\n".join(handed_over)) == set()
        assert "[redacted]" in json.loads(lines[-1])["data"]["result"]["text"]


async def test_no_secret_is_in_the_journal_of_a_run_that_nobody_received(tmp_path: Path) -> None:
    script = transcript(tmp_path / "play.jsonl", without="repository")
    with unused_port() as port:
        ran = (
            await spied_run(tmp_path, f"ws://127.0.0.1:{port}/?token={SECRETS['server']}", script, SERVER_REQUIRED="0")
        ).clean()
    assert ran.code == 0, ran.stderr
    assert ran.termination["undelivered"] > 500
    journal = everything_written(ran.directory / "tmp" / "agent-journal")
    assert journal.count("[redacted]") > 500


async def test_no_secret_is_in_what_a_failed_clone_says(tmp_path: Path) -> None:
    async with receiver(tmp_path) as server:
        with http_server(tmp_path, ("alice", "another password")) as git:
            url = with_password(git.url) + "/absent.git"
            ran = (await spied_run(tmp_path, f"{server.url}/?token={SECRETS['server']}", "ok", REPO_URL=url)).clean()
        assert ran.code == 77, ran.stderr
        assert CANARIES.seen_in_lines(received(server)) == set()


async def test_no_secret_is_in_what_a_bad_configuration_says(tmp_path: Path) -> None:
    """A secret in every variable that cannot hold one; the server is told all the same."""
    secret = SECRETS["GITHUB_TOKEN"]
    wrong = dict.fromkeys(
        ("TIMEOUT", "MAX_TURNS", "LABELS", "LOG_LEVEL", "PERMISSION_MODE", "MESSAGE_LIMIT", "RESUME_SESSION",
         "JOURNAL_LIMIT",
         "WS_CA_FILE", "CLAUDE_ENV", "MCP_CONFIG", "TASK_FILE", "TASKS_FILE", "KILL_GRACE", "PUSH_BRANCH", "REPO_REF"),
        f"-{secret} {SECRETS['env']}",
    )  # fmt: skip
    async with receiver(tmp_path) as server:
        ran = (await spied_run(tmp_path, server.url, "ok", TASK=None, REPO_URL=f"ext::sh -c {secret}", **wrong)).clean()
        assert ran.code == 78, ran.stderr
        assert "TIMEOUT" in ran.stderr
        assert json.loads(server.lines()[-1])["data"]["exitCode"] == 78
        assert CANARIES.seen_in_lines(received(server)) == set()


def failing(target: str) -> str:
    """Code that makes a function of the agent raise, with secrets in its words."""
    module, _, name = target.rpartition(".")
    owner = module if module.split(".")[-1].islower() else module.rpartition(".")[0]
    return f"""
import os, importlib
owner = importlib.import_module({owner!r})
for part in {module[len(owner) + 1 :].split(".") if module != owner else []!r}:
    owner = getattr(owner, part)
def fail(*args, **kwargs):
    raise RuntimeError("cannot use " + os.environ["GITHUB_TOKEN"] + " " + os.environ["CLAUDE_ENV"])
setattr(owner, {name!r}, fail)
"""


@pytest.mark.parametrize(
    "target",
    [
        "agent.run.local_work.private_directory", "agent.commands.run.Link", "agent.claude.program.check_cli",
        "agent.repository.clone.clone", "agent.run.local_work.LocalWork.begin",
        "agent.transcript.transcript.Transcript.feed", "agent.claude.conversation.Conversation.feed",
        "agent.vitals.sampler.Sampler.sample",
        "agent.process.descendants.sweep", "agent.delivery.session.Session.run",
        "agent.run.supervisor.Supervisor._advance", "agent.run.ending.Ending.report",
        "agent.report.reporter.Reporter.heartbeat",
        "agent.report.console.Console._drain",
    ],
)  # fmt: skip
async def test_no_secret_is_in_the_traceback_of_a_crash(tmp_path: Path, target: str) -> None:
    async with receiver(tmp_path) as server:
        ran = (await spied_run(tmp_path, server.url, "ok", failing(target))).clean()
        text = received(server)
    assert CANARIES.seen_in_lines(text) == set()
    told = ran.stderr + text
    assert "cannot use [redacted]" in told or "cannot use ***" in told or target.endswith("heartbeat"), told


async def test_children_get_what_they_need_and_nothing_else(tmp_path: Path) -> None:
    """What git and claude see of the agent's environment."""
    path, shown = spying_git(tmp_path)
    script = [["read"], ["init"], ["text", "x"], ["bash", f"env > {shown}/claude"], ["result"]]
    async with receiver(tmp_path) as server:
        url = f"{server.url}/?token={SECRETS['server']}"
        ran = (await spied_run(tmp_path, url, script, PATH=path, SOMETHING_ELSE="x")).clean()
    assert ran.code == 0, ran.stderr
    for_git, for_claude = ((shown / name).read_text() for name in ("git", "claude"))
    assert CANARIES.seen_in_lines(for_git) == {"proxy"}
    meant = set(SECRETS) - {"GITHUB_TOKEN", "WS_TOKEN", "server", "repository", "pem"}
    meant -= {name for name in SECRETS if name.startswith("mcp")}
    assert CANARIES.seen(for_claude) == meant
    for text in (for_git, for_claude):
        names = {line.partition("=")[0] for line in text.splitlines() if not line.startswith("ARGV")}
        assert names & {"WS_SERVER", "WS_TOKEN", "GITHUB_TOKEN", "KUBERNETES_SERVICE_HOST", "SOMETHING_ELSE", "TASK",
                        "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "MCP_CONFIG", "CLAUDE_ENV", "FTP_PROXY"} == set()  # fmt: skip


def test_another_test_s_processes_are_not_this_run_s(tmp_path: Path) -> None:
    """Beside it a test may run that shows the same secrets on purpose."""
    command = [sys.executable, "-I", "-S", "-c", "input()", SECRETS["odd"]]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as other:
        for above, seen in ((os.getpid(), {"odd"}), (other.pid, set())):
            spy = Spy(CANARIES, tmp_path, above)
            spy.look()
            assert spy.seen_in_commands == seen
        assert other.stdin is not None
        other.stdin.close()


def test_the_search_finds_what_it_should() -> None:
    """The tests above can fail."""
    for name, secret in SECRETS.items():
        alone = Canaries({name: secret})
        for form in encodings(secret):
            for text in (form, json.dumps({"a": form}), json.dumps(json.dumps([form]))):
                assert alone.seen_in_lines(text) == {name}, text
        assert alone.seen(f"...{secret[-60:-40] + secret[-14:-2]}...") == {name}
    assert CANARIES.seen(json.dumps(MCP) * 3 + "nothing here " * 50) >= {"mcp env", "mcp url"}
    assert CANARIES.seen("[redacted] " * 100 + sys.version) == set()
