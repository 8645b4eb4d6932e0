"""A user without root's rights, for tests that run as root: root's permissions have no limit to test."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.process import hardening
from tests.support.places import ROOT

NOBODY = 65534


def needs_sources_for_all() -> None:
    """Skip the test where only root can read the sources: a process of another user cannot import them then."""
    for directory in (ROOT, *ROOT.parents):
        if not directory.stat().st_mode & 0o001:
            pytest.skip(f"another user cannot read the sources: {directory} is closed to all but its owner")


@contextmanager
def open_directory() -> Iterator[Path]:
    """Give a directory that every user can enter. pytest's own are closed, by each pytest that starts anew."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        yield Path(name)


@contextmanager
def as_nobody(*owned: Path) -> Iterator[None]:
    """Make this process another user's, with the given paths as that user's own; nothing changes for a test without
    root's rights. The paths are in an open_directory().
    """
    if os.geteuid() != 0:
        yield
        return
    for path in owned:
        os.chown(path, NOBODY, NOBODY)
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        # The change took it away, and other tests of this process look into /proc/self.
        hardening._prctl(hardening._PR_SET_DUMPABLE, 1)
