"""Forms of a registered secret: the byte patterns to look for in output, and anchors that tell where looking pays.

A *form* is a pattern as it stands in decoded text, which `readings.py` makes: JSON escapes, URL escapes and line breaks
are taken off. Base64 and hex are forms of their own. An *anchor* is a short piece of a form that no escaping changes,
so a search for anchors in the raw bytes decides whether a line has to be decoded at all.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from agent.redaction.readings import fold

#: The text in place of a masked secret. It names no secret, since overlapping ones are masked as one, and a constant
#: tells neither length nor kind.
MASK = b"[redacted]"

#: Shorter values occur by chance, and masking them would garble the output.
MIN_VALUE = 6
#: Lines of a key and leaves of a JSON document are found by themselves from this length on.
MIN_PART = 8
#: Longer ones are found piece by piece: to build the automaton for a pattern takes the square of its length when the
#: pattern repeats itself, here 1 s. Pieces overlap, so they are masked as one.
MAX_PART = 1024
#: From this length on a form is also found when a line break cuts it; shorter ones would swallow ordinary words.
MIN_FOLDABLE = 16
#: base64(1) and PEM wrap at 64 or more columns, so at most one break falls into a stretch of this length ...
_STRETCH = 64
#: ... and one of its halves keeps an anchor of at least this length, or the weaker anchors of `_keys`.
_MIN_ANCHOR, _MAX_ANCHOR = 5, 8

#: Characters that no encoder of JSON or URLs ever escapes.
_PLAIN = re.compile(rb"[A-Za-z0-9_.-]+")
#: Characters that JSON leaves alone or writes as \u002x to \u007x, anchors of their own. In URLs they are %XX.
_STABLE = re.compile(rb"[!#$%&'()*+,\-.0-9:;<=>?@A-Z\[\]^_`a-z{|}~]+")
_WIDE = re.compile(rb"[\xc2-\xf4][\x80-\xbf]+")

#: The beginning of an escape, and the gate for those that stand for printable ASCII. No JSON encoder needs to write
#: these; some do for < > & ' + =, and somebody who hides may. Control characters, say of colours, are escaped always.
ESCAPED_ASCII, ESCAPED_ASCII_GATE = b"\\u00", re.compile(rb"\\u00[2-7]")

#: Values of ordinary settings, and values that are the same in every service account file.
_WORDS = frozenset(
    word
    for line in (
        "true false none null undefined default enabled disabled always never debug info warning error verbose",
        "localhost master main trunk develop development production staging testing example sample username",
        "password passwd secret token changeme anthropic claude github gitlab docker kubernetes container workspace",
        "postgres ubuntu debian alpine python nodejs bash bearer basic redacted [redacted] sonnet opusplan",
        "dontask acceptedits bypasspermissions service_account authorized_user googleapis.com",
        "https://accounts.google.com/o/oauth2/auth https://oauth2.googleapis.com/token",
        "https://www.googleapis.com/oauth2/v1/certs",
    )
    for word in line.split()
)
_SHAPES = re.compile(
    r"""[\W_]*                                                               # no letter, no digit
    | [\d.,:+_-]{1,15}(?:ms|[smhdkKMGT]i?B?)?                                # number, version, date, size, duration
    | [a-z]{2,5}://(?:[a-z0-9-]+\.)*[a-z0-9-]+(?::\d+)?(?:/v\d+)?/?          # a server, no more
    | (?:[a-z-]+\.)+(?:com|org|net|io|dev|local|internal)(?::\d+)?           # a host
    | [~.]{0,2}(?:[:/]+[a-z._-]+\d{0,2})+/?                                  # paths
    | [a-z]{2}_[A-Z]{2}(?:\.[\w-]+)?                                         # a locale
    | [a-z]{2}(?:-[a-z]+){1,2}-\d                                            # a cloud region
    | (?:[a-z]+\.)*claude(?:-[a-z]*[\d.]*)+(?:[@:]\d+)?(?:\[1m\])?           # a model
    | -----(?:BEGIN|END)\ [A-Z0-9\ ]+-----                                   # first and last line of any key""",
    re.VERBOSE,
)


_ENDS = "|".join(re.escape(MASK.decode()[at:]) for at in range(1, len(MASK)))
_STARTS = "|".join(re.escape(MASK.decode()[:at][::-1]) for at in range(1, len(MASK)))
_LEAD, _TAIL = re.compile(rf"\A(?:\s|{_ENDS})+"), re.compile(rf"\A(?:\s|{_STARTS})+")  # the tail is read backwards


class Form(NamedTuple):
    """A pattern. In base64 its neighbours can hold some bits of the secret too (`lead`, `tail`)."""

    pattern: bytes
    foldable: bool
    lead: bool = False
    tail: bool = False

    def merged(self, other: Form) -> Form:
        """The same pattern, met as a form of two values."""
        return Form(self.pattern, self.foldable or other.foldable, self.lead or other.lead, self.tail or other.tail)


