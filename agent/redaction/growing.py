"""A text that is still being written, given out as far as no secret can reach into it any more.

A line is redacted as a whole. A text that is shown while it grows has no end yet: what stands at its end may be half a
secret. So its end is held back.
"""

from __future__ import annotations

import re
from typing import Final

from agent.redaction.redactor import Redactor

#: A cut is made behind a single space between two words. Nearly no secret has one, and no wrapped one: where lines are
#: folded, what follows the line break is more than that. An escaped space or line break before it may be part of one.
_CUT: Final = re.compile(r"(?<=[^\s\\])(?<!\\[nrt])(?<!000[aAdD9])(?<!%0[aAdD9]) (?=\S)")
#: The formats that have spaces, as an Authorization header or a key and its value, show themselves within this.
_HELD: Final = 128
#: Where a secret may be in sight, a private key with the lines before its first one has to be, too.
_HELD_IN_DOUBT: Final = 2048
#: Places that are tried for a cut. The text waits for more where none will do.
_TRIES: Final = 4
#: After a search in vain the text has to be longer by this part of it: each search reads all of it.
_LONGER: Final = 1 / 8


class GrowingText:
    """A text that grows by `add`. What `take` returns, joined, is the beginning of what the redactor would make of the
    whole.

    A text of which more than `limit` characters have to be held back is given up: no more of it is given out.
    """

    def __init__(self, redactor: Redactor, limit: int) -> None:
        self._redactor = redactor
        self._limit = limit
        self._pieces: list[str] = []
        self._size = 0
        self._given_up = False
        #: Characters that have to be held before another search.
        self._needed = _HELD + 1

    def add(self, piece: str) -> None:
        """Take the next piece, of any length."""
        if self._given_up:
            return
        self._pieces.append(piece)
        self._size += len(piece)

    def take(self) -> str:
        """Return what can be given out now and was not before, redacted; "" if there is nothing."""
        if self._size < self._needed:
            return ""
        text = "".join(self._pieces)
        cut = self._cut(text)
        given = self._redactor.text(text[:cut]) if cut else ""
        self._size = len(text) - cut
        self._pieces = [text[cut:]]
        self._needed = _HELD + 1 if cut else int(len(text) * (1 + _LONGER)) + 1
        if self._size > self._limit:
            self._given_up, self._pieces, self._size = True, [], 0
        return given

    def _cut(self, text: str) -> int:
        redact = self._redactor.text
        in_doubt = self._redactor.suspicious(text.encode("utf-8", "surrogatepass"))
        held = (_HELD_IN_DOUBT if in_doubt else _HELD) + 2 * self._redactor.longest_words
        end = len(text) - held
        whole = redact(text) if in_doubt and end > 0 else text
        for _ in range(_TRIES):
            space = text.rfind(" ", 0, max(end, 0))
            while space > 0 and not _CUT.match(text, space):
                space = text.rfind(" ", 0, space)
            if space <= 0:
                return 0
            cut = space + 1
            # No mask may reach over the cut, and none may need what is before it.
            if not in_doubt or redact(text[:cut]) + redact(text[cut:]) == whole:
                return cut
            end = space
        return 0
