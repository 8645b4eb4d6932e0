"""The environment that `make setup` makes: whole, or not there."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tools import make_environment


@pytest.mark.slow
def test_half_an_environment_is_made_whole(tmp_path: Path) -> None:
    """`python3 -m venv` leaves one without pip where Python has no ensurepip."""
    directory = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(directory)], check=True)
    assert not make_environment.usable(directory)
    make_environment.make(directory)
    assert make_environment.usable(directory)


def test_where_no_way_is_left_the_message_names_the_package_and_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(make_environment.shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match="apt-get install python3-venv"):
        make_environment.make(tmp_path / "environment")
    assert not (tmp_path / "environment").exists()


def test_a_link_that_leads_nowhere_is_replaced_and_a_file_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "environment"
    monkeypatch.setattr(make_environment, "ways", lambda python, at: [])
    directory.symlink_to(tmp_path / "nowhere")
    with pytest.raises(SystemExit, match="apt-get install"):
        make_environment.make(directory)
    assert not directory.is_symlink()
    directory.write_text("mine")
    with pytest.raises(SystemExit, match="environment is a file"):
        make_environment.make(directory)
    assert directory.read_text() == "mine"


def test_of_a_way_that_fails_nothing_is_left_and_its_output_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "environment"
    half = [sys.executable, "-m", "venv", "--without-pip", str(directory)]
    monkeypatch.setattr(
        make_environment,
        "ways",
        lambda python, at: [[half, [sys.executable, "-c", "print('no net'); raise SystemExit(1)"]]],
    )
    with pytest.raises(SystemExit, match="failed:\nno net"):
        make_environment.make(directory)
    assert not directory.exists()


def fake_pip(directory: Path, script: str) -> Path:
    """An environment whose Python is a shell script."""
    python = directory / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    return directory


def test_an_index_that_does_not_answer_is_told_at_once_and_what_pip_said_at_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = tmp_path / "lock"
    lock.write_text("trio==1 \\\n    --hash=sha256:0\n# a comment with ==\nh11==2\n")
    script = "echo 'WARNING: Retrying (4)'; echo 'WARNING: Retrying (3)'; echo 'ERROR: none'; exit 1"
    with pytest.raises(SystemExit, match="ERROR: none\nsetup: pip failed, see above; the next make tries again"):
        make_environment.install(fake_pip(tmp_path / "one", script), lock)
    told = capsys.readouterr().out.splitlines()
    assert told[0] == f"setup: installing 2 packages into {tmp_path}/one; up to half a minute"
    assert told[1:] == ["setup: the package index does not answer; pip tries five times more"]
    make_environment.install(fake_pip(tmp_path / "two", "echo Collecting trio"), lock)
    assert len(capsys.readouterr().out.splitlines()) == 1, "without a terminal nothing moves"
