"""The API's description, and a running hub held against it by schemathesis."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import trio

from agent.limits import Limits
from tests.hub.test_api import TOKENS
from tests.support.hub_client import open_client
from tests.support.runs import a_run
from tests.support.servers import ROOT

openapi = pytest.importorskip("agent.hub.openapi")
SCHEMATHESIS = os.environ.get("SCHEMATHESIS") or str(ROOT / ".tools" / "api" / "bin" / "schemathesis")


def test_the_file_is_what_the_code_says():
    assert openapi.PATH.read_text() == openapi.render() + "\n", "python -m agent.hub.openapi >agent/hub/openapi.json"


async def test_the_hub_serves_it(tmp_path: Path):
    async with open_client(tmp_path, TOKENS) as client:
        served = (await client.get("/api/openapi.json")).json
        assert served == openapi.document()
        paths = set(served["paths"])
        docs = (ROOT / "docs" / "hub.md").read_text()
        assert [path for path in paths if path.replace("{id}", "ID") not in docs] == []


@pytest.mark.slow
async def test_every_answer_is_as_described(tmp_path: Path):
    if shutil.which(SCHEMATHESIS) is None:
        pytest.skip("needs schemathesis: make api-tools")
    limits = Limits(hub_beat=0.05, hub_guesses=10**9)
    async with open_client(tmp_path / "store", TOKENS, limits, patience=150) as client:
        await client.send(*a_run(20).lines, path="/?token=agents")
        with trio.fail_after(120):
            done = await trio.run_process(
                [
                    SCHEMATHESIS, "run", f"http://127.0.0.1:{client.port}/api/openapi.json",
                    # They do not end; tests/hub/test_events.py follows them.
                    "--exclude-path-regex", "live$",
                    # A cursor is a string, but not every string is one.
                    "--exclude-checks", "positive_data_acceptance",
                    "-H", "Authorization: Bearer operators", "-n", "20", "--generation-database", "none",
                    "--warnings", "off", "--max-time", "40",
                ],
                capture_stdout=True, capture_stderr=True, check=False, cwd=tmp_path,
            )  # fmt: skip
    print(done.stdout.decode(), done.stderr.decode())
    assert done.returncode == 0
    assert "Tested: 12" in done.stdout.decode()
    assert client.shown.getvalue().count("Error") == 0
