"""The redactor: masks secrets in a line or a text. The room's door tells what it promises and what it does not find."""

from __future__ import annotations

import builtins
import re
import string
from collections.abc import Iterable, Iterator, Mapping

from ahocorasick_rs import BytesAhoCorasick

from agent.redaction.credential_formats import FORMATS, GATES
from agent.redaction.readings import Reading, Span, readings
from agent.redaction.search import Search
from agent.redaction.secret_forms import ESCAPED_ASCII, ESCAPED_ASCII_GATE, MASK, Form, anchors, forms, parts

#: A mask can complete a credential's format (a password that held a slash); the next pass finds that. More than two
#: have not been seen.
_PASSES = 4

#: Characters of a secret that show something of it.
_SHOWS = 4

_MASK = re.compile(re.escape(MASK))
#: A JSON string in a text whose escaped quotes are blanked out.
_STRING = re.compile(rb'"[^"]*"')
#: Every byte that JSON allows outside of strings: white space, punctuation, numbers and the letters of its three words.
_BETWEEN_STRINGS = b" \t\n\r\v\f[]{},:0123456789eE+.-truefalsn"
_BASE64 = frozenset(bytes([char]) for char in string.ascii_letters.encode() + string.digits.encode() + b"+/-_")


class Redactor:
    """Masks the given secrets, and whatever looks like a credential, as `[redacted]`.

    `secrets` maps names to values. `skipped` names those whose value is too short or too ordinary to be masked without
    garbling the output. Nothing here raises, whatever the input. A text without a secret is returned as it is.
    """

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._secrets = dict(secrets)
        found = {name: parts(value) for name, value in secrets.items()}
        self.skipped = tuple(name for name, values in found.items() if not values)
        patterns: dict[bytes, Form] = {}
        stems = [(stem, format) for format in FORMATS for stem in format.stems]
        keys = {ESCAPED_ASCII, *(stem for stem, _ in stems)}
        for part in {part for values in found.values() for part in values}:
            keys |= anchors(part)
            for form in forms(part):
                patterns[form.pattern] = form.merged(patterns.get(form.pattern, form))
        #: Whether a secret can be in some bytes. Lines without line breaks of their own may be asked about all at once.
        self.suspicious = Search(keys, GATES | {ESCAPED_ASCII: ESCAPED_ASCII_GATE}).finds_any
        #: Bytes of the longest pattern in which there are spaces, 0 without any.
        self.longest_words = max((len(pattern) for pattern in patterns if b" " in pattern), default=0)
        self._forms = tuple(patterns.values())
        self._formats = tuple(format for _, format in stems)
        self._patterns = BytesAhoCorasick([*patterns, *(stem for stem, _ in stems)])

    def learn(self, secrets: Mapping[str, str]) -> None:
        """Mask these as well from now on: the next value of a secret that is renewed."""
        known = set(self._secrets.values())
        new = {f"{name} #{len(known)}": value for name, value in secrets.items() if value not in known}
        self.__dict__.update(vars(Redactor({**self._secrets, **new})))

    def json(self, data: bytes) -> bytes:
        """Mask one line. If it is JSON, as usual, it stays JSON: only strings and keys change."""
        if not self.suspicious(data):
            return data
        return self._redact(data, json=_is_like_json(data))

    def text(self, text: str) -> str:
        """Mask a text for a person, or any text that is not encoded yet."""
        data = text.encode("utf-8", "surrogatepass")
        masked = self._redact(data, json=False)
        return text if masked is data else masked.decode("utf-8", "surrogatepass")

    def may_begin(self, text: str) -> bool:
        """Whether the end of a text may be the beginning of a registered secret that goes on behind a line break.

        A few characters of one are not told from others, and show nothing.
        """
        foldable = [form.pattern for form in self._forms if form.foldable]
        tail = text.encode("utf-8", "surrogatepass")[-4 * max(map(len, foldable), default=0) :]
        return any(
            reading.data.endswith(pattern[:length])
            for reading in readings(tail, escaped=False)
            for pattern in foldable
            if pattern[:_SHOWS] in reading.data[-len(pattern) :]
            for length in range(_SHOWS, len(pattern))
        )

    def _redact(self, data: bytes, *, json: bool) -> bytes:
        for _ in range(_PASSES):
            if not self.suspicious(data):
                break
            masked = self._masked(data, json=json)
            if masked == data:
                break
            data = masked
        return data

    def _masked(self, data: bytes, *, json: bool) -> bytes:
        spans = [match.span() for match in _MASK.finditer(data)]  # what reaches into a mask takes in the whole of it
        for reading in readings(data, escaped=json):
            spans += [reading.origin(*span) for span in _union(self._find(reading))]
        union = _union(spans)
        if json and union:
            union = _within(union, (match.span() for match in _STRING.finditer(_without_escaped_quotes(data))))
        pieces: list[builtins.bytes] = []
        done = 0
        for start, end in union:
            pieces += data[done:start], MASK
            done = end
        return b"".join([*pieces, data[done:]])

    def _find(self, reading: Reading) -> Iterator[Span]:
        """Find every match in a reading; overlapping ones too, since a secret may be part of another or of itself."""
        text, formats = reading.data, set()
        for index, start, end in self._patterns.find_matches_as_indexes(text, overlapping=True):
            if index >= len(self._forms):
                formats.add(self._formats[index - len(self._forms)])
                continue
            form = self._forms[index]
            if form.foldable or not reading.folded:
                before = form.lead and text[start - 1 : start] in _BASE64
                after = form.tail and text[end : end + 1] in _BASE64
                yield start - before, end + after
        if not reading.folded:
            for format in formats:
                for match in format.regex.finditer(text):
                    yield match.span(match.lastindex or 0)

    def bytes(self, data: builtins.bytes) -> builtins.bytes:
        """Mask raw output that is not JSON."""
        return self._redact(data, json=False)


def _without_escaped_quotes(data: builtins.bytes) -> builtins.bytes:
    """`data`, in which each escaped backslash and then each escaped quote is two other characters."""
    return data.replace(b"\\\\", b"__").replace(b'\\"', b"__")


def _is_like_json(data: builtins.bytes) -> bool:
    """Whether `data` is strings, and between them only what JSON allows: weaker than JSON, but linear, no recursion."""
    pieces = _without_escaped_quotes(data).split(b'"')
    return len(pieces) % 2 == 1 and not b"".join(pieces[::2]).translate(None, _BETWEEN_STRINGS)


def _union(spans: Iterable[Span]) -> list[Span]:
    """The spans in order, overlapping ones as one."""
    union: list[Span] = []
    for start, end in sorted(spans):
        if union and start < union[-1][1]:
            union[-1] = union[-1][0], max(union[-1][1], end)
        else:
            union.append((start, end))
    return union


def _within(spans: list[Span], strings: Iterator[Span]) -> list[Span]:
    """Cut `spans` to the parts that lie inside the quotes of `strings`. Both are in order."""
    inside: list[Span] = []
    pending = iter(spans)
    span = next(pending, None)
    for start, end in strings:
        while span is not None and span[1] <= start + 1:
            span = next(pending, None)
        while span is not None and span[0] < end - 1:
            inside.append((max(span[0], start + 1), min(span[1], end - 1)))
            if span[1] >= end:  # goes on behind this string
                break
            span = next(pending, None)
        if span is None:
            break
    return inside
