"""files."""

from __future__ import annotations

from agent.files import untrusted
from agent.files.private import PrivateDirectory, private_directory, remove_stale

__all__ = ["PrivateDirectory", "private_directory", "remove_stale", "untrusted"]
