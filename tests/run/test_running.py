"""The tasks of claude: what its watchdog says, and a reader that fails. Mock clock, no descriptor."""

import pytest

from agent.claude.watchdog import Bark
from tests.run.test_supervisor import Stage, fail


@pytest.mark.parametrize(
    ("bark", "exit", "reason"),
    [(Bark.IDLE, 124, "idle"), (Bark.REFUSED, 77, "auth"), (Bark.LINGERS, 0, "exited_after_kill")],
)
async def test_the_watchdog_s_word_is_obeyed(autojump_clock, nursery, bark, exit, reason) -> None:
    stage = Stage(nursery, IDLE_TIMEOUT="3s")
    stage.work.seconds, stage.work.bark, stage.work.bark_after = 1000, bark, 3
    outcome = await stage.run()
    assert (outcome.exit, outcome.reason) == (exit, reason)


async def test_a_reader_that_fails_is_replaced_by_a_drain(autojump_clock, nursery) -> None:
    stage = Stage(nursery)
    stage.work.faults = {"stdout": lambda: fail(ValueError("a bug"))}
    await stage.run()
    assert any(message["data"].get("message") == "drained" for message in stage.peer.stored)
