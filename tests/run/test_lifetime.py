import trio

from agent.run.lifetime import Lifetime


async def test_joins_before_its_first_step_and_leaves(autojump_clock) -> None:
    life = Lifetime("work")
    assert life.empty
    scope = life.join()
    assert not life.empty
    life.leave(scope)
    assert life.empty


async def test_cancel_reaches_all_and_later_ones(autojump_clock) -> None:
    life = Lifetime("work")
    scopes = [life.join(), life.join()]
    life.cancel("why")
    for scope in [*scopes, life.join()]:
        with scope:
            await trio.sleep(10)
        assert scope.cancelled_caught
    assert trio.current_time() < 1


async def test_only_an_earlier_deadline_counts(autojump_clock) -> None:
    life = Lifetime("link")
    began = trio.current_time()
    scope = life.join()
    life.expire_in(5)
    life.expire_in(50)
    with scope:
        await trio.sleep(1000)
    assert trio.current_time() - began == 5
    life.expire_in(2)
    with life.join() as late:
        await trio.sleep(1000)
    assert late.cancelled_caught


async def test_more_time_may_be_given_until_it_has_passed(autojump_clock) -> None:
    life = Lifetime("link")
    began = trio.current_time()
    scope = life.join()
    life.expire_in(5)
    life.extend(50)
    with scope:
        await trio.sleep(1000)
    assert trio.current_time() - began == 50
    life.extend(50)
    assert scope.cancelled_caught
