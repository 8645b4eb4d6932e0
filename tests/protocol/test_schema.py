"""The JSON Schema and the Structs take what an agent writes, and refuse what it does not."""

from __future__ import annotations

import json
from typing import get_args

import jsonschema
import msgspec
import pytest

from agent.errors import ErrorCode
from agent.protocol.events import log
from agent.protocol.schema import FromAgent, schema
from tests.support.runs import Written, a_run, copy_of


def test_the_error_codes_are_in_the_schema():
    assert sorted(schema()["$defs"]["ErrorData"]["properties"]["code"]["enum"]) == sorted(get_args(ErrorCode))


def test_a_run_satisfies_the_schema():
    written = Written().add(log("info", "a", source="git")).drop(3)
    for line in [*a_run(3).lines, *written.complete().lines, copy_of(a_run().lines[0]), written.heartbeat()]:
        jsonschema.validate(json.loads(line), schema())
        msgspec.json.decode(line, type=FromAgent)


@pytest.mark.parametrize(
    "wrong",
    [
        '{"type":"OTHER","containerID":"c","timestamp":"2026-01-01T00:00:00.123Z","data":{},"runID":"r","seq":1}',
        '{"type":"LOG","containerID":"c","timestamp":"2026-01-01T00:00:00.123Z","data":{},"runID":"r","seq":1}',
        '{"type":"LOG","containerID":"c","timestamp":"now","data":{"level":"info","message":"x"},"runID":"r","seq":1}',
        '{"type":"ERROR","containerID":"c","timestamp":"2026-01-01T00:00:00.123Z","data":{"error":"x","code":"y"},'
        '"runID":"r","seq":1}',
    ],
)
def test_the_schema_refuses(wrong: str):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(json.loads(wrong), schema())
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(wrong, type=FromAgent)
