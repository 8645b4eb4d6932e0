import os
import signal
import subprocess
import sys

import pytest
import trio
import trio.lowlevel

from agent import signals


@pytest.fixture(autouse=True)
def _handlers_restored():
    before = {number: signal.getsignal(number) for number in signals.STOP_SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


async def test_recorded_before_and_received_during() -> None:
    signals.record()
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGHUP)
    heard: list[int] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(signals.listen, heard.append)
        with trio.fail_after(30):
            while len(heard) < 2:
                await trio.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)
            while len(heard) < 3:
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert sorted(heard[:2]) == sorted([signal.SIGTERM, signal.SIGHUP])
    assert heard[2] == signal.SIGINT


def test_ignored_through_the_interpreter_s_end() -> None:
    """Python resets handlers while it shuts down: without ignore() a late SIGTERM turns success into a death."""
    program = """
import os, signal, sys
from agent import signals
signals.record()
signals.ignore()
class Late:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
late = Late()
sys.exit(7)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=30).returncode == 7


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_command_without_a_run_is_killed(when: str) -> None:
    program = f"""
import os, signal
from agent import signals
signals.record()
if {when == "before"}: os.kill(os.getpid(), signal.SIGTERM)
signals.let_kill()
os.kill(os.getpid(), signal.SIGTERM)
"""
    ran = subprocess.run([sys.executable, "-c", program], check=False, timeout=30)
    assert ran.returncode == -signal.SIGTERM


def test_a_wait_before_a_run_can_be_killed_and_the_run_catches_signals_again() -> None:
    program = """
import os, signal, sys
from agent import signals
signals.record()
if sys.argv[1] == "within":
    with signals.killing():
        os.kill(os.getpid(), signal.SIGINT)
with signals.killing():
    pass
os.kill(os.getpid(), signal.SIGINT)
sys.exit(7)
"""
    for when, status in (("within", -signal.SIGINT), ("after", 7)):
        ran = subprocess.run([sys.executable, "-c", program, when], check=False, timeout=30)
        assert ran.returncode == status


async def test_work_that_no_signal_stops_gives_its_own_status() -> None:
    async def work() -> int:
        await trio.lowlevel.checkpoint()
        return 69

    with trio.fail_after(30):
        assert await signals.run_until_stopped(work) == 69


async def test_a_signal_stops_the_work_and_is_the_status() -> None:
    ended = False

    async def work() -> int:
        nonlocal ended
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            await trio.sleep_forever()
        finally:
            ended = True

    signals.record()
    with trio.fail_after(30):
        assert await signals.run_until_stopped(work) == 128 + signal.SIGTERM
    assert ended
