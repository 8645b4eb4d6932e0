"""Vital signs: what the run uses, and that the agent is alive.

What this room promises:

- Measuring never fails a run. A number that cannot be known is None, and absent from the messages.
- The numbers are those of the container if there is one, never those of the machine around it.
- The health file is written by the loop that drives the run, so that a hung agent shows by the file's age.
- The memory guard decides before the kernel does, while there is memory left to report it.

Files:

    sampler         Sampler and Sample: CPU, memory, processes, disk; MemoryGuard
    cgroup          the numbers of the container's cgroup, version 1 or 2
    heartbeat       the rhythm of HEARTBEAT and health file
    health_file     the line that healthcheck.sh reads

Callers: run/ starts the tasks; commands/ owns the health file and looks at the limits in `agent check`.
"""

from __future__ import annotations

from agent.vitals import cgroup
from agent.vitals.health_file import HealthFile
from agent.vitals.heartbeat import beat_forever
from agent.vitals.sampler import MemoryGuard, Sample, Sampler, sample_forever

__all__ = ["HealthFile", "MemoryGuard", "Sample", "Sampler", "beat_forever", "cgroup", "sample_forever"]
