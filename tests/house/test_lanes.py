"""Lanes of the suite: none is forgotten, and no test is slow, skipped in CI or random without anybody knowing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.lanes import FAST, LANES
from tests.support.places import ROOT

SAMPLE = """
import pytest
from hypothesis import given, strategies

def test_plain(): pass
@pytest.mark.system
def test_system(): pass
@pytest.mark.system
@pytest.mark.smoke
def test_smoke(): pass
@pytest.mark.cli
@pytest.mark.slow
def test_slow(): pass
def test_lacks_a_tool(): pytest.skip("no such tool")
async def test_lacks_a_server(nursery): pytest.skip("no such server")
@pytest.mark.skipif(True, reason="no such tool")
def test_lacks_a_condition(): pass
@pytest.mark.may_skip("a namespace")
def test_lacks_a_namespace(): pytest.skip("no namespace")
@pytest.mark.xfail
def test_wrong(): assert False
@given(strategies.integers())
def test_random(number): assert number < 1000
async def test_unmarked(tmp_path):
    from tests.support.run_agent import run_agent
    await run_agent(tmp_path, "none")
def test_unmarked_cli():
    from tests.support.real_cli import claude_cli
    claude_cli()
"""


def run_sample(directory: Path, *arguments: str, ci: bool = False) -> dict[str, str]:
    """The outcome of each test of the sample, and what pytest printed, under ""."""
    (directory / "test_sample.py").write_text(SAMPLE)
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(directory), "-v"]
    environ = {name: value for name, value in os.environ.items() if name != "CI"} | ({"CI": "true"} if ci else {})
    done = subprocess.run(
        [*command, "-p", "tests.conftest", "-p", "no:xdist", "-p", "no:cacheprovider", *arguments, str(directory)],
        cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    outcomes = re.findall(r"::test_(\w+) (PASSED|FAILED|SKIPPED|XFAIL|ERROR)\b", done.stdout)
    return {**dict(outcomes), "": done.stdout}


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return run_sample(tmp_path_factory.mktemp("sample"), "--lane", FAST)


@pytest.mark.system
def test_each_test_is_in_one_lane(tmp_path: Path, fast: dict[str, str]) -> None:
    tests = {"plain", "system", "smoke", "slow"}
    assert tests & set(fast) == {"plain", "smoke"}
    assert set(run_sample(tmp_path, "--lane", "system", "--lane", "cli")) == {"", "system"}


@pytest.mark.system
def test_a_skip_fails_in_ci(tmp_path: Path, fast: dict[str, str]) -> None:
    found = run_sample(tmp_path, "-k", "lacks or wrong", ci=True)
    outcomes = {name: (fast[name], found[name]) for name in found if name}
    assert outcomes == {
        "lacks_a_tool": ("SKIPPED", "FAILED"),
        "lacks_a_server": ("SKIPPED", "FAILED"),
        "lacks_a_condition": ("SKIPPED", "ERROR"),
        "lacks_a_namespace": ("SKIPPED", "SKIPPED"),
        "wrong": ("XFAIL", "XFAIL"),
    }
    assert ": no such server" in fast[""]
    assert "CI has to run this test, but it was skipped: Skipped: no such tool" in found[""]


@pytest.mark.system
def test_what_is_slow_needs_its_marker_and_what_is_random_is_reproduced(fast: dict[str, str]) -> None:
    assert fast["unmarked"] == fast["unmarked_cli"] == fast["random"] == "FAILED"
    assert "mark this test with pytest.mark.system" in fast[""]
    assert "mark this test with pytest.mark.cli" in fast[""]
    assert "@reproduce_failure" in fast[""]


def test_each_lane_has_its_command() -> None:
    makefile, ci, readme = ((ROOT / name).read_text() for name in ("Makefile", ".ci/run", "README.md"))
    assert f"--lane {FAST}" in makefile
    for lane in (FAST, *LANES):
        assert f"| `{lane}` |" in readme
        # CI's image stage runs `docker` by make; `soak` is for a person with time.
        assert f"--lane {lane}" in (makefile if lane in ("docker", "soak") else ci)
    assert "make --no-print-directory image-test" in ci


def test_a_page_that_lives_is_not_looked_at_once():
    """What a stream has not brought yet is waited for by `expect`; a bare assert made a test fail now and then."""
    once = re.compile(
        r"assert .*\.(is_hidden|is_visible|is_enabled|is_checked|input_value)\(\)|assert .*\.count\(\) =="
    )
    assert once.search("    assert page.locator('.alert').is_hidden()")
    modules = sorted((ROOT / "tests" / "hub").glob("test_page_*.py"))
    assert modules
    lines = [(module.name, line.strip()) for module in modules for line in module.read_text().splitlines()]
    assert [(name, line) for name, line in lines if once.search(line)] == []
