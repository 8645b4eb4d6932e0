"""Files in places that others can reach: a private directory, and safe reading of what claude may have written.

What this room promises:

- The private directory is closed to other users, gone at the end of the run, and removed by the next start if the agent
  was killed. It is used through its descriptor: replacing its path gains nothing.
- Reading an untrusted file waits for no pipe, reads at most a given number of bytes, and follows no link, or in a tree
  none that leads out of it.
- Deleting follows no link either.

claude runs as the same user as the agent: neither protects against claude what this user may read (docs/security.md).

Files:

    private         the private directory of a run, and the removal of those that dead runs left
    opening         opening without following links or waiting for pipes
    inside          reading a file of an untrusted tree, through links that stay in it
    removal         deleting what a run left, however deep or read-only
    places          the mounted file systems, and whether a path is in memory
    untrusted       texts that claude may have put in place, and the commit that a HEAD names

Callers: run/ makes the private directory; claude/ and repository/ write to it; artifacts/ reads claude's .git and
session; report/ and vitals/ write where others may write; commands/ makes a private directory for a check.
"""

from __future__ import annotations

from agent.files import inside, untrusted
from agent.files.opening import nearest, overwrite, regular
from agent.files.places import is_in_memory, mounts
from agent.files.private import PrivateDirectory, private_directory, remove_stale
from agent.files.removal import empty, open_to_change

__all__ = [
    "PrivateDirectory", "empty", "inside", "is_in_memory", "mounts", "nearest", "open_to_change", "overwrite",
    "private_directory", "regular", "remove_stale", "untrusted",
]  # fmt: skip
