import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from agent.commands.demo import _git
from tests.support.places import ROOT


def demo(tmp_path: Path, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": path or os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "agent", "demo", *arguments],
        env=environment, capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip


@pytest.mark.system
def test_the_whole_job(tmp_path: Path) -> None:
    shown = demo(tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "3 tasks: 3 succeeded" in shown.stdout
    assert re.search(r"3 runs, \d{2,} messages, 0 missing", shown.stdout)
    assert "processes of this machine" in shown.stdout, "it says that this is for the demo"
    top = shown.stdout.splitlines()[0]
    assert re.search(r"http://127\.0\.0\.1:\d+$", top), "the page's address is at the top"
    assert '+    return "-".join(' in shown.stdout, "the stand-in really edits the files"
    assert "make run" in shown.stdout
    assert list(tmp_path.iterdir()) == [], "nothing stays in the home of whoever runs it"


def test_the_diff_has_colours_only_where_they_are_wanted() -> None:
    assert _git({"TERM": "xterm"}) == ["git", "--no-pager"]
    assert _git({"TERM": "xterm", "NO_COLOR": "1"})[2:] == ["-c", "color.ui=never"]


def test_takes_no_arguments(tmp_path: Path) -> None:
    assert demo(tmp_path, "--fast").returncode == 64


def test_names_a_missing_git(tmp_path: Path) -> None:
    shown = demo(tmp_path, path=str(tmp_path))
    assert shown.returncode == 127
    assert "git" in shown.stderr
