"""Mirrors: which repositories have one, and what git gets for it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import trio

from agent.fleet.mirrors import _environment, make, shared
from agent.fleet.tasks import Task
from agent.limits import Limits
from tests.fleet.test_run import a_task
from tests.support.git_servers import git, http_server, make_origin


def at(number: int, repository: str, **values: str) -> Task:
    return msgspec.structs.replace(a_task(number, **values), repository=repository)


def test_repositories_that_several_tasks_fetch_whole() -> None:
    one, two = at(1, "https://x.org/a"), at(2, "https://x.org/a")
    others = [
        at(3, "https://x.org/b"), at(4, "https://x.org/a", GITHUB_TOKEN="of-another"),
        at(5, "https://x.org/a", CLONE_DEPTH="1"),
        *(msgspec.structs.replace(at(n, "/srv/a"), local=Path("/srv/a")) for n in (6, 7)),
    ]  # fmt: skip
    assert shared([one, two, *others]) == {("https://x.org/a", ""): [one, two]}


def test_a_token_goes_to_its_host_and_into_no_argument() -> None:
    found = _environment("https://user@x.org/a", "a-token", {"PATH": "/bin"})
    assert found["GIT_CONFIG_KEY_0"] == "http.https://x.org/.extraHeader"
    assert found["GIT_CONFIG_VALUE_0"].startswith("Authorization: Basic ")
    assert (found["PATH"], found["GIT_TERMINAL_PROMPT"]) == ("/bin", "0")
    for repository, token in (("https://x.org/a", ""), ("http://x.org/a", "a-token"), ("git@x.org:a", "a-token")):
        assert "GIT_CONFIG_COUNT" not in _environment(repository, token, {})


async def test_one_fetch_for_all_and_what_is_new_later(tmp_path: Path) -> None:
    make_origin(tmp_path)
    with http_server(tmp_path) as server:
        tasks = [at(n, f"{server.url}/origin.git") for n in (1, 2, 3)]
        said: list[str] = []
        with trio.fail_after(30):
            made = await make(tasks, tmp_path, Limits(), said.append)
            assert set(made) == {"t1", "t2", "t3"}
            path, = set(made.values())  # fmt: skip
            assert git(path, "rev-parse", "main") == git(tmp_path / "origin.git", "rev-parse", "main")
            git(tmp_path / "origin-work", "commit", "-q", "--allow-empty", "-m", "new")
            git(tmp_path / "origin-work", "push", "-q", str(tmp_path / "origin.git"), "HEAD:main")
            assert await make(tasks, tmp_path, Limits(), said.append) == made
            assert git(path, "rev-parse", "main") == git(tmp_path / "origin.git", "rev-parse", "main")
    assert said[0] == f"fetching {server.url}/origin.git once for 3 tasks"


async def test_a_mirror_that_cannot_be_made_only_costs_its_use(tmp_path: Path) -> None:
    with http_server(tmp_path) as server:
        said: list[str] = []
        tasks = [at(n, f"{server.url}/nowhere.git") for n in (1, 2)]
        with trio.fail_after(30):
            assert await make(tasks, tmp_path, Limits(), said.append) == {}
            server.faults.append("stall")
            assert await make(tasks, tmp_path, Limits(fleet_mirror=0.3), said.append) == {}
    assert "has no mirror, each task fetches it: " in said[1]
    assert "git took more than" in said[3]
