from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from agent.limits import Limits
from agent.vitals.sampler import MemoryGuard, Sample, Sampler, sample_forever
from tests.support.cgroups import MIB, make, v1, v2


@pytest.mark.parametrize(("files", "source"), [(v2(), "cgroup2"), (v1(), "cgroup1")])
def test_a_container_is_sampled_by_its_cgroup(tmp_path: Path, files: dict[str, str], source: str) -> None:
    sample = Sampler(tmp_path, make(tmp_path, files)).sample()
    assert (sample.source, sample.memory, sample.memory_limit) == (source, 300 * MIB, 1024 * MIB)
    assert (sample.pids, sample.pids_limit, sample.oom_kills) == (7, 100, 1)
    assert sample.memory_fraction == pytest.approx(300 / 1024)
    disk = os.statvfs(tmp_path)
    assert sample.disk_total == disk.f_blocks * disk.f_frsize
    assert sample.disk_free is not None
    assert set(sample.fields()) == {"memory", "memoryLimit", "pids", "disk"}


def test_cpu_is_cores_in_use_since_the_sample_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = Sampler(tmp_path, make(tmp_path, v2()))
    now = 100.0
    monkeypatch.setattr("agent.vitals.sampler.time.monotonic", lambda: now)
    assert sampler.sample().cpu_cores is None
    now = 102.0
    make(tmp_path, {"cpu.stat": "usage_usec 15500000"})
    sample = sampler.sample()
    assert sample.cpu_cores == 1.5
    assert sample.fields()["cpu"] == 1.5
    assert sampler.sample().cpu_cores is None  # no time has passed
    now = 103.0
    make(tmp_path, {"cpu.stat": "usage_usec 1"})
    assert sampler.sample().cpu_cores == 0


def test_without_a_container_our_own_processes_are_summed(tmp_path: Path) -> None:
    sampler = Sampler(tmp_path / "not" / "there" / "yet", tmp_path)
    alone = sampler.sample()
    code = "import time; print('ready', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        both = sampler.sample()
        child.kill()
    assert alone.source == both.source == "psutil"
    assert (both.pids or 0) == (alone.pids or 0) + 1
    assert (both.memory or 0) > (alone.memory or 0) > 5 * MIB
    assert both.cpu_cores is not None
    assert both.memory_limit is both.memory_fraction is both.oom_kills is None
    assert both.disk_total


def test_psutil_is_imported_only_where_it_is_needed(tmp_path: Path) -> None:
    make(tmp_path, v2())
    code = (
        "import sys; from pathlib import Path; from agent.vitals.sampler import Sampler; p = Path(sys.argv[1]);"
        "Sampler(p, p).sample(); print('psutil' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@given(st.lists(st.one_of(st.none(), st.integers(0, 120)), max_size=12))
def test_the_guard_needs_two_in_a_row(percents: list[int | None]) -> None:
    guard = MemoryGuard(Limits(memory_guard=0.95))
    plain = Sample(time=0, source="cgroup2", memory_limit=100)
    said = [guard.exceeded(msgspec.structs.replace(plain, memory=percent)) for percent in percents]
    high = [percent is not None and percent >= 95 for percent in percents]
    assert said == [now and before for before, now in zip([False, *high], high, strict=False)]


def test_without_a_limit_the_guard_never_trips() -> None:
    guard = MemoryGuard(Limits())
    assert not any(guard.exceeded(Sample(time=0, source="psutil", memory=1 << 50)) for _ in range(3))


async def test_samples_come_at_once_and_then_each_interval(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    times: list[float] = []
    sampler = Sampler(tmp_path, make(tmp_path, v2()))
    limits = Limits()
    assert sampler.sample().memory_limit
    with trio.move_on_after(3.5):
        await sample_forever(sampler, limits, lambda sample: times.append(trio.current_time()))
    assert [round(time - times[0], 3) for time in times] == [0, 1, 2, 3]


async def test_samples_come_more_often_when_memory_is_nearly_used_up(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    times: list[float] = []
    sampler = Sampler(tmp_path, make(tmp_path, v2()))
    used = [10, 79, 80, 96, 90, 10, 10]
    plain = Sample(time=0, source="cgroup2", memory_limit=100)
    monkeypatch.setattr(sampler, "sample", lambda: msgspec.structs.replace(plain, memory=used[len(times)]))
    with trio.move_on_after(3.3):
        await sample_forever(sampler, Limits(), lambda sample: times.append(trio.current_time()))
    assert [round(time - times[0], 3) for time in times] == [0, 1, 2, 2.2, 2.4, 2.6, 3]


async def test_nobody_waits_for_samples_of_what_is_not_limited(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    times: list[float] = []
    sampler = Sampler(tmp_path, tmp_path / "none")
    with trio.move_on_after(16):
        await sample_forever(sampler, Limits(), lambda sample: times.append(trio.current_time()))
    assert [round(time - times[0], 3) for time in times] == [0, 5, 10, 15]
