"""What a run needs, as `agent check` looks for it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.config.config import Config
from agent.config.load import examine
from tests.support import scripted_claude
from tests.support.git_servers import make_origin
from tests.support.places import ROOT

KEY = "sk-ant-api03-" + "canary" * 5


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    for name in ("home", "tmp", "bin"):
        (tmp_path / name).mkdir()
    return {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "tmp"), "REPO_URL": str(make_origin(tmp_path)), "TASK": "Fix the bug",
        "WS_SERVER": "none", "WORKSPACE_DIR": str(tmp_path / "workspace"),
        "CLAUDE_BIN": str(scripted_claude.install(tmp_path / "bin")), "ANTHROPIC_API_KEY": KEY,
    }  # fmt: skip


def configured(environ: dict[str, str], *, in_container: bool = False) -> tuple[Config, tuple[str, ...]]:
    return examine(environ, in_container=in_container)
