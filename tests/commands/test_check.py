import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent.commands import check
from agent.commands.check_local import Finding
from agent.config.advice import LOGINS
from tests.commands.conftest import KEY, configured
from tests.support.places import ROOT


def run_check(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agent", "check", *arguments],
        env=environ, cwd=environ["HOME"], capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


async def findings(environ: dict[str, str]) -> list[Finding]:
    return [finding async for finding in check.findings(*configured(environ))]


def test_all_is_well(environ: dict[str, str]) -> None:
    ran = run_check(environ, "--json")
    assert ran.returncode == 0, ran.stdout
    said = json.loads(ran.stdout)
    assert said["ok"]
    assert {item["check"]: item["state"] for item in said["checks"]} == dict.fromkeys(
        ("config", "server", "repository", "claude", "credentials", "proxy", "workspace", "journal", "output",
         "recording", "temporary", "environment", "memory", "pids", "grace", "clock"), "ok",
    )  # fmt: skip
    assert not (Path(environ["WORKSPACE_DIR"])).exists()
    assert list(Path(environ["TMPDIR"]).iterdir()) == []


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_a_reader_that_has_enough(environ: dict[str, str], arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ran = subprocess.run(
        [sys.executable, "-m", "agent", "check", *arguments],
        env=environ, cwd=environ["HOME"], stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False,
    )  # fmt: skip
    os.close(writer)
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_what_fails_is_named_with_its_remedy_and_without_its_value(environ: dict[str, str]) -> None:
    environ |= {"REPO_REF": KEY, "TIMEOUT": "soon", "CLAUDE_BIN": "no-such-claude"}
    ran = run_check(environ)
    assert ran.returncode == 78
    failed = [line.split()[1] for line in ran.stdout.splitlines() if line.startswith("fail")]
    assert failed == ["config", "repository", "claude"]
    told = {item["check"]: item["remedy"] for item in json.loads(run_check(environ, "--json").stdout)["checks"]}
    assert told["repository"]
    assert told["claude"]
    assert "REPO_REF" in ran.stdout
    assert "30m" in ran.stdout
    assert KEY not in ran.stdout + ran.stderr


def test_without_any_configuration(tmp_path: Path) -> None:
    ran = run_check({"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)})
    assert ran.returncode == 78
    assert all(name in ran.stdout for name in ("REPO_URL", "TASK", "WS_SERVER"))
    assert "Traceback" not in ran.stderr


def test_usage(environ: dict[str, str]) -> None:
    assert run_check(environ, "--nothing").returncode == 64
    helped = run_check(environ, "--help")
    assert (helped.returncode, helped.stdout) == (0, check.parser().format_help())


@pytest.mark.parametrize("name", LOGINS)
def test_one_credential_is_enough(environ: dict[str, str], name: str) -> None:
    del environ["ANTHROPIC_API_KEY"]
    found = check.credentials(configured(environ)[0])
    assert (found.state, found.check) == ("fail", "credentials")
    assert check.credentials(configured(environ | {name: "1" * 20})[0]).state == "ok"
    assert check.credentials(configured(environ | {"CLAUDE_ENV": f"{name}: 11111111"})[0]).state == "ok"


def test_a_login_in_the_home(environ: dict[str, str]) -> None:
    del environ["ANTHROPIC_API_KEY"]
    login = Path(environ["HOME"], ".claude", ".credentials.json")
    login.parent.mkdir()
    login.write_text("{}")
    assert check.credentials(configured(environ)[0]).state == "ok"


async def test_warnings_of_the_configuration_do_not_fail_it(environ: dict[str, str]) -> None:
    found = await findings(environ | {"TERMINATION_GRACE_SECONDS": "1"})
    assert [item.check for item in found if item.state == "warn"] == ["config"]


async def test_a_place_that_is_missing_is_told_once(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    found = {item.check: item for item in await findings(environ)}
    assert [name for name, item in found.items() if "TMPDIR" in item.message + item.remedy] == ["temporary"]
    assert (found["repository"].state, found["repository"].remedy) == ("fail", "")
    assert "see temporary" in found["repository"].message


async def test_a_step_is_read_by_the_shell(environ: dict[str, str], tmp_path: Path) -> None:
    (good,) = (
        item for item in await findings(environ | {"SETUP_COMMAND": f"touch {tmp_path}/run"}) if item.check == "setup"
    )
    assert good.state == "ok"
    assert not (tmp_path / "run").exists()
    (bad,) = (item for item in await findings(environ | {"SETUP_COMMAND": "if true"}) if item.check == "setup")
    assert (bad.state, bad.remedy) == ("fail", 'try it: sh -n -c "$SETUP_COMMAND"')
    assert bad.message.startswith("SETUP_COMMAND: the shell cannot read it: ")


def test_a_signal_ends_it(environ: dict[str, str]) -> None:
    """A server that says nothing would hold it for ten seconds."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        environ["WS_SERVER"] = f"ws://127.0.0.1:{silent.getsockname()[1]}"
        command = [sys.executable, "-m", "agent", "check"]
        process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, cwd=environ["HOME"])
        with process:
            silent.settimeout(20)
            accepted, _ = silent.accept()
            with accepted:
                process.send_signal(signal.SIGINT)
                assert process.wait(8) == 130
