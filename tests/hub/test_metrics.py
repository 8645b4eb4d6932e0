"""What Prometheus reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hub.test_api import TOKENS
from tests.receiver.test_server import acked, connected
from tests.support.hub_client import Client, open_client
from tests.support.runs import Written, a_run

parser = pytest.importorskip("prometheus_client.parser", reason="needs the extra hub: make setup")


async def values(client: Client, **headers: str) -> dict[str, float]:
    answer = await client.get("/metrics", **headers)
    assert answer.status == 200
    return {
        sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in parser.text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }


async def test_what_came_and_what_is(tmp_path: Path):
    async with open_client(tmp_path) as client:
        await client.send(*a_run(3).lines)
        await client.send(*Written("c2", "R2").complete(1).lines)
        async with connected(client.receiver.url) as agent, client.stream("/api/live"):
            await agent.send_message("nonsense")
            await agent.send_message('{"type":"X\\n","containerID":"c3","runID":"R3","seq":1}')
            await acked(agent)
            found = await values(client)
    assert found["agent_runs succeeded"] == found["agent_runs failed"] == found["agent_runs running"] == 1
    assert found["agent_runs_ended_total succeeded succeeded"] == 1
    assert found["agent_messages_total LOG"] == 3
    assert found["agent_messages_total other"] == 1
    assert found["agent_connections"] == found["agent_watchers"] == found["agent_malformed_total"] == 1
    assert found["agent_run_duration_seconds_count"] == 2
    assert found["agent_attention"] == 1
    assert found["agent_bytes_total"] > 500


async def test_reasons_that_agents_invent_are_bounded(tmp_path: Path):
    async with open_client(tmp_path) as client:
        for number in range(60):
            run = Written(run_id=f"R{number}")
            run.complete(1)
            run.lines[0] = run.lines[0].replace('"succeeded"', f'"reason {number}"')
            await client.send(*run.lines)
        found = await values(client)
    ended = {name: value for name, value in found.items() if name.startswith("agent_runs_ended_total")}
    assert len(ended) == 41
    assert ended["agent_runs_ended_total other failed"] == 20


async def test_metrics_are_for_watchers(tmp_path: Path):
    async with open_client(tmp_path, TOKENS) as client:
        assert (await client.get("/metrics")).status == 401
        assert await values(client, authorization="Bearer watchers")
