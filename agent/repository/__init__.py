"""repository."""

from __future__ import annotations

from agent.repository import clone, git
from agent.repository.cloned import Cloned
from agent.repository.git import Git, run_git
from agent.repository.git_progress import StderrParser
from agent.repository.workspace import Workspace

__all__ = ["Cloned", "Git", "StderrParser", "Workspace", "clone", "git", "run_git"]
