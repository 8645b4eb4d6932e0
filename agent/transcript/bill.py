"""The bill of a run: the sum of its results.

A run has several results where the end of a background task starts another turn. The CLI counts turns, `usage` and
denials for each result anew. `total_cost_usd` and `modelUsage` add up over the session, with all earlier runs of a
session that was resumed; `model_usage_since_last_result` is the share of this result.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeGuard

import msgspec

from agent.limits import Limits
from agent.transcript.summary import Bill, Result

#: Properties of a model in `modelUsage`, which has amounts for the rest.
_NOT_AMOUNTS = frozenset({"contextWindow", "maxOutputTokens"})
#: Objects within objects that are added up; the CLI has two levels.
_DEPTH = 3


def add(bill: Bill, result: Result, limits: Limits) -> Bill:
    """Add a result to the bill of the ones before it."""
    return Bill(
        num_turns=_sum(bill.num_turns, result.num_turns),
        # An older CLI has no shares. What adds up over the session is the run's then, unless it was resumed.
        cost=result.total_cost_usd if result.share is None else _sum(bill.cost, cost_of(result.share)),
        session_cost=result.total_cost_usd,
        usage=_join(bill.usage, result.usage, limits),
        model_usage=result.model_usage if result.share is None else _join(bill.model_usage, result.share, limits),
        permission_denials=(*bill.permission_denials, *result.permission_denials)[: limits.remembered],
    )


def cost_of(model_usage: dict[str, Any]) -> float:
    """Return the US dollars in an object such as `modelUsage`."""
    costs = [model.get("costUSD") for model in model_usage.values() if isinstance(model, dict)]
    return _rounded([cost for cost in costs if _is_number(cost)])


def _sum(before: Any, amount: Any) -> Any:
    if before is None or amount is None:
        return amount if before is None else before
    return _rounded((before, amount)) if isinstance(before, float) else before + amount


def _rounded(amounts: Iterable[float]) -> float:
    """The sum without the last digits, in which binary fractions differ."""
    return round(float(sum(amounts)), 10)


def _join(before: dict[str, Any] | None, more: dict[str, Any] | None, limits: Limits) -> dict[str, Any] | None:
    if before is None or more is None:
        return more if before is None else before
    joined = _added(before, more, _DEPTH, grow=True)
    if len(msgspec.json.encode(joined)) > limits.result_bytes:
        # The names differ in each result, which no CLI does.
        joined = _added(before, more, _DEPTH, grow=False)
    return joined


def _added(before: dict[str, Any], more: dict[str, Any], depth: int, *, grow: bool) -> dict[str, Any]:
    """Add the amounts of two objects; of everything else the later value counts."""
    joined = dict(before)
    for name, value in more.items():
        old = before.get(name)
        if isinstance(old, dict) and isinstance(value, dict) and depth > 1:
            joined[name] = _added(old, value, depth - 1, grow=grow)
        elif _is_number(old) and _is_number(value) and name not in _NOT_AMOUNTS:
            joined[name] = _sum(old, value)
        elif grow:
            joined[name] = value
    return joined


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
