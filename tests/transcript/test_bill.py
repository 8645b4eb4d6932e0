"""The bill of a run: several results together, and a resumed session's share."""

from __future__ import annotations

import json
from functools import reduce
from pathlib import Path

import pytest

from agent.limits import Limits
from agent.transcript.bill import add
from agent.transcript.summary import Bill, Denial, Result
from agent.transcript.transcript import Transcript

LIMITS = Limits()
TRANSCRIPTS = Path(__file__).parents[1] / "transcripts"


def result(**fields: object) -> Result:
    return Result("success", is_error=False, **fields)  # type: ignore[arg-type]


def total(*results: Result) -> Bill:
    return reduce(lambda bill, each: add(bill, each, LIMITS), results, Bill())


def model(cost: float, tokens: int) -> dict[str, object]:
    return {
        "m": {"costUSD": cost, "outputTokens": tokens, "contextWindow": 200, "maxOutputTokens": 32, "basis": "list"}
    }


def recorded(name: str) -> Bill:
    transcript = Transcript(LIMITS)
    for line in (TRANSCRIPTS / f"{name}.jsonl").read_bytes().splitlines():
        transcript.feed(line)
    return transcript.summary.bill


def test_no_result_has_no_bill() -> None:
    assert Bill() == Bill(num_turns=None, cost=None, session_cost=None, usage=None, model_usage=None)


def test_a_resumed_session_s_run_pays_its_share() -> None:
    bill = total(result(num_turns=2, total_cost_usd=1.5, model_usage=model(1.5, 900), share=model(0.1, 60)))
    assert (bill.cost, bill.session_cost) == (0.1, 1.5)
    assert bill.model_usage == model(0.1, 60)


def test_several_results_are_added_up() -> None:
    denials = [Denial("Bash", str(number), "Bash: rm") for number in range(3)]
    first, second = {"in": 100, "cache": {"1h": 5}, "tier": "a"}, {"in": 11, "cache": {"1h": 2}, "tier": "b"}
    bill = total(
        result(num_turns=2, total_cost_usd=1.1, share=model(0.1, 60), usage=first, permission_denials=(denials[0],)),
        result(num_turns=1, total_cost_usd=1.3, share=model(0.2, 40), usage=second, permission_denials=(*denials[1:],)),
    )
    assert (bill.num_turns, bill.cost, bill.session_cost) == (3, 0.3, 1.3)
    assert bill.usage == {"in": 111, "cache": {"1h": 7}, "tier": "b"}
    assert bill.model_usage == model(0.3, 100)
    assert bill.permission_denials == tuple(denials)


def test_two_models_stay_apart() -> None:
    other = {"other": {"costUSD": 0.5}}
    bill = total(result(share=model(0.1, 1)), result(share={**model(0.2, 1), **other}))
    assert bill.cost == 0.8
    assert bill.model_usage == {**model(0.3, 2), **other}


def test_an_older_cli_s_sums_are_taken_as_they_are() -> None:
    bill = total(result(total_cost_usd=0.1, model_usage=model(0.1, 60), num_turns=2),
                 result(total_cost_usd=0.3, model_usage=model(0.3, 100), num_turns=1))  # fmt: skip
    assert (bill.num_turns, bill.cost, bill.session_cost, bill.model_usage) == (3, 0.3, 0.3, model(0.3, 100))


@pytest.mark.parametrize("share", [{}, {"m": 1}, {"m": {"costUSD": True}}, {"m": {"costUSD": "x"}}])
def test_a_share_without_costs_is_free(share: dict[str, object]) -> None:
    assert total(result(total_cost_usd=1.0, share=share)).cost == 0


def test_a_result_that_lacks_a_part_loses_nothing_of_the_others() -> None:
    bill = total(result(num_turns=2, share=model(0.1, 1), usage={"in": 1}, total_cost_usd=0.1), result())
    assert (bill.num_turns, bill.usage) == (2, {"in": 1})


def test_whatever_comes_the_bill_has_a_size() -> None:
    bill = Bill()
    deep: dict[str, object] = {}
    for _ in range(400):
        deep = {"d": deep}
    for number in range(100):
        usage = {f"{number}-{key}": 1 for key in range(100)} | {"deep": deep, "in": 1}
        denial = Denial("Bash", str(number), "x")
        bill = add(bill, result(usage=usage, permission_denials=(denial,) * 100), LIMITS)
    assert bill.usage is not None
    assert bill.usage["in"] == 100
    assert len(json.dumps(bill.usage)) < 2 * LIMITS.result_bytes
    assert len(bill.permission_denials) == LIMITS.remembered


@pytest.mark.parametrize(
    ("name", "turns", "cost", "tokens"),
    [("168-bg-bash-default-ceiling", 3, 0.00276, 78), ("153-stream-json-input-two-turns", 3, 0.00248, 64)],
)
def test_recorded_runs_with_two_results(name: str, turns: int, cost: float, tokens: int) -> None:
    bill = recorded(name)
    assert (bill.num_turns, bill.cost) == (turns, cost)
    assert bill.session_cost == pytest.approx(cost)
    assert bill.usage is not None
    assert bill.usage["output_tokens"] == tokens
    assert bill.model_usage is not None
    (used,) = bill.model_usage.values()
    assert (used["outputTokens"], used["contextWindow"]) == (tokens, 1_000_000)
