"""Chance from a seed: which faults strike a run, and how. Leaving one fault out changes nothing about the others."""

from __future__ import annotations

from collections.abc import Collection
from random import Random
from zlib import crc32

#: Every kind of fault, and how likely it is in a run that is not calm. New ones go to the end, which leaves what a kept
#: seed draws as it is.
FAULTS = {
    # the server: what a connection meets, the first ones of a run more often than later ones
    "server.down": 0.10,
    "server.refuses": 0.05,
    "server.unavailable": 0.06,
    "server.mute": 0.04,
    "server.no_websocket": 0.03,
    "server.hangs_up": 0.04,
    "server.cut": 0.20,
    "server.closes": 0.10,
    "server.freezes": 0.08,
    "server.slow": 0.08,
    "server.torn": 0.08,
    "server.garbage": 0.06,
    "server.chatter": 0.08,
    "server.bad_acks": 0.08,
    "server.stops_acking": 0.03,
    "server.huge_message": 0.02,
    "server.cancels": 0.06,
    "server.gone": 0.03,
    # claude
    "claude.missing": 0.02,
    "claude.check_hangs": 0.02,
    "claude.no_result": 0.05,
    "claude.dies": 0.05,
    "claude.hangs": 0.06,
    "claude.lingers": 0.06,
    "claude.refused": 0.03,
    "claude.two_results": 0.06,
    "claude.failed": 0.05,
    "claude.bad_exit": 0.03,
    "claude.leaks": 0.08,
    "claude.unsweepable": 0.02,
    "claude.deaf": 0.08,
    "claude.unkillable": 0.01,
    "claude.garbage": 0.08,
    "claude.cut_line": 0.04,
    "claude.long_lines": 0.06,
    "claude.floods": 0.05,
    "claude.unread_prompt": 0.03,
    # git, the disk, the machine
    "git.fails": 0.05,
    "git.hangs": 0.03,
    "git.begin_fails": 0.01,
    "disk.refuses": 0.15,
    "disk.tears": 0.05,
    "disk.low": 0.04,
    "memory.guard": 0.03,
    "clock.jumps": 0.06,
    "harvest.hangs": 0.05,
    "sweep.slow": 0.04,
    # from outside
    "signal.one": 0.12,
    "signal.two": 0.06,
    "signal.three": 0.03,
    "signal.early": 0.03,
    "deadline": 0.05,
    "idle": 0.05,
    # ours
    "bug": 0.10,
    "config": 0.02,
    "server.blackhole": 0.04,
    "signal.at_phase": 0.10,
    "server.latency": 0.15,
    "claude.late_output": 0.08,
    # people
    "operator.steers": 0.12,
    "claude.asks": 0.10,
    "server.dies_asked": 0.08,
    # the operator's steps: whether there is one, and how it goes
    "setup": 0.15,
    "setup.fails": 0.20,
    "setup.hangs": 0.10,
    # no fault: what claude is writing is shown
    "claude.pieces": 0.12,
    "verify": 0.20,
    "verify.fails": 0.40,
    "verify.hangs": 0.10,
    "claude.limited": 0.12,
    # the server again: away for some seconds, in the middle of the run
    "server.away": 0.10,
}

#: Of all runs, those without any fault.
_CALM = 0.1


class Chance:
    """Draws from one seed. Each name has a generator of its own, so that draws do not depend on one another."""

    def __init__(self, seed: int, without: Collection[str] = ()) -> None:
        self.seed = seed
        first = Random(seed)
        calm = first.random() < _CALM
        rolls = [(name, likely, first.random()) for name, likely in FAULTS.items()]
        self.faults = frozenset(
            name for name, likely, roll in rolls if not calm and roll < likely and name not in without
        )

    def of(self, name: str) -> Random:
        """The generator of one name, always the same from its beginning."""
        return Random(self.seed << 32 | crc32(name.encode()))
