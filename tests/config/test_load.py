"""Loading is tested through the whole configuration, in test_config.py; here is what only loading does."""

import pytest

from agent.config.load import examine, load
from agent.errors import ConfigError

GIVEN = {"REPO_URL": "https://example.com/r.git", "TASK": "Fix it", "WS_SERVER": "ws://server"}


def test_a_configuration_with_problems_can_still_report_them() -> None:
    config, problems = examine({**GIVEN, "TASK": "", "TIMEOUT": "soon"}, in_container=True)
    assert len(problems) == 2
    assert (config.ws_server, config.task) == ("ws://server", "")
    assert config.timeout == load(GIVEN, in_container=True).timeout, "a wrong variable has its default"


def test_all_problems_are_raised_at_once() -> None:
    with pytest.raises(ConfigError, match=r"REPO_URL.*TASK"):
        load({}, in_container=True)
