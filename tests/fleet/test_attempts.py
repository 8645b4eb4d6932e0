"""The files of an attempt: what it gets, and what is believed of what it left."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.fleet.attempts import Place, container, order
from agent.fleet.engine import Ended, Order
from agent.fleet.results import Attempt, Results
from agent.limits import Limits
from tests.fleet.test_run import a_task
from tests.support.memory_engine import MemoryHub


def placed(directory: Path, number: int = 1) -> tuple[Place, Attempt]:
    task = a_task(1)
    attempt = Attempt(number=number, container=container("f", task, number), started="")
    place = Place(directory, task, attempt, Limits())
    place.make()
    return place, attempt


def left(directory: Path, result: Any, code: int | None = 1, **row: Any) -> Attempt:
    place, attempt = placed(directory)
    if result is not None:
        (place.task / "output" / "result.json").write_text(json.dumps(result))
    place.read(attempt, Ended(code), row)
    return attempt


def ordered(directory: Path, **values: str) -> Order:
    place, attempt = placed(directory)
    hub: Any = MemoryHub()
    return order(Results(fleet="f", started="", tasks=[]), a_task(1, **values), [attempt], place, hub, directory)


def test_what_comes_as_a_file(tmp_path: Path) -> None:
    made = ordered(tmp_path, LABELS="team=web", MODEL="sonnet")
    assert set(made.files) == {"TASK", "WS_TOKEN"}
    assert made.variables == {
        "REPO_URL": "https://x.org/y.git", "MODEL": "sonnet", "WS_SERVER": "ws://hub:8080", "CONTAINER_ID": "t1",
        "LABELS": "fleet=f,task=t1,attempt=f-t1-1,team=web",
    }  # fmt: skip
    place = tmp_path / "secrets"
    assert place.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in place.iterdir()} == {0o444}
    assert ordered(tmp_path).files == made.files, "equal values share a file"


def test_files_and_repositories_of_this_machine_are_shown(tmp_path: Path) -> None:
    ca, repository = tmp_path / "ca.pem", tmp_path / "my repo"
    ca.write_text("CA")
    made = ordered(tmp_path, WS_CA_FILE=str(ca), SSL_CERT_FILE="/in/the/image.pem")
    assert made.paths == {"WS_CA_FILE": ca}
    assert made.variables["SSL_CERT_FILE"] == "/in/the/image.pem"
    task = msgspec.structs.replace(a_task(1), local=repository)
    place, attempt = placed(tmp_path)
    hub: Any = MemoryHub()
    assert order(Results(fleet="f", started="", tasks=[]), task, [attempt], place, hub, tmp_path).shown == [repository]


def test_what_it_left_is_read(tmp_path: Path) -> None:
    attempt = left(tmp_path, {
        "exitCode": 1, "reason": "max_turns", "message": "too many", "duration": 5, "runID": "R", "sessionID": "S",
        "result": {"cost": 0.5, "num_turns": 3}, "changes": {"branch": "b"},
    }, cost=9.0)  # fmt: skip
    assert (attempt.exitCode, attempt.reason, attempt.message, attempt.duration) == (1, "max_turns", "too many", 5)
    assert (attempt.cost, attempt.turns, attempt.runID, attempt.sessionID) == (0.5, 3, "R", "S")
    assert attempt.changes == {"branch": "b"}


@pytest.mark.parametrize(
    "result",
    [None, [], 7, {"exitCode": "x"}, {"exitCode": 0}, {"result": 3, "changes": [], "runID": {}, "duration": True}],
)
def test_nothing_else_is_believed(tmp_path: Path, result: Any) -> None:
    attempt = left(tmp_path, result, cost=0.25, turns=1, runID="R")
    assert (attempt.exitCode, attempt.reason) == (1, "agent_lost")
    assert (attempt.cost, attempt.turns, attempt.runID, attempt.changes) == (0.25, 1, "R", None)


def test_an_end_without_words() -> None:
    place = Place(Path("/nowhere"), a_task(1), Attempt(number=1, container="c", started=""), Limits())
    for ended, reason in ((Ended(137), "killed"), (Ended(137, True), "oom"), (Ended(None), "agent_lost")):
        attempt = Attempt(number=1, container="c", started="")
        place.read(attempt, ended, {})
        assert attempt.reason == reason
        assert attempt.message


def test_links_and_pipes_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text('{"runID": "stolen"}')
    place, attempt = placed(tmp_path)
    (place.task / "output" / "result.json").symlink_to(secret)
    (place.task / "output" / "changes.patch").symlink_to(secret)
    os.mkfifo(place.task / "termination")
    place.read(attempt, Ended(1), {})
    assert (attempt.runID, place.patch) == (None, None)


def test_an_attempt_is_not_taken_for_the_one_before(tmp_path: Path) -> None:
    left(tmp_path, {"exitCode": 1, "runID": "first"})
    place, attempt = placed(tmp_path, 2)
    place.read(attempt, Ended(1), {})
    assert attempt.runID is None
    assert json.loads((tmp_path / "tasks/t1/attempt-1/result.json").read_text())["runID"] == "first"
