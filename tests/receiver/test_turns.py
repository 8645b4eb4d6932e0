"""Turns bound the work of one pass of the loop."""

from __future__ import annotations

import trio

from agent.receiver.turns import Turns


async def test_one_pass_takes_no_more_than_its_limit_and_all_come_to_their_turn():
    turns, done = Turns(250), 0

    async def work() -> None:
        nonlocal done
        for _ in range(5):
            await turns.take(100)
            done += 1
            await trio.lowlevel.checkpoint()

    passes: list[int] = []
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(work)
        while done < 100:
            before = done
            await trio.lowlevel.checkpoint()
            passes.append(done - before)
    assert max(passes) <= 6  # three before and three after this task's own turn
    assert sum(passes) == 100


async def test_where_there_is_room_nobody_waits():
    turns = Turns(1000)
    with trio.CancelScope() as scope:
        scope.cancel()  # a wait would end here
        await turns.take(600)
        await turns.take(600)
    assert not scope.cancelled_caught


async def test_one_batch_larger_than_a_pass_has_its_turn():
    turns = Turns(10)
    with trio.fail_after(30):
        for _ in range(3):
            await turns.take(1000)


async def test_who_stops_waiting_holds_up_nobody_and_the_order_stays():
    turns, order = Turns(100), list[int]()

    async def work(number: int, cancelled: bool) -> None:
        with trio.CancelScope() as scope:
            if cancelled:
                scope.cancel()
            await turns.take(100)
            order.append(number)

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            await turns.take(100)
            for number in range(9):
                nursery.start_soon(work, number, number % 3 == 0)
    assert sorted(order) == [1, 2, 4, 5, 7, 8]
