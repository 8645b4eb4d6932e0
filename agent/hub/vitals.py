"""Vitals of runs over time: what HEARTBEATs tell of resources, kept beside each run's messages as a bounded series.

A series that becomes too long is thinned to every other sample, and grows half as fast from then on: a run of a day is
told as well as one of a minute.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import msgspec
from msgspec import Struct

from agent.limits import Limits
from agent.receiver import RunKey, Store

_SUFFIX = ".vitals"


class _Series(Struct):
    """Series of a run: its samples, every how many HEARTBEATs become one, and how many came since the last one."""

    samples: int
    every: int = 1
    since: int = 0


class VitalSeries:
    """The series of the runs that move; what is known of others is read again from their files."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store = store
        self._most = limits.hub_vitals
        self._capacity = limits.receiver_runs
        self._series: OrderedDict[RunKey, _Series] = OrderedDict()

    def path(self, key: RunKey) -> Path:
        """The file of a run's series: NDJSON."""
        return self._store.path(key, _SUFFIX)

    def add(self, key: RunKey, at: str, vitals: dict[str, float]) -> None:
        """Keep a sample, unless the series is told by fewer. Raises OSError."""
        series = self._known(key)
        series.since += 1
        if series.since < series.every:
            return
        series.since = 0
        self._store.append_beside(key, _SUFFIX, msgspec.json.encode({"at": at, **vitals}))
        series.samples += 1
        if series.samples >= self._most:
            series.samples = self._thin(key)
            series.every *= 2

    def forget(self, key: RunKey) -> None:
        """Forget a run that was removed."""
        self._series.pop(key, None)

    def _known(self, key: RunKey) -> _Series:
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = _Series(len(self._lines(key)))
            if len(self._series) > self._capacity:
                self._series.popitem(last=False)
        return series

    def _lines(self, key: RunKey) -> list[bytes]:
        try:
            return self.path(key).read_bytes().splitlines(keepends=True)
        except FileNotFoundError:
            return []

    def _thin(self, key: RunKey) -> int:
        """Leave every other sample, the newest among them. Atomic."""
        lines = self._lines(key)[::-2][::-1]
        path = self.path(key)
        unfinished = path.with_name(path.name + ".new")
        unfinished.write_bytes(b"".join(lines))
        unfinished.replace(path)
        return len(lines)
