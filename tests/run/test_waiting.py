"""Waiting for the API: as long as it takes and no longer, with the clocks that stand still. Mock clock, no process."""

from __future__ import annotations

import signal
from typing import Any

import pytest
import trio

from agent.claude.output import ClaudeOutput
from agent.config.config import Config
from agent.exits import ExitStatus
from agent.outcome.verdict import Outcome
from agent.process.run import Patience
from agent.run.waiting import GO_ON, LimitWaits, Pause
from tests.run.test_supervisor import Stage
from tests.support.claude_lines import INIT, assistant, line
from tests.support.memory_claude import MemoryClaude
from tests.support.memory_run import configuration

NOW = 1_800_000_000.0
LIMITED = Outcome(75, "rate_limit", "rate_limit", "the limit", resumable=True, resets_at=NOW + 3600)
AWAY = Outcome(75, "api_unavailable", "api", "overloaded", resumable=True)


def result(text: str, *, status: int | None = None, cost: float = 0.01, **more: Any) -> bytes:
    share = {"m": {"costUSD": cost, "outputTokens": 20}}
    trouble = {"is_error": True, "terminal_reason": "api_error", "api_error_status": status} if status else {}
    return line("result", subtype="success", num_turns=1, session_id="s1", result=text, total_cost_usd=cost,
                **{"is_error": False, "usage": {"output_tokens": 20}, "modelUsage": share,
                   "model_usage_since_last_result": share, "permission_denials": [], **trouble, **more})  # fmt: skip


def rejected(resets: float) -> bytes:
    return line("rate_limit_event", rate_limit_info={"status": "rejected", "resetsAt": resets})


def reply(number: int) -> bytes:
    message = {"id": f"m{number}", "model": "claude-opus-5-5", "content": [{"type": "text", "text": "Working."}]}
    return assistant(message=message)


class Talkative(MemoryClaude):
    """Ends a turn with each result, and begins the next when it is told something; ends when its input is closed."""

    def __init__(self, config: Config, turns: list[list[bytes]], pause: float = 0.1) -> None:
        super().__init__(config, [], pause=pause)
        self._turns = turns
        self.told: list[bytes] = []
        self._more, self._input = trio.open_memory_channel[bytes](10)

    async def run(self, patience: Patience) -> ExitStatus:
        try:
            await self._prompt_written.wait()
            for number, turn in enumerate(self._turns):
                if number:
                    await self._input.receive()
                for chunk in [INIT, *turn]:
                    await trio.sleep(self._pause)
                    await self._out.send_all(chunk + b"\n")
            await self._input.receive()
        except trio.EndOfChannel:
            pass
        except trio.Cancelled:
            with trio.CancelScope(shield=True):
                return await self._stop(patience)
        finally:
            self._out.close()
            self._err.close()
        last = self.summary.last_result
        return ExitStatus(code=0 if last is not None and last.good else 1)

    def tell(self, *lines: bytes) -> bool:
        self.told += lines
        for each in lines:
            self._more.send_nowait(each)
        return True

    def hang_up(self) -> None:
        self._more.close()


class Waited(Stage):
    """A run whose claude ends its turns so."""

    def __init__(self, nursery: trio.Nursery, *turns: list[bytes], **variables: str) -> None:
        super().__init__(nursery, **variables)
        self.claude: Talkative
        self.work.begin = self._begin  # type: ignore[assignment,method-assign]
        self._turns = list(turns)

    def _begin(self, *_: object) -> ClaudeOutput:
        self.claude = Talkative(self.config, self._turns)
        return self.claude

    @property
    def waits(self) -> list[dict[str, Any]]:
        return [m["data"]["wait"] for m in self.peer.stored if m["type"] == "STATUS" and "wait" in m["data"]]


async def test_it_goes_on_where_it_stood(autojump_clock: Any, nursery: trio.Nursery) -> None:
    stage = Waited(
        nursery, [reply(1), result("Overloaded", status=529)], [result("Overloaded", status=529)],
        [reply(2), result("Done.", cost=0.02)], WAIT_FOR_LIMIT="1h", TIMEOUT="10s", IDLE_TIMEOUT="5s",
    )  # fmt: skip
    began = trio.current_time()
    assert (await stage.run(within=1000)).exit == 0
    assert 180 < trio.current_time() - began < 200, "a minute, then two"
    assert stage.claude.told == [GO_ON, GO_ON]
    assert [wait["reason"] for wait in stage.waits] == ["api_unavailable"] * 2
    figures = stage.complete["result"]
    assert figures["cost"] == pytest.approx(0.04)
    assert figures["num_turns"] == 3
    assert figures["usage"]["output_tokens"] == 60
    assert list(dict.fromkeys(stage.phases))[3:6] == ["RUNNING", "WAITING", "STOPPING"]
    beats = [m["data"]["phase"] for m in stage.peer.messages if m["type"] == "HEARTBEAT"]
    assert beats.count("WAITING") >= 16, "every 10 s"


async def test_without_the_variable_it_ends(autojump_clock: Any, nursery: trio.Nursery) -> None:
    stage = Waited(nursery, [reply(1), result("Overloaded", status=529)])
    assert (await stage.run()).exit == 75
    assert stage.complete["resumable"] is True
    assert stage.waits == []


async def test_what_is_no_trouble_of_the_api_is_not_waited_out(autojump_clock: Any, nursery: trio.Nursery) -> None:
    stage = Waited(nursery, [reply(1), result("No key", status=401)], WAIT_FOR_LIMIT="1h")
    assert (await stage.run()).exit == 77
    assert stage.waits == []


