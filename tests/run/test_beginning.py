"""The beginning of a run: a server that is waited for, or not, and a configuration that is bad. Mock clock."""

import trio

from agent.errors import CliError
from agent.exits import Exit
from agent.outcome import causes
from tests.run.test_supervisor import Stage


async def test_no_server_at_the_start(autojump_clock, nursery) -> None:
    stage = Stage(nursery, SERVER_WAIT="5s")
    stage.peer.refuse = ConnectionRefusedError(111, "Connection refused")
    outcome = await stage.run(within=20)
    assert (outcome.exit, outcome.reason) == (69, "server_unreachable")
    assert "clone" not in stage.work.steps


async def test_server_not_required(autojump_clock, nursery) -> None:
    stage = Stage(nursery, SERVER_REQUIRED="0")
    stage.peer.refuse = ConnectionRefusedError(111, "Connection refused")
    outcome = await stage.run(within=60)
    assert outcome.exit == 0
    assert stage.journal.queued > 0, "nobody was there; the journal keeps it"


async def test_a_bad_configuration_still_completes(autojump_clock, nursery) -> None:
    fault = causes.by_fault("configuration", CliError("bad", exit=Exit.CONFIG, code="config"))
    stage = Stage(nursery, fault=fault)
    outcome = await stage.run(within=20)
    assert outcome.exit == 78
    assert stage.complete["exitCode"] == 78
    assert stage.work.steps == ["sweep"]


async def test_a_bad_configuration_without_a_server_is_not_waited_for(autojump_clock, nursery) -> None:
    stage = Stage(nursery, fault=causes.by_fault("x", CliError("bad", exit=Exit.CONFIG, code="config")))
    stage.peer.refuse = ConnectionRefusedError(111, "Connection refused")
    began = trio.current_time()
    assert (await stage.run(within=20)).exit == 78
    assert trio.current_time() - began <= stage.config.limits.first_answer + 3
