"""Notices that the API refuses the credentials, which the CLI retries ten times as if it were an outage: 190 s."""

from __future__ import annotations

from typing import Final

import msgspec

#: HTTP statuses that say "not with these credentials".
REFUSED: Final = frozenset({401, 403})

#: Bytes. A retry has some 250, and its error is a word.
_LONGEST: Final = 4096


class _Retry(msgspec.Struct):
    type: str = ""
    subtype: str = ""
    attempt: int = 0
    error_status: int | None = None


_decode = msgspec.json.Decoder(_Retry).decode


class RefusalWatch:
    """Counts the refusals of one request over the lines of claude's stdout.

    One may be a gateway's hiccup or a token just being renewed; `needed` of them one after another are the answer.
    """

    def __init__(self, needed: int) -> None:
        self._needed = needed
        self._seen = 0

    def feed(self, line: bytes) -> bool:
        """True at the line that makes it certain."""
        # Few lines are retries, and none of them is long: others cost one search at most.
        if len(line) > _LONGEST or b'"api_retry"' not in line:
            return False
        try:
            retry = _decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False
        if retry.type != "system" or retry.subtype != "api_retry":
            return False
        if retry.attempt <= 1 or retry.error_status not in REFUSED:
            # Attempts are counted anew for each request.
            self._seen = 0
        if retry.error_status in REFUSED:
            self._seen += 1
        return self._seen == self._needed
