"""How delivery slows down for a server that cannot keep up, and recovers."""

import pytest

from agent.delivery.pace import Pace
from agent.limits import Limits

LIMITS = Limits()


def test_connections_in_vain_halve_the_window_down_to_one_message() -> None:
    pace = Pace(LIMITS)
    assert (pace.window_messages, pace.window_bytes) == (LIMITS.window_messages // 4, LIMITS.window_bytes // 4)
    pace.in_vain()
    assert (pace.window_messages, pace.window_bytes) == (LIMITS.window_messages // 8, LIMITS.window_bytes // 8)
    for _ in range(100):
        pace.in_vain()
    assert pace.window_messages == 1
    assert pace.window_bytes > 0


def test_overdue_pongs_double_the_patience_within_bounds() -> None:
    pace = Pace(LIMITS)
    pace.overdue()
    assert pace.pong_within == 2 * LIMITS.ping_deadline
    assert pace.send_within == 2 * LIMITS.send
    for _ in range(1000):
        pace.overdue()
    assert pace.pong_within < 2 * 3600


def test_prompt_pongs_open_the_window_and_take_all_patience_back_and_slow_ones_do_not() -> None:
    pace = Pace(LIMITS)
    for _ in range(3):
        pace.in_vain()
        pace.overdue()
    narrow = pace.window_bytes
    pace.answered(pace.pong_within / 2, 1, narrow)
    assert pace.window_bytes == narrow
    for _ in range(10):
        pace.answered(0.01, 1, pace.window_bytes // 4)
    assert (pace.window_bytes, pace.pong_within) == (LIMITS.window_bytes, LIMITS.ping_deadline)


def test_what_a_server_answers_at_once_opens_no_window_unless_it_was_much() -> None:
    """A thousand single lines prove nothing of how fast a burst is taken."""
    pace = Pace(LIMITS)
    pace.overdue()
    first = pace.window_messages
    for _ in range(1000):
        pace.answered(0.001, 1, 500)
    assert (pace.window_messages, pace.pong_within) == (first, LIMITS.ping_deadline)
    pace.answered(0.001, first // 4, 500)
    assert pace.window_messages == 2 * first


@pytest.mark.parametrize("rate", [20e3, 150e3, 250e3, 1e6, 2e6, 10e6])
def test_a_window_never_takes_longer_than_half_of_the_patience_but_the_first_one(rate: float) -> None:
    """At any bytes a second: else a PING behind a full window would be overdue, and all of it sent again."""
    pace = Pace(LIMITS)
    first = pace.window_bytes
    for _ in range(20):
        size = pace.window_bytes // 4
        pace.answered(size / rate, 1, size)
    assert pace.window_bytes == first or pace.window_bytes / rate <= pace.pong_within / 2


def test_late_pongs_and_those_that_do_not_come_take_the_window_back_to_the_first() -> None:
    pace = Pace(LIMITS)
    first = pace.window_bytes
    pace.answered(0.01, 1, first)
    pace.answered(0.01, 1, 2 * first)
    assert pace.window_bytes == LIMITS.window_bytes
    pace.answered(pace.pong_within / 2, 1, LIMITS.window_bytes)
    assert pace.window_bytes == LIMITS.window_bytes // 2
    pace.overdue()
    assert pace.window_bytes == first
    pace.answered(pace.pong_within / 2, 1, first)
    pace.overdue()
    assert pace.window_bytes == first, "nobody is slower for a slow server than need be"


def test_a_server_that_has_acknowledged_is_given_more_time() -> None:
    pace = Pace(LIMITS)
    assert pace.silence_allowed == LIMITS.ack_grace
    pace.acked = True
    assert pace.silence_allowed == LIMITS.ack_silence
