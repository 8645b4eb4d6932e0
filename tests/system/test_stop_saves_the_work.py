"""A stop at any moment of a claude that takes its time to end, in a large repository: the work is saved each time."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest
import trio

from tests.support.git_servers import git
from tests.support.run_agent import origin, start_agent

pytestmark = pytest.mark.system

#: Docker's grace, less the second in which a process ends.
GRACE = 9.5
FILES = 20_000


def large(directory: Path) -> None:
    """The repository of `origin`, with many small files."""
    clone = directory / "large"
    git(directory, "clone", "-q", str(origin(directory)), str(clone))
    for number in range(FILES):
        place = clone / f"d{number % 100}"
        place.mkdir(exist_ok=True)
        (place / f"f{number}").write_text(f"{number}\n")
    git(clone, "add", "-A")
    git(clone, "commit", "-qm", "many files")
    git(clone, "push", "-q", "origin", "HEAD")


async def stop(directory: Path, stop_after: float, moment: float) -> None:
    output = directory / "output"
    script = [["read"], ["init"], ["slow_to_stop", stop_after], ["write", "file.txt", "edited\n"],
              ["text", "Edited."], ["hang"]]  # fmt: skip
    async with start_agent(directory, "none", script, OUTPUT_DIR=str(output)) as agent:
        await agent.until_stderr("Edited.")
        await trio.sleep(moment)
        began = trio.current_time()
        agent.signal(signal.SIGTERM)
        ran = await agent.ended()
        took = trio.current_time() - began
    assert ran.code == 143
    saved = (output / "changes.patch").exists() and "edited" in (output / "changes.patch").read_text()
    assert saved or "not done in the time that was left" in ran.stderr, ran.stderr[-2000:]
    assert took < GRACE, ran.stderr[-2000:]
    assert saved, ran.stderr[-2000:]


@pytest.mark.parametrize("stop_after", [0, 2.2, 9])
async def test_a_stop_saves_the_work(tmp_path: Path, stop_after: float) -> None:
    await stop(tmp_path, stop_after, 0)


@pytest.mark.slow
@pytest.mark.parametrize("stop_after", [0, 1.9, 3, 5, 9])
async def test_a_stop_saves_the_work_in_a_large_repository(tmp_path: Path, stop_after: float) -> None:
    large(tmp_path)
    await stop(tmp_path, stop_after, 0.1)


@pytest.mark.soak
@pytest.mark.parametrize("tenth", range(91))
async def test_a_stop_at_every_tenth_of_a_second(tmp_path: Path, tenth: int) -> None:
    large(tmp_path)
    await stop(tmp_path, tenth / 10, random.Random(tenth).uniform(0, 1))
