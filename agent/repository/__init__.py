"""git: the clone of the repository into the workspace, and the way in which every git of the agent is run.

- The credentials are in one private file, and are given to the repository's host only.
- A workspace that is not empty is left alone, unless REPLACE_WORKSPACE=1. A clone that fails leaves nothing behind.
- A fault that can be found before claude starts is found by then: a missing ref, a wrong token, a branch that cannot be
  pushed.
- A git that runs after claude reads no configuration that claude could have written.

    git.py           environments, credentials, running one command; git_settings.py has the parts of its configuration
    git_calls.py     commands of git before claude: what they say is published, a failure is a CloneError
    remote.py        what the server has; push_check.py decides about PUSH_BRANCH
    clone.py         ask, clone, check out, with retries
    host_keys.py     the SSH host keys that hosting services publish
    earlier.py       the work of the attempt before, brought back into the clone
    kept.py          a workspace on a volume, for the session that worked in it
    cloned.py        the result
    workspace.py     the directory: checked, emptied, restored after a failure
    git_stderr.py    git's stderr -> LOG, STATUS and the deadline of a transfer; git_progress.py reads its lines
    git_errors.py    git's last lines -> one error with an exit code

The run clones through this room, and artifacts/ runs its git with it.
"""

from __future__ import annotations

from agent.repository import clone, git
from agent.repository.cloned import Cloned
from agent.repository.earlier import Earlier
from agent.repository.git import Git, run_git
from agent.repository.git_errors import clone_error
from agent.repository.git_progress import StderrParser
from agent.repository.kept import Mark, leave_mark
from agent.repository.remote import look_up
from agent.repository.workspace import Workspace

__all__ = [
    "Cloned",
    "Earlier",
    "Git",
    "Mark",
    "StderrParser",
    "Workspace",
    "clone",
    "clone_error",
    "git",
    "leave_mark",
    "look_up",
    "run_git",
]
