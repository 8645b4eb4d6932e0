"""Pipes between this process and a child: close-on-exec at both ends, and as large as the system allows."""

from __future__ import annotations

import fcntl
import os

import trio


def open_output_pipe(size: int) -> tuple[trio.lowlevel.FdStream, int]:
    """Open a pipe of `size` bytes for a child to write to: our end, and the child's, which process.run() closes."""
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    enlarge(read_end, size)
    return trio.lowlevel.FdStream(read_end), write_end


def enlarge(pipe: int, size: int) -> None:
    """Give a pipe a buffer of `size` bytes, or leave it as it is where the system's limits forbid that."""
    try:
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, size)
    except OSError:
        return
