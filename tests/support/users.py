"""A user without root's rights, for tests that run as root: root's permissions have no limit to test."""

from __future__ import annotations

import os
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
def as_nobody(*owned: Path) -> Iterator[None]:
    """Make this process another user's, with the given paths as that user's own; nothing changes for a test without
    root's rights. The paths above them must be open to all: pytest's are not, so the first three are opened.
    """
    if os.geteuid() != 0:
        yield
        return
    for path in owned:
        os.chown(path, NOBODY, NOBODY)
        for above in list(path.parents)[:4]:
            if above.stat().st_uid == 0 and above != Path("/"):
                above.chmod(above.stat().st_mode | 0o011)
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        # The change took it away, and other tests of this process look into /proc/self.
        hardening._prctl(hardening._PR_SET_DUMPABLE, 1)
