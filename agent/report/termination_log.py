"""The termination message: one line of JSON in a file that Kubernetes shows as the reason for a pod's end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agent.files import overwrite
from agent.outcome import Outcome
from agent.protocol import encode_json

#: Kubernetes shows at most this much of a termination message.
TERMINATION_BYTES = 4096


def termination_message(
    outcome: Outcome, *, last_seq: int, confirmed_seq: int, undelivered: int, journal: Path | None
) -> bytes:
    """Make the line, of at most TERMINATION_BYTES: a message that is too long is cut. It must be redacted already.

    Args:
        undelivered: the number of messages that the server has not confirmed.
        journal: the directory that keeps them; None where there is none on a disk.
    """
    fields: dict[str, Any] = {
        "exitCode": outcome.exit,
        "reason": outcome.reason,
        "message": outcome.message,
        "lastSeq": last_seq,
        "confirmedSeq": confirmed_seq,
        "undelivered": undelivered,
    }
    if undelivered and journal is not None:
        fields["journal"] = str(journal)
    line = encode_json(fields)
    if len(line) >= TERMINATION_BYTES:
        fields["message"] = outcome.message.encode()[: TERMINATION_BYTES // 4].decode(errors="ignore") + " ..."
        line = encode_json(fields)
    return line + b"\n"


def write_termination_message(path: Path | None, line: bytes) -> str | None:
    """Write the line to `path`, if there is one; returns what went wrong, as a sentence for a person."""
    if path is None:
        return None
    try:
        # Where claude can write beside it, it may have become a link to a file of ours, or a pipe without a reader.
        overwrite(path, line)
    except OSError as error:
        return f"TERMINATION_LOG {path} cannot be written: {error.strerror}"
    return None
