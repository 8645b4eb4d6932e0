"""Mounts that only one child process and its children see; to be called in the child, as its `preexec_fn`."""

from __future__ import annotations

import ctypes
import os
import subprocess

import pytest

_NEW_NAMESPACE, _READ_ONLY, _BIND, _PRIVATE = 0x20000, 1, 4096, 0x4C000


def mount_for_itself(source: str, target: str, kind: str | None = None, options: str = "") -> None:
    """Mount a file system of a kind, or where there is none, bind a directory to another place. `ro` is an option, too.

    Raises:
        OSError: the kernel grants this user no mount namespace.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    flags = _BIND if kind is None else _READ_ONLY if options == "ro" else 0
    options = "" if options == "ro" else options
    for failed in (
        libc.unshare(_NEW_NAMESPACE),
        libc.mount(b"none", b"/", None, _PRIVATE, None),
        libc.mount(source.encode(), target.encode(), kind and kind.encode(), flags, options.encode()),
    ):
        if failed:
            raise OSError(ctypes.get_errno(), "no mount namespace here")


def need_mounts() -> None:
    """Skip the test where this user may not mount anything, not even in a namespace."""
    if os.geteuid():
        pytest.skip("only root may mount")
    tried = subprocess.run(["unshare", "--mount", "true"], capture_output=True, text=True, timeout=30, check=False)
    if tried.returncode:
        pytest.skip(f"no mount namespace here: {tried.stderr.strip()}")
