"""config."""

from __future__ import annotations

from agent.config.config import LOGINS, Config, examine
from agent.config.surroundings import in_container
from agent.config.urls import is_loopback
from agent.config.variables import VARIABLES

__all__ = ["LOGINS", "VARIABLES", "Config", "examine", "in_container", "is_loopback"]
