"""The cgroup of this container: its use of memory, CPU and processes, and their limits.

A container sees its own cgroup as the root of the mount (v2, or one mount per controller with v1), whatever path
/proc/self/cgroup shows. Outside a container the root is that of the machine, whose numbers are not ours: it is
recognised by a file that only it lacks (v2: memory.current) or has (v1: release_agent). Reading a file takes 8 µs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

#: Version 1 writes "no limit" as the highest multiple of the page size.
_NO_LIMIT = 1 << 60


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes, seconds and counts since the start of the container; None where this kernel does not tell."""

    #: Without the file cache, which the kernel drops before it kills anything.
    working_set: int | None
    memory_limit: int | None
    #: Processes that the kernel killed for lack of memory.
    oom_kills: int | None
    cpu_seconds: float | None
    #: CPU time per second of wall-clock time, in cores.
    cpu_quota: float | None
    #: Time in which the quota let no process of ours run.
    throttled_seconds: float | None
    pids: int | None
    pids_limit: int | None


def find(root: Path = Path("/sys/fs/cgroup")) -> CgroupV2 | CgroupV1 | None:
    """Find the cgroup of this container; None outside a container."""
    if (root / "cgroup.controllers").exists():
        return CgroupV2(root) if (root / "memory.current").exists() else None
    memory = root / "memory"
    if (memory / "memory.usage_in_bytes").exists() and not (memory / "release_agent").exists():
        return CgroupV1(root)
    return None


class CgroupV2:
    """A cgroup of version 2: all controllers in one directory."""

    source: Literal["cgroup2", "cgroup1"] = "cgroup2"

    def __init__(self, root: Path) -> None:
        self._root = root

    def usage(self) -> Usage:
        """Read the present numbers. Never raises."""
        root = self._root
        cpu = _table(root / "cpu.stat")
        quota, _, period = _text(root / "cpu.max").partition(" ")
        return Usage(
            working_set=_working_set(_number(root / "memory.current"), _table(root / "memory.stat"), "inactive_file"),
            memory_limit=_number(root / "memory.max"),
            oom_kills=_table(root / "memory.events").get("oom_kill"),
            cpu_seconds=_scaled(cpu.get("usage_usec"), 1e6),
            cpu_quota=int(quota) / int(period) if quota.isdecimal() else None,
            throttled_seconds=_scaled(cpu.get("throttled_usec"), 1e6),
            pids=_number(root / "pids.current"),
            pids_limit=_number(root / "pids.max"),
        )


class CgroupV1:
    """A cgroup of version 1: a directory for each controller."""

    source: Literal["cgroup2", "cgroup1"] = "cgroup1"

    def __init__(self, root: Path) -> None:
        self._memory, self._cpu, self._cpuacct, self._pids = (root / it for it in ("memory", "cpu", "cpuacct", "pids"))

    def usage(self) -> Usage:
        """Read the present numbers. Never raises."""
        memory, cpu = self._memory, self._cpu
        limit = _number(memory / "memory.limit_in_bytes")
        quota, period = _number(cpu / "cpu.cfs_quota_us"), _number(cpu / "cpu.cfs_period_us")
        used, stat = _number(memory / "memory.usage_in_bytes"), _table(memory / "memory.stat")
        return Usage(
            working_set=_working_set(used, stat, "total_inactive_file"),
            memory_limit=limit if limit is not None and limit < _NO_LIMIT else None,
            oom_kills=_table(memory / "memory.oom_control").get("oom_kill"),
            cpu_seconds=_scaled(_number(self._cpuacct / "cpuacct.usage"), 1e9),
            cpu_quota=quota / period if quota is not None and period else None,
            throttled_seconds=_scaled(_table(cpu / "cpu.stat").get("throttled_time"), 1e9),
            pids=_number(self._pids / "pids.current"),
            pids_limit=_number(self._pids / "pids.max"),
        )


def _working_set(used: int | None, stat: dict[str, int], cache: str) -> int | None:
    return None if used is None else max(0, used - stat.get(cache, 0))


def _scaled(value: int | None, unit: float) -> float | None:
    return None if value is None else value / unit


def _number(path: Path) -> int | None:
    """The number in a file; None if there is no such file, or no limit (`max`, -1)."""
    text = _text(path)
    return int(text) if text.isdecimal() else None


def _table(path: Path) -> dict[str, int]:
    """The numbers in a file of `name number` lines."""
    words = _text(path).split()
    return {name: int(value) for name, value in zip(words[::2], words[1::2], strict=False) if value.isdecimal()}


def _text(path: Path) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""
