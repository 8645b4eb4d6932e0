"""Vitals stay few, however long a run is, and go on after a restart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from agent.hub.vitals import VitalSeries
from agent.limits import Limits
from agent.receiver import RunKey, Store
from tests.support.runs import a_run

KEY = RunKey("c1", "R1")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "runs")) as store:
        store.append(KEY, a_run(1).lines[0])
        yield store


def numbers(series: VitalSeries) -> list[int]:
    return [json.loads(line)["uptime"] for line in series.path(KEY).read_text().splitlines()]


def test_a_long_series_is_thinned_and_spans_the_whole_run(store: Store):
    series = VitalSeries(store, Limits(hub_vitals=50))
    for number in range(2000):
        series.add(KEY, "t", {"uptime": number})
    found = numbers(series)
    assert 25 <= len(found) < 50
    assert found[0] < 100
    assert found[-1] > 1900
    steps = [later - before for before, later in pairwise(found)]
    assert max(steps) <= 2 * min(steps)


def test_a_series_goes_on_after_a_restart(store: Store):
    first = VitalSeries(store, Limits(hub_vitals=100))
    for number in range(99):
        first.add(KEY, "t", {"uptime": number})
    again = VitalSeries(store, Limits(hub_vitals=100))
    again.add(KEY, "t", {"uptime": 99})
    assert numbers(again) == list(range(1, 100, 2))
    again.add(KEY, "t", {"uptime": 100})
    again.add(KEY, "t", {"uptime": 101})
    assert numbers(again)[-2:] == [99, 101]


def test_a_removed_run_leaves_nothing(store: Store):
    series = VitalSeries(store, Limits())
    series.add(KEY, "t", {"uptime": 1})
    series.forget(KEY)
    store.remove(KEY)
    assert not series.path(KEY).exists()