def is_ordinary(value: str) -> bool:
    """Whether `value` is something that occurs in any output, so that masking it would hide more than it protects."""
    return value.lower() in _WORDS or _SHAPES.fullmatch(value) is not None


def parts(value: str) -> list[str]:
    """Texts to look for: the value, and its JSON leaves or its lines; none when it is too short or ordinary."""
    whole = _trim(value)
    if len(whole) < MIN_VALUE or is_ordinary(whole):
        return []
    inner = _leaves(whole)
    if inner is None:
        inner = whole.splitlines() if "\n" in whole else []
    found = [whole, *(part for part in map(_trim, inner) if len(part) >= MIN_PART and not is_ordinary(part))]
    return [piece for part in found for piece in _pieces(part)]


def forms(part: str) -> list[Form]:
    """The patterns of one part: itself with line breaks folded away, hex, and base64 at each of the three shifts."""
    return [*_plain_forms(encode(part)), *_encoded_forms(encode(part))]


def anchors(part: str) -> set[bytes]:
    """Pieces of which at least one stands in the raw bytes wherever a form of `part` stands in any reading of them."""
    plain = encode(part)
    lines = plain.splitlines()
    if fold(plain) == plain:
        return _anchors_of([*_plain_forms(plain), *_encoded_forms(plain)])
    return _keys(max(lines, key=len)) | _anchors_of(_encoded_forms(plain))


def _plain_forms(plain: bytes) -> Iterator[Form]:
    folded = fold(plain)
    foldable = folded != plain or len(folded) >= MIN_FOLDABLE
    yield Form(folded, foldable)
    if b" " in folded:  # a form of a web page writes + for a space
        yield Form(folded.replace(b" ", b"+"), foldable)


def _encoded_forms(plain: bytes) -> Iterator[Form]:
    unix = plain.replace(b"\r\n", b"\n")
    for raw in {unix, unix.replace(b"\n", b"\r\n")}:
        for digits in {raw.hex().encode(), raw.hex().upper().encode()}:
            yield Form(digits, len(digits) >= MIN_FOLDABLE)
        for shift in range(3):
            start, end = 8 * shift, 8 * (shift + len(raw))
            pattern = base64.b64encode(bytes(shift) + raw)[-(-start // 6) : end // 6]  # what depends on `raw` alone
            for alphabet in {pattern, pattern.translate(bytes.maketrans(b"+/", b"-_"))}:
                yield Form(alphabet, len(pattern) >= MIN_FOLDABLE, start % 6 != 0, end % 6 != 0)


def _anchors_of(forms: Iterable[Form]) -> set[bytes]:
    found: set[bytes] = set()
    for pattern, foldable, *_ in forms:
        if foldable:
            start = max(0, (len(pattern) - _STRETCH) // 2)
            pattern = pattern[start : start + _STRETCH]
            found |= _keys(pattern[: len(pattern) // 2]) | _keys(pattern[len(pattern) // 2 :])
        else:
            found |= _keys(pattern)
    return found


def encode(text: str) -> bytes:
    """UTF-8; an environment variable that is none keeps its bytes."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _keys(piece: bytes) -> set[bytes]:
    run = max(_PLAIN.findall(piece), key=len, default=b"")
    if len(run) >= _MIN_ANCHOR:
        return {run[-_MAX_ANCHOR:]}  # tokens of one kind begin alike
    stable = max(_STABLE.findall(piece), key=len, default=b"")[-_MAX_ANCHOR:]
    wide = _WIDE.search(piece)
    if wide is not None and len(stable) < 3:
        letter = wide[0].decode("utf-8", "ignore")[:1]
        unit = letter.encode("utf-16-be")[:2].hex().encode()
        return {letter.encode() or wide[0], b"\\u" + unit, b"\\u" + unit.upper(), *_percent(wide[0][:1])}
    return {stable or piece, *(key for char in _PLAIN.sub(b"", stable) for key in _percent(bytes([char])))}


def _percent(char: bytes) -> tuple[bytes, ...]:
    return b"%%%02x" % ord(char), b"%%%02X" % ord(char), b"%25"  # what is escaped twice has %25 in it


def _pieces(part: str) -> Iterator[str]:
    """The whole of a long part, in pieces; the last one reaches back, for it must not be short."""
    last = max(0, len(part) - MAX_PART)
    for start in (*range(0, last, MAX_PART - MIN_PART), last):
        yield part[start : start + MAX_PART]


def _trim(value: str) -> str:
    """Without white space around, and without edges that could make a secret out of a mask and its neighbours."""
    value = _LEAD.sub("", value, count=1)
    return _TAIL.sub("", value[::-1], count=1)[::-1]


def _leaves(document: str) -> list[str] | None:
    """Keys excluded, every string of a JSON object or array; None when `document` is neither."""
    if document[:1] not in ("{", "["):
        return None
    try:
        pending: list[Any] = [msgspec.json.decode(document)]
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    found = []
    while pending:
        node = pending.pop()
        if isinstance(node, str):
            found.append(node)
        elif isinstance(node, dict):
            pending += node.values()
        elif isinstance(node, list):
            pending += node
    return found
