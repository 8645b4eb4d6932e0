"""Settings of the agent's own process, made at its start."""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def become_subreaper() -> None:
    """Have every orphaned descendant, in any session, become a child of this process. Raises OSError."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def harden_self() -> None:
    """Make this process non-dumpable: others of the same user cannot trace it or read its environment, memory and
    descriptors, and it leaves no core file. It needs no Landlock, but does nothing for PID 1 if that is an init.
    Raises OSError."""
    _prctl(_PR_SET_DUMPABLE, 0)


def clear_inherited_signals() -> None:
    """Undo what a careless parent has set: an ignored SIGCHLD loses exit statuses, a blocked signal never arrives."""
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def keep_freed_memory(spare: int, block: int) -> None:
    """Have malloc keep freed memory: up to `spare` bytes at the end of the heap, and blocks smaller than `block` bytes.

    Otherwise it returns much of the memory of a batch to the kernel, and takes it back for the next batch, page by
    page. Does nothing if the C library is not glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, spare)
        mallopt(_M_MMAP_THRESHOLD, block)


def _prctl(option: int, argument: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, argument, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
