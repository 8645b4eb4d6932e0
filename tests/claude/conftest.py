"""A configuration with what every run has to have, and a look at descriptors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.config.config import Config
from agent.config.load import load

REQUIRED = {"REPO_URL": "https://example.com/r.git", "TASK": "Fix it", "WS_SERVER": "none", "ANTHROPIC_API_KEY": "sk-x"}


def config(**environ: str) -> Config:
    return load({**REQUIRED, **environ}, in_container=True)


def _descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


@pytest.fixture
def no_descriptor_is_left() -> Iterator[None]:
    before = _descriptors()
    yield
    assert _descriptors() <= before