async def test_the_sum_of_all_waits_is_bounded(autojump_clock: Any, nursery: trio.Nursery) -> None:
    turns = [[reply(number), result("Overloaded", status=529)] for number in range(20)]
    stage = Waited(nursery, *turns, WAIT_FOR_LIMIT="150s")
    began = trio.current_time()
    outcome = await stage.run(within=1000)
    assert (outcome.exit, outcome.reason) == (75, "api_unavailable")
    assert 150 <= trio.current_time() - began < 165
    assert stage.complete["resumable"] is True
    assert any("WAIT_FOR_LIMIT is used up" in said for said in stage.said)


@pytest.mark.parametrize("counts", ["0", "1"])
async def test_timeout_counts_the_waiting_by_choice(autojump_clock: Any, nursery: trio.Nursery, counts: str) -> None:
    turns = [[reply(1), result("Overloaded", status=529)], [reply(2), result("Done.")]]
    stage = Waited(nursery, *turns, WAIT_FOR_LIMIT="1h", TIMEOUT="30s", TIMEOUT_COUNTS_WAITING=counts)
    outcome = await stage.run(within=1000)
    assert outcome.reason == ("timeout" if counts == "1" else "success")
    assert stage.complete["result"]["cost"] >= 0.01


@pytest.mark.parametrize("how", ["signal", "second", "third", "cancel"])
async def test_it_stops_at_once(autojump_clock: Any, nursery: trio.Nursery, how: str) -> None:
    stage = Waited(
        nursery, [reply(1), result("Limit", status=429)], WAIT_FOR_LIMIT="6h", ALLOW_REMOTE_CANCEL="1"
    )  # fmt: skip
    times = {"signal": (5.0,), "second": (5.0, 5.1), "third": (5.0, 5.1, 5.2), "cancel": ()}[how]
    stage.work.faults = {"sweep": lambda: trio.sleep(1)}
    for seconds in times:
        stage.signal_in(nursery, seconds, signal.SIGTERM)
    if how == "cancel":

        async def cancel() -> None:
            await trio.sleep(5)
            stage.supervisor._cancel()

        nursery.start_soon(cancel)
    began = trio.current_time()
    assert (await stage.run(within=30)).exit == (79 if how == "cancel" else 143)
    assert trio.current_time() - began < 10
    assert stage.left == ([signal.SIGTERM] if how == "third" else [])
    assert stage.complete["result"]["cost"] == pytest.approx(0.01)


async def test_a_claude_that_dies_meanwhile_ends_the_run_as_the_trouble_it_waited_for(
    autojump_clock: Any, nursery: trio.Nursery
) -> None:
    stage = Waited(nursery, [reply(1), result("Limit", status=429)], WAIT_FOR_LIMIT="6h")

    async def die() -> None:
        await trio.sleep(20)
        stage.claude._more.close()

    nursery.start_soon(die)
    outcome = await stage.run(within=60)
    assert (outcome.exit, outcome.reason, outcome.resumable) == (75, "rate_limit", True)


async def test_somebody_else_s_word_may_end_the_wait(autojump_clock: Any, nursery: trio.Nursery) -> None:
    stage = Waited(nursery, [reply(1), result("Limit", status=429)], [reply(2), result("Done.")], WAIT_FOR_LIMIT="6h")

    async def say() -> None:
        await trio.sleep(20)
        stage.claude.tell(b'{"type":"user"}\n')

    nursery.start_soon(say)
    assert (await stage.run(within=60)).exit == 0


async def test_a_wait_that_another_one_replaces_counts_once(autojump_clock: Any, nursery: trio.Nursery) -> None:
    """50 s of the first wait, and 100 of the second: the third may take what is left of 200."""
    turns = [[reply(number), result("Overloaded", status=529)] for number in range(4)]
    stage = Waited(nursery, *turns, WAIT_FOR_LIMIT="200s")

    async def say() -> None:
        await trio.sleep(50)
        stage.claude.tell(b'{"type":"user"}\n')

    nursery.start_soon(say)
    began = trio.current_time()
    assert (await stage.run(within=1000)).exit == 75
    assert 200 <= trio.current_time() - began < 210


# --- how long


def waits(now: list[float], **variables: str) -> LimitWaits:
    return LimitWaits(configuration(**variables), lambda: now[0], lambda: 0.5)


async def test_the_end_that_the_api_told_is_waited_for(autojump_clock: Any) -> None:
    plan = waits([NOW], WAIT_FOR_LIMIT="6h").plan(LIMITED, 1)
    assert isinstance(plan, Pause)
    assert plan.seconds == 3600 + 2 + 10, "a margin, and half of the spread"
    assert plan.fields() == {"reason": "rate_limit", "until": "2027-01-15T09:00:12.000Z"}


async def test_an_end_that_has_passed_or_is_not_told_is_guessed(autojump_clock: Any) -> None:
    now = [NOW]
    some = waits(now, WAIT_FOR_LIMIT="6h")
    assert [p.seconds for _ in range(7) if isinstance(p := some.plan(AWAY, 1), Pause)] == [
        60, 120, 240, 480, 900, 900, 900,
    ]  # fmt: skip
    assert isinstance(again := some.plan(AWAY, 2), Pause)
    assert again.seconds == 60, "there was a turn in between"
    now[0] += 3601
    assert isinstance(passed := some.plan(LIMITED, 3), Pause)
    assert passed.seconds == 60


async def test_an_end_beyond_the_bound_is_not_waited_for(autojump_clock: Any) -> None:
    plan = waits([NOW], WAIT_FOR_LIMIT="30m").plan(LIMITED, 1)
    assert plan == "the API's limit ends at 2027-01-15T09:00:00.000Z, later than WAIT_FOR_LIMIT allows"
