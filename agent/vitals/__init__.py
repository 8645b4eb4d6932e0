"""vitals."""

from __future__ import annotations

from agent.vitals import cgroup
from agent.vitals.health_file import HealthFile
from agent.vitals.heartbeat import beat_forever
from agent.vitals.sampler import MemoryGuard, Sample, Sampler, sample_forever

__all__ = ["HealthFile", "MemoryGuard", "Sample", "Sampler", "beat_forever", "cgroup", "sample_forever"]
