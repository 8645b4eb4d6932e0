"""The files of a container's cgroup, as versions 1 and 2 show them."""

from __future__ import annotations

import errno
import time
from collections.abc import Mapping
from pathlib import Path

MIB = 1 << 20


def remove_group(group: Path) -> None:
    """Remove a cgroup, once the last process in it is gone."""
    deadline = time.monotonic() + 20
    while True:
        try:
            group.rmdir()
            return
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def v2(changes: Mapping[str, str] = {}) -> dict[str, str]:
    return {
        "cgroup.controllers": "cpuset cpu io memory pids",
        "memory.current": str(400 * MIB),
        "memory.max": str(1024 * MIB),
        "memory.stat": f"anon {250 * MIB}\nfile {150 * MIB}\ninactive_file {100 * MIB}\nactive_file {50 * MIB}",
        "memory.events": "low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\noom_group_kill 0",
        "cpu.stat": "usage_usec 12500000\nuser_usec 1\nsystem_usec 1\nnr_throttled 3\nthrottled_usec 250000",
        "cpu.max": "50000 100000",
        "pids.current": "7",
        "pids.max": "100",
        **changes,
    }


def v1(changes: Mapping[str, str] = {}) -> dict[str, str]:
    return {
        "memory/memory.usage_in_bytes": str(400 * MIB),
        "memory/memory.limit_in_bytes": str(1024 * MIB),
        "memory/memory.stat": f"cache 1\ninactive_file 1\ntotal_inactive_file {100 * MIB}",
        "memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1",
        "cpuacct/cpuacct.usage": "12500000000",
        "cpu/cpu.cfs_quota_us": "50000",
        "cpu/cpu.cfs_period_us": "100000",
        "cpu/cpu.stat": "nr_periods 9\nnr_throttled 3\nthrottled_time 250000000",
        "pids/pids.current": "7",
        "pids/pids.max": "100",
        **changes,
    }


def make(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root
