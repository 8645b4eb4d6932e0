"""Lanes of the suite: which tests `make test` runs, and which of CI's stages runs each of the others.

A test is in the lane of the first of its markers that names one, in the order of LANES; without such a marker it is in
"fast", and so is a whole run with the marker "smoke". Each test is therefore in exactly one lane, and `pytest` without
--lane runs all of them. A test that starts a whole run or the real CLI has to carry the marker for it: see `in_lane`.
"""

from __future__ import annotations

import pytest

FAST = "fast"
#: Markers that name a lane; a test with two of them is in the earlier one.
LANES = ("soak", "docker", "page", "slow", "cli", "system")

_running: pytest.Item | None = None


def lane_of(item: pytest.Item) -> str:
    """Lane in which the test runs."""
    markers = {marker.name for marker in item.iter_markers()}
    lane = next((lane for lane in LANES if lane in markers), FAST)
    return FAST if "smoke" in markers and lane in ("cli", "system") else lane


def begins(item: pytest.Item) -> None:
    """Remember the test that runs now, for `in_lane`."""
    global _running
    _running = item


def in_lane(marker: str) -> None:
    """Fail the running test when it is in the fast lane without `marker`, because it would make `make test` slow.

    Outside of pytest this does nothing.
    """
    if _running is not None and lane_of(_running) == FAST and _running.get_closest_marker("smoke") is None:
        pytest.fail(f"mark this test with pytest.mark.{marker}: it starts what is too slow for `make test`")
