import os
import time
from pathlib import Path

import pytest

from agent.commands import check_local
from agent.commands.check_local import LOCAL_CHECKS
from agent.config.config import Config
from agent.config.load import examine
from agent.limits import MIB
from agent.vitals.cgroup import Usage


def configured(tmp_path: Path, **environ: str) -> Config:
    usual = {"REPO_URL": "/r", "TASK": "x", "WS_SERVER": "none", "WORKSPACE_DIR": str(tmp_path / "workspace")}
    return examine({**usual, **environ}, in_container=False)[0]


def test_an_ordinary_machine(tmp_path: Path) -> None:
    assert {check(configured(tmp_path)).state for check in LOCAL_CHECKS} == {"ok"}


def test_a_workspace_that_is_not_empty(tmp_path: Path) -> None:
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace" / "precious").touch()
    full = check_local.workspace(configured(tmp_path))
    replaced = check_local.workspace(configured(tmp_path, REPLACE_WORKSPACE="1"))
    assert (full.state, replaced.state) == ("fail", "warn")
    assert "REPLACE_WORKSPACE" in full.remedy
    assert replaced.remedy
    assert (tmp_path / "workspace" / "precious").exists()


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = os.statvfs_result((4096, 4096, 1000, 10, 10, 1000, 10, 10, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda path: full)
    assert check_local.workspace(configured(tmp_path)).state == "warn"


def test_places_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    found = check_local.workspace(configured(tmp_path))
    assert (found.state, "WORKSPACE_DIR" in found.remedy) == ("fail", True)
    assert check_local.journal(configured(tmp_path)).state == "warn"
    assert check_local.journal(configured(tmp_path, JOURNAL_DIR=str(tmp_path / "journal"))).state == "fail"
    found = check_local.output(configured(tmp_path, OUTPUT_DIR=str(tmp_path / "out")))
    assert found.state == "fail"
    assert "OUTPUT_DIR" in found.remedy
    assert check_local.recording(configured(tmp_path, RECORD_DIR=str(tmp_path / "record"))).state == "fail"
    assert check_local.recording(configured(tmp_path)).state == "ok"


def test_a_tmpdir_that_cannot_be_written_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python takes another one, and claude ends in the middle of its start: "EROFS: read-only file system, mkdir"."""
    monkeypatch.setenv("TMPDIR", "/proc")
    found = check_local.temporary(configured(tmp_path))
    assert found.state == "fail"
    assert found.message.startswith("TMPDIR: /proc cannot be written (")


def test_no_place_for_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tempfile._candidate_tempdir_list", lambda: [str(tmp_path / "nowhere")])
    found = check_local.temporary(configured(tmp_path))
    assert (found.state, "/tmp" in found.remedy) == ("fail", True)


@pytest.mark.parametrize(
    ("memory", "pids", "states"),
    [(4096 * MIB, 512, ("ok", "ok")), (256 * MIB, 20, ("warn", "warn")), (None, None, ("ok", "ok"))],
)
def test_the_limits_of_a_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: int | None, pids: int | None, states: tuple[str, str]
) -> None:
    usage = Usage(
        working_set=1, memory_limit=memory, oom_kills=0, cpu_seconds=1.0, cpu_quota=None, throttled_seconds=0.0,
        pids=1, pids_limit=pids,
    )  # fmt: skip

    class Group:
        def usage(self) -> Usage:
            return usage

    monkeypatch.setattr("agent.vitals.cgroup.find", Group)
    config = configured(tmp_path)
    assert (check_local.memory(config).state, check_local.processes(config).state) == states


def test_a_clock_that_is_wrong_by_years(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 0.0)
    found = check_local.clock(configured(tmp_path))
    assert (found.state, found.message[:4]) == ("fail", "1970")


def test_variables_that_claude_does_not_get_are_named_without_their_values(tmp_path: Path) -> None:
    usual = {"HOSTNAME": "x", "PATH": "/bin", "DB_PORT_5432_TCP_ADDR": "1", "KUBERNETES_PORT": "1", "EMPTY": ""}
    none = check_local.environment(configured(tmp_path, **usual, GITHUB_TOKEN_FILE="", AWS_REGION="x"))
    assert (none.state, none.message) == ("ok", "no variable is kept from claude")
    kept = check_local.environment(configured(tmp_path, **usual, NPM_TOKEN="s3cr3t", DATABASE_URL="s3cr3t"))
    assert kept.message.startswith("kept from claude: DATABASE_URL, NPM_TOKEN; CLAUDE_ENV")
    handed = check_local.environment(configured(tmp_path, NPM_TOKEN="s3cr3t", CLAUDE_ENV="NPM_TOKEN: other"))
    assert handed.message == "no variable is kept from claude"
    many = check_local.environment(configured(tmp_path, **{f"OTHER_{n}": "1" for n in range(15)}))
    assert "and 5 more" in many.message


@pytest.mark.parametrize(
    ("variables", "state", "says"),
    [
        ({}, "ok", "up to 9 s; docker gives 10 s"),
        ({"KILL_GRACE": "8s"}, "warn", "up to 12 s; docker gives 10 s"),
        ({"KILL_GRACE": "8s", "TERMINATION_GRACE_SECONDS": "20"}, "ok", "up to 12 s of 20"),
    ],
)
def test_the_grace_that_docker_gives(tmp_path: Path, variables: dict[str, str], state: str, says: str) -> None:
    found = check_local.grace(configured(tmp_path, **variables))
    assert (found.state, says in found.message) == (state, True), found
    assert ("--stop-timeout 13" in found.remedy) == (state == "warn")
