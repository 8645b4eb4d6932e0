"""Garbage collection beside a busy loop."""

from __future__ import annotations

import gc

import trio
from trio.testing import MockClock

from agent.hub.garbage import collect_seldom
from agent.limits import Limits


async def test_objects_are_set_aside_searched_hourly_and_given_back(autojump_clock: MockClock, monkeypatch):
    thresholds, searched = gc.get_threshold(), []
    monkeypatch.setattr(gc, "collect", lambda: searched.append(trio.current_time()))
    with trio.move_on_after(3 * 3600 + 30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(collect_seldom, Limits())
            await trio.sleep(61)
            assert gc.get_freeze_count() > 1000
    assert gc.get_freeze_count() == 0
    assert gc.get_threshold() == thresholds
    assert len(searched) == 3
