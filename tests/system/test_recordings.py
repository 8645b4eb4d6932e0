"""Runs from the field: each directory in tests/recordings is a RECORD_DIR/<runID>, copied as it is.

It is played through the whole agent. What that says of it, and what a server gets, is in its golden.json, which
`pytest tests/system/test_recordings.py --update-golden` writes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.support import places

RECORDINGS = sorted(path for path in places.RECORDINGS.iterdir() if path.is_dir())


def golden(played: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Each stream of messages in its order; how they interleave is chance, and times are those of the replay."""
    streams = defaultdict(list)
    for line in played.stdout.splitlines():
        message = json.loads(line)
        data = message["data"]
        for moment in ("duration", "stream", "versions"):
            data.pop(moment, None)
        source = data.get("metadata", {}).get("source", "phase" if "phase" in data else "")
        streams[f"{message['type']} {source}".strip()].append(data)
    said = [line for line in played.stderr.splitlines() if line.startswith("agent replay:")]
    return {"exit": played.returncode, "said": said, "messages": dict(sorted(streams.items()))}


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.name)
def test_recording(path: Path, update_golden: bool) -> None:
    command = [sys.executable, "-m", "agent", "replay", str(path), "--json", "--speed", "max"]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(places.ROOT), "HOME": "/nonexistent"}
    played = subprocess.run(command, cwd=path, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in played.stderr
    found = golden(played)
    kept = path / "golden.json"
    if update_golden:
        kept.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    assert kept.exists(), "look at what --update-golden makes of it"
    assert json.loads(kept.read_text()) == found
