"""Imports go only downwards, and the pure layer does no I/O: read off the source, for every module."""

import ast
from pathlib import Path

import pytest

import agent

PACKAGE = Path(agent.__file__).parent

#: Layer by layer, outermost first; a module may import from its own layer and from those below.
LAYERS = {
    "entry": {"__main__", "cli", "runner", "check", "check_local", "flush", "demo", "standin", "diagram", "replay",
        "replaying", "playback",
    },
    "drive": {"supervisor", "reporter", "salvage", "orphans"},
    "beside": {"receiver", "schema"},
    "tasks": {
        "recording", "recording_format", "recorded", "recorded_journal", "recorded_lines", "recorded_reports",
        "played_work",
        "clone", "git", "git_settings", "git_errors", "git_stderr", "progress", "workspace",
        "claude", "prompt", "reader", "sender", "session", "pace",
        "heartbeat", "sampler", "signals", "watchdog", "trust", "work", "claude_output", "local_work",
        "changes", "untrusted", "output", "push", "harvest", "cli_session",
    },
    "shared": {
        "process", "child", "hardening", "descendants", "cgroup", "journal", "backlog", "segmentstore",
        "segments", "rundirectory", "connection", "connection_lost", "tap", "tcp", "lifetime", "console", "private",
        "pulse", "ticks", "launch", "uncaught", "usage",
    },
    "pure": {
        "credentials", "decoding", "token_formats", "ids",
        "machine", "verdict", "result", "todo", "background", "transcript", "stream_json", "describe", "summary",
        "lines", "redaction", "secret_forms", "frames", "events", "config", "variables", "values", "sources",
        "dotenv", "tools", "urls", "limits", "errors", "causes", "reports", "reporting", "inbound", "refusal",
        "gaps", "parts", "totals",
    },
}  # fmt: skip

ORDER = list(LAYERS)
RANK = {module: ORDER.index(layer) for layer, modules in LAYERS.items() for module in modules}


def _modules() -> list[str]:
    files = {path.stem for path in PACKAGE.glob("*.py")} | {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    return sorted(files - {"__init__"})


def _imports(module: str) -> set[str]:
    """Names of our modules, and of foreign packages, that a module imports, lazily or not."""
    path = PACKAGE / f"{module}.py"
    files = [path] if path.exists() else list((PACKAGE / module).glob("*.py"))
    found: set[str] = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module == "agent":
                found |= {f"agent.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module)
    return found


@pytest.mark.parametrize("module", _modules())
def test_module_has_a_layer(module: str) -> None:
    assert module in RANK, "give it a room in LAYERS and in docs/architecture.md"


@pytest.mark.parametrize("module", _modules())
def test_imports_go_downwards(module: str) -> None:
    ours = {name.split(".")[1] for name in _imports(module) if name.startswith("agent.")} - {"__version__", module}
    upwards = {name for name in ours if name in RANK and RANK[name] < RANK.get(module, 0)}
    assert not upwards, f"{module} ({ORDER[RANK[module]]}) imports from above: {sorted(upwards)}"


@pytest.mark.parametrize("module", sorted(LAYERS["pure"]))
def test_pure_layer_knows_no_trio(module: str) -> None:
    if (PACKAGE / f"{module}.py").exists():
        foreign = {name.split(".")[0] for name in _imports(module)}
        assert not foreign & {"trio", "trio_websocket", "socket", "subprocess", "asyncio", "threading"}


#: Declarations without behaviour.
DECLARATIONS = {"errors", "limits", "reports", "work", "recording_format"}
#: Recordings are only worth something when they play: tests/test_replaying.py records, reads and plays them.
TOGETHER = {"playback", "played_work", "recorded", "recorded_lines", "recording", "replay"}


@pytest.mark.parametrize("module", [module for module in _modules() if module not in DECLARATIONS | TOGETHER])
def test_every_module_has_its_tests(module: str) -> None:
    tests = Path(__file__).parent
    assert (tests / f"test_{module}.py").exists() or list(tests.glob(f"test_{module}_*.py")), f"tests/test_{module}.py"
