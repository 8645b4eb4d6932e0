"""The supervisor's memory channel: what is posted is heard in order, and its task leaves just before."""

import trio

from agent.run.inbox import Connected, Inbox, Signalled


async def test_reports_are_heard_in_order_and_leave_first() -> None:
    inbox = Inbox()
    happened: list[object] = []
    inbox.post(Connected())
    inbox.post(Signalled(15), lambda: happened.append("left"))
    happened.append(await inbox.receive())
    happened.append(await inbox.receive())
    assert happened == [Connected(), "left", Signalled(15)]


async def test_a_post_never_waits_and_a_cancelled_reader_loses_nothing(autojump_clock: trio.testing.MockClock) -> None:
    inbox = Inbox()
    with trio.move_on_after(1) as scope:
        await inbox.receive()
    assert scope.cancelled_caught
    for number in range(10_000):
        inbox.post(Signalled(number))
    assert [await inbox.receive() for _ in range(10_000)] == [Signalled(number) for number in range(10_000)]
