"""Directories of the repository that tests read."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
#: What claude said in recorded runs, each with a .meta.json beside it.
TRANSCRIPTS = TESTS / "transcripts"
#: What the transcript makes of each of them.
GOLDEN = TESTS / "golden"
#: Whole runs, as RECORD_DIR keeps them.
RECORDINGS = TESTS / "recordings"
