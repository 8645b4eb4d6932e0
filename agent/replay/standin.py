"""Stands in for the claude CLI: plays a recorded run with its timing, its exit status and its file edits.

It takes claude's place by CLAUDE_BIN, so that a whole run of the agent can be shown or tested without the CLI. Paths of
the recording's working directory are those of the current one. Standard library only: it starts in 20 ms.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: The working directory of recordings that do not name theirs.
RECORDED_CWD = "/workspace"


def play(transcript: Path, *, speed: float | None, perform_edits: bool) -> int:
    """Read the prompt, write every line to stdout in its time, and return the recorded exit status.

    Args:
        transcript: `.jsonl`, with `.meta.json` beside it for times and exit status.
        speed: 2.0 is twice as fast as recorded; None is as fast as possible.
        perform_edits: do what the recorded Write and Edit calls did.
    """
    meta = _meta(transcript)
    # The task, as one line of JSON. What follows it has no part in a recorded run.
    sys.stdin.buffer.readline()
    here = json.dumps(str(Path.cwd()))[1:-1]
    recorded_cwd = _recorded_cwd(transcript)
    began = time.monotonic()
    times = iter(meta.get("line_times_ms", ()))
    for line in transcript.read_text(encoding="utf-8").splitlines():
        due = next(times, 0) / 1000
        if speed is not None:
            time.sleep(max(0.0, began + due / speed - time.monotonic()))
        line = line.replace(recorded_cwd, here)
        if perform_edits:
            for name, arguments in _tool_calls(line):
                _perform(name, arguments)
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    print(meta.get("stderr", ""), end="", file=sys.stderr, flush=True)
    code = int(meta.get("exit_code") or 0)
    if code < 0:  # dead by a signal
        signal.signal(-code, signal.SIG_DFL) if -code not in (signal.SIGKILL, signal.SIGSTOP) else None
        os.kill(os.getpid(), -code)
    return code


def install(path: Path, transcript: Path, *, speed: float | None, perform_edits: bool) -> None:
    """Make `path` a program that plays the recorded run as `claude`; it needs no package but this one."""
    package = Path(__file__).parents[2]
    path.write_text(
        f"#!{sys.executable} -IS\nimport sys\nfrom pathlib import Path\nsys.path.insert(0, {str(package)!r})\n"
        f"from agent.replay import standin\nrecording = Path({str(transcript.absolute())!r})\n"
        "if '--version' in sys.argv:\n    print(standin.version(recording))\n    sys.exit(0)\n"
        f"sys.exit(standin.play(recording, speed={speed!r}, perform_edits={perform_edits!r}))\n"
    )
    path.chmod(0o755)


def _recorded_cwd(transcript: Path) -> str:
    """The working directory that the first line names, escaped as inside JSON."""
    with transcript.open(encoding="utf-8", errors="replace") as lines:
        try:
            cwd = json.loads(next(lines, "{}")).get("cwd")
        except ValueError:
            cwd = None
    return json.dumps(cwd)[1:-1] if isinstance(cwd, str) and cwd != "/" else RECORDED_CWD


def _meta(transcript: Path) -> dict[str, Any]:
    path = transcript.with_suffix(".meta.json")
    meta: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return meta


def _tool_calls(line: str) -> Iterator[tuple[str, dict[str, Any]]]:
    message = json.loads(line)
    if message.get("type") == "assistant":
        for block in message["message"]["content"]:
            if block.get("type") == "tool_use":
                yield block["name"], block["input"]


def _perform(name: str, arguments: dict[str, Any]) -> None:
    """Do a recorded Write or Edit, inside the current directory only."""
    if name not in ("Write", "Edit"):
        return
    path = Path(arguments["file_path"]).resolve()
    if not path.is_relative_to(Path.cwd().resolve()):
        return
    if name == "Write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(arguments["content"], encoding="utf-8")
        return
    text = path.read_text(encoding="utf-8")
    count = -1 if arguments.get("replace_all") else 1
    path.write_text(text.replace(arguments["old_string"], arguments["new_string"], count), encoding="utf-8")


def version(transcript: Path) -> str:
    """The output of `claude --version` when the recording was made."""
    return f"{_meta(transcript).get('cli_version', '0.0.0')} (Claude Code, recorded)"
