"""Samples of what the run uses, every few seconds: of its container if there is one, else of our own processes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import msgspec

from agent.files import nearest
from agent.limits import Limits
from agent.process import descendants
from agent.ticks import next_tick
from agent.vitals import cgroup


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes, seconds and counts; None where something cannot be known here, or is not limited."""

    #: Seconds of a clock that never goes back.
    time: float
    source: Literal["cgroup2", "cgroup1", "psutil"]
    cpu_seconds: float | None = None
    #: Cores in use, on average since the sample before.
    cpu_cores: float | None = None
    #: Working set: without the file cache, which the kernel drops before it kills anything.
    memory: int | None = None
    memory_limit: int | None = None
    pids: int | None = None
    pids_limit: int | None = None
    #: Free for us on the file system of the workspace.
    disk_free: int | None = None
    disk_total: int | None = None
    #: Processes that the kernel killed for lack of memory, since the container began.
    oom_kills: int | None = None

    @property
    def memory_fraction(self) -> float | None:
        """Memory in use, as a part of its limit."""
        return self.memory / self.memory_limit if self.memory is not None and self.memory_limit else None

    def fields(self) -> dict[str, Any]:
        """The fields of HEARTBEAT: cores in use, bytes, counts; `disk` is the free space. Unknown ones are absent."""
        fields = {
            "cpu": None if self.cpu_cores is None else round(self.cpu_cores, 2),
            "memory": self.memory,
            "memoryLimit": self.memory_limit,
            "pids": self.pids,
            "disk": self.disk_free,
        }
        return {name: value for name, value in fields.items() if value is not None}


class MemoryGuard:
    """Decides that the container is about to run out of memory, while there is enough left to report it."""

    def __init__(self, limits: Limits) -> None:
        self._threshold = limits.memory_guard
        self._above = 0

    def exceeded(self, sample: Sample) -> bool:
        """True from the second sample in a row above the threshold: the first may be a peak that is over already."""
        fraction = sample.memory_fraction
        self._above = self._above + 1 if fraction is not None and fraction >= self._threshold else 0
        return self._above >= 2


class Sampler:
    """Takes samples. The cores in use are an average since the sample before."""

    def __init__(self, workspace: Path, root: Path = Path("/sys/fs/cgroup")) -> None:
        self._workspace = workspace
        self._cgroup = cgroup.find(root)
        self._before: Sample | None = None

    def sample(self) -> Sample:
        """Take a sample. Never raises for what cannot be read. Takes 0.1 ms with a cgroup, else 0.1 ms a process."""
        sample = self._processes() if self._cgroup is None else self._container(self._cgroup)
        before, self._before = self._before, sample
        if before is None or before.cpu_seconds is None or sample.cpu_seconds is None or sample.time <= before.time:
            return sample
        # The time of a process that nobody waited for is lost when it ends, so that the sum may fall.
        cores = max(0.0, sample.cpu_seconds - before.cpu_seconds) / (sample.time - before.time)
        return msgspec.structs.replace(sample, cpu_cores=cores)

    def _container(self, group: cgroup.CgroupV2 | cgroup.CgroupV1) -> Sample:
        usage = group.usage()
        free, total = self._disk()
        return Sample(
            time=time.monotonic(),
            source=group.source,
            cpu_seconds=usage.cpu_seconds,
            memory=usage.working_set,
            memory_limit=usage.memory_limit,
            pids=usage.pids,
            pids_limit=usage.pids_limit,
            disk_free=free,
            disk_total=total,
            oom_kills=usage.oom_kills,
        )

    def _processes(self) -> Sample:
        """Sum up our processes. Memory that they share counts once for each of them: an upper bound."""
        import psutil  # imported here, since its 20 ms are of no use in a container

        cpu, memory, count = 0.0, 0, 0
        for pid in [os.getpid(), *(process.pid for process in descendants.living() if not process.dead)]:
            try:
                process = psutil.Process(pid)
                with process.oneshot():
                    used, resident = process.cpu_times(), process.memory_info().rss
            except psutil.Error:
                continue  # it ended meanwhile
            cpu += used.user + used.system + used.children_user + used.children_system
            memory += resident
            count += 1
        free, total = self._disk()
        return Sample(
            time=time.monotonic(),
            source="psutil",
            cpu_seconds=cpu,
            memory=memory,
            pids=count,
            disk_free=free,
            disk_total=total,
        )

    def _disk(self) -> tuple[int | None, int | None]:
        try:
            disk = os.statvfs(nearest(self._workspace))  # the clone may not have made it yet
        except OSError:
            return None, None
        return disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize


async def sample_forever(sampler: Sampler, limits: Limits, deliver: Callable[[Sample], None]) -> None:
    """Deliver a sample at once, and then at each interval, which is shorter if memory is limited, and nearly used up.

    Cancelling: safe.
    """
    while True:
        sample = sampler.sample()
        deliver(sample)
        await next_tick(_interval(sample, limits))


def _interval(sample: Sample, limits: Limits) -> float:
    if not sample.memory_limit:
        return limits.sample_interval
    is_close = (sample.memory_fraction or 0.0) >= limits.guard_close
    return limits.guard_close_interval if is_close else limits.guard_interval
