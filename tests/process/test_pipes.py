"""Pipes of ours: large, and inherited by no child by accident."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress

from agent.limits import KIB, MIB
from agent.process.pipes import enlarge, open_output_pipe


async def test_a_pipe_of_ours_is_large_and_not_inherited() -> None:
    stream, end = open_output_pipe(MIB)
    try:
        assert not os.get_inheritable(end)
        assert os.get_blocking(end)
        assert fcntl.fcntl(end, fcntl.F_GETPIPE_SZ) >= 64 * KIB
    finally:
        os.close(end)
        await stream.aclose()


def test_a_pipe_is_enlarged_where_that_is_allowed() -> None:
    read_end, write_end = os.pipe()
    try:
        enlarge(write_end, 256 * KIB)
        assert fcntl.fcntl(read_end, fcntl.F_GETPIPE_SZ) >= 64 * KIB
        before = fcntl.fcntl(read_end, fcntl.F_GETPIPE_SZ)
        enlarge(write_end, 1 << 31)
        assert fcntl.fcntl(read_end, fcntl.F_GETPIPE_SZ) >= min(before, 64 * KIB)
    finally:
        with suppress(OSError):
            os.close(read_end)
        os.close(write_end)
