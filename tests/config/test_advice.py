"""Advice on values that are right by themselves."""

import pytest

from agent.config.load import load

GIVEN = {"REPO_URL": "https://example.com/r.git", "TASK": "Fix it", "WS_SERVER": "none", "ANTHROPIC_API_KEY": "k" * 30}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("TIMEOUT", "90", "a plain number is milliseconds"), ("ALLOWED_TOOLS", "Shell", "Bash is the nearest"),
     ("TERMINATION_GRACE_SECONDS", "3", "an orderly stop may take")],
)  # fmt: skip
def test_a_setting_that_is_probably_not_meant(name: str, value: str, said: str) -> None:
    assert load(GIVEN, in_container=True).warnings == ()
    (warning,) = load({**GIVEN, name: value}, in_container=True).warnings
    assert warning.startswith(f"{name}: ")
    assert said in warning
