"""`agent fleet` as a command: what it refuses before anything starts, and what it would do."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

import pytest

from agent.config.variables import BY_NAME
from agent.fleet.command import main
from agent.fleet.options import FILE

ONE = {"REPO_URL": "https://x.org/you/web.git", "TASK": "Fix the bug"}
KEY = "sk-ant-api03-" + "canary" * 5


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a list of two tasks."""
    monkeypatch.chdir(tmp_path)
    for name in {*BY_NAME} & {*os.environ}:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    (tmp_path / "tasks.json").write_text(json.dumps([ONE, {**ONE, "GITHUB_TOKEN": "a-token-of-this-entry"}]))
    return tmp_path


def test_a_dry_run_shows_every_command_and_writes_nothing(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks.json", "--dry-run", "--engine=/usr/bin/docker", "--parallel=3"]) == 0
    shown = capsys.readouterr().out
    lines = shown.splitlines()
    assert lines[0] == "   1  web-1: Fix the bug"
    assert lines[2].startswith("      /usr/bin/docker run --detach --name=fleet-web-1-1 ")
    assert "--env=ANTHROPIC_API_KEY_FILE=/run/fleet/ANTHROPIC_API_KEY" in lines[2]
    assert lines[-1] == (
        "2 tasks on 1 repository, 3 at a time; containers of claude-code-wrapper, by /usr/bin/docker. "
        "Nothing was started."
    )
    assert KEY not in shown
    assert "a-token-of-this-entry" not in shown
    assert [path.name for path in place.iterdir()] == ["tasks.json"]


def test_a_dry_run_without_containers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks.json", "--dry-run", "--engine=local"]) == 0
    assert "agent run, with ANTHROPIC_API_KEY, CONTAINER_ID, LABELS, REPO_URL, TASK" in capsys.readouterr().out


def test_every_problem_is_told_before_anything_starts(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "bad.json").write_text(json.dumps([{"TASK": "x"}, {**ONE, "TIMEOUT": "soon"}]))
    assert main(["bad.json", "--engine=/nowhere/docker"]) == 78
    first, second = capsys.readouterr().err.splitlines()
    assert first == "agent fleet: entry 1 of bad.json has no REPO_URL"
    assert second.startswith("agent fleet: TIMEOUT (entry 2 of bad.json): ")
    assert {path.name for path in place.iterdir()} == {"tasks.json", "bad.json"}


def test_without_an_engine_nothing_is_left(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks.json", "--engine=/nowhere/docker", "--dir=d"]) == 78
    assert "there is no /nowhere/docker" in capsys.readouterr().err
    assert {path.name for path in place.iterdir()} == {"tasks.json"}
    directory = place / "d"
    directory.mkdir()
    (directory / "mine").touch()
    assert main(["tasks.json", "--engine=/nowhere/docker", "--dir=d"]) == 78
    assert (directory / "mine").exists(), "a directory that was there is not removed"
    assert not (directory / "secrets").exists()
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in directory.glob("*.json")} <= {0o600}


def test_a_directory_that_is_none(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks.json", "--engine=local", "--dir=tasks.json"]) == 78
    assert capsys.readouterr().err == f"agent fleet: --dir {place / 'tasks.json'}: File exists\n"


def test_a_directory_that_holds_a_fleet_is_not_overwritten(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "d").mkdir()
    (place / "d" / "results.json").write_text("{}")
    assert main(["tasks.json", "--engine=local", "--dir=d"]) == 78
    assert "holds a fleet already: go on with it by --resume" in capsys.readouterr().err


def test_two_fleets_do_not_run_in_one_directory(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "d").mkdir()
    (place / "d" / "tasks.json").write_text(json.dumps([ONE]))
    (place / "d" / FILE).write_text('{"engine": "local"}')
    with (place / "d" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert main(["--resume=d"]) == 78
    assert "is running" in capsys.readouterr().err


def test_a_hub_that_does_not_answer(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks.json", "--engine=local", "--dir=d", "--hub=http://127.0.0.1:9"]) == 69
    assert "no hub answers at http://127.0.0.1:9: " in capsys.readouterr().err
    assert main(["tasks.json", "--engine=local", "--dir=e", "--hub=nonsense"]) == 78


def test_manifests_for_kubernetes(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("yaml", reason="needs the extra hub: make setup")
    assert main(["tasks.json", "--on=kubernetes", "--dir=d", "--image=registry/image"]) == 0
    assert f"kubectl apply --server-side --filename {place}/d/kubernetes" in capsys.readouterr().out
    assert sorted(path.name for path in (place / "d/kubernetes").iterdir()) == [
        "job.yaml",
        "secret.yaml",
        "tasks-000.yaml",
    ]
    assert KEY not in (place / "d/kubernetes/job.yaml").read_text()


def test_a_job_is_followed_and_its_secrets_are_removed(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("yaml", reason="needs the extra hub: make setup")
    status = {"completedIndexes": "0,1", "conditions": [{"type": "Complete", "status": "True"}]}
    (place / "answer").write_text(json.dumps({"status": status, "items": []}))
    (place / "kubectl").write_text(f"#!/bin/sh\ncase $1 in get) cat {place}/answer ;; esac\n")
    (place / "kubectl").chmod(0o755)
    monkeypatch.setenv("KUBECTL", str(place / "kubectl"))
    assert main(["tasks.json", "--on=kubernetes", "--apply", "--dir=d"]) == 0
    assert "2 tasks: 2 succeeded" in capsys.readouterr().out
    assert [path.name for path in (place / "d/kubernetes").iterdir()] == ["job.yaml"]
    assert json.loads((place / "d/results.json").read_text())["exitCode"] == 0


def test_a_hub_out_of_the_containers_reach(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "docker").write_text("#!/bin/sh\ncase $1 in network) echo 127.0.0.1 ;; esac\n")
    (place / "docker").chmod(0o755)
    assert main(["tasks.json", f"--engine={place}/docker", "--dir=d", "--hub=http://localhost:9"]) == 78
    assert "it does not listen at 127.0.0.1:9; start it with --host 127.0.0.1 and tokens" in capsys.readouterr().err
