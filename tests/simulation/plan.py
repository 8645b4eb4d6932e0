"""The configuration of a simulated run, drawn from its seed."""

from __future__ import annotations

from functools import cache

import msgspec

from agent.config.config import Config
from agent.config.load import examine
from agent.limits import KIB, MIB, Limits
from agent.protocol.phase import Phase
from tests.simulation.chance import Chance
from tests.simulation.claude import SECRET

#: Parts of the agent that may have a bug, and how many calls of it they may survive.
BUGS = (
    "check", "clone", "claude", "prompt", "stdout", "stderr", "transcript", "watchdog", "sweep", "harvest", "vitals",
    "health", "sender", "signals", "supervisor", "begin", "drain",
)  # fmt: skip


@cache
def template() -> Config:
    """What all simulated runs have in common."""
    environ = {
        "REPO_URL": "https://git.example/r", "TASK": "Do it.", "WS_SERVER": "ws://server.example/run",
        "ANTHROPIC_API_KEY": SECRET, "CONTAINER_ID": "simulated", "HEALTH_FILE": "/nowhere/health",
        "TERMINATION_LOG": "", "JOURNAL_DIR": "/nowhere/journal",
    }  # fmt: skip
    config, problems = examine(environ, in_container=False)
    if problems:
        raise AssertionError(problems)
    return config


def configuration(chance: Chance) -> Config:
    rng = chance.of("config")
    faults = chance.faults
    server = rng.choices(("required", "optional", "none"), (65, 25, 10))[0]
    limits = msgspec.structs.replace(
        Limits(),
        segment_bytes=rng.choice((4 * KIB, 64 * KIB, MIB)),
        resident_bytes=4 * KIB,  # so that what is sent is also read back
        memory_journal_bytes=rng.choice((64 * KIB, MIB)),
        window_messages=rng.choice((1, 8, 512, 2048, 2048, 2048)),
        window_bytes=rng.choice((4 * KIB, MIB, 4 * MIB)),
        batch_bytes=rng.choice((KIB, 64 * KIB, 64 * KIB)),
        barrier_messages=rng.choice((1, 16, 64, 256, 256, 256)),
        line_bytes=rng.choice((16 * KIB, 64 * MIB)),
        backoff_max=rng.choice((1.0, 30.0)),
        ack_silence=15.0,  # more than the interval of heartbeats, each of which is acknowledged
        watch_interval=0.5,
        limit_pause=6.0,
        limit_pause_max=40.0,
    )
    delivery_wait = rng.choice((5.0, 60.0))
    hasty = chance.of("deadline").uniform(0.05, 8)
    return msgspec.structs.replace(
        template(),
        ws_server=None if server == "none" else template().ws_server,
        server_required=server == "required",
        server_wait=rng.choice((2.0, 10.0, 60.0)),
        delivery_wait=delivery_wait,
        setup_command="prepare" if "setup" in faults else None,
        verify_command="prove" if "verify" in faults else None,
        verify_retries=chance.of("retries").choice((0, 0, 1, 2)),
        timeout=hasty if "deadline" in faults else 60.0,
        idle_timeout=chance.of("idle").choice((1.0, 3.0)) if "idle" in faults else rng.choice((None, 15.0)),
        wait_for_limit=chance.of("limit").choice((None, 3.0, 60.0, 200.0, 200.0))
        if "claude.limited" in faults
        else None,
        timeout_counts_waiting=chance.of("limit.counts").random() < 0.3,
        kill_grace=rng.choice((0.5, 2.0, 5.0)),
        result_grace=rng.choice((1.0, 5.0)),
        message_limit=rng.choice((4 * KIB, 32 * KIB, 256 * KIB)),
        # Small where the server is away while somebody waits for an acknowledgement.
        journal_limit=min(
            rng.choice((64 * KIB, 512 * KIB, 512 * MIB, 512 * MIB)),
            64 * KIB if faults >= {"server.away", "operator.steers"} else 512 * MIB,
        ),
        allow_steering="operator.steers" in faults and chance.of("steering").random() < 0.9,
        ask="claude.asks" in faults,
        partial="claude.pieces" in faults,
        ask_timeout=chance.of("asking").choice((1.0, 5.0, 20.0)),
        allow_remote_cancel=rng.random() < 0.7,
        strict_delivery=rng.random() < 0.2,
        limits=limits,
    )


def bug(chance: Chance) -> tuple[str | None, int]:
    """Which part fails, and after how many calls."""
    rng = chance.of("bug")
    part, calls = rng.choice(BUGS), rng.choice((0, 0, 1, 3, 10))
    return (part, calls) if "bug" in chance.faults else (None, 0)


def signal_at_phase(chance: Chance) -> tuple[Phase, int] | None:
    """A signal in the very step in which the run enters a phase."""
    rng = chance.of("signal.at_phase")
    drawn = rng.choice(
        (Phase.CONNECTING, Phase.CLONING, Phase.RUNNING, Phase.STOPPING, Phase.DRAINING, Phase.REPORTING)
    )
    return (drawn, 15) if "signal.at_phase" in chance.faults else None


def signals(chance: Chance) -> list[tuple[float, int]]:
    """When the agent gets which signal."""
    rng = chance.of("signals")
    count = max(
        (n for n, name in ((1, "one"), (2, "two"), (3, "three")) if f"signal.{name}" in chance.faults), default=0
    )
    early = "signal.early" in chance.faults
    at, found = 0.0, []
    for number in range(max(count, early)):
        at += 0.0 if early and not number else rng.choice((0.0, rng.uniform(0, 0.5), rng.uniform(0, 4)))
        found.append((at, rng.choice((15, 15, 2, 1))))
    return found
