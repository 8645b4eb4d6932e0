"""How delivery slows down for a server that cannot keep up, and recovers."""

from agent.limits import Limits
from agent.pace import Pace

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
    pace.answered(pace.pong_within / 2)
    assert pace.window_bytes == narrow
    for _ in range(10):
        pace.answered(0.01)
    assert (pace.window_bytes, pace.pong_within) == (LIMITS.window_bytes, LIMITS.ping_deadline)


def test_a_server_that_has_acknowledged_is_given_more_time() -> None:
    pace = Pace(LIMITS)
    assert pace.silence_allowed == LIMITS.ack_grace
    pace.acked = True
    assert pace.silence_allowed == LIMITS.ack_silence
