import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.places import ROOT


def demo(tmp_path: Path, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": path or os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "agent", "demo", *arguments],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.system
def test_the_whole_job(tmp_path: Path) -> None:
    shown = demo(tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "exit 0, success" in shown.stdout
    assert "0 missing" in shown.stdout
    assert '+    return "-".join(' in shown.stdout, "the stand-in really edits the files"
    assert "make run" in shown.stdout
    assert list(tmp_path.iterdir()) == [], "nothing stays in the home of whoever runs it"


def test_takes_no_arguments(tmp_path: Path) -> None:
    assert demo(tmp_path, "--fast").returncode == 64


def test_names_a_missing_git(tmp_path: Path) -> None:
    shown = demo(tmp_path, path=str(tmp_path))
    assert shown.returncode == 127
    assert "git" in shown.stderr
