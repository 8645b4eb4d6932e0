"""A token that lives shorter than the run: the file has another one by the time of the push."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.collector import Collector, in_phase
from tests.support.git_servers import git, http_server
from tests.support.run_agent import origin, start_agent

pytestmark = pytest.mark.system

FIRST, SECOND = "ghs_first" + "0" * 30, "ghs_second" + "1" * 30


@pytest.mark.parametrize("renewed", [True, False])
async def test_the_push_shows_the_token_of_the_moment(tmp_path: Path, collector: Collector, renewed: bool) -> None:
    bare = origin(tmp_path)
    git(bare, "config", "http.receivepack", "true")
    file = tmp_path / "token"
    file.write_text(FIRST)
    script = [["read"], ["init"], ["write", "new.txt", "made by claude\n"], ["sleep", 4.5], ["result"]]
    with http_server(tmp_path, ("x-access-token", FIRST)) as server:
        environ = {
            "REPO_URL": f"{server.url}/origin.git", "GITHUB_TOKEN_FILE": str(file), "PUSH_BRANCH": "claude/new",
        }  # fmt: skip
        async with start_agent(tmp_path, collector.url, script, **environ) as agent:
            await collector.until(in_phase("RUNNING"))
            server.credentials = ("x-access-token", SECOND)
            if renewed:
                (tmp_path / "token.new").write_text(SECOND)
                (tmp_path / "token.new").replace(file)
            ran = await agent.ended()
    ran.settled()
    assert ran.code == 0
    said = "".join(collector.texts) + ran.stderr
    assert FIRST not in said
    assert SECOND not in said
    pushed = "claude/new" in git(bare, "for-each-ref", "--format=%(refname:short)")
    assert pushed == renewed
    if renewed:
        assert "GITHUB_TOKEN_FILE has a new value, which is in use from now on" in ran.stderr
        assert git(bare, "show", "claude/new:new.txt") == "made by claude"
    else:
        assert "nothing was pushed" in said
        assert "refused" in said
