"""What the run uses, measured every few seconds: of the container where there is one, else of our own processes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import msgspec

from agent.limits import Limits
from agent.process import descendants
from agent.ticks import next_tick
from agent.vitals import cgroup


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes, seconds and counts; None is what cannot be known here, or is not limited."""

    #: Seconds of a clock that never goes back.
    time: float
    source: Literal["cgroup2", "cgroup1", "psutil"]
    cpu_seconds: float | None = None
    #: Cores in use, on average since the sample before.
    cpu_cores: float | None = None
    #: Working set: without the file cache that the kernel would rather drop than kill anybody.
    memory: int | None = None
    memory_limit: int | None = None
    pids: int | None = None
    pids_limit: int | None = None
    #: Free for us on the file system of the workspace.
    disk_free: int | None = None
    disk_total: int | None = None
    #: Processes that the kernel killed for want of memory, since the container began.
    oom_kills: int | None = None

    @property
    def memory_fraction(self) -> float | None:
        return self.memory / self.memory_limit if self.memory is not None and self.memory_limit else None

    def fields(self) -> dict[str, Any]:
        """As HEARTBEAT has them: cores in use, bytes, counts; `disk` is what is free. Unknown ones are absent."""
        fields = {
            "cpu": None if self.cpu_cores is None else round(self.cpu_cores, 2),
            "memory": self.memory,
            "memoryLimit": self.memory_limit,
            "pids": self.pids,
            "disk": self.disk_free,
        }
        return {name: value for name, value in fields.items() if value is not None}


class MemoryGuard:
    """Decides that the container is about to be out of memory, while there is still enough to say so."""

    def __init__(self, limits: Limits) -> None:
        self._threshold = limits.memory_guard
        self._above = 0

    def exceeded(self, sample: Sample) -> bool:
        """True from the second sample in a row above the threshold: one may be a peak that is over already."""
        fraction = sample.memory_fraction
        self._above = self._above + 1 if fraction is not None and fraction >= self._threshold else 0
        return self._above >= 2


class Sampler:
    """Takes samples; the cores in use are those of the time since the one before."""

    def __init__(self, workspace: Path, root: Path = Path("/sys/fs/cgroup")) -> None:
        self._workspace = workspace
        self._cgroup = cgroup.find(root)
        self._before: Sample | None = None

    def sample(self) -> Sample:
        """Never raises for what cannot be read; takes 0.1 ms with a cgroup, about 0.1 ms a process without."""
        sample = self._processes() if self._cgroup is None else self._container(self._cgroup)
        before, self._before = self._before, sample
        if before is None or before.cpu_seconds is None or sample.cpu_seconds is None or sample.time <= before.time:
            return sample
        # What a process used and nobody waited for is lost with it, so that the sum may fall.
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
        """Resident memory counts what processes share once for each of them: an upper bound."""
        import psutil  # 20 ms that a container need not pay

        cpu, memory, count = 0.0, 0, 0
        for pid in [os.getpid(), *(process.pid for process in descendants.living() if not process.dead)]:
            try:
                process = psutil.Process(pid)
                with process.oneshot():
                    used, resident = process.cpu_times(), process.memory_info().rss
            except psutil.Error:
                continue  # it has ended meanwhile
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
        place = self._workspace
        while not place.exists() and place != place.parent:  # the clone may have yet to make it
            place = place.parent
        try:
            disk = os.statvfs(place)
        except OSError:
            return None, None
        return disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize


async def sample_forever(sampler: Sampler, limits: Limits, deliver: Callable[[Sample], None]) -> None:
    """Deliver a sample at once, and then one in each interval: a shorter one where memory is limited.

    Cancelling: safe.
    """
    while True:
        sample = sampler.sample()
        deliver(sample)
        await next_tick(limits.guard_interval if sample.memory_limit else limits.sample_interval)
