"""Work that claude sent to other places: pull requests and pushes, as the CLI sees them in the commands that it runs.

The CLI reads command lines and their output, so that what a script of the repository pushes is not among it.
"""

from __future__ import annotations

from agent.text import one_line
from agent.transcript.describe import Note
from agent.transcript.stream_json import Line, text
from agent.transcript.summary import Publication

_NAMES = {"gitlab": "merge request", "gerrit": "change"}
_DONE = {"commit": "committed", "merge": "merged", "push": "pushed", "rebase": "rebased"}


def published_by(line: Line) -> tuple[Note, Publication | None]:
    """Describe `code_change_published` or `vcs_state_changed`, and read what was published by it, if anything was."""
    branch = one_line(text(line.branch), 200) or None
    if line.subtype == "vcs_state_changed":
        kind = one_line(text(line.kind), 40)
        note = Note("info", "vcs", one_line(f"{_DONE.get(kind, kind)} {branch or ''}") or "the repository has changed")
        return note, Publication("push", branch=branch) if kind == "push" else None
    action, url = one_line(text(line.action), 40) or "published", one_line(text(line.url), 2000)
    name = _NAMES.get(text(line.provider), "pull request")
    note = Note("info", "code_change", one_line(f"{name} {action.replace('-', ' ')}: {url}"))
    return note, Publication("pull_request", action, url, branch)
