"""The programs that the agent is measured beside, each installed by the bench itself into .tools/bench."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TOOLS = ROOT / ".tools" / "bench"
HERE = Path(__file__).resolve().parent

_WS = "8.23.0"
_SDK = "0.2.187"

#: Five secrets, as a real run has them: none is in the output, which is the common case.
SECRETS = {
    "ANTHROPIC_API_KEY": "sk-ant-api03-b1E9fK2mQ7xT4vW8zR5nL3pJ6hG0dS1aC",
    "GITHUB_TOKEN": "ghp_q8W2e4R6t1Y3u5I7o9P0a2S4d6F8g1H3j5K7",
    "WS_TOKEN": "6d1f8b3c5e7a9024d6f8",
    "AWS_ACCESS_KEY_ID": "AKIAQ4T7X2M5N8P3R6WZ",
    "AWS_SECRET_ACCESS_KEY": "u9Hq3mXv7Kp2Zt5Wc8Rb1Ny4Jd6Gf0Ls+Ea/Ti2o",
}


class Peer:
    """A program that takes WS_SERVER and CLAUDE_BIN from its environment, runs claude once, and ends with it."""

    def __init__(
        self,
        name: str,
        does: str,
        argv: Callable[[], list[str]],
        *,
        prepare: Callable[[], None] = lambda: None,
        environment: Mapping[str, str] | None = None,
        handshake: bool = False,
        sends: bool = True,
    ) -> None:
        """`does`: what it does and does not do, for the report."""
        self.name = name
        self.does = does
        self.argv = argv
        self.prepare = prepare
        self.environment = environment or {}
        self.handshake = handshake
        self.sends = sends


def _install_agent() -> None:
    """The locked dependencies in an environment of their own: development tools would slow every start down."""
    lock = ROOT / "requirements" / "agent.lock"
    install(TOOLS / "agent", lock.read_text(), ["--require-hashes", "-r", str(lock)])
    subprocess.run([TOOLS / "agent/bin/python", "-m", "compileall", "-q", ROOT / "agent"], check=True)


def _install_sdk() -> None:
    install(TOOLS / "sdk", _SDK, [f"claude-agent-sdk=={_SDK}"])


def install(directory: Path, key: str, requirements: list[str]) -> None:
    """An environment of its own, made anew when `key` changes."""
    mark = directory / "installed"
    if mark.exists() and mark.read_text() == key:
        return
    venv.create(directory, with_pip=True, clear=True)
    subprocess.run(
        [directory / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements],
        check=True,
        timeout=600,
    )
    # It adds a hook to every import, and no program here needs it; an image has none.
    subprocess.run([directory / "bin/python", "-m", "pip", "uninstall", "--quiet", "--yes", "setuptools"], check=True)
    mark.write_text(key)


def _install_ws() -> None:
    try:
        if json.loads((TOOLS / "node/node_modules/ws/package.json").read_text())["version"] == _WS:
            return
    except (OSError, ValueError):
        pass
    (TOOLS / "node").mkdir(parents=True, exist_ok=True)
    options = ["--ignore-scripts", "--no-save", "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run(["npm", "install", "--prefix", TOOLS / "node", *options, f"ws@{_WS}"], check=True, timeout=300)


AGENT = Peer(
    "agent",
    "the whole agent: clone, journal on disk, redaction of five secrets, summaries, numbers, PING barrier, heartbeat",
    lambda: [str(TOOLS / "agent/bin/python"), "-m", "agent"],
    prepare=_install_agent,
    environment={"PYTHONPATH": str(ROOT), "TASK": "Fix the failing test", "SERVER_WAIT": "30s", **SECRETS},
)
NODE = Peer(
    "node",
    f"a pipeline by hand: child_process, readline, JSON.parse, ws {_WS}; no journal, redaction, numbers or reconnect",
    lambda: ["node", str(HERE / "pipeline.js")],
    prepare=_install_ws,
    environment={"NODE_PATH": str(TOOLS / "node/node_modules")},
)
BY_HAND = Peer(
    "trio",
    "what node does, with the agent's packages: trio, trio-websocket's send_message; the least start that they have",
    lambda: [str(TOOLS / "agent/bin/python"), str(HERE / "by_hand.py")],
    prepare=_install_agent,
)
SDK = Peer(
    "sdk",
    f"claude-agent-sdk {_SDK} for Python: parses into objects and sends nothing",
    lambda: [str(TOOLS / "sdk/bin/python"), str(HERE / "sdk.py")],
    prepare=_install_sdk,
    handshake=True,
    sends=False,
)
RELAY = Peer(
    "relay",
    "the bound of the machine: splice(2) from the pipe to the socket; no lines, no messages",
    lambda: [sys.executable, "-ISE", str(HERE / "relay.py")],
)
ALL = (AGENT, NODE, BY_HAND, SDK, RELAY)


def versions() -> dict[str, str]:
    """What was measured, for the report."""

    def say(*argv: object) -> str:
        return subprocess.run([str(arg) for arg in argv], capture_output=True, text=True, check=False).stdout.strip()

    cpus = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    packages = say(TOOLS / "agent/bin/python", "-m", "pip", "freeze").splitlines()
    wanted = (
        "trio",
        "trio-websocket",
        "msgspec",
        "psutil",
        "websockets",
        "ahocorasick-rs",
        "ahocorasick_rs",
        "python-statemachine",
    )
    return {
        "commit": say("git", "-C", ROOT, "rev-parse", "--short", "HEAD"),
        "machine": f"{os.cpu_count()} x {cpus[0] if cpus else 'unknown'}, Linux {os.uname().release}",
        "python": sys.version.split()[0],
        "node": say("node", "--version").removeprefix("v"),
        "packages": ", ".join(p.replace("==", " ") for p in packages if p.split("==")[0].lower() in wanted),
        "claude-agent-sdk": _SDK,
        "ws": _WS,
    }
