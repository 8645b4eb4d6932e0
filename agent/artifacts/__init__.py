"""The results of a run: claude's work and its session, handed over in the ways that the operator chose.

- Nothing that claude left alone is changed or deleted, and nothing that it made is lost in silence: what cannot be
  saved is named in a WARN.
- claude's `.git` is read as text and as objects, never as configuration: no filter, hook or program of claude's runs.
- Neither the working tree nor claude's index is written. All that is made lies in a directory of our own.
- Each step is worth having without those after it, and may be cut short at any moment.

    harvest.py           the order of the steps, and what each of them says
    changes.py           the figures
    snapshot.py          the workspace as a tree, a patch, a mailbox, a commit
    others.py            other branches, stashes, worktrees and submodules
    working_tree.py      files on the disk as a git tree; index_file.py lists an index, and refs.py reads refs
    lfs.py               pointers of Git LFS; lfs_objects.py brings their objects to the server
    store.py             git in a repository of our own
    push.py              PUSH_BRANCH; join.py brings the work and what the branch has together
    output_directory.py  OUTPUT_DIR
    session_log.py       the CLI's log of the session, for RESUME_SESSION; session_work.py has its work

The run calls this room, once before claude and once after it; nobody else does.
"""

from __future__ import annotations

from agent.artifacts import session_log, session_work
from agent.artifacts.harvest import Harvest
from agent.artifacts.output_directory import Output
from agent.artifacts.push import branch_name
from agent.artifacts.refs import cloned_commits
from agent.artifacts.snapshot import Snapshot
from agent.artifacts.store import Store

__all__ = ["Harvest", "Output", "Snapshot", "Store", "branch_name", "cloned_commits", "session_log", "session_work"]
