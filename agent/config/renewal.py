"""Renewal: secrets whose files somebody else writes anew while a run lasts, such as a token that lives an hour.

Kubernetes replaces the file of a mounted secret by a link; others write it in place. Both show in its identity.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from agent.config import parsers, sources
from agent.config.variables import BY_NAME
from agent.limits import Limits

#: The secrets that the agent itself shows to a server again and again. Those of claude are in its environment.
RENEWABLE = ("WS_TOKEN", "GITHUB_TOKEN")


class Renewal:
    """Watches the files of secrets. `files` maps the name of a variable to its file, `values` to what is in use."""

    def __init__(self, files: Mapping[str, Path], values: Mapping[str, str | None], limits: Limits) -> None:
        self._files = files
        self._values = dict(values)
        self._limits = limits
        self._seen: dict[str, tuple[int, ...]] = {}

    def look(self) -> dict[str, str]:
        """Return the values that are new since the last look. A file that is away or wrong keeps the old one in use.

        It reads files, so a slow disk delays it.
        """
        found = {}
        for name, path in self._files.items():
            try:
                status = path.stat()
                identity = status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size
                if self._seen.get(name) == identity:
                    continue
                text = sources.read(path, self._limits.config_file_bytes)
                value = BY_NAME[name].parse(parsers.line(text, self._limits.line_value_bytes))
            except (OSError, ValueError):  # between two files, or half written: the next look finds it whole
                continue
            self._seen[name] = identity
            if value and value != self._values.get(name):
                self._values[name] = found[name] = value
        return found
