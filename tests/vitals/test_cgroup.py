from __future__ import annotations

from pathlib import Path

import pytest

from agent.vitals import cgroup
from agent.vitals.cgroup import Usage
from tests.support.cgroups import MIB, make, v1, v2


def test_version_2_as_a_container_shows_it(tmp_path: Path) -> None:
    group = cgroup.find(make(tmp_path, v2()))
    assert group is not None
    assert group.source == "cgroup2"
    assert group.usage() == Usage(
        working_set=300 * MIB,
        memory_limit=1024 * MIB,
        oom_kills=1,
        cpu_seconds=12.5,
        cpu_quota=0.5,
        throttled_seconds=0.25,
        pids=7,
        pids_limit=100,
    )


def test_version_1_as_a_container_shows_it(tmp_path: Path) -> None:
    group = cgroup.find(make(tmp_path, v1()))
    assert group is not None
    assert group.source == "cgroup1"
    assert group.usage() == Usage(
        working_set=300 * MIB,
        memory_limit=1024 * MIB,
        oom_kills=1,
        cpu_seconds=12.5,
        cpu_quota=0.5,
        throttled_seconds=0.25,
        pids=7,
        pids_limit=100,
    )


@pytest.mark.parametrize(
    "files",
    [
        v2({"memory.max": "max", "cpu.max": "max 100000", "pids.max": "max"}),
        v1(
            {
                "memory/memory.limit_in_bytes": "9223372036854771712",
                "cpu/cpu.cfs_quota_us": "-1",
                "pids/pids.max": "max",
            }
        ),
    ],
    ids=["v2", "v1"],
)
def test_no_limit_is_none(tmp_path: Path, files: dict[str, str]) -> None:
    group = cgroup.find(make(tmp_path, files))
    assert group is not None
    usage = group.usage()
    assert (usage.memory_limit, usage.cpu_quota, usage.pids_limit) == (None, None, None)
    assert usage.working_set == 300 * MIB


@pytest.mark.parametrize("files", [v2(), v1()], ids=["v2", "v1"])
def test_what_is_missing_or_garbage_is_none(tmp_path: Path, files: dict[str, str]) -> None:
    group = cgroup.find(make(tmp_path, files))
    assert group is not None
    for name in files:
        (tmp_path / name).write_text("\x00 neither number nor ünïcode\n")
    assert set(vars_of(group.usage())) == {None}
    for name in files:
        (tmp_path / name).unlink()
    assert set(vars_of(group.usage())) == {None}


def vars_of(usage: Usage) -> tuple[float | None, ...]:
    return tuple(getattr(usage, name) for name in usage.__struct_fields__)


def test_more_cache_than_usage_is_no_memory(tmp_path: Path) -> None:
    group = cgroup.find(make(tmp_path, v2({"memory.stat": f"inactive_file {9000 * MIB}"})))
    assert group is not None
    assert group.usage().working_set == 0


def test_the_machines_own_root_is_not_ours(tmp_path: Path) -> None:
    root_v2 = {name: text for name, text in v2().items() if not name.startswith(("memory", "pids", "cpu.max"))}
    assert cgroup.find(make(tmp_path / "2", root_v2)) is None
    assert cgroup.find(make(tmp_path / "1", v1({"memory/release_agent": ""}))) is None
    assert cgroup.find(tmp_path / "none") is None


def test_this_machine_is_read() -> None:
    group = cgroup.find()  # None outside a container
    assert group is None or (group.usage().working_set or 0) > MIB
