"""Machines that are too small, by the kernel: a cgroup with little memory, a file system with little room."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.cgroups import remove_group
from tests.support.collector import collecting
from tests.support.git_servers import make_origin
from tests.support.mounts import mount_for_itself, need_mounts
from tests.support.run_agent import run_agent

pytestmark = [pytest.mark.system, pytest.mark.may_skip("a memory cgroup of one's own, a mount namespace")]

MIB = 1 << 20
_ROOT = Path("/sys/fs/cgroup")
#: Takes the whole limit within a moment, sooner than the memory guard looks twice.
EATER = "python3 -c 'm = [b\"x\" * (16 << 20) for _ in range(200)]'; echo $? > killed"


@pytest.fixture
def enter() -> Iterator[Callable[[], None]]:
    """Put a process into a cgroup with 400 MiB, which it sees as that of its container; to be called in the child."""
    need_mounts()
    memory = _ROOT / "memory" if (_ROOT / "memory").is_dir() else _ROOT
    group = memory / f"agent-test-{os.getpid()}"
    try:
        group.mkdir()
        limit = "memory.limit_in_bytes" if memory != _ROOT else "memory.max"
        (group / limit).write_text(str(400 * MIB))
    except OSError as error:
        with suppress(OSError):
            group.rmdir()
        pytest.skip(f"no cgroup of one's own here: {error}")

    def move() -> None:
        (group / "cgroup.procs").write_text(str(os.getpid()))
        mount_for_itself(str(group), str(memory))

    try:
        yield move
    finally:
        remove_group(group)


async def test_a_tool_that_the_kernel_kills_for_memory_is_a_warning(tmp_path: Path, enter: Callable[[], None]) -> None:
    script = [["read"], ["init"], ["bash", EATER], ["sleep", 7], ["text", "It was too large."], ["result"]]
    async with collecting() as collector:
        ran = await run_agent(tmp_path, collector.url, script, preexec=enter)
    ran.agrees(collector, code=0, reason="success")
    assert (ran.directory / "workspace" / "killed").read_text() == "137\n"
    said = [data for data in ran.of_type("LOG") if data["metadata"].get("kind") == "oom"]
    assert [data["level"] for data in said] == ["warn"], ran
    assert "killed" in said[0]["message"]


async def test_a_disk_that_fills_up_while_cloning(tmp_path: Path) -> None:
    need_mounts()
    (tmp_path / "large").mkdir()
    large = make_origin(tmp_path / "large", payload=4 * MIB)
    workspace = tmp_path / "agent" / "workspace"
    workspace.mkdir(parents=True)

    def small() -> None:
        mount_for_itself("none", str(workspace), "tmpfs", "size=1m")

    async with collecting() as collector:
        ran = await run_agent(tmp_path, collector.url, preexec=small, REPO_URL=f"file://{large}")
    ran.agrees(collector, code=66, reason="clone_failed")
    assert "no space left on the disk of the workspace while cloning" in ran.complete["message"]
    assert "CLONE_DEPTH=1" in ran.complete["message"]


@pytest.mark.parametrize("options", ["ro", "size=16k"])
async def test_a_place_for_temporary_files_that_takes_none_ends_the_run_before_its_clone(
    tmp_path: Path, options: str
) -> None:
    need_mounts()
    place = tmp_path / "place"
    place.mkdir()

    def small() -> None:
        mount_for_itself("none", str(place), "tmpfs", options)
        if options != "ro":
            with suppress(OSError), (place / "full").open("wb", buffering=0) as file:
                while file.write(bytes(4096)):
                    pass

    async with collecting() as collector:
        journal = str(tmp_path / "journal")
        ran = await run_agent(tmp_path, collector.url, preexec=small, TMPDIR=str(place), JOURNAL_DIR=journal)
    ran.agrees(collector, code=78, reason="config")
    words = "Read-only file system" if options == "ro" else "No space left on device"
    assert f"TMPDIR: {place} cannot be written ({words})" in ran.complete["message"]
    assert "CLONING" not in ran.phases
