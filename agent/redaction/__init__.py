"""Redaction: secrets are masked as `[redacted]` in everything that leaves the agent.

A run handles credentials, and claude reads files and prints what it finds there. Its output is journalled, sent over a
network, printed and recorded. Each of these ways out goes through a Redactor first.

Promises
    1. Registered values (what `config.secrets` knows) are masked wherever they stand: as they are, JSON-escaped at any
       depth, URL-encoded, in base64 at any offset, in hex, and with their lines wrapped. Of a key each line is masked,
       of a JSON document each string.
    2. Well-known credentials are masked although nobody registered them: tokens that a prefix tells, private keys,
       passwords in URLs, Authorization headers.
    3. What was JSON stays JSON: only strings and keys change, and no escape is cut in two.
    4. Masking is idempotent. A text without a secret comes back as the same object.
    5. Nothing here raises, whatever the input, and the time is linear in its length.
    6. No process relies on a redactor that does not mask: `verified_redactor` tests it first.

Not promised
    A secret that a program transforms in its own way (reversed, compressed, spelled out); halves of one in two separate
    messages; a secret written as a JSON number; a value that is too short or too ordinary to be masked without garbling
    the output (`Redactor.skipped` names those).

Invariants
    1. Redact before anything is cut or split: half a secret is not recognised.
    2. The mask is a constant. It tells neither which secret it covers nor how long it was.
    3. The search never misses what the slow path would mask: an anchor or a stem stands in the raw bytes wherever a
       secret stands in any reading of them.
    4. Only expressions that match alike on every supported Python: none is possessive or atomic (CPython 3.11.0 to
       3.11.4 match those wrongly).

Terms
    part      A piece of a registered value that is masked by itself: the value, one of its lines or JSON strings.
    form      A part as it stands in decoded text: itself, hex, or base64 at one of three shifts.
    anchor    A short piece of a form that no escaping changes.
    format    The look of a well-known credential.
    stem      A short piece that every credential of a format holds.
    reading   A text with JSON escapes, URL escapes or line breaks taken off, which knows where its bytes came from.

A line's way
    search.py looks for anchors and stems in the raw bytes. Nearly every line holds none, and goes on unchanged. If one
    is there, the line is read in every way that escapes may be nested (readings.py), forms and formats are looked for
    in each reading, and the spans that are found are masked in the line itself (redactor.py). A mask may complete a
    credential, so this is repeated until nothing changes.

Files
    redactor            Redactor
    secret_forms        parts, forms and anchors of registered values; which values are too ordinary
    credential_formats  the well-known formats, their stems and gates
    readings            decoding, and the way back to the text
    search              whether a text can hold a secret at all
    growing             a text that is shown while it is written
    self_test           verified_redactor, and the substitute for a redactor that fails

Callers: every command makes one redactor of its configuration by `verified_redactor`, and hands it to whoever lets
something out (the journal, the console, the recorder, the harvest, claude's output). Nothing else is needed from here.
"""

from __future__ import annotations

from agent.redaction.growing import GrowingText
from agent.redaction.redactor import Redactor
from agent.redaction.self_test import Unprotected, verified_redactor

__all__ = ["GrowingText", "Redactor", "Unprotected", "verified_redactor"]
