import msgspec
import trio

from agent.claude.watchdog import Activity, Bark, watch
from agent.limits import Limits
from agent.transcript.summary import Result, Summary

WITH_RESULT = Summary(inits=1, results=1, last_result=Result("success", False, 3))


async def barks(summary: Summary, *, idle: float | None = None, grace: float = 15.0, within: float = 1000.0):
    activity = Activity()
    began = trio.current_time()
    with trio.move_on_after(within):
        bark = await watch(activity, lambda: summary, idle_timeout=idle, result_grace=grace, limits=Limits())
        return bark, trio.current_time() - began
    return None


async def test_silent_without_a_reason(autojump_clock) -> None:
    assert await barks(Summary(), within=3600) is None


async def test_idle(autojump_clock) -> None:
    bark, after = await barks(Summary(), idle=30)
    assert bark is Bark.IDLE
    assert 30 <= after <= 31


async def test_lingers_after_its_result(autojump_clock) -> None:
    bark, after = await barks(WITH_RESULT, grace=15)
    assert bark is Bark.LINGERS
    assert 15 <= after <= 16


async def test_open_work_is_waited_for(autojump_clock) -> None:
    assert await barks(msgspec.structs.replace(WITH_RESULT, open_tasks=("t1",)), within=600) is None
    assert await barks(msgspec.structs.replace(WITH_RESULT, inits=2), within=600) is None


async def test_the_result_outranks_the_silence(autojump_clock) -> None:
    bark, _ = await barks(WITH_RESULT, grace=15, idle=15)
    assert bark is Bark.LINGERS


async def test_a_byte_starts_the_count_again(autojump_clock) -> None:
    activity = Activity()

    async def speak() -> None:
        for _ in range(5):
            await trio.sleep(8)
            activity.heard()

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(speak)
        bark = await watch(activity, Summary, idle_timeout=10, result_grace=15, limits=Limits())
    assert bark is Bark.IDLE
    assert 50 <= trio.current_time() - began <= 51


async def test_refused_credentials_do_not_wait(autojump_clock) -> None:
    assert await barks(Summary(refusals=1), within=600) is None
    assert await barks(Summary(refusals=2)) == (Bark.REFUSED, 0)
