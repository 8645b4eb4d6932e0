import pytest
import trio
from trio.testing import MockClock

from agent.config.load import examine
from agent.exits import ExitStatus
from agent.process.run import Patience
from agent.protocol.events import Event
from agent.redaction.redactor import Redactor
from agent.replay.work import PlayedWork
from agent.steps.finished import Finished


def played() -> PlayedWork:
    config, _ = examine({"REPO_URL": "https://example.com/r", "TASK": "t"}, in_container=False)
    return PlayedWork(config, Redactor({}))


async def test_a_step_waits_for_what_it_came_to(autojump_clock: MockClock) -> None:
    work = played()
    with trio.move_on_after(10) as scope:
        await work.check()
    assert scope.cancelled_caught
    work.results["check"].settle("2.1.330")
    work.results["check"].settle("the first one counts")
    assert await work.check() == "2.1.330"


async def test_claude_takes_what_it_took_then_and_nothing_else(autojump_clock: MockClock) -> None:
    config, _ = examine({"REPO_URL": "https://example.com/r", "TASK": "t"}, in_container=False)
    claude = PlayedWork(config, Redactor({}), [{"a": 1}, {"b": 2}, {"c": 3}]).claude
    assert claude.tell(b'{"a":1}\n', b'{"b":2}\n')
    assert not claude.tell(b'{"b":2}\n')
    assert claude.told == 2
    assert claude.tell(b'{"c":3}\n')
    assert not claude.tell(b'{"d":4}\n')
    assert played().claude.tell(b"whatever"), "a transcript does not tell what claude was told"


async def test_verifications_end_as_they_did_one_after_the_other(autojump_clock: MockClock) -> None:
    work = played()
    bad, good = Finished(ExitStatus(code=1), 1.0), Finished(ExitStatus(code=0), 1.0)
    work.verified(bad)
    first, second, third = work.verify(), work.verify(), work.verify()
    assert await first.run(Patience()) == bad
    work.verified(good)
    assert await second.run(Patience()) == good
    work.let_go()
    assert not (await third.run(Patience())).good
    assert not (await work.verify().run(Patience())).good


async def test_a_step_fails_as_it_did(autojump_clock: MockClock) -> None:
    work = played()
    work.results["clone"].settle(None, ValueError("then"))
    with pytest.raises(ValueError, match="then"):
        await work.clone(lambda batch: None, Patience())
    assert work.cloning.is_set()


async def test_claude_that_is_told_to_stop_ends_when_it_did(autojump_clock: MockClock) -> None:
    work = played()
    async with trio.open_nursery() as nursery:

        async def stop() -> None:
            with trio.CancelScope() as scope:
                scope.cancel()
                assert await work.claude.run(Patience()) == ExitStatus(code=143)

        nursery.start_soon(stop)
        await trio.sleep(5)
        work.results["claude"].settle(ExitStatus(code=143))


async def test_output_goes_through_the_real_readers(autojump_clock: MockClock) -> None:
    work, published = played(), list[Event]()
    claude = work.claude
    async with trio.open_nursery() as nursery:
        nursery.start_soon(claude.read_stdout, published.extend)
        nursery.start_soon(claude.read_stderr, published.extend)
        await claude.stdout.write(b'{"type":"result","subtype":"success","is_error":false,"num_turns":1}\n')
        await claude.stderr.write(b"oh\n")
        claude.stdout.hang_up()
        claude.stderr.hang_up()
    assert claude.summary.last_result is not None
    assert claude.stderr_tail == "oh"
    assert sorted(event.source for event in published) == ["claude", "stderr"]
