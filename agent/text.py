"""Texts for people: one clean line of anything, counts, money. Also JSON of theirs that strict readers take."""

from __future__ import annotations

import re

from agent.limits import MESSAGE_CHARS

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])|\x9b[0-?]*[ -/]*[@-~]")
#: Control characters, and those that change the direction of the text that follows.
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]+")

#: The same, but for line breaks and tabs.
_UNSHOWN = re.compile(_UNSEEN.pattern.replace(r"\x00-\x1f", r"\x00-\x08\x0b-\x1f"))

#: An escape in a JSON text. Each is matched, so that no backslash is read twice; group 1 is half a surrogate pair.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)


def one_line(text: str, limit: int = MESSAGE_CHARS) -> str:
    """Reduce a text to at most `limit` characters without line breaks, terminal sequences or control characters."""
    for enough in (limit + 40, 8 * limit):  # cleaning seldom removes more than a few characters
        line = text[:enough].replace("\n", " ").replace("\t", " ")
        if line.isprintable():  # then a space is the only white space in it
            while "  " in line:
                line = line.replace("  ", " ")
            line = line.strip(" ")
        else:
            line = _clean(line)
        if len(line) > limit or len(text) <= enough:
            break
    return _cut(line, limit)


def _cut(line: str, limit: int) -> str:
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def _clean(text: str) -> str:
    line = " ".join(text.split())
    if not line.isprintable():
        line = " ".join(_UNSEEN.sub(" ", _ANSI.sub("", line)).split())
    return line


def cut_between(text: str, limit: int) -> str:
    """Shorten a text to about `limit` characters. Its beginning and its end stay, with the length of the rest."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]} … ({len(text) - 2 * half:,} characters are not shown) … {text[-half:]}"


def spelled_out(text: str) -> str:
    """Put a text that a person shall judge on one line, with nothing left out: what cannot be seen is named."""
    text = text.strip("\n").replace("\n", " ⏎ ")
    return text if text.isprintable() else "".join(map(_named, text))


def _named(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape", "surrogatepass").decode()


def without_sequences(text: str) -> str:
    """A text of many lines without terminal sequences and control characters, but for line breaks and tabs."""
    if text.isascii() and text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return _UNSHOWN.sub("", _ANSI.sub("", text))


def count(number: int, noun: str) -> str:
    """A number with its noun: "1 turn", "1,200 turns"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def money(dollars: float) -> str:
    """An amount in dollars, with more digits below one cent."""
    return f"${dollars:.2f}" if dollars >= 0.01 or dollars <= 0 else f"${dollars:.4f}"


def without_halves(text: bytes) -> bytes:
    """A JSON text with U+FFFD for each escape that is half of a surrogate pair: Node writes them, UTF-8 has none."""
    return _ESCAPE.sub(lambda match: rb"\ufffd" if match[1] else match[0], text)
