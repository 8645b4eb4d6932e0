"""Real agents: `agent run` with a stand-in for claude that says a line three times a second."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_CLAUDE = r"""#!{python} -ISE
import json, sys, time
if "--version" in sys.argv:
    print("2.1.330 (Claude Code)")
    raise SystemExit
sys.stdin.buffer.readline()
def say(**message):
    print(json.dumps({{**message, "session_id": "s"}}), flush=True)
say(type="system", subtype="init", cwd="/", tools=[], mcp_servers=[], model="stand-in", permissionMode="default",
    claude_code_version="2.1.330")
turns, due = int({seconds} * {rate}), time.monotonic()
for turn in range(turns):
    due += 1 / {rate}
    time.sleep(max(0, due - time.monotonic()))
    text = [{{"type": "text", "text": "line %d " % turn + "x" * 900}}]
    say(type="assistant", parent_tool_use_id=None, message={{"id": "m%d" % turn, "role": "assistant", "content": text}})
say(type="result", subtype="success", is_error=False, num_turns=turns, result="Done.", total_cost_usd=0.01,
    duration_ms=1, permission_denials=[], usage={{}}, modelUsage={{}}, result_index=0, terminal_reason="completed")
"""


def _install(place: Path, seconds: float, rate: float) -> Path:
    program = place / "claude"
    program.write_text(_CLAUDE.format(python=sys.executable, seconds=seconds, rate=rate))
    program.chmod(0o755)
    return program


def _repository(place: Path) -> Path:
    path = place / "repository"
    path.mkdir()
    (path / "README.md").write_text("A repository.\n")
    identity = ["-c", "user.name=bench", "-c", "user.email=bench@example.com"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "First"]):
        subprocess.run(["git", *command], cwd=path, check=True)
    return path


def start(place: Path, port: int, count: int, seconds: float, rate: float) -> list[subprocess.Popen[bytes]]:
    """Start so many agents, each with a home of its own, which yield to the hub."""
    claude, repository = _install(place, seconds, rate), _repository(place)
    started = []
    for number in range(count):
        home = place / f"agent-{number}"
        home.mkdir()
        environ = {
            "PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(home), "PYTHONPATH": str(Path.cwd()),
            "CONTAINER_ID": f"bench-{number}", "WS_SERVER": f"ws://127.0.0.1:{port}", "CLAUDE_BIN": str(claude),
            "REPO_URL": str(repository), "WORKSPACE_DIR": str(home / "workspace"), "TASK": "Talk",
            "ANTHROPIC_API_KEY": "none",
        }  # fmt: skip
        with (home / "stderr").open("wb") as errors:
            command = ["nice", "-n", "19", sys.executable, "-m", "agent", "run"]
            process = subprocess.Popen(command, env=environ, cwd=home, stdin=subprocess.DEVNULL, stderr=errors)
        started.append(process)
    return started
