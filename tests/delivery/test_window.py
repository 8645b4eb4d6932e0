"""What is in flight on a connection, and what may follow it."""

import msgspec

from agent.delivery.pace import Pace
from agent.delivery.window import Window
from agent.journal import Record
from agent.limits import Limits

#: The window begins with a quarter of its limits: 8 messages, 1000 bytes.
LIMITS = msgspec.structs.replace(Limits(), window_messages=32, window_bytes=4000)


def records(first: int, last: int, size: int = 10) -> list[Record]:
    return [Record(seq, b"x" * size, "LOG") for seq in range(first, last + 1)]


def test_an_empty_window_always_has_room_for_one() -> None:
    window = Window(Pace(LIMITS))
    assert window.room == (1000, 8)
    window.add(records(1, 1, size=5000))
    assert window.room == (0, 0)
    window.cover(1)
    assert (len(window), window.bytes, window.room) == (0, 0, (1000, 8))


def test_a_pong_covers_in_the_order_of_sending() -> None:
    window = Window(Pace(LIMITS))
    window.add(records(5, 9))
    assert (len(window), window.bytes, window.room) == (5, 50, (950, 3))
    assert window.in_vain
    window.cover(6)
    assert (len(window), window.bytes) == (3, 30)
    assert not window.in_vain, "two were proved taken"
    window.cover(4)
    assert len(window) == 3
    window.cover(9)
    assert not window
    assert not window.in_vain, "nothing is in flight"


def test_a_ping_is_due_for_a_quarter_of_the_window() -> None:
    window = Window(Pace(LIMITS))
    window.add(records(1, 1))
    assert not window.is_ping_due(100)
    window.add(records(2, 2))
    assert window.is_ping_due(100), "2 of 8 messages"
    assert Window(Pace(LIMITS)).is_ping_due(0)
    large = Window(Pace(LIMITS))
    large.add(records(1, 1, size=250))
    assert large.is_ping_due(100), "250 of 1000 bytes"
