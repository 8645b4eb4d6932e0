"""The end of a run: signals, the sweep, the saving, the time of delivery. Mock clock, no descriptor."""

import signal
from functools import partial

import pytest
import trio

from agent.errors import CloneError
from agent.run.inbox import CancelRequested
from tests.run.test_supervisor import Stage, fail


@pytest.mark.parametrize(("number", "exit"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
async def test_a_signal_stops_in_order_and_keeps_the_bill(autojump_clock, nursery, number, exit) -> None:
    stage = Stage(nursery)
    stage.work.seconds = 1000
    stage.signal_in(nursery, 3, number)
    began = trio.current_time()
    outcome = await stage.run()
    assert (outcome.exit, outcome.reason) == (exit, "cancelled")
    assert stage.complete["signal"] == signal.Signals(number).name
    assert stage.complete["result"]["cost"] == 0.41
    assert trio.current_time() - began < 3 + 0.1 + 2 + 0.5


@pytest.mark.parametrize("seconds", [0.0, 0.0001, 0.001, 0.5])
async def test_a_signal_in_any_early_phase(autojump_clock, nursery, seconds) -> None:
    stage = Stage(nursery)
    stage.work.faults = {"check": lambda: trio.sleep(0.0005), "clone": lambda: trio.sleep(1)}
    stage.signal_in(nursery, seconds)
    assert (await stage.run()).exit == 143
    assert stage.complete["exitCode"] == 143
    assert "begin" not in stage.work.steps


async def test_second_signal_ends_the_wait(autojump_clock, nursery) -> None:
    stage = Stage(nursery)
    stage.work.seconds, stage.work.stop_after = 1000, 4.9
    stage.signal_in(nursery, 1)
    stage.signal_in(nursery, 1.5)
    began = trio.current_time()
    await stage.run()
    assert trio.current_time() - began < 1.5 + 2.5


async def test_third_signal_leaves(autojump_clock, nursery) -> None:
    stage = Stage(nursery)
    stage.work.seconds, stage.work.stop_after = 1000, 4.9
    stage.work.faults = {"sweep": lambda: trio.sleep(2)}
    for seconds in (1, 1.1, 1.2):
        stage.signal_in(nursery, seconds)
    await stage.run()
    assert stage.left == [signal.SIGTERM]


@pytest.mark.parametrize("stop_after", [0.0, 1.0, 1.9, 2.0, 3.0, 4.9, 9.0])
@pytest.mark.parametrize("saving", [0.3, 1.9])
async def test_a_stop_saves_the_work_however_long_claude_takes_to_end(
    autojump_clock, nursery, stop_after: float, saving: float
) -> None:
    stage = Stage(nursery)
    stage.work.seconds, stage.work.stop_after = 1000, stop_after
    stage.work.faults["harvest"] = partial(trio.sleep, saving)
    stage.signal_in(nursery, 2)
    began = trio.current_time()
    with trio.fail_after(100):
        await stage.supervisor.run()
    assert trio.current_time() - began - 2 < 10, "docker kills the container 10 s after its first signal"
    await trio.sleep(1)
    assert stage.complete["changes"]["files"] == 1


async def test_saving_gets_what_claude_leaves_of_the_stop(autojump_clock, nursery) -> None:
    """4 s are more than saving gets at least; claude left them."""
    stage = Stage(nursery)
    stage.work.seconds = 1000
    stage.work.faults["harvest"] = partial(trio.sleep, 4)
    stage.signal_in(nursery, 2)
    await stage.run()
    assert stage.complete["changes"]["files"] == 1


async def test_a_second_signal_does_not_give_up_the_work_before_it_is_saved(autojump_clock, nursery) -> None:
    stage = Stage(nursery)
    stage.work.seconds, stage.work.stop_after = 1000, 4
    stage.work.faults["harvest"] = partial(trio.sleep, 0.5)
    stage.signal_in(nursery, 2)
    stage.signal_in(nursery, 3)
    await stage.run()
    assert stage.complete["changes"]["files"] == 1


async def test_a_second_signal_ends_the_saving(autojump_clock, nursery) -> None:
    stage = Stage(nursery)
    stage.work.seconds = 1000
    stage.work.faults["harvest"] = trio.sleep_forever
    stage.signal_in(nursery, 2)
    stage.signal_in(nursery, 3)
    began = trio.current_time()
    with trio.fail_after(100):
        await stage.supervisor.run()
    assert trio.current_time() - began < 3.5
    await trio.sleep(1)
    assert "changes" not in stage.complete


async def test_a_cancel_by_the_server_has_no_clock_of_docker_s(autojump_clock, nursery) -> None:
    stage = Stage(nursery, ALLOW_REMOTE_CANCEL="1")
    stage.work.seconds = 1000
    stage.work.faults["harvest"] = partial(trio.sleep, stage.config.limits.harvest - 0.5)

    async def later() -> None:
        await trio.sleep(3)
        stage.inbox.post(CancelRequested())

    nursery.start_soon(later)
    await stage.run()
    assert stage.complete["changes"]["files"] == 1


async def test_a_leaked_pipe_does_not_delay_the_end(autojump_clock, nursery) -> None:
    stage = Stage(nursery)
    stage.work.leaks = True
    began = trio.current_time()
    assert (await stage.run()).exit == 0
    assert trio.current_time() - began < 5 + stage.config.limits.ack_grace + stage.config.limits.drain + 3


def slow_handshake(stage: Stage, seconds: float) -> None:
    async def open_stream() -> trio.abc.Stream:
        await trio.sleep(seconds)
        return await stage.peer.open_stream()

    assert stage.supervisor._delivering._sender is not None
    stage.supervisor._delivering._sender._open_stream = open_stream


@pytest.mark.parametrize("failing", ["check", "clone"])
async def test_a_run_that_fails_at_once_is_told_to_a_server_that_is_slow_to_answer(
    failing: str, autojump_clock, nursery
) -> None:
    stage = Stage(nursery, SERVER_REQUIRED="0")
    setattr(stage.work, failing, lambda *_: fail(CloneError("no")))
    slow_handshake(stage, 4.9)
    assert (await stage.run(within=20)).exit == 66
    assert stage.complete["exitCode"] == 66
    assert stage.journal.queued == 0


@pytest.mark.parametrize(("tried", "patience"), [(0.0, 5.0), (1.5, 3.5), (60.0, 0.0)])
async def test_a_server_that_never_answered_is_not_waited_for(
    tried: float, patience: float, autojump_clock, nursery
) -> None:
    stage = Stage(nursery, SERVER_REQUIRED="0")
    stage.peer.refuse = ConnectionRefusedError(111, "Connection refused")

    async def clone(*_) -> None:
        await trio.sleep(tried)
        raise CloneError("no")

    stage.work.clone = clone  # type: ignore[method-assign]
    ended: list[float] = []
    stage.work.conclude = lambda *_: ended.append(trio.current_time())  # type: ignore[method-assign]
    with trio.fail_after(100):
        assert (await stage.supervisor.run()).exit == 66
    assert trio.current_time() - ended[0] == pytest.approx(patience, abs=0.01)


async def test_no_answer_gives_a_stopped_run_more_time(autojump_clock, nursery) -> None:
    stage = Stage(nursery, SERVER_REQUIRED="0")
    slow_handshake(stage, 1.9)
    stage.signal_in(nursery, 0.0)
    began = trio.current_time()
    with trio.fail_after(20):
        assert (await stage.supervisor.run()).exit == 143
    assert trio.current_time() - began <= stage.config.limits.flush_after_signal + 0.5


async def test_flush_waits_for_a_server_that_comes_back(autojump_clock, nursery) -> None:
    stage = Stage(nursery)

    async def go_away_and_come_back() -> None:
        await trio.sleep(2)
        stage.peer.refuse = ConnectionRefusedError(111, "Connection refused")
        await stage.peer.cut()
        await trio.sleep(300)
        stage.peer.refuse = None

    nursery.start_soon(go_away_and_come_back)
    assert (await stage.run(within=700)).exit == 0
    assert stage.complete["exitCode"] == 0


async def test_the_wait_at_the_end_is_told_and_has_its_variable(autojump_clock, nursery) -> None:
    stage = Stage(nursery, DELIVERY_WAIT="3m")

    async def leave() -> None:
        await trio.sleep(3)
        stage.peer.refuse = ConnectionRefusedError(111, "Connection refused")
        await stage.peer.cut()

    nursery.start_soon(leave)
    began = trio.current_time()
    with trio.fail_after(1000):
        assert (await stage.supervisor.run()).exit == 0
    assert 180 <= trio.current_time() - began < 200
    waiting = [line for line in stage.said if "waiting up to" in line]
    assert len(waiting) == 3, waiting
    assert "waiting up to 3 min for the server, " in waiting[0]
    assert "messages left (Connection refused); DELIVERY_WAIT sets how long" in waiting[0]


async def test_nobody_is_told_of_waiting_where_the_server_is_there(autojump_clock, nursery) -> None:
    stage = Stage(nursery)
    assert (await stage.run()).exit == 0
    assert not [line for line in stage.said if "waiting up to" in line]
