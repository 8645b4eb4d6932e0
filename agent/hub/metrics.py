"""Metrics for Prometheus. Labels are states, kinds and outcomes: their number is bounded whatever agents send."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import trio
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agent.hub.hub import Hub
from agent.hub.index import Query
from agent.protocol import KINDS
from agent.receiver import Receiver, Row

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_DURATIONS = (10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400)
#: Reasons of COMPLETE beyond so many different ones are counted as "other".
_REASONS = 40


class Metrics(Collector):
    """Counters of everything since the start, and gauges that are read when a scraper asks."""

    def __init__(self, hub: Hub, receiver: Receiver) -> None:
        self._hub = hub
        self._receiver = receiver
        self._states: dict[str, int] = {}
        self._messages = Counter[str]()
        self._ended = Counter[tuple[str, str]]()
        self._bytes = self._retries = 0
        self._cost = self._tokens = 0.0
        self._dropped = self._missing = 0
        self._registry = CollectorRegistry(auto_describe=False)
        self._durations = Histogram(
            "agent_run_duration_seconds", "Durations of runs that ended", buckets=_DURATIONS, registry=self._registry
        )
        self._registry.register(self)

    def came(self, kind: str, size: int, retry: bool) -> None:
        """Count a message."""
        self._messages[kind if kind in KINDS else "other"] += 1
        self._bytes += size
        self._retries += retry

    def ended(self, row: Row) -> None:
        """Count a run that ended."""
        reason = row.reason or "none"
        known = {reason for _, reason in self._ended}
        if reason not in known and len(known) >= _REASONS:
            reason = "other"
        self._ended[row.state, reason] += 1
        self._cost += max(row.cost or 0, 0)
        self._tokens += max(row.tokens or 0, 0)
        self._dropped += row.dropped
        self._missing += row.missing
        if row.duration is not None and row.duration >= 0:
            self._durations.observe(row.duration / 1000)

    async def text(self) -> bytes:
        """Everything, in Prometheus' text format. Raises sqlite3.Error.

        Cancelling: safe.
        """
        found, _ = await self._hub.find(Query(limit=1))
        self._states = found.states
        return await trio.to_thread.run_sync(generate_latest, self._registry)

    def collect(self) -> Iterator[Metric]:
        """Tell the values, for the registry."""
        rows = list(self._hub.fleet.rows())
        states = GaugeMetricFamily("agent_runs", "Stored runs by state", labels=["state"])
        for state, count in self._states.items():
            states.add_metric([state], count)
        yield states
        ended = CounterMetricFamily("agent_runs_ended", "Runs that ended since the start", labels=["state", "reason"])
        for labels, count in self._ended.items():
            ended.add_metric(labels, count)
        yield ended
        messages = CounterMetricFamily("agent_messages", "Messages received since the start", labels=["type"])
        for kind, count in self._messages.items():
            messages.add_metric([kind], count)
        yield messages
        for name, text, value in (
            ("bytes", "Bytes of stored messages", self._bytes),
            ("cost_usd", "Cost of the runs that ended, US dollars", self._cost),
            ("tokens", "Tokens of the runs that ended", self._tokens),
            ("api_retries", "Attempts after the first at claude's API", self._retries),
            ("dropped", "Messages that agents dropped, of runs that ended", self._dropped),
            ("missing", "Messages that never came, of runs that ended", self._missing),
            ("malformed", "Texts that were no messages", self._receiver.malformed),
            ("turned_away", "Connections of agents refused because there were too many", self._receiver.turned_away),
        ):
            yield CounterMetricFamily(f"agent_{name}", text, value)
        for name, text, value in (
            ("connections", "Connected agents", len(self._receiver.connections)),
            ("watchers", "Open streams of watchers", self._hub.watchers),
            ("undelivered", "Messages that connected agents hold back", sum(row.queued or 0 for row in rows)),
            ("attention", "Runs that need a person", sum(row.attention is not None for row in rows)),
            ("indexing", "Whether the index is being made", float(self._hub.indexing)),
        ):
            yield GaugeMetricFamily(f"agent_{name}", text, value)
