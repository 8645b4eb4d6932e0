"""Virtual time: Trio's mock clock, quicker, and aware of a run that works on and on at one moment."""

from __future__ import annotations

from typing import Any, cast

import trio.testing

#: Looks at the clock without its moving after which a run counts as hung; a flood of output takes tens of thousands.
_LOOKS = 1_000_000


def virtual_clock(hung: trio.CancelScope) -> trio.testing.MockClock:
    """A clock that jumps to the next deadline when all tasks wait. `hung` is cancelled where none ever comes."""
    clock = trio.testing.MockClock(autojump_threshold=0)
    now, looks = 0.0, 0

    def current_time() -> float:
        nonlocal looks
        looks += 1
        if looks == _LOOKS:
            hung.cancel("the clock stands still")
        return now

    def deadline_to_sleep_time(deadline: float) -> float:
        return 0 if deadline <= now else 999_999_999

    def jump(seconds: float) -> None:
        nonlocal now, looks
        now += seconds
        looks = 0

    # It is asked twice in each of the hundreds of rounds of a run, and its own answers look at the real clock; the
    # class is final, the scheduler's autojump knows no other.
    methods = cast("Any", clock)
    methods.current_time, methods.deadline_to_sleep_time, methods.jump = current_time, deadline_to_sleep_time, jump
    return clock
