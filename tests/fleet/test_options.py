"""Options of `agent fleet`, also those that a fleet which goes on has kept."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from agent.errors import AgentError
from agent.fleet.options import FILE, Options, parse


def test_defaults() -> None:
    call = parse(["tasks.json"], {"DOCKER": "/opt/docker"})
    assert (call.tasks, call.directory, call.resume, call.dry_run) == ("tasks.json", None, False, False)
    assert call.options == Options(engine="/opt/docker")


def test_all_of_them() -> None:
    call = parse(
        ["-", "--parallel=8", "--retries=0", "--budget=$25", "--budget-stop", "--dir=d", "--dry-run", "--hub=http://h",
         "--image=i", "--memory=4g", "--cpus=2", "--engine=podman", "--run-option=--network=lan", "--run-option=-t"],
        {},
    )  # fmt: skip
    assert call.options == Options(
        parallel=8, retries=0, budget=25.0, budget_stop=True, hub="http://h", image="i", memory="4g", cpus="2",
        engine="podman", run_options=("--network=lan", "-t"),
    )  # fmt: skip
    assert (call.tasks, call.directory, call.dry_run) == ("-", Path("d"), True)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "give TASKS, or --resume DIR"),
        (["t", "--resume=d"], "give TASKS, or --resume DIR"),
        (["--resume=d", "--dir=e"], "--dir is that of --resume"),
        (["t", "--parallel=0"], "must be a number from 1 to 10000"),
        (["t", "--retries=-1"], "must be a number from 0 to 100"),
        (["t", "--budget=much"], "must be an amount in US dollars"),
        (["t", "--budget=nan"], "must be an amount in US dollars"),
        (["t", "--budget-stop"], "--budget-stop needs --budget"),
        (["t", "--paralell=3"], "did you mean --parallel?"),
    ],
)
def test_a_wrong_command_line(argv: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        parse(argv, {})
    assert raised.value.code == 64
    assert said in capsys.readouterr().err


def test_a_fleet_that_goes_on_keeps_its_options(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(msgspec.json.encode(Options(parallel=7, budget=3.0, engine="podman")))
    call = parse([f"--resume={tmp_path}", "--budget=9"], {})
    assert (call.resume, call.directory, call.tasks) == (True, tmp_path, None)
    assert call.options == Options(parallel=7, budget=9.0, engine="podman")


@pytest.mark.parametrize("content", [None, b"{", b'{"parallel": "x"}'])
def test_nothing_to_go_on_with(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / FILE).write_bytes(content)
    with pytest.raises(AgentError, match=FILE):
        parse([f"--resume={tmp_path}"], {})
