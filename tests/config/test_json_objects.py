"""JSON among the variables: read inline and from files, and refused where the agent itself could not use it."""

import pytest

from agent.config import json_objects
from agent.limits import Limits

LIMITS = Limits()


def test_mcp_servers(tmp_path, monkeypatch):
    (tmp_path / "mcp.json").write_text('{"mcpServers": {}}')
    assert json_objects.mcp_servers(f"{tmp_path}/mcp.json", LIMITS) == (f"{tmp_path}/mcp.json", {"mcpServers": {}})
    monkeypatch.chdir(tmp_path)
    assert json_objects.mcp_servers("mcp.json\n", LIMITS)[0] == f"{tmp_path}/mcp.json"
    inline = ' {"mcpServers": {"a": {"url": "x"}}}'
    assert json_objects.mcp_servers(inline, LIMITS) == (inline, {"mcpServers": {"a": {"url": "x"}}})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"hunter2', "is not valid JSON"),
        ('{"a":' * 100_000, "is not valid JSON"),
        ("{}", 'without an object "mcpServers"'),
        ('{"mcpServers": []}', 'without an object "mcpServers"'),
        ('{"mcpServers": {"a": {"command": "x"}, "hunter2": {"args": []}}}', 'gives server 2 neither a "command" nor'),
        ('{"mcpServers": {"a": "hunter2"}}', "gives server 1 neither"),
        ('["hunter2"]', "is a list, and must be a JSON object"),
        ("/no/such/hunter2", "is not inline JSON, and as a file it does not exist"),
    ],
)
def test_mcp_servers_refuses(text, problem):
    with pytest.raises(ValueError, match=problem) as caught:
        json_objects.mcp_servers(text, LIMITS)
    assert "hunter2" not in str(caught.value)


def test_a_schema_inline_and_from_a_file_without_its_dialect(tmp_path):
    schema = '{"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "properties": {"a": {}}}'
    (tmp_path / "s.json").write_text(schema)
    for given in (schema, f"{tmp_path}/s.json\n"):
        assert json_objects.output_schema(given, LIMITS) == {"type": "object", "properties": {"a": {}}}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{}", 'needs "type": "object"'),
        ('{"type": "string"}', 'needs "type": "object"'),
        ('{"hunter2', "is not valid JSON"),
        ("[1]", "is a list, and must be a JSON object"),
        ('{"type": "object", "title": "%s"}' % ("x" * 70_000), "is longer than 65,536 bytes"),
    ],
)
def test_what_is_no_schema_of_an_object(text, problem):
    with pytest.raises(ValueError, match=problem) as caught:
        json_objects.output_schema(text, LIMITS)
    assert "hunter2" not in str(caught.value)


def test_agents_are_objects_by_name():
    assert json_objects.agents('{"r": {"prompt": "p"}}', LIMITS) == {"r": {"prompt": "p"}}
    for text in ("{}", '{"r": 1}'):
        with pytest.raises(ValueError, match="an object of agents by name"):
            json_objects.agents(text, LIMITS)


@pytest.mark.parametrize("permissions", ["3", '{"deny": "Bash"}', '{"deny": [3]}', "null"])
def test_a_deny_list_of_the_settings_must_be_one_that_can_be_added_to(permissions):
    with pytest.raises(ValueError, match='a list of rules as its "deny"'):
        json_objects.settings(f'{{"permissions": {permissions}}}', LIMITS)
    assert json_objects.settings('{"permissions": {"allow": 3}}', LIMITS) == {"permissions": {"allow": 3}}


def test_a_file_that_is_json_but_no_object(tmp_path):
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(ValueError, match="is JSON, but not an object"):
        json_objects.settings(f"{tmp_path}/a.json", LIMITS)
