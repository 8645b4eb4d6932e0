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
from tests.support import contract
from tests.support.contract import Texts
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


@pytest.mark.parametrize(("before", "where"), [('"kind":', "data.metadata.odd"), ('"seq":1', "odd")])
def test_a_test_that_receives_an_undocumented_field_fails(before: str, where: str):
    line = Written().add(log("info", "x", kind="link")).lines[0]
    contract.check(line)
    line = line.replace(before, f'"odd":null,{before}')
    with pytest.raises(contract.Undocumented, match=f"does not name {where}:"):
        Texts().append(line)


def test_a_test_that_receives_what_the_schema_refuses_fails():
    line = Written().add(log("info", "x")).lines[0]
    with pytest.raises(contract.Undocumented, match=r"data\.level"):
        Texts().append(line.replace('"level":"info"', '"level":"loud"'))
